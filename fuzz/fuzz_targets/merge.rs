#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| driftless::fuzzing::check_merge(input));
