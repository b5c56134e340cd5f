#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz::CHANNEL_DATA.run)(bytes));
