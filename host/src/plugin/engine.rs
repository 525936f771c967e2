//! The two wasmtime engines and the clock that lets the host take the CPU back from a guest.
//!
//! Two engines, because what wasi:http 0.3 needs (the component model's concurrency) makes every 0.2 call dearer: a
//! component is first offered to the engine without it, and only if it does not validate there to the one with it.
//! Both share one set of numbers: a pooling allocator with room for `maxSlots` stores, copy-on-write memory images,
//! pages reset by `PAGEMAP_SCAN` where the kernel has it, and epoch interruption.
//!
//! The epoch advances once a [`TICK`](ticker::TICK) on a thread of its own, never on an executor, while guests run: one
//! that does not come back by itself is made to yield at the next tick, wherever it is. What happens then (count its
//! time, move it away, stop it) is decided in `store` and `drive`.
//!
//! Not here: which component runs on which engine (`load`), and every per-service limit (`store`).

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use super::compute::Compute;
use super::slots::IdleRegistry;
use super::ticker;

/// The largest linear memory a component may have, whatever `limits.memory` says: the size of a pool slot.
pub const MAX_MEMORY: usize = 512 << 20;

/// The most elements a table may have: the size of its place in the pool.
pub(super) const TABLE_ELEMENTS: usize = 100_000;
/// What a 0.2 Rust component needs is 4 core instances and 2 tables; managed languages need a few more.
const CORE_INSTANCES_PER_SLOT: u32 = 8;
const TABLES_PER_SLOT: u32 = 4;

/// Keep-resident only pays with the ioctl that finds dirty pages; without it, the first bytes are cleared blindly.
const KEEP_RESIDENT_WITH_SCAN: usize = 1 << 20;
const KEEP_RESIDENT_WITHOUT_SCAN: usize = 64 << 10;

/// Which kind of `wasi:http` a component exports, and so which engine runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// `wasi:http/incoming-handler@0.2`
    V02,
    /// `wasi:http/handler@0.3`
    V03,
}

impl HttpVersion {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V02 => "0.2",
            Self::V03 => "0.3",
        }
    }
}

/// The engines, the executor for guests that burn CPU, and the count of slots that may still be made.
#[derive(Debug, Clone)]
pub struct Engines {
    v02: Engine,
    v03: Engine,
    compute: Compute,
    slots: Arc<Semaphore>,
    idle: IdleRegistry,
}

/// Why the engines could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the configuration, or the address space for the pool could not be reserved.
    #[error("cannot set up the wasm engine for {max_slots} slots (try a smaller engine.maxSlots): {source:#}")]
    Configuration {
        /// `engine.maxSlots`.
        max_slots: u32,
        /// What wasmtime says.
        source: wasmtime::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread for guests: {0}")]
    Thread(#[from] std::io::Error),
}

impl Engines {
    /// Engines whose pools together hold at most `max_slots` live stores.
    ///
    /// # Errors
    /// When the address space for the pool cannot be reserved or a thread cannot be started.
    pub fn new(max_slots: u32) -> Result<Self, EngineError> {
        let build = |http| {
            Engine::new(&config(http, max_slots)).map_err(|source| EngineError::Configuration { max_slots, source })
        };
        let (v02, v03) = (build(HttpVersion::V02)?, build(HttpVersion::V03)?);
        ticker::start([v02.weak(), v03.weak()])?;
        Ok(Self {
            v02,
            v03,
            compute: Compute::start()?,
            slots: Arc::new(Semaphore::new(max_slots as usize)),
            idle: IdleRegistry::default(),
        })
    }

    /// The engine that runs components of this kind.
    pub fn of(&self, http: HttpVersion) -> &Engine {
        match http {
            HttpVersion::V02 => &self.v02,
            HttpVersion::V03 => &self.v03,
        }
    }

    /// Where guests go that hold the CPU.
    pub(super) fn compute(&self) -> &Compute {
        &self.compute
    }

    /// Idle slots of all versions.
    pub(super) fn idle(&self) -> &IdleRegistry {
        &self.idle
    }

    /// A permit is a live store.
    pub(super) fn slots(&self) -> &Arc<Semaphore> {
        &self.slots
    }
}

/// An engine that only compiles: the same code, with the smallest pool. Used by the compiler process.
///
/// # Errors
/// When wasmtime refuses the configuration.
pub(super) fn compiling_engine(http: HttpVersion) -> wasmtime::Result<Engine> {
    Engine::new(&config(http, 1))
}

fn config(http: HttpVersion, max_slots: u32) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(http == HttpVersion::V03)
        .wasm_component_model_async(http == HttpVersion::V03)
        .epoch_interruption(true)
        .async_stack_size(2 << 20)
        .max_wasm_stack(512 << 10)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_max_frames(NonZeroUsize::new(20));
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(max_slots)));
    config
}

fn pool(max_slots: u32) -> PoolingAllocationConfig {
    let scan = PoolingAllocationConfig::is_pagemap_scan_available();
    let keep = if scan { KEEP_RESIDENT_WITH_SCAN } else { KEEP_RESIDENT_WITHOUT_SCAN };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(max_slots)
        .total_core_instances(max_slots.saturating_mul(CORE_INSTANCES_PER_SLOT))
        .total_memories(max_slots)
        .total_tables(max_slots.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(max_slots)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .max_core_instances_per_component(64)
        .max_memories_per_component(8)
        .max_tables_per_component(32)
        .max_memory_size(MAX_MEMORY)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(max_slots)
        .linear_memory_keep_resident(keep)
        .table_keep_resident(keep)
        .pagemap_scan(Enabled::Auto);
    if !scan {
        pool.decommit_batch_size(16);
    }
    pool
}
