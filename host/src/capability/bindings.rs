//! Generated bindings of the interfaces in this module, and nothing else.
//!
//! The signatures come from `wit/deps`, the same files that guests are built against. Two drafts of one interface are
//! two packages to the component model, so each has its bindings; they share one implementation and one Rust type for
//! each resource. Functions that may wait are `async`; the others run to their end at once.

/// `wasi:keyvalue@0.2.0-draft`: cursors are numbers, no compare-and-swap.
pub(super) mod keyvalue_draft {
    wasmtime::component::bindgen!({
        path: "../wit/deps/keyvalue-draft",
        world: "wasi:keyvalue/imports",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[drop]bucket": trappable,
            default: async | trappable,
        },
        with: { "wasi:keyvalue/store.bucket": crate::capability::keyvalue::Bucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => crate::capability::keyvalue::Failure },
    });
}

/// `wasi:keyvalue@0.2.0-draft2`: cursors are text, counters are signed, compare-and-swap.
pub(super) mod keyvalue_draft2 {
    wasmtime::component::bindgen!({
        path: "../wit/deps/keyvalue-draft2",
        world: "wasi:keyvalue/imports",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            "wasi:keyvalue/store.[drop]bucket": trappable,
            "wasi:keyvalue/atomics.[drop]cas": trappable,
            default: async | trappable,
        },
        with: {
            "wasi:keyvalue/store.bucket": crate::capability::keyvalue::Bucket,
            "wasi:keyvalue/atomics.cas": crate::capability::keyvalue::Cas,
        },
        trappable_error_type: { "wasi:keyvalue/store.error" => crate::capability::keyvalue::Failure },
    });
}

/// `wharf:service/expiry`.
pub(super) mod expiry {
    wasmtime::component::bindgen!({
        inline: "package wharf:host-expiry; world imports { import wharf:service/expiry@0.1.0; }",
        path: "../wit",
        world: "wharf:host-expiry/imports",
        imports: { default: async },
    });
}

/// `wasi:config@0.2.0-rc.1`.
pub(super) mod config_rc1 {
    wasmtime::component::bindgen!({ path: "../wit/deps/config", world: "wasi:config/imports" });
}

/// `wasi:config@0.2.0-draft-2024-09-27`: the same text under an older name.
pub(super) mod config_draft {
    wasmtime::component::bindgen!({ path: "../wit/deps/config-draft", world: "wasi:config/imports" });
}

/// `wasi:logging@0.1.0-draft`.
pub(super) mod logging {
    wasmtime::component::bindgen!({ path: "../wit/deps/logging", world: "wasi:logging/imports" });
}

/// `wharf:service/events` and `wharf:service/queues`.
pub(super) mod events {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package wharf:host;
            world publisher {
                import wharf:service/events@0.1.0;
                import wharf:service/queues@0.1.0;
            }
        ",
        imports: { default: async },
    });
}

/// `wharf:service/event-handler`, which a component exports.
pub(super) mod event_handler {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package wharf:host;
            world subscriber {
                export wharf:service/event-handler@0.1.0;
            }
        ",
        exports: { default: async },
    });
}

/// `wharf:service/sql`.
pub(super) mod sql {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package wharf:host;
            world database {
                import wharf:service/sql@0.1.0;
            }
        ",
        imports: {
            "wharf:service/sql.[method]rows.columns": trappable,
            "wharf:service/sql.[drop]rows": trappable,
            "wharf:service/sql.[drop]transaction": trappable,
            default: async | trappable,
        },
        with: {
            "wharf:service/events": crate::capability::bindings::events::wharf::service::events,
            "wharf:service/sql.rows": crate::capability::sql::Rows,
            "wharf:service/sql.transaction": crate::capability::sql::Transaction,
        },
        trappable_error_type: { "wharf:service/sql.error" => crate::capability::sql::Failure },
    });
}
