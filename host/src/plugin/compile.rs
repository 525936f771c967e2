//! From wasm to machine code: off the request path, bounded, and away from the serving process.
//!
//! Compiling is the one step where a hostile file can make the host itself burn memory and time (wasmtime does not
//! count that as a vulnerability), so the `wharf` binary compiles in a child process of its own: low priority, a
//! limit on memory and CPU time, a deadline. The child reads wasm from stdin and writes machine code to stdout;
//! nothing is exchanged by path. A program that embeds the library has no such binary to start and compiles on a
//! blocking thread instead.
//!
//! What comes back is kept in the [`Cache`] and only ever loaded if this process made it or the cache vouches for it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::{Cache, Key};
use super::engine::{Engines, HttpVersion, compiling_engine};

/// Data memory that one compilation may use. JavaScript and Python engines need about 400 MiB.
const COMPILE_MEMORY: u64 = 3 << 30;
const COMPILE_NICENESS: i32 = 10;

/// Where compilations run.
#[derive(Debug, Clone)]
pub enum CompileIn {
    /// In this process, on a blocking thread.
    Thread,
    /// In a child: this program with these arguments and then the version of wasi:http, which ends in
    /// [`compile_stdin`].
    Child {
        /// The `wharf` binary.
        program: PathBuf,
        /// The arguments of its compile command.
        arguments: Vec<OsString>,
    },
}

/// Why there is no machine code.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CompileError {
    /// The component is not valid.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// Compiling took too long.
    #[error("compiling took longer than engine.compileTimeout ({0:?})")]
    Timeout(Duration),
    /// The compiler could not run or died.
    #[error("the compiler failed: {0}")]
    Compiler(String),
}

/// Compiles components, at most so many at a time.
#[derive(Debug)]
pub struct Compiler {
    place: CompileIn,
    cache: Option<Cache>,
    running: Semaphore,
    timeout: Duration,
}

impl Compiler {
    /// A compiler for at most `concurrency` components at once.
    pub fn new(place: CompileIn, cache: Option<Cache>, concurrency: u32, timeout: Duration) -> Self {
        Self { place, cache, running: Semaphore::new(concurrency as usize), timeout }
    }

    /// The compiled component, from the cache or fresh.
    ///
    /// # Errors
    /// When it is invalid, takes too long or the compiler fails.
    pub async fn compile(
        self: &Arc<Self>,
        engines: &Engines,
        http: HttpVersion,
        wasm: Bytes,
        digest: [u8; 32],
    ) -> Result<Component, CompileError> {
        let engine = engines.of(http).clone();
        let key = Key::new(&digest, &fingerprint(&engine));
        if let Some(component) = self.cached(&engine, &key).await? {
            return Ok(component);
        }
        let Ok(_permit) = self.running.acquire().await else {
            return Err(CompileError::Compiler("the host is stopping".to_owned()));
        };
        let code = tokio::time::timeout(self.timeout, self.run(http, wasm))
            .await
            .map_err(|_elapsed| CompileError::Timeout(self.timeout))??;
        let this = Arc::clone(self);
        blocking(move || {
            let component = this.load(&engine, &code)?;
            if let Some(cache) = &this.cache
                && let Err(error) = cache.put(&key, &code)
            {
                tracing::warn!(%error, "compiled code could not be cached");
            }
            Ok(component)
        })
        .await
    }

    async fn cached(self: &Arc<Self>, engine: &Engine, key: &Key) -> Result<Option<Component>, CompileError> {
        if self.cache.is_none() {
            return Ok(None);
        }
        let (this, engine, key) = (Arc::clone(self), engine.clone(), key.clone());
        blocking(move || {
            let Some(code) = this.cache.as_ref().and_then(|cache| cache.get(&key)) else { return Ok(None) };
            match this.load(&engine, &code) {
                Ok(component) => Ok(Some(component)),
                Err(error) => {
                    tracing::warn!(%error, "cached code does not load, compiling again");
                    Ok(None)
                }
            }
        })
        .await
    }

    async fn run(&self, http: HttpVersion, wasm: Bytes) -> Result<Vec<u8>, CompileError> {
        match &self.place {
            CompileIn::Thread => blocking(move || compile(http, &wasm)).await,
            CompileIn::Child { program, arguments } => {
                let mut child = tokio::process::Command::new(program)
                    .args(arguments)
                    .arg(http.as_str())
                    .env_clear()
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn()
                    .map_err(|error| CompileError::Compiler(format!("cannot start it: {error}")))?;
                let mut stdin = child.stdin.take();
                let feed = async {
                    if let Some(mut stdin) = stdin.take() {
                        // A child that stops reading says why on stderr.
                        let _ = stdin.write_all(&wasm).await;
                    }
                };
                let ((), output) = tokio::join!(feed, child.wait_with_output());
                let output = output.map_err(|error| CompileError::Compiler(error.to_string()))?;
                if output.status.success() {
                    return Ok(output.stdout);
                }
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(match output.status.code() {
                    Some(INVALID) => CompileError::Invalid(said),
                    Some(_) | None => CompileError::Compiler(format!("{} {said}", output.status)),
                })
            }
        }
    }

    #[allow(unsafe_code, reason = "the only way to load compiled code; see SAFETY")]
    fn load(&self, engine: &Engine, code: &[u8]) -> Result<Component, CompileError> {
        // SAFETY: `code` is the output of wasmtime's compiler, made by our own compiler process or thread a moment
        // ago, or read from the cache, which returns only what it stored itself and authenticates it (see `cache`).
        let component = unsafe { Component::deserialize(engine, code) };
        let component = component.map_err(|error| CompileError::Compiler(format!("{error:#}")))?;
        component.initialize_copy_on_write_image().map_err(|error| CompileError::Compiler(format!("{error:#}")))?;
        Ok(component)
    }
}

/// Exit code of the compiler process for a component that is not valid.
const INVALID: i32 = 2;

/// The compiler process: wasm from stdin, machine code to stdout. Returns the exit code.
///
/// # Errors
/// When stdin or stdout fail, or the limits cannot be set.
pub fn compile_stdin(http: HttpVersion) -> std::io::Result<i32> {
    let bound = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Data, bound(COMPILE_MEMORY))?;
    setrlimit(Resource::Core, bound(0))?;
    rustix::process::setpriority_process(None, COMPILE_NICENESS)?;
    let mut wasm = Vec::new();
    std::io::stdin().lock().read_to_end(&mut wasm)?;
    match compile(http, &wasm) {
        Ok(code) => {
            std::io::stdout().lock().write_all(&code)?;
            Ok(0)
        }
        Err(error) => {
            let text = match &error {
                CompileError::Invalid(text) => text.clone(),
                CompileError::Timeout(_) | CompileError::Compiler(_) => error.to_string(),
            };
            std::io::stderr().lock().write_all(text.as_bytes())?;
            Ok(if matches!(error, CompileError::Invalid(_)) { INVALID } else { 1 })
        }
    }
}

fn compile(http: HttpVersion, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
    let engine = compiling_engine(http).map_err(|error| CompileError::Compiler(format!("{error:#}")))?;
    engine.precompile_component(wasm).map_err(|error| CompileError::Invalid(format!("{error:#}")))
}

/// What compiled code depends on besides the component.
fn fingerprint(engine: &Engine) -> [u8; 8] {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish().to_le_bytes()
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, CompileError> + Send + 'static,
) -> Result<R, CompileError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(CompileError::Compiler(error.to_string())),
    }
}
