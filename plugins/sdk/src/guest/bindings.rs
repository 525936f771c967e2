//! Generated bindings, and nothing else.
wit_bindgen::generate!({
    inline: "
        package wharf:sdk;
        world imports {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:config/store@0.2.0-rc.1;
            import wasi:logging/logging@0.1.0-draft;
            import wharf:service/expiry@0.1.0;
        }
    ",
    path: "../../wit",
    generate_all,
});
