//! Any text as `gateway.yaml`: a configuration or a list of problems, never a panic.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf::fuzzing::config(data));

// An ordinary build has nothing to fuzz with; see scripts/fuzz.sh.
#[cfg(not(fuzzing))]
fn main() {}
