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
    serving(setup(), |_world, _server| {
        case("a_call_is_set_up_by_a_client_of_another_make")
    });
}

#[test]
fn compression_is_offered_in_vain() {
    serving(setup(), |_world, _server| {
        case("compression_is_offered_in_vain")
    });
}

#[test]
fn fragments_are_put_together_and_pings_pass_between_them() {
    serving(setup(), |_world, _server| {
        case("fragments_are_put_together_and_pings_pass_between_them")
    });
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    serving(setup(), |_world, _server| {
        case("text_that_is_not_utf_8_is_refused")
    });
}

#[test]
fn frames_that_the_protocol_forbids_end_the_connection() {
    serving(setup(), |_world, _server| {
        case("frames_that_the_protocol_forbids_end_the_connection")
    });
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_there() {
    serving(setup(), |_world, _server| {
        case("a_message_above_the_limit_is_refused_before_it_is_there")
    });
}

#[test]
fn who_closes_is_answered() {
    serving(setup(), |_world, _server| case("who_closes_is_answered"));
}

#[test]
fn pages_of_other_hosts_are_refused() {
    serving(setup(), |_world, _server| {
        case("pages_of_other_hosts_are_refused")
    });
}

#[test]
fn requests_that_are_no_websocket_are_answered() {
    serving(setup(), |_world, _server| {
        case("requests_that_are_no_websocket_are_answered")
    });
}

#[test]
fn a_member_that_comes_back_misses_nothing() {
    serving(setup(), |_world, _server| {
        case("a_member_that_comes_back_misses_nothing")
    });
}

#[test]
fn a_client_that_falls_silent_is_away_within_ten_seconds() {
    serving(setup(), |_world, _server| {
        case("a_client_that_falls_silent_is_away_within_ten_seconds")
    });
}

#[test]
fn who_sends_too_fast_is_slowed_down_and_loses_nothing() {
    serving(setup(), |_world, _server| {
        case("who_sends_too_fast_is_slowed_down_and_loses_nothing")
    });
}

#[test]
fn who_reads_nothing_delays_nobody() {
    serving(setup(), |_world, _server| {
        case("who_reads_nothing_delays_nobody")
    });
}

/// A server with open rooms, also for the pages of another.
fn setup() -> Setup {
    open(Setup::default()).with("http.origins = ['https://app.example.org']")
}

/// Runs a case against the server of the world.
fn case(name: &str) {
    let mut command = script(here, &python(), "signaling_wire.py");
    command.args([&SIGNAL.ip().to_string(), &SIGNAL.port().to_string(), name]);
    let ended = Program::start(command).wait(2 * PATIENCE);
    assert!(ended.status.success(), "{}", ended.output);
    print!("{}", ended.output);
}
