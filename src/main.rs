//! Hairpin.
fn main() {}
