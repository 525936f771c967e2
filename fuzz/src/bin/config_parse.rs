//! Any text as `gateway.yaml`: it is a configuration or a list of problems, never a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf::fuzzing::config(data));
