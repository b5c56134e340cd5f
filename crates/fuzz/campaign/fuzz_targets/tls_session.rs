#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz::TLS_SESSION.run)(bytes));
