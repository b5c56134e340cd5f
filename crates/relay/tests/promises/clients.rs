//! Client rules: which networks are served, and the ban of those that keep failing.

use std::num::NonZeroU32;

use ipnet::IpNet;
use relay::{
    BanRule, ClientTuple, Clients, ConnectionId, DropReason, EndCause, Networks, Report, Rules,
    Transport,
};
use sim::Outcome::Lost;
use sim::{Client, LISTENER, Request, World, minutes, password, seconds};
use wire::Method;

use crate::mobility;

const DENIED: DropReason = DropReason::ClientDenied;
const BANNED: DropReason = DropReason::ClientBanned;

#[test]
fn requests_from_a_denied_network_are_not_answered_and_others_are() {
    let mut world = World::ruled(|rules| rules.clients.deny = networks("203.0.113.0/24"));
    for transport in [Transport::Udp, Transport::Tcp, Transport::Dtls] {
        let denied = at(&mut world, transport, [203, 0, 113, 7]);
        for request in [Request::binding(), Request::allocate().unsigned()] {
            assert_eq!(denied.tell(&mut world, request), Lost(DENIED));
        }
        // It is not even read.
        assert_eq!(denied.packet(&mut world, &[0, 1, 2]), Lost(DENIED));
        at(&mut world, transport, [203, 0, 114, 7]).allocate(&mut world, minutes(10));
    }
    assert_eq!(world.counters().dropped(DENIED), 9);
}

#[test]
fn the_operator_hears_of_one_denied_client_a_second_and_of_no_banned_one() {
    let mut world = World::ruled(|rules| {
        rules.clients = ban(1);
        rules.clients.deny = networks("203.0.113.0/24");
    });
    let crowd = (1..=100).map(|last| [203, 0, 113, last]);
    let crowd: Vec<_> = crowd
        .map(|ip| (at(&mut world, Transport::Udp, ip), ip))
        .collect();
    for _ in 0..3 {
        for (denied, ip) in &crowd {
            assert_eq!(denied.tell(&mut world, Request::binding()), Lost(DENIED));
            let now = world.now().mono;
            assert!(world.server(0).turns_away(now, (*ip).into()));
        }
        assert_eq!(denials(&mut world), ["203.0.113.1"]);
        world.advance(seconds(1));
    }
    // A connection, or a handshake.
    let now = world.now().mono;
    assert!(world.server(0).turns_away(now, [203, 0, 113, 7].into()));
    let guesser = at(&mut world, Transport::Tcp, [203, 0, 114, 7]);
    // The effects of both are performed.
    guesser.tell(&mut world, Request::binding());
    assert_eq!(denials(&mut world), ["203.0.113.7"]);
    guesser.hears_error(&mut world, 401, guess());
    assert_eq!(guesser.tell(&mut world, guess()), Lost(BANNED));
    assert!(denials(&mut world).is_empty());
}

/// The denied clients that the operator has heard of since this was last asked.
fn denials(world: &mut World) -> Vec<String> {
    let reports = world.reports();
    let denied = reports.iter().filter_map(|report| {
        if let Report::Denied { client } = report {
            Some(client.to_string())
        } else {
            None
        }
    });
    denied.collect()
}

#[test]
fn where_networks_are_allowed_all_others_are_denied() {
    let mut world = World::ruled(|rules| {
        rules.clients.allow = networks("203.0.113.0/24");
        rules.clients.deny = networks("203.0.113.128/25");
    });
    let served = at(&mut world, Transport::Udp, [203, 0, 113, 7]);
    served.allocate(&mut world, minutes(10));
    for ip in [[203, 0, 113, 128], [203, 0, 114, 7]] {
        let denied = at(&mut world, Transport::Udp, ip);
        assert_eq!(denied.tell(&mut world, Request::binding()), Lost(DENIED));
    }
}

#[test]
fn an_allocation_ends_with_a_cause_of_its_own_when_new_rules_deny_its_client() {
    let mut world = World::new();
    let denied = at(&mut world, Transport::Udp, [203, 0, 113, 7]);
    let (other, peer) = (world.client("alice"), world.peer());
    for client in [denied, other] {
        client.allocate(&mut world, minutes(10));
        client.bind(&mut world, peer);
    }
    change(&mut world, |rules| {
        rules.clients.deny = networks("203.0.113.0/24")
    });
    assert_eq!(world.end_causes(), [EndCause::ClientDenied]);
    assert_eq!(
        denied.send(&mut world, peer, b"hi"),
        Lost(DropReason::NoChannel)
    );
    assert_eq!(
        denied.tell(&mut world, Request::refresh(minutes(1))),
        Lost(DENIED)
    );
    other.reaches(&mut world, peer, b"hi");
    // And back: the client is served again, and has to allocate.
    change(&mut world, |_| ());
    denied.allocate(&mut world, minutes(10));
}

#[test]
fn a_client_cannot_move_into_a_denied_network_and_stays_where_it_was() {
    let mut world = World::sharded(2, |config| config.rules_mut().mobility = true);
    let home = world.client_on(0, "alice");
    let ticket = mobility::allocate(home, &mut world);
    let peer = world.peer();
    home.bind(&mut world, peer);
    let elsewhere = [0, 1].map(|shard| on(&mut world, shard, Transport::Udp, [203, 0, 113, 7]));
    for away in elsewhere {
        away.nonce(&mut world);
    }
    change(&mut world, |rules| {
        rules.clients.deny = networks("203.0.113.0/24")
    });
    for away in elsewhere {
        assert_eq!(
            away.tell(&mut world, mobility::shown(&ticket)),
            Lost(DENIED)
        );
    }
    home.reaches(&mut world, peer, b"hi");
}

#[test]
fn a_client_on_its_way_to_a_network_that_new_rules_deny_loses_its_allocation() {
    let mut world = World::sharded(2, |config| config.rules_mut().mobility = true);
    for shard in [0, 1] {
        let home = world.client_on(0, "alice");
        let ticket = mobility::allocate(home, &mut world);
        let away = on(&mut world, shard, Transport::Udp, [203, 0, 113, 7]);
        assert!(away.ask(&mut world, mobility::shown(&ticket)).is_success());
        change(&mut world, |rules| {
            rules.clients.deny = networks("203.0.113.0/24")
        });
        assert_eq!(world.end_causes(), [EndCause::ClientDenied]);
        change(&mut world, |_| ());
    }
}

#[test]
fn a_network_that_keeps_failing_is_banned_for_a_time_on_every_shard() {
    let mut world = World::sharded(2, |config| config.rules_mut().clients = ban(5));
    let guesser = on(&mut world, 0, Transport::Udp, [203, 0, 113, 7]);
    let neighbours = [0, 1].map(|shard| on(&mut world, shard, Transport::Tcp, [203, 0, 113, 8]));
    for client in [guesser].into_iter().chain(neighbours) {
        client.nonce(&mut world);
    }
    for _ in 0..5 {
        guesser.hears_error(&mut world, 401, guess());
    }
    let reports = world.reports();
    let told = reports.iter().find_map(|report| {
        let Report::Banned(ban) = report else {
            return None;
        };
        Some((ban.prefix.to_string(), ban.failures))
    });
    assert_eq!(told, Some(("203.0.113.0/24".to_owned(), 5)));
    for client in [guesser].into_iter().chain(neighbours) {
        assert_eq!(client.tell(&mut world, Request::binding()), Lost(BANNED));
        // The right password does not help either.
        assert_eq!(client.tell(&mut world, Request::allocate()), Lost(BANNED));
    }
    let now = world.now().mono;
    assert!(world.server(1).turns_away(now, [203, 0, 113, 9].into()));
    at(&mut world, Transport::Udp, [203, 0, 114, 7]).allocate(&mut world, minutes(10));
    world.advance(minutes(60));
    neighbours[0].allocate(&mut world, minutes(10));
}

#[test]
fn a_running_allocation_of_a_banned_network_goes_on_and_can_be_refreshed() {
    let mut world = World::ruled(|rules| rules.clients = ban(5));
    let (early, peer) = (
        at(&mut world, Transport::Udp, [203, 0, 113, 8]),
        world.peer(),
    );
    early.allocate(&mut world, minutes(10));
    early.bind(&mut world, peer);
    let guesser = at(&mut world, Transport::Tcp, [203, 0, 113, 7]);
    (0..5).for_each(|_| guesser.hears_error(&mut world, 401, guess()));
    assert_eq!(guesser.tell(&mut world, guess()), Lost(BANNED));
    for _ in 0..10 {
        world.advance(minutes(4));
        early.refresh(&mut world, minutes(10));
        early.bind(&mut world, peer);
        early.reaches(&mut world, peer, b"hi");
    }
    early.delete(&mut world);
    assert_eq!(early.tell(&mut world, Request::allocate()), Lost(BANNED));
}

#[test]
fn a_client_of_a_banned_network_binds_the_connections_of_its_call_and_moves() {
    for shards in [1, 2] {
        let mut world = World::sharded(shards, |config| {
            let rules = config.rules_mut();
            (rules.tcp, rules.mobility, rules.clients) = (true, true, ban(5));
        });
        let caller = on(&mut world, 0, Transport::Tcp, [203, 0, 113, 8]);
        caller.allocate_tcp(&mut world, minutes(10));
        let mobile = on(&mut world, 0, Transport::Udp, [203, 0, 113, 9]);
        let ticket = mobility::allocate(mobile, &mut world);
        let peer = world.peer();
        mobile.bind(&mut world, peer);
        let last = usize::from(shards - 1);
        let data = on(&mut world, last, Transport::Tcp, [203, 0, 113, 8]);
        data.nonce(&mut world);
        let away = on(&mut world, last, Transport::Udp, [203, 0, 113, 10]);
        away.nonce(&mut world);
        let guesser = at(&mut world, Transport::Tcp, [203, 0, 113, 7]);
        (0..5).for_each(|_| guesser.hears_error(&mut world, 401, guess()));

        let now = world.now().mono;
        assert!(!world.server(last).turns_away(now, [203, 0, 113, 8].into()));
        let connection = caller.connect(&mut world, peer);
        assert_eq!(data.tell(&mut world, Request::allocate_tcp()), Lost(BANNED));
        data.succeeds(&mut world, Request::connection_bind(connection));
        assert_eq!(world.carried_by(data), Some(connection));
        away.succeeds(&mut world, mobility::shown(&ticket));
    }
}

#[test]
fn a_banned_client_does_not_pass_by_a_guessed_ticket_or_connection() {
    let mut world = World::ruled(|rules| {
        (rules.tcp, rules.mobility, rules.clients) = (true, true, ban(5));
    });
    let mobile = at(&mut world, Transport::Udp, [203, 0, 114, 9]);
    let ticket = mobility::allocate(mobile, &mut world);
    let guesser = at(&mut world, Transport::Tcp, [203, 0, 113, 7]);
    (0..5).for_each(|_| guesser.hears_error(&mut world, 401, guess()));
    let guesses = |ticket: &[u8]| {
        let bind = Request::new(Method::ConnectionBind).put(ConnectionId(7));
        [
            bind,
            mobility::shown(ticket),
            Request::binding().ticket(ticket),
        ]
    };
    for request in guesses(&[b'A'; 32]) {
        assert_eq!(guesser.tell(&mut world, request), Lost(BANNED));
    }
    mobile.delete(&mut world);
    // Nobody can come back by now: connections are closed at once again.
    for request in guesses(&ticket) {
        assert_eq!(guesser.tell(&mut world, request), Lost(BANNED));
    }
    let now = world.now().mono;
    assert!(world.server(0).turns_away(now, [203, 0, 113, 9].into()));
}

#[test]
fn what_is_forged_bans_nobody() {
    let mut world = World::ruled(|rules| rules.clients = ban(5));
    let victim = at(&mut world, Transport::Udp, [203, 0, 113, 7]);
    let elsewhere = at(&mut world, Transport::Udp, [198, 51, 100, 7]);
    let foreign = elsewhere.nonce(&mut world);
    for _ in 0..50 {
        for nonce in ["forged", &foreign] {
            victim.tell(&mut world, guess().nonce(nonce));
        }
    }
    victim.allocate(&mut world, minutes(10));
}

#[test]
fn failures_that_are_far_apart_ban_nobody_and_none_do_unless_the_operator_says_so() {
    let mut world = World::ruled(|rules| rules.clients = ban(5));
    let clumsy = at(&mut world, Transport::Tcp, [203, 0, 113, 7]);
    for _ in 0..10 {
        (0..4).for_each(|_| clumsy.hears_error(&mut world, 401, guess()));
        world.advance(minutes(10));
    }
    let mut world = World::new();
    let guesser = at(&mut world, Transport::Tcp, [203, 0, 113, 7]);
    (0..60).for_each(|_| guesser.hears_error(&mut world, 401, guess()));
    guesser.allocate(&mut world, minutes(10));
}

#[test]
fn bans_end_when_the_rule_is_taken_away() {
    let mut world = World::ruled(|rules| rules.clients = ban(5));
    let guesser = at(&mut world, Transport::Tcp, [203, 0, 113, 7]);
    (0..5).for_each(|_| guesser.hears_error(&mut world, 401, guess()));
    // Other rules leave them.
    change(&mut world, |rules| rules.clients = ban(7));
    assert_eq!(guesser.tell(&mut world, guess()), Lost(BANNED));
    change(&mut world, |_| ());
    guesser.allocate(&mut world, minutes(10));
}

fn networks(all: &str) -> Networks {
    all.split(' ')
        .map(|it| it.parse::<IpNet>().unwrap())
        .collect()
}

/// So many failures within ten minutes, for an hour.
fn ban(after: u32) -> Clients {
    Clients {
        ban: Some(BanRule {
            after: NonZeroU32::new(after).unwrap(),
            within: minutes(10),
            lasts: minutes(60),
        }),
        ..Clients::default()
    }
}

/// From now on the rules that every world begins with hold, changed so.
fn change(world: &mut World, change: impl FnOnce(&mut Rules)) {
    let mut rules = crate::rules::rules(&["alice"]);
    rules.mobility = true;
    change(&mut rules);
    world.change_rules(rules);
    world.advance(seconds(1));
}

fn guess() -> Request {
    Request::allocate().as_user("alice", "guessed")
}

/// Alice, at another port each time.
fn at(world: &mut World, transport: Transport, ip: [u8; 4]) -> Client {
    on(world, 0, transport, ip)
}

fn on(world: &mut World, shard: usize, transport: Transport, ip: [u8; 4]) -> Client {
    let port = 4000 + world.counters().challenges() as u16 + shard as u16 + 100 * u16::from(ip[3]);
    let tuple = ClientTuple {
        transport,
        client: (ip, port).into(),
        server: LISTENER,
    };
    world.client_at(shard, tuple, "alice", &password("alice"))
}
