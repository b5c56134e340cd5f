//! The cost of a verdict, alone and among many clients. Results are kept in `docs/performance.md`.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use relay::{AddressFamily, Allowance, ClientTuple, PeerAddr, PortRange, RelayId, Verdict};
use sim::{Client, Request, World, minutes};

/// One client with a channel to one peer and a permission for another.
fn alone(criterion: &mut Criterion) {
    let mut world = World::new();
    let (alice, bound, permitted) = (world.client("alice"), world.peer(), world.peer());
    alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, bound);
    alice.permit(&mut world, permitted);
    let payload = [7; 1200];
    let channel_data = [&[0x40, 0, 0x04, 0xB0][..], &payload].concat();
    let packets = [
        ("channel-data", channel_data),
        (
            "send",
            alice.write(&mut world, &Request::send(permitted, &payload)),
        ),
        ("binding", alice.write(&mut world, &Request::binding())),
        (
            "challenge",
            alice.write(&mut world, &Request::allocate().unsigned()),
        ),
        (
            "refresh",
            alice.write(&mut world, &Request::refresh(minutes(10))),
        ),
        ("garbage", b"GET / HTTP/1.1".to_vec()),
    ];
    let (now, tuple, relay) = (world.now(), alice.tuple(&world), world.relay_of(alice));
    let server = world.server(0);

    let mut group = criterion.benchmark_group("client");
    for (name, packet) in &packets {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| seen(server.handle_client(now, tuple, black_box(packet))));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("peer");
    for (name, peer) in [("on-channel", bound), ("as-indication", permitted)] {
        group.bench_function(name, |bencher| {
            let peer = PeerAddr(peer.0);
            bencher.iter(|| seen(server.handle_peer(now, relay, peer, black_box(&payload))));
        });
    }
    group.finish();
}

/// Requests that anyone may send, from an address that the server does not know.
fn strangers(criterion: &mut Criterion) {
    let mut world = World::new();
    let stranger = world.client("alice");
    let (start, tuple) = (world.now(), stranger.tuple(&world));
    let requests = [
        ("binding", Request::binding()),
        ("challenge", Request::allocate().unsigned()),
    ];
    let mut group = criterion.benchmark_group("stranger");
    for (name, request) in requests {
        let packet = stranger.write(&mut world, &request);
        let server = world.server(0);
        let mut now = start;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                // Slow enough for the budget of unauthenticated answers.
                now.mono += Duration::from_millis(5);
                seen(server.handle_client(now, tuple, black_box(&packet)));
            });
        });
        group.bench_function(format!("{name} over the budget"), |bencher| {
            bencher.iter(|| seen(server.handle_client(now, tuple, black_box(&packet))));
        });
    }
    group.finish();
}

/// The same among many clients, visited in an order that no cache foresees. A thousand who talk
/// among a hundred thousand show the cost of a table by its size; all of them, the cost of the
/// caches.
fn in_a_crowd(criterion: &mut Criterion) {
    let mut crowd = Crowd::gather(10);
    crowd.measure(criterion, 10);
    crowd = Crowd::gather(1_000);
    crowd.measure(criterion, 1_000);
    crowd = Crowd::gather(CROWD);
    crowd.measure(criterion, 1_000);
    crowd.measure(criterion, CROWD);
}

/// A hundred thousand allocations end in one call, at once or by a shutdown.
fn endings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endings");
    group.sample_size(10);
    group.bench_function("100,000 expire", |bencher| {
        bencher.iter_batched_ref(
            || Crowd::gather(CROWD),
            |crowd| {
                let mut later = crowd.world.now();
                later.mono += minutes(60);
                let server = crowd.world.server(0);
                server.handle_timeout(later);
                while server.poll_effect().is_some() {}
                assert!(server.is_idle());
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("100,000 shut down", |bencher| {
        bencher.iter_batched_ref(
            || Crowd::gather(CROWD),
            |crowd| {
                let now = crowd.world.now().mono;
                let server = crowd.world.server(0);
                server.handle_shutdown(now);
                while server.poll_effect().is_some() {}
                assert!(server.is_idle());
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Many clients, each with an allocation and a channel. Half of them relay IPv6, as one address has
/// too few ports.
struct Crowd {
    world: World,
    members: Vec<Member>,
}

struct Member {
    tuple: ClientTuple,
    relay: RelayId,
    peer: PeerAddr,
    send: Vec<u8>,
    refresh: Vec<u8>,
}

impl Crowd {
    fn gather(count: usize) -> Self {
        let mut world = World::with(|config| {
            config.ports = PortRange::new(1, u16::MAX).expect("a range");
            // All of them come in the same moment.
            config.rules_mut().unauthenticated = UNLIMITED;
        });
        let families = [AddressFamily::V4, AddressFamily::V6];
        let members = (0..count)
            .map(|number| Member::join(&mut world, families[number % 2]))
            .collect();
        Self { world, members }
    }

    /// Measures a packet when so many of them talk.
    fn measure(&mut self, criterion: &mut Criterion, talking: usize) {
        let name = format!("{talking} of {}", self.members.len());
        let now = self.world.now();
        let server = self.world.server(0);
        let mut turn = 0;
        let mut next = || {
            turn = (turn + STRIDE) % talking;
            &self.members[turn]
        };
        let mut group = criterion.benchmark_group("crowd");
        group.bench_function(BenchmarkId::new("channel-data", &name), |bencher| {
            bencher.iter(|| {
                let member = next();
                seen(server.handle_client(now, member.tuple, black_box(&CHANNEL_DATA)));
            });
        });
        group.bench_function(BenchmarkId::new("send", &name), |bencher| {
            bencher.iter(|| {
                let member = next();
                seen(server.handle_client(now, member.tuple, black_box(&member.send)));
            });
        });
        group.bench_function(BenchmarkId::new("peer-on-channel", &name), |bencher| {
            bencher.iter(|| {
                let member = next();
                seen(server.handle_peer(now, member.relay, member.peer, black_box(b"payload")));
            });
        });
        group.bench_function(BenchmarkId::new("refresh", &name), |bencher| {
            bencher.iter(|| {
                let member = next();
                seen(server.handle_client(now, member.tuple, black_box(&member.refresh)));
            });
        });
        group.finish();
    }
}

impl Member {
    fn join(world: &mut World, family: AddressFamily) -> Self {
        let client: Client = world.client("alice");
        let peer = match family {
            AddressFamily::V4 => SocketAddr::from(([9, 9, 9, 9], 4000)),
            AddressFamily::V6 => SocketAddr::from(([0x2620, 0xFE, 0, 0, 0, 0, 0, 9], 4000)),
        };
        let allocate = Request::allocate().family(family).lifetime(minutes(60));
        assert!(client.ask(world, allocate).is_success());
        client.bind(world, peer);
        Self {
            tuple: client.tuple(world),
            relay: world.relay_of(client),
            peer: PeerAddr(peer),
            send: client.write(world, &Request::send(peer, b"payload")),
            refresh: client.write(world, &Request::refresh(minutes(60))),
        }
    }
}

/// Looks at the verdict, so that none of it is optimised away.
fn seen(verdict: Verdict<'_, '_>) {
    black_box(&verdict);
}

/// On the channel that every client of the crowd has.
const CHANNEL_DATA: [u8; 11] = *b"\x40\x00\x00\x07payload";

const UNLIMITED: Allowance = Allowance {
    per_prefix: None,
    total: None,
};

/// Coprime to every crowd, so that each member has its turn.
const STRIDE: usize = 7_919;

const CROWD: usize = 100_000;

criterion_group!(benches, alone, strangers, in_a_crowd, endings);
criterion_main!(benches);
