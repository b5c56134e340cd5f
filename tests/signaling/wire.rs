//! Python's `websockets`, a client of another make, and frames written byte by byte. The cases are
//! functions of `tests/clients/signaling_wire.py`, of the same names.

use lab::{
    PATIENCE,
    foreign::{python, script},
    program::{Program, here},
    server::serving,
    setup::Setup,
};

use crate::{SIGNAL, open};

#[test]
fn a_call_is_set_up_by_a_client_of_another_make() {
    case("a_call_is_set_up_by_a_client_of_another_make");
}

#[test]
fn compression_is_offered_in_vain() {
    case("compression_is_offered_in_vain");
}

#[test]
fn fragments_are_put_together_and_pings_pass_between_them() {
    case("fragments_are_put_together_and_pings_pass_between_them");
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    case("text_that_is_not_utf_8_is_refused");
}

#[test]
fn frames_that_the_protocol_forbids_end_the_connection() {
    case("frames_that_the_protocol_forbids_end_the_connection");
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_there() {
    case("a_message_above_the_limit_is_refused_before_it_is_there");
}

#[test]
fn who_closes_is_answered() {
    case("who_closes_is_answered");
}

#[test]
fn pages_of_other_hosts_are_refused() {
    case("pages_of_other_hosts_are_refused");
}

#[test]
fn requests_that_are_no_websocket_are_answered() {
    case("requests_that_are_no_websocket_are_answered");
}

#[test]
fn a_member_that_comes_back_misses_nothing() {
    case("a_member_that_comes_back_misses_nothing");
}

#[test]
fn a_client_that_falls_silent_is_away_within_ten_seconds() {
    case("a_client_that_falls_silent_is_away_within_ten_seconds");
}

#[test]
fn who_sends_too_fast_is_slowed_down_and_loses_nothing() {
    case("who_sends_too_fast_is_slowed_down_and_loses_nothing");
}

#[test]
fn who_reads_nothing_delays_nobody() {
    case("who_reads_nothing_delays_nobody");
}

/// Runs a case against a server of its own.
fn case(name: &str) {
    let origins = "http.origins = ['https://app.example.org']";
    serving(open(Setup::default()).with(origins), |_world, _server| {
        let mut command = script(here, &python(), "signaling_wire.py");
        command.args([&SIGNAL.ip().to_string(), &SIGNAL.port().to_string(), name]);
        let ended = Program::start(command).wait(2 * PATIENCE);
        assert!(ended.status.success(), "{}", ended.output);
        print!("{}", ended.output);
    });
}
