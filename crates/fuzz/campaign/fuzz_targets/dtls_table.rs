#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz::DTLS_TABLE.run)(bytes));
