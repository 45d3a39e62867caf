#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| duocall_fuzz::link::check(data));
