//! Any bytes as a token: never believed, never a panic.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf::fuzzing::jwt(data));

// An ordinary build has nothing to fuzz with; see scripts/fuzz.sh.
#[cfg(not(fuzzing))]
fn main() {}
