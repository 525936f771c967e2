//! Any path: refused, or a normal form that stays what it is.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf::fuzzing::path(data));

// An ordinary build has nothing to fuzz with; see scripts/fuzz.sh.
#[cfg(not(fuzzing))]
fn main() {}
