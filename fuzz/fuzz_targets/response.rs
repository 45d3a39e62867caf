#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| duocall_fuzz::response::check(data));
