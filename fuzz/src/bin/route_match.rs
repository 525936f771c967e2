//! Any routes and any request: a rule or none, and `explain` says the same as serving.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf::fuzzing::route(data));

// An ordinary build has nothing to fuzz with; see scripts/fuzz.sh.
#[cfg(not(fuzzing))]
fn main() {}
