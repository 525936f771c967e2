//! Generated bindings, and nothing else.
wit_bindgen::generate!({
    inline: "
        package wharf:sdk;
        world imports {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:config/store@0.2.0-rc.1;
            import wasi:logging/logging@0.1.0-draft;
        }
    ",
    path: ["../../wit/deps/keyvalue-draft2", "../../wit/deps/config", "../../wit/deps/logging"],
    generate_all,
});

/// Events and queues that a service uses.
pub(super) mod publishing {
    wit_bindgen::generate!({
        inline: "
            package wharf:sdk;
            world publisher {
                import wharf:service/events@0.1.0;
                import wharf:service/queues@0.1.0;
            }
        ",
        path: "../../wit",
        generate_all,
    });
}

/// The handler that a service exports if it says `serve_events!`. Nothing of this is in a component that does not.
pub mod subscribing {
    wit_bindgen::generate!({
        inline: "
            package wharf:sdk;
            world subscriber {
                export wharf:service/event-handler@0.1.0;
            }
        ",
        path: "../../wit",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "wharf_sdk::guest::subscribing",
    });
}

/// Wharf's own. By itself, because its folder has several versions of the packages above, which would change names.
pub(crate) mod own {
    wit_bindgen::generate!({
        inline: "
            package wharf:sdk-own;
            world imports {
                import wharf:service/expiry@0.1.0;
            }
        ",
        path: "../../wit",
        world: "wharf:sdk-own/imports",
        generate_all,
    });
}

/// The service's own database. Its events are those of `publishing`.
pub(super) mod database {
    wit_bindgen::generate!({
        inline: "
            package wharf:sdk;
            world database {
                import wharf:service/sql@0.1.0;
            }
        ",
        path: "../../wit",
        with: { "wharf:service/events@0.1.0": super::publishing::wharf::service::events },
        generate_all,
    });
}
