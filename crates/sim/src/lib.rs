//! A virtual world around the relay core, for tests
