//! `hairpin doctor` against servers that work, servers that do not, and programs that only pretend
//! to be one.

mod bad_datagrams;
mod bad_streams;
mod clean;
mod clocks;
mod coturn;
mod examination;
mod faults;
mod host;
mod script;
