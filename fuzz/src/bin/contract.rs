//! An OpenAPI document and a message: the document keeps its own promises, and every check comes to an end.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| wharf::fuzzing::contract(data));

// An ordinary build has nothing to fuzz with; see scripts/fuzz.sh.
#[cfg(not(fuzzing))]
fn main() {}
