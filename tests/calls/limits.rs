//! Limits: an allocation that may have one permission and one channel. The other end's relayed
//! address gets them; requests of the client for more are refused, and that does not end its call.
//! Not with pion, which does not keep the order of candidates: it may ask for another address
//! first.

use std::{net::Ipv4Addr, time::Duration};

use lab::{
    internet::{Internet, on_the_internet},
    sdp::with_candidate_last,
    servers::hairpin,
};

use crate::{
    call::Call,
    stack::{
        End,
        Stack::{Aiortc, Libnice, NodeDatachannel, Werift},
    },
};

#[test]
fn refusals_at_the_limits_do_not_end_a_call_of_aiortc() {
    on_the_internet(|internet| a_call_goes_on(internet, Aiortc.over_udp(), CHANNELS));
}

#[test]
fn refusals_at_the_limits_do_not_end_a_call_of_libnice() {
    on_the_internet(|internet| a_call_goes_on(internet, Libnice.over_udp(), PERMISSIONS));
}

#[test]
fn refusals_at_the_limits_do_not_end_a_call_of_node_datachannel() {
    on_the_internet(|internet| a_call_goes_on(internet, NodeDatachannel.over_udp(), PERMISSIONS));
}

#[test]
fn refusals_at_the_limits_do_not_end_a_call_of_werift() {
    on_the_internet(|internet| a_call_goes_on(internet, Werift.over_tcp(), PERMISSIONS));
}

/// The callee has been refused for `cause` before the caller is given its answer. Once a check has
/// succeeded, some stacks try no further candidates; no check succeeds before the caller has it.
fn a_call_goes_on(internet: &Internet, end: End, cause: &str) {
    let server = hairpin(&[1], "[allocation]\npermissions = 1\nchannels = 1\n");
    let mut call = Call::connect_told(internet, [end; 2], |description| {
        if description["type"] == "answer" {
            server.wait_for_line(&[&format!(r#" code=403 cause="{cause}" "#)]);
        }
        (3..6).fold(description, |description, last| {
            with_candidate_last(description, Ipv4Addr::new(203, 0, 113, last))
        })
    });
    call.goes_on_for(Duration::from_secs(3));
}

const PERMISSIONS: &str = "too-many-permissions";
/// The cause for a stack that asks for channels alone.
const CHANNELS: &str = "too-many-channels";
