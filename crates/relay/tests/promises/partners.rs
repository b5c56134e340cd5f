//! Partners: two hosts with one address each, which offer NAT discovery together. RFC 5780 §6.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use relay::{
    Allowance, ClientTuple, Config, DropReason, HostAddress, NatDiscovery, Partner, PartnerNews,
    PartnerSecret, Report, SecondAddress, Transport,
};
use sim::Outcome::{AnsweredAs, Lost, Silent};
use sim::{Answer, Client, Request, World, minutes, password, seconds};
use wire::TransactionId;
use wire::attributes::{
    ChangeRequest, ChangedAddress, MappedAddress, OtherAddress, Padding, ResponseOrigin,
    ResponsePort, SourceAddress, XorMappedAddress,
};

/// The servers: the address that each is bound to, and the one that the world knows it by.
const A: [&str; 2] = ["198.41.0.5", "193.0.14.7"];
const B: [&str; 2] = ["199.7.83.42", "199.7.83.42"];
const CLIENT: &str = "203.0.113.7:4000";
/// A transaction id of RFC 3489: sixteen bytes, no magic cookie.
const OLD: TransactionId = TransactionId::from_header(*b"sixteen old ones");
const SECRET: &[u8] = b"what only the two of them know";

/// Both hosts, and the wire between them.
struct Pair {
    a: World,
    b: World,
}

impl Pair {
    /// Two servers that have just begun and know nothing of each other.
    fn new() -> Self {
        Self {
            a: world(A, B, SECRET, [3478, 3479], 1),
            b: world(B, A, SECRET, [3478, 3479], 2),
        }
    }

    /// Two servers that have met.
    fn met() -> Self {
        let mut pair = Self::new();
        pair.a.keep_partners(11);
        pair.b.keep_partners(21);
        pair.carry();
        assert!(pair.offers_a() && pair.offers_b());
        pair
    }

    /// Brings every note to its reader, until no more are written.
    fn carry(&mut self) {
        for _ in 0..10 {
            let (to_b, to_a) = (self.a.notes(), self.b.notes());
            if to_a.is_empty() && to_b.is_empty() {
                return;
            }
            for note in to_b {
                self.b.partner_writes(channel(A), &note);
            }
            for note in to_a {
                self.a.partner_writes(channel(B), &note);
            }
        }
        panic!("they write to each other without end");
    }

    /// Time passes on both hosts, and notes arrive within the second.
    fn advance(&mut self, seconds_passed: u64) {
        for _ in 0..seconds_passed {
            self.a.advance(seconds(1));
            self.b.advance(seconds(1));
            self.carry();
        }
    }

    fn offers_a(&mut self) -> bool {
        offers(&mut self.a, A)
    }

    fn offers_b(&mut self) -> bool {
        offers(&mut self.b, B)
    }

    /// Asks the first host; returns the answer of the second.
    #[track_caller]
    fn ask(&mut self, port: u16, request: Request) -> (ClientTuple, Answer) {
        let note = self.ask_for_note(port, request);
        let outcome = self.b.partner_writes(channel(A), &note);
        let AnsweredAs(via, answer) = outcome else {
            panic!("{outcome:?}");
        };
        (via, answer)
    }

    /// Asks the first host, which writes to the second.
    #[track_caller]
    fn ask_for_note(&mut self, port: u16, request: Request) -> Vec<u8> {
        let client = client(&mut self.a, A, CLIENT, port);
        assert_eq!(client.tell(&mut self.a, request), Silent);
        let mut notes = self.a.notes();
        assert_eq!(notes.len(), 1);
        notes.remove(0)
    }
}

fn world(own: [&str; 2], other: [&str; 2], secret: &[u8], ports: [u16; 2], shards: u8) -> World {
    with(own, other, secret, ports, shards, |_| {})
}

fn with(
    own: [&str; 2],
    other: [&str; 2],
    secret: &[u8],
    ports: [u16; 2],
    shards: u8,
    change: impl FnOnce(&mut Config),
) -> World {
    let [local, external] = own.map(|ip| ip.parse().unwrap());
    World::sharded(shards, |config| {
        change(config);
        config.nat_discovery = vec![NatDiscovery {
            primary: HostAddress { local, external },
            alternate: SecondAddress::Partner(Partner {
                address: other[1].parse().unwrap(),
                port: 3480,
                secret: PartnerSecret::new(secret),
            }),
            ports,
            tcp: false,
            tls: false,
        }];
    })
}

/// The address that a host's notes come from, as the other one sees it.
fn channel([_, external]: [&str; 2]) -> SocketAddr {
    SocketAddr::new(external.parse().unwrap(), 3480)
}

fn client(world: &mut World, [local, _]: [&str; 2], from: &str, port: u16) -> Client {
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: from.parse().unwrap(),
        server: SocketAddr::new(local.parse().unwrap(), port),
    };
    let known = world.client_of(tuple);
    known.unwrap_or_else(|| world.client_at(0, tuple, "alice", &password("alice")))
}

fn change(ip: bool, port: bool) -> Request {
    Request::binding().put(ChangeRequest { ip, port })
}

/// Whether a host tells clients of a second address and takes CHANGE-REQUEST.
#[track_caller]
fn offers(world: &mut World, own: [&str; 2]) -> bool {
    let client = client(world, own, "203.0.112.1:4000", 3478);
    let offers = client
        .ask(world, Request::binding())
        .get::<OtherAddress>()
        .is_some();
    let outcome = client.tell(world, change(false, true));
    assert_eq!(matches!(outcome, AnsweredAs(..)), offers, "both or neither");
    if !offers {
        assert_eq!(outcome.answer().code(), Some(420));
    }
    offers
}

fn reported(world: &mut World) -> Vec<String> {
    let reports = world.reports();
    let told = reports.into_iter().filter_map(|report| match report {
        Report::Partner { partner, news } => Some(match news {
            PartnerNews::Met => format!("met {partner}"),
            PartnerNews::Lost => format!("lost {partner}"),
            PartnerNews::Ignored(flaw) => format!("{flaw:?}"),
        }),
        Report::Opened { .. }
        | Report::Ended { .. }
        | Report::Moved { .. }
        | Report::Refused { .. }
        | Report::Banned(_)
        | Report::Denied { .. } => None,
    });
    told.collect()
}

#[test]
fn partners_that_see_each_other_offer_what_both_have() {
    let mut pair = Pair::new();
    assert!(!pair.offers_a() && !pair.offers_b());
    pair.a.keep_partners(11);
    pair.carry();
    assert!(!pair.offers_a(), "nobody is there yet");
    pair.advance(3);
    pair.b.keep_partners(21);
    pair.advance(2);
    assert!(pair.offers_a() && pair.offers_b());
    assert_eq!(reported(&mut pair.a), ["met 199.7.83.42:3480"]);
    assert_eq!(reported(&mut pair.b), ["met 193.0.14.7:3480"]);
    // They go on doing so.
    pair.advance(3600);
    assert!(pair.offers_a() && pair.offers_b());
    assert_eq!(reported(&mut pair.a), [""; 0]);
}

#[test]
fn every_change_comes_from_where_it_should() {
    let mut pair = Pair::met();
    for (port, other_port) in [(3478, 3479), (3479, 3478)] {
        let at = |ip: &str, port: u16| SocketAddr::new(ip.parse().unwrap(), port);
        // A host answers by itself where it can.
        let asked = client(&mut pair.a, A, CLIENT, port);
        let own = asked.tell(&mut pair.a, change(false, true));
        let AnsweredAs(via, answer) = own else {
            panic!("{own:?}");
        };
        assert_eq!(via.server, at(A[0], other_port));
        assert_eq!(answer.get(), Some(ResponseOrigin(at(A[1], other_port))));
        assert_eq!(answer.get(), Some(OtherAddress(at(B[1], other_port))));
        // Its partner answers where it cannot.
        for (change_port, from) in [(false, port), (true, other_port)] {
            let (via, answer) = pair.ask(port, change(true, change_port));
            assert_eq!(via.server, at(B[0], from));
            assert_eq!(via.client, CLIENT.parse().unwrap());
            assert!(answer.is_success());
            assert_eq!(answer.get(), Some(ResponseOrigin(at(B[1], from))));
            assert_eq!(answer.get(), Some(OtherAddress(at(B[1], other_port))));
            assert_eq!(answer.get(), Some(XorMappedAddress(via.client)));
            assert_eq!(answer.get(), Some(MappedAddress(via.client)));
        }
    }
}

#[test]
fn a_partner_answers_under_the_transaction_of_the_request() {
    let mut pair = Pair::met();
    let id = TransactionId::new(*b"twelve bytes");
    let (_, answer) = pair.ask(3478, change(true, true).in_transaction(id).fingerprint());
    assert_eq!(answer.message().transaction(), id);
    assert!(answer.message().has_fingerprint());
    let (_, answer) = pair.ask(3478, change(true, true).in_transaction(OLD));
    assert_eq!(answer.message().transaction(), OLD);
    assert!(answer.get::<ChangedAddress>().is_some() && answer.get::<SourceAddress>().is_some());
    assert_eq!(answer.get::<XorMappedAddress>(), None);
}

#[test]
fn a_partner_answers_to_the_port_and_with_the_padding_that_were_asked_for() {
    let mut pair = Pair::met();
    let (via, answer) = pair.ask(3478, change(true, false).put(ResponsePort(5000)));
    assert_eq!(via.client, "203.0.113.7:5000".parse().unwrap());
    assert_eq!(
        answer.get(),
        Some(XorMappedAddress(CLIENT.parse().unwrap()))
    );
    for (asked, heard) in [(600, 600), (9000, 1500)] {
        let padded = change(true, true).put_raw(0x0026, &vec![7; asked]);
        let (_, answer) = pair.ask(3478, padded);
        assert_eq!(answer.get::<Padding<'_>>().unwrap().0, vec![0; heard]);
    }
}

#[test]
fn any_shard_has_errands_for_the_partner() {
    let mut pair = Pair::met();
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: "203.0.111.9:4000".parse().unwrap(),
        server: SocketAddr::new(B[0].parse().unwrap(), 3478),
    };
    let client = pair.b.client_at(1, tuple, "alice", &password("alice"));
    assert_eq!(client.tell(&mut pair.b, change(true, true)), Silent);
    let notes = pair.b.notes();
    let outcome = pair.a.partner_writes(channel(B), &notes[0]);
    let AnsweredAs(via, _) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(via.server, "198.41.0.5:3479".parse().unwrap());
}

#[test]
fn a_partner_that_falls_silent_is_lost_after_15_seconds_and_met_again() {
    let mut pair = Pair::met();
    // A keepalive comes in the sixth second.
    pair.advance(6);
    reported(&mut pair.a);
    // The other host is gone: notes to it are lost.
    pair.a.advance(Duration::from_millis(14_999));
    assert!(pair.offers_a());
    pair.a.advance(Duration::from_millis(1));
    assert!(!pair.offers_a());
    assert_eq!(reported(&mut pair.a), ["lost 199.7.83.42:3480"]);
    // It asks every second from now on, and reports the loss only once.
    pair.a.notes();
    pair.a.advance(minutes(1));
    assert_eq!(pair.a.notes().len(), 60);
    pair.b.advance(minutes(1) + seconds(15));
    pair.b.notes();
    pair.advance(2);
    assert!(pair.offers_a() && pair.offers_b());
    assert_eq!(reported(&mut pair.a), ["met 199.7.83.42:3480"]);
}

#[test]
fn a_partner_that_hears_nothing_is_not_met() {
    let mut pair = Pair::new();
    pair.a.keep_partners(11);
    pair.b.keep_partners(21);
    for _ in 0..60 {
        pair.a.advance(seconds(1));
        pair.b.advance(seconds(1));
        // Notes in one direction are lost.
        pair.a.notes();
        for note in pair.b.notes() {
            pair.a.partner_writes(channel(B), &note);
        }
    }
    assert!(!pair.offers_a() && !pair.offers_b());
}

#[test]
fn a_partner_that_begins_anew_is_served_at_once() {
    let mut pair = Pair::met();
    pair.advance(7);
    pair.b.keep_partners(22);
    pair.carry();
    assert!(pair.offers_a() && pair.offers_b());
    let (via, _) = pair.ask(3478, change(true, true));
    assert_eq!(via.server, "199.7.83.42:3479".parse().unwrap());
}

#[test]
fn a_note_is_obeyed_once() {
    let mut pair = Pair::met();
    let stale = Lost(DropReason::StaleNote);
    let note = pair.ask_for_note(3478, change(true, true));
    assert!(matches!(
        pair.b.partner_writes(channel(A), &note),
        AnsweredAs(..)
    ));
    for _ in 0..3 {
        assert_eq!(pair.b.partner_writes(channel(A), &note), stale);
    }
    // The partner is not met again by that.
    pair.a.advance(seconds(5));
    let keepalives = pair.a.notes();
    for note in &keepalives {
        pair.b.partner_writes(channel(A), note);
    }
    pair.b.advance(seconds(20));
    for note in &keepalives {
        assert_eq!(pair.b.partner_writes(channel(A), note), stale);
    }
    assert!(!pair.offers_b());
}

#[test]
fn a_note_to_another_life_of_the_server_is_not_obeyed() {
    let mut pair = Pair::met();
    let note = pair.ask_for_note(3478, change(true, true));
    pair.b.keep_partners(22);
    let outcome = pair.b.partner_writes(channel(A), &note);
    assert_eq!(outcome, Lost(DropReason::StaleNote));
}

#[test]
fn a_note_that_comes_half_a_minute_late_is_not_obeyed() {
    let mut pair = Pair::met();
    let in_time = pair.ask_for_note(3478, change(true, true));
    let late = pair.ask_for_note(3478, change(true, true));
    pair.b.advance(seconds(29));
    assert!(matches!(
        pair.b.partner_writes(channel(A), &in_time),
        AnsweredAs(..)
    ));
    pair.b.advance(seconds(2));
    let outcome = pair.b.partner_writes(channel(A), &late);
    assert_eq!(outcome, Lost(DropReason::StaleNote));
    let told = reported(&mut pair.b);
    assert!(told.iter().any(|it| it.starts_with("Clock")), "{told:?}");
}

#[test]
fn a_hosts_own_note_sent_back_to_it_is_not_obeyed() {
    let mut pair = Pair::met();
    pair.a.advance(seconds(5));
    for note in pair.a.notes() {
        let outcome = pair.a.partner_writes(channel(B), &note);
        assert_eq!(outcome, Lost(DropReason::StaleNote));
    }
    let errand = pair.ask_for_note(3478, change(true, true));
    let outcome = pair.a.partner_writes(channel(B), &errand);
    assert_eq!(outcome, Lost(DropReason::StaleNote));
}

#[test]
fn who_has_another_secret_or_address_is_not_obeyed() {
    let mut pair = Pair::met();
    let note = pair.ask_for_note(3478, change(true, true));
    for from in ["193.0.14.7:3481", "193.0.14.8:3480", "[2620:fe::5]:3480"] {
        let outcome = pair.b.partner_writes(from.parse().unwrap(), &note);
        assert_eq!(outcome, Lost(DropReason::NoPartner), "{from}");
    }
    let mut stranger = world(A, B, b"what anybody may know", [3478, 3479], 1);
    stranger.keep_partners(30);
    let mut told = 0;
    for _ in 0..200 {
        stranger.advance(seconds(1));
        pair.b.advance(seconds(1));
        for note in stranger.notes() {
            let outcome = pair.b.partner_writes(channel(A), &note);
            assert_eq!(outcome, Lost(DropReason::BadNote));
        }
        let reports = reported(&mut pair.b);
        told += reports.iter().filter(|it| **it == "Secret").count();
    }
    // Anyone can write in the partner's name, so such lines in the log are limited.
    assert_eq!(told, 4);
}

#[test]
fn partners_that_disagree_on_ports_or_addresses_do_not_meet() {
    for (own, ports) in [
        (B, [3478, 3481]),
        (B, [3488, 3479]),
        (["199.7.83.42", "199.7.83.43"], [3478, 3479]),
    ] {
        let mut pair = Pair::new();
        pair.b = world(own, A, SECRET, ports, 1);
        pair.a.keep_partners(11);
        pair.b.keep_partners(21);
        pair.advance(5);
        assert!(!pair.offers_a());
        assert_eq!(reported(&mut pair.a), ["Setting"]);
    }
}

#[test]
fn both_partners_charge_who_hears_the_answer() {
    let mut pair = Pair::met();
    let (mut heard, mut refused_here) = (0, 0);
    for _ in 0..3000 {
        let client = client(&mut pair.a, A, CLIENT, 3478);
        let outcome = client.tell(&mut pair.a, change(true, true));
        if outcome != Silent {
            assert_eq!(outcome, Lost(DropReason::OverBudget));
            refused_here += 1;
        }
        for note in pair.a.notes() {
            if let AnsweredAs(_, answer) = pair.b.partner_writes(channel(A), &note) {
                heard += answer.as_bytes().len() - 28;
            }
        }
    }
    assert!(refused_here > 2000, "{refused_here}");
    // A note is longer than the answer, so that the partner is not flooded either.
    assert!(heard < 2 * 16_384 * 40 / 76 + 100, "{heard}");
    // The second budget holds where the first does not: here the partner's has no limit.
    let mut pair = Pair::met();
    pair.a = with(A, B, SECRET, [3478, 3479], 1, |config| {
        config.rules_mut().unauthenticated = Allowance {
            per_prefix: None,
            total: None,
        };
    });
    pair.a.advance(seconds(1));
    pair.b.advance(seconds(1));
    pair.a.keep_partners(11);
    pair.carry();
    let mut heard = 0;
    for _ in 0..3000 {
        let client = client(&mut pair.a, A, CLIENT, 3478);
        assert_eq!(client.tell(&mut pair.a, change(true, true)), Silent);
        for note in pair.a.notes() {
            if let AnsweredAs(_, answer) = pair.b.partner_writes(channel(A), &note) {
                heard += answer.as_bytes().len() - 28;
            }
        }
    }
    assert!((16_384..2 * 16_384 + 100).contains(&heard), "{heard}");
}

proptest! {
    #[test]
    fn no_bytes_of_a_stranger_do_anything(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0..104_usize,
        at in 0..104_usize,
        bit in 0..8_u8,
    ) {
        let mut pair = Pair::met();
        let bad = Lost(DropReason::BadNote);
        prop_assert_eq!(&pair.b.partner_writes(channel(A), &bytes), &bad);
        let mut note = pair.ask_for_note(3478, change(true, true));
        prop_assert_eq!(&pair.b.partner_writes(channel(A), &note[..cut]), &bad);
        note[at] ^= 1 << bit;
        prop_assert_eq!(&pair.b.partner_writes(channel(A), &note), &bad);
        note[at] ^= 1 << bit;
        let obeyed = matches!(pair.b.partner_writes(channel(A), &note), AnsweredAs(..));
        prop_assert!(obeyed);
    }
}
