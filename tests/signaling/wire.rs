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

macro_rules! cases {
    ($($name:ident)+) => {$(
        #[test]
        fn $name() {
            serving(open(Setup::default()).with("signal.origins = ['https://app.example.org']"), |_world, _server| {
                let mut command = script(here, &python(), "signaling_wire.py");
                command.args([&SIGNAL.ip().to_string(), &SIGNAL.port().to_string(), stringify!($name)]);
                let ended = Program::start(command).wait(2 * PATIENCE);
                assert!(ended.status.success(), "{}", ended.output);
                print!("{}", ended.output);
            });
        }
    )+};
}

cases! {
    a_call_is_set_up_by_a_client_of_another_make
    compression_is_offered_in_vain
    fragments_are_put_together_and_pings_pass_between_them
    text_that_is_not_utf_8_is_refused
    frames_that_the_protocol_forbids_end_the_connection
    a_message_above_the_limit_is_refused_before_it_is_there
    who_closes_is_answered
    pages_of_other_hosts_are_refused
    requests_that_are_no_websocket_are_answered
    a_member_that_comes_back_misses_nothing
    a_client_that_falls_silent_is_away_within_ten_seconds
    who_sends_too_fast_is_slowed_down_and_loses_nothing
    who_reads_nothing_delays_nobody
}
