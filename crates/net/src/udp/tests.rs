//! The same leaves whether packets come one by one or in batches: the same bytes, marked and counted alike.
//! The core alone, without any socket, says what is right.

mod hosts;
mod outcome;
mod packet;
mod passing;
mod stream;

use std::cell::RefCell;
use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use relay::Transport::{Tcp, Udp};

use self::hosts::{CLIENTS, Hosts};
use self::packet::Packet;
use super::overflow_since;
use crate::marking::Marking;

/// Packets of one sender, one behind the other.
#[derive(Clone, Debug)]
struct Flow<F> {
    client: usize,
    form: F,
    length: usize,
    /// Whether the last has only half of that.
    is_cut: bool,
    count: usize,
    /// The first packets have the first one, and so on.
    markings: Vec<u8>,
}

/// A packet of a client.
#[derive(Clone, Copy, Debug)]
enum Up {
    /// ChannelData, over UDP with or without padding.
    Channel { is_padded: bool },
    /// A Send indication.
    Indication { dont_fragment: bool },
    /// To the relayed address of another client.
    ToRelay,
    /// On a channel that is not bound.
    Unbound,
    /// To a peer without a permission.
    Unpermitted,
    /// A request, which is answered.
    Binding,
}

/// A datagram of a peer.
#[derive(Clone, Copy, Debug)]
enum Down {
    /// Of the peer on the client's channel.
    Channel,
    /// Of another port of that host.
    Beside,
    /// Of a host without a permission.
    Refused,
}

#[test]
fn what_clients_send_leaves_the_same_alone_one_by_one_and_together() {
    let together = clients_send(Hosts::new(Udp, false), 48);
    assert!(together > 0, "no neighbours left together");
}

#[test]
fn what_clients_send_leaves_the_same_behind_a_nat_that_maps_one_to_one() {
    let together = clients_send(Hosts::new(Udp, true), 24);
    assert!(together > 0, "no neighbours left together");
}

#[test]
fn what_clients_send_leaves_the_same_in_one_segment_of_tcp_and_in_many() {
    clients_send(Hosts::new(Tcp, false), 24);
}

#[test]
fn what_peers_send_leaves_the_same_alone_one_by_one_and_together() {
    let together = peers_send(Hosts::new(Udp, false), 48);
    assert!(together > 0, "no neighbours left together");
}

#[test]
fn what_peers_send_leaves_the_same_behind_a_nat_that_maps_one_to_one() {
    let together = peers_send(Hosts::new(Udp, true), 24);
    assert!(together > 0, "no neighbours left together");
}

#[test]
fn what_peers_send_leaves_the_same_for_clients_over_tcp() {
    peers_send(Hosts::new(Tcp, false), 24);
}

#[test]
fn drops_are_counted_from_the_first_datagram_that_a_task_takes_of_a_socket() {
    let mut seen = None;
    let counts = [None, None, Some(3), Some(3), Some(u32::MAX), Some(1)];
    let dropped = counts.map(|count| overflow_since(&mut seen, count));
    assert_eq!(dropped, [0, 0, 3, 0, u64::from(u32::MAX) - 3, 2]);
    // Another life of the shard goes on with the same socket.
    let mut seen = None;
    let dropped = [Some(7), Some(9)].map(|count| overflow_since(&mut seen, count));
    assert_eq!(dropped, [0, 2]);
}

/// Returns how many left in one call with others.
fn clients_send(mut hosts: Hosts, cases: u32) -> usize {
    let forms = prop_oneof![
        4 => any::<bool>().prop_map(|is_padded| Up::Channel { is_padded }),
        2 => any::<bool>().prop_map(|dont_fragment| Up::Indication { dont_fragment }),
        1 => Just(Up::ToRelay),
        1 => Just(Up::Unbound),
        1 => Just(Up::Unpermitted),
        1 => Just(Up::Binding),
    ];
    check(cases, forms, |flows, burst| {
        let made =
            |flow: &Flow<Up>, payload: &[u8]| hosts.of_client(flow.client, flow.form, payload);
        let packets = in_turn(&flows, burst, made);
        hosts.assert_same(&packets);
    });
    hosts.assert_runs_counted();
    hosts.together
}

/// Returns how many left in one call with others.
fn peers_send(mut hosts: Hosts, cases: u32) -> usize {
    let forms = prop_oneof![
        4 => Just(Down::Channel),
        2 => Just(Down::Beside),
        1 => Just(Down::Refused),
    ];
    check(cases, forms, |flows, burst| {
        let made =
            |flow: &Flow<Down>, payload: &[u8]| hosts.of_peer(flow.client, flow.form, payload);
        let packets = in_turn(&flows, burst, made);
        hosts.assert_same(&packets);
    });
    hosts.assert_runs_counted();
    hosts.together
}

/// Tries so many flows, which take turns after so many packets of each.
fn check<F: Debug>(
    cases: u32,
    forms: impl Strategy<Value = F>,
    mut promise: impl FnMut(Vec<Flow<F>>, usize),
) {
    let flow = (
        (0..CLIENTS, forms, lengths(), any::<bool>()),
        (1_usize..20, vec(markings(), 1..3)),
    );
    let flow = flow.prop_map(|((client, form, length, is_cut), (count, markings))| Flow {
        client,
        form,
        length,
        is_cut,
        count,
        markings,
    });
    let promise = RefCell::new(&mut promise);
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 100,
        ..Config::with_cases(cases)
    };
    let outcome = TestRunner::new(config).run(&(vec(flow, 1..5), 1_usize..9), |(flows, burst)| {
        (promise.borrow_mut())(flows, burst);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// From nothing to the largest datagram, and around what leaves together.
fn lengths() -> impl Strategy<Value = usize> {
    let some = [
        0, 1, 2, 3, 99, 100, 160, 1_199, 1_200, 1_248, 1_252, 1_253, 1_472, 20_001,
    ];
    prop_oneof![
        6 => proptest::sample::select(some.to_vec()),
        2 => 0_usize..1_500,
        1 => proptest::sample::select(vec![65_471, 65_503, 65_507]),
    ]
}

/// Two DSCPs, with and without ECN.
fn markings() -> impl Strategy<Value = u8> {
    proptest::sample::select(vec![0, 0b01, 0xB8, 0xB9, 0xBB])
}

/// The packets of all flows, by turns, as far as they fit the sockets' buffers.
fn in_turn<F>(
    flows: &[Flow<F>],
    burst: usize,
    mut made: impl FnMut(&Flow<F>, &[u8]) -> Option<Packet>,
) -> Vec<Packet> {
    let mut packets: Vec<Packet> = Vec::new();
    let mut bytes = 0;
    let most = flows.iter().map(|flow| flow.count).max().unwrap_or(0);
    for round in 0..most.div_ceil(burst) {
        for flow in flows {
            for at in (round * burst..(round + 1) * burst).take_while(|at| *at < flow.count) {
                let is_last = at + 1 == flow.count;
                let length = flow.length >> u32::from(flow.is_cut && is_last);
                bytes += length;
                if bytes > MOST_BYTES {
                    return packets;
                }
                let payload = payload(packets.len(), length);
                let marking = flow.markings[at * flow.markings.len() / flow.count];
                let packet = made(flow, &payload);
                packets.extend(packet.map(|packet| packet.marked(Marking(marking))));
            }
        }
    }
    packets
}

/// Bytes that no other packet has. No protocol that the server knows begins like this.
fn payload(number: usize, length: usize) -> Vec<u8> {
    let bytes = (0..length).map(|at| (number * 31 + at * 7) as u8);
    bytes.map(|byte| byte | 0x80).collect()
}

/// A socket that nobody reads holds as much, on any machine.
const MOST_BYTES: usize = 150_000;
