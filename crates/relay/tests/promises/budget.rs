//! The bytes that strangers are sent beyond those that they send. RFC 8489 §16.1.2.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use relay::{Allowance, ClientTuple, DropReason, Transport, Verdict};
use sim::Outcome::{Answered, Lost};
use sim::{Client, LISTENER, Request, World, minutes, password, seconds};
use wire::attributes::Software;
use wire::{Attribute, Method};

/// The default for one prefix in a second.
const PER_PREFIX: usize = 16 * 1024;
/// The default for all of them.
const TOTAL: usize = 256 * 1024;
/// How often a stranger must ask until chance leaves it nothing.
const ENOUGH: usize = 5000;
const OVER: DropReason = DropReason::OverBudget;

#[test]
fn a_prefix_hears_its_allowance_at_once_and_again_when_a_second_has_passed() {
    let mut world = World::new();
    let victim = at(&mut world, "203.0.113.7:4000");
    for _ in 0..PER_PREFIX / excess_of_challenge() {
        assert_eq!(victim.ask(&mut world, challenge()).code(), Some(401));
    }
    assert_all_of(PER_PREFIX + flood(&mut world, victim), PER_PREFIX);
    world.advance(Duration::from_millis(250));
    let heard = flood(&mut world, victim);
    assert!((PER_PREFIX / 4).abs_diff(heard) < 200, "{heard}");
    // Idle time saves nothing up.
    world.advance(seconds(60));
    assert_all_of(flood(&mut world, victim), PER_PREFIX);
    // An answer that is not sent counts as a drop and as nothing else.
    let (challenges, dropped) = (
        world.counters().challenges(),
        world.counters().dropped(OVER),
    );
    let certain = PER_PREFIX / excess_of_challenge();
    assert_eq!(challenges + dropped, (certain + 3 * ENOUGH) as u64);
}

#[test]
fn a_flood_from_one_prefix_does_not_silence_another() {
    let mut world = World::new();
    for (flooder, neighbour, stranger) in [
        ("203.0.113.7:4000", "203.0.113.200:4000", "203.0.112.7:4000"),
        (
            "[2001:db8:1::7]:4000",
            "[2001:db8:1:9::7]:4000",
            "[2001:db8:2::7]:4000",
        ),
    ] {
        let [flooder, neighbour, stranger] =
            [flooder, neighbour, stranger].map(|client| at(&mut world, client));
        flood(&mut world, flooder);
        assert_eq!(neighbour.tell(&mut world, Request::binding()), Lost(OVER));
        assert!(stranger.ask(&mut world, Request::binding()).is_success());
        assert_eq!(stranger.ask(&mut world, challenge()).code(), Some(401));
    }
}

#[test]
fn all_prefixes_together_have_an_allowance() {
    let mut world = World::new();
    let mut heard = 0;
    for net in 0..40_u8 {
        let client = at(&mut world, &format!("203.0.{net}.7:4000"));
        heard += flood(&mut world, client);
    }
    assert_all_of(heard, TOTAL);
    let late = at(&mut world, "198.51.100.7:4000");
    assert_eq!(late.tell(&mut world, Request::binding()), Lost(OVER));
    world.advance(seconds(1));
    assert!(late.ask(&mut world, Request::binding()).is_success());
}

#[test]
fn the_allowance_is_one_over_all_shards() {
    let mut world = World::sharded(4, |_| {});
    let heard: usize = (0..4_u16)
        .map(|shard| {
            let tuple = tuple(
                SocketAddr::from(([203, 0, 113, 7], 4000 + shard)),
                Transport::Udp,
            );
            let client = world.client_at(shard.into(), tuple, "alice", &password("alice"));
            flood_on(&mut world, shard.into(), client)
        })
        .sum();
    assert_all_of(heard, PER_PREFIX);
}

#[test]
fn an_answer_no_longer_than_its_request_is_always_sent() {
    let mut world = World::new();
    let client = at(&mut world, "203.0.113.7:4000");
    flood(&mut world, client);
    assert_eq!(client.tell(&mut world, Request::binding()), Lost(OVER));
    // Any attribute that may be ignored will do: XOR-MAPPED-ADDRESS has 12 bytes, as this one.
    let padded = || Request::binding().put_raw(Software::TYPE, &[b' '; 8]);
    for _ in 0..10_000 {
        let answer = client.ask(&mut world, padded());
        assert_eq!(
            answer.as_bytes().len(),
            client.write(&mut world, &padded()).len()
        );
    }
    let shorter = Request::binding().put_raw(Software::TYPE, b"four");
    assert_eq!(client.tell(&mut world, shorter), Lost(OVER));
}

#[test]
fn a_client_with_an_allocation_is_never_throttled() {
    let mut world = World::new();
    let client = at(&mut world, "203.0.113.7:4000");
    client.allocate(&mut world, minutes(10));
    let attacker = at(&mut world, "203.0.113.7:4001");
    flood(&mut world, attacker);
    for _ in 0..10_000 {
        assert!(client.ask(&mut world, Request::binding()).is_success());
    }
    let stale = Request::refresh(minutes(10)).nonce("stale");
    assert_eq!(client.ask(&mut world, stale).code(), Some(438));
    client.refresh(&mut world, minutes(10));
    // The total is not charged for its answers.
    world.advance(seconds(2));
    for _ in 0..1000 {
        assert!(client.ask(&mut world, Request::binding()).is_success());
    }
    assert_all_of(flood(&mut world, attacker), PER_PREFIX);
    client.delete(&mut world);
    assert_eq!(client.tell(&mut world, Request::binding()), Lost(OVER));
}

/// The nonce reached the client, so the address is its own.
#[test]
fn who_has_heard_the_challenge_is_served_whatever_strangers_do() {
    let mut world = World::new();
    let [client, attacker] = ["203.0.113.7:4000", "203.0.113.7:4001"].map(|ip| at(&mut world, ip));
    client.nonce(&mut world);
    flood(&mut world, attacker);
    client.allocate(&mut world, minutes(10));
}

#[test]
fn a_client_over_tcp_is_where_it_says_to_be() {
    let mut world = World::new();
    let udp = at(&mut world, "203.0.113.7:4000");
    flood(&mut world, udp);
    let tuple = tuple("203.0.113.7:4000".parse().unwrap(), Transport::Tcp);
    let tcp = world.client_at(0, tuple, "alice", &password("alice"));
    for _ in 0..1000 {
        assert!(tcp.ask(&mut world, Request::binding()).is_success());
        assert_eq!(tcp.ask(&mut world, challenge()).code(), Some(401));
    }
}

#[test]
fn every_answer_to_a_stranger_is_rationed() {
    let mut world = World::new();
    let client = at(&mut world, "203.0.113.7:4000");
    let nonce = client.nonce(&mut world);
    flood(&mut world, client);
    let unknown = Request::binding().put_raw(0x7FFF, b"");
    let forged = || Request::new(Method::Allocate).as_user("", "x");
    for request in [
        Request::binding(),
        unknown,
        challenge(),
        Request::refresh(minutes(1)).unsigned(),
    ] {
        assert_eq!(client.tell(&mut world, request), Lost(OVER));
    }
    // A signed request is longer than its refusal, unless it is forged to be short.
    assert_eq!(
        client.ask(&mut world, forged().nonce(&nonce)).code(),
        Some(401)
    );
    assert_eq!(client.tell(&mut world, forged().nonce("")), Lost(OVER));
    // Requests that were not answered are not reported.
    assert_eq!(world.reports().len(), 1);
}

#[test]
fn eighty_browsers_of_one_network_start_in_the_same_moment() {
    let mut world = World::with(|config| {
        config.rules_mut().realms = relay::Keys::new("turn.example-company.com").into();
    });
    for port in 0..80 {
        let browser = at(&mut world, &format!("203.0.113.7:{}", 4000 + port));
        for _ in 0..2 {
            assert!(browser.ask(&mut world, Request::binding()).is_success());
            assert_eq!(browser.ask(&mut world, challenge()).code(), Some(401));
        }
    }
}

#[test]
fn what_is_unlimited_is_not_rationed() {
    let unlimited = Allowance {
        per_prefix: None,
        total: None,
    };
    let mut world = World::with(|config| config.rules_mut().unauthenticated = unlimited);
    let client = at(&mut world, "203.0.113.7:4000");
    for _ in 0..20_000 {
        assert_eq!(client.ask(&mut world, challenge()).code(), Some(401));
    }
}

/// The chance of each try is the ratio of the allowance to the demand, here a fifth, though the
/// flood is always there first. A client that sends seven times, as RFC 8489 §6.2.1 says, is
/// answered with a probability of 1 - (4/5)^7 = 79 %.
#[test]
fn an_honest_client_gets_through_a_flood_from_everywhere() {
    const RATE: u64 = 8 * 1024;
    const TRIES_AT: [u64; 7] = [0, 500, 1500, 3500, 7500, 15_500, 31_500];
    let allowance = Allowance {
        per_prefix: NonZeroU64::new(RATE),
        total: NonZeroU64::new(RATE),
    };
    let mut world = World::with(|config| config.rules_mut().unauthenticated = allowance);
    let mut rng = StdRng::from_seed([7; 32]);
    let flooder = world.client("alice");
    let packet = flooder.write(&mut world, &challenge());
    // Every hundredth of a second, the flood comes before all others.
    let at_once = 5 * RATE as usize / excess_of_challenge() / 100;

    let honest: Vec<(Client, u64)> = (0..200_u8)
        .map(|net| {
            let begins = 1000 + 10 * (rng.next_u64() % 100);
            (at(&mut world, &format!("198.51.{net}.7:4000")), begins)
        })
        .collect();
    let mut heard = vec![false; honest.len()];
    for millisecond in (0..34_000).step_by(10) {
        world.advance(Duration::from_millis(10));
        let now = world.now();
        for _ in 0..at_once {
            let ip = IpAddr::from((rng.next_u64() as u32).to_be_bytes());
            let spoofed = tuple((ip, 4000).into(), Transport::Udp);
            world.server(0).handle_client(now, spoofed, &packet);
        }
        for ((client, begins), heard) in honest.iter().zip(&mut heard) {
            let is_time = TRIES_AT.iter().any(|after| begins + after == millisecond);
            if is_time && !*heard {
                *heard = matches!(client.tell(&mut world, challenge()), Answered(_));
            }
        }
    }
    let heard = heard.iter().filter(|heard| **heard).count();
    assert!(heard * 100 >= 70 * honest.len(), "{heard} were heard");
}

/// Forged Allocates of 60,000 a second, from everywhere. A prefix that was never seen gets the
/// chance that is left to it.
#[test]
fn a_prefix_with_a_client_in_the_last_hour_is_answered_at_the_first_try_through_a_flood() {
    let mut world = World::new();
    let mut clients_at = |first: u8| -> Vec<Client> {
        let at = |net: u8| at(&mut world, &format!("{first}.51.{net}.7:4000"));
        (0..200).map(at).collect()
    };
    let (acquaintances, strangers) = (clients_at(198), clients_at(197));
    for client in &acquaintances {
        client.allocate(&mut world, minutes(1));
        client.delete(&mut world);
        world.advance(Duration::from_millis(20));
    }
    world.advance(minutes(59));
    let mut flood = Flood::new(&mut world);
    flood.go_on(&mut world, seconds(2));
    let (mut known, mut unseen) = (0, 0);
    for (acquaintance, stranger) in acquaintances.iter().zip(&strangers) {
        flood.go_on(&mut world, Duration::from_millis(10));
        known += usize::from(is_heard(&mut world, *acquaintance));
        unseen += usize::from(is_heard(&mut world, *stranger));
    }
    assert_eq!(known, 200);
    assert!(
        (2..=24).contains(&unseen),
        "{unseen} of 200 strangers were answered"
    );

    // The kept part is theirs for an hour, and strangers' again when the last of them is forgotten.
    world.advance(minutes(3));
    flood.go_on(&mut world, seconds(2));
    let again = acquaintances.iter();
    let again = again.filter(|client| is_heard(&mut world, **client));
    assert!(again.count() < 50);
}

/// Somebody who forges the sources of a few prefixes with clients, too, can shut out these.
#[test]
fn a_prefix_with_clients_has_no_more_than_any_other_prefix() {
    let mut world = World::new();
    let client = at(&mut world, "203.0.113.7:4000");
    client.allocate(&mut world, minutes(1));
    client.delete(&mut world);
    world.advance(minutes(30));
    assert_all_of(flood(&mut world, client), PER_PREFIX);
    let mut heard = 2 * PER_PREFIX;
    for net in 0..40_u8 {
        let stranger = at(&mut world, &format!("198.51.{net}.7:4000"));
        heard += flood(&mut world, stranger);
    }
    // The rest of the kept quarter stays unused.
    assert!(heard <= 2 * TOTAL * 3 / 4 + 2 * PER_PREFIX + 100, "{heard}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_stranger_hears_more_than_it_sends_and_the_allowance(
        steps in prop::collection::vec((0_u64..50, 0_u8..8, 0_usize..5, 1_usize..40), 1..100),
    ) {
        let per_prefix = 2048;
        let total = 4 * per_prefix;
        let mut world = World::with(|config| {
            config.rules_mut().unauthenticated = Allowance {
                per_prefix: NonZeroU64::new(per_prefix as u64),
                total: NonZeroU64::new(total as u64),
            };
        });
        let writer = world.client("alice");
        let packets = [
            Request::binding(),
            Request::binding().fingerprint(),
            Request::binding().put_raw(Software::TYPE, &[0; 64]),
            Request::binding().put_raw(0x7FFF, b""),
            challenge(),
        ]
        .map(|request| writer.write(&mut world, &request));
        let (mut sent, mut heard, mut longest) = ([0; 8], [0; 8], 0);
        let mut passed = Duration::ZERO;
        for (pause, net, packet, times) in steps {
            world.advance(Duration::from_millis(pause));
            passed += Duration::from_millis(pause);
            let tuple = tuple(SocketAddr::from(([203, 0, net, 7], 4000)), Transport::Udp);
            let (now, net, packet) = (world.now(), usize::from(net), &packets[packet]);
            for _ in 0..times {
                sent[net] += packet.len();
                if let Verdict::Answer(answer) = world.server(0).handle_client(now, tuple, packet) {
                    heard[net] += answer.contents.len();
                    longest = longest.max(answer.contents.len());
                }
            }
            // Two seconds' worth, the allowance earned since, and the end of the last answer; the
            // part of the total that is kept for acquaintances may have another.
            let most = |rate: usize| 2 * rate + rate * passed.as_millis() as usize / 1000 + longest;
            let (all_sent, all_heard): (usize, usize) = (sent.iter().sum(), heard.iter().sum());
            prop_assert!(all_heard <= all_sent + most(total) + longest);
            for (sent, heard) in sent.iter().zip(heard) {
                prop_assert!(heard <= sent + most(per_prefix));
            }
        }
    }
}

/// 60,000 Allocates a second in the names of all addresses.
struct Flood {
    packet: Vec<u8>,
    rng: StdRng,
}

impl Flood {
    fn new(world: &mut World) -> Self {
        let flooder = world.client("alice");
        Self {
            packet: flooder.write(world, &challenge()),
            rng: StdRng::from_seed([7; 32]),
        }
    }

    fn go_on(&mut self, world: &mut World, time: Duration) {
        for _ in 0..time.as_millis() / 10 {
            world.advance(Duration::from_millis(10));
            let now = world.now();
            for _ in 0..600 {
                let ip = IpAddr::from((self.rng.next_u64() as u32).to_be_bytes());
                let spoofed = tuple((ip, 4000).into(), Transport::Udp);
                world.server(0).handle_client(now, spoofed, &self.packet);
            }
        }
    }
}

fn is_heard(world: &mut World, client: Client) -> bool {
    matches!(client.tell(world, challenge()), Answered(_))
}

/// The first step of every TURN client.
fn challenge() -> Request {
    Request::allocate().unsigned()
}

/// Asks for challenges until there is only silence. Returns how many bytes more were heard than
/// sent.
fn flood(world: &mut World, client: Client) -> usize {
    flood_on(world, 0, client)
}

fn flood_on(world: &mut World, shard: usize, client: Client) -> usize {
    let packet = client.write(world, &challenge());
    let (now, tuple) = (world.now(), client.tuple(world));
    let server = world.server(shard);
    let heard = (0..ENOUGH).map(|_| {
        let verdict = server.handle_client(now, tuple, &packet);
        if let Verdict::Answer(answer) = verdict {
            return answer.contents.len() - packet.len();
        }
        assert!(matches!(verdict, Verdict::Drop(OVER)), "{verdict:?}");
        0
    });
    heard.sum()
}

/// Two seconds' worth: one for certain, one by chance, which such a flood has. The last answer may
/// begin within it and end beyond.
#[track_caller]
fn assert_all_of(heard: usize, rate: usize) {
    let most = 2 * rate;
    assert!(
        (most - most / 50..most + 100).contains(&heard),
        "{heard} of {most}"
    );
}

/// How much longer a challenge is than its request.
fn excess_of_challenge() -> usize {
    let mut world = World::new();
    let client = world.client("alice");
    let asked = client.write(&mut world, &challenge()).len();
    client.ask(&mut world, challenge()).as_bytes().len() - asked
}

fn at(world: &mut World, client: &str) -> Client {
    let tuple = tuple(client.parse().unwrap(), Transport::Udp);
    world.client_at(0, tuple, "alice", &password("alice"))
}

fn tuple(client: SocketAddr, transport: Transport) -> ClientTuple {
    ClientTuple {
        transport,
        client,
        server: LISTENER,
    }
}
