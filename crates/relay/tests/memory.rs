//! The memory that an allocation costs while it is not used.

use std::net::SocketAddr;

use relay::{ClientTuple, Effect, Now, PortRange, Server, Verdict};
use sim::{Client, Request, World, minutes};

/// So many that memory which they share does not count.
const ALLOCATIONS: u16 = 50_000;
/// Bytes of heap for one, tables and timers included.
const MOST: i64 = 1024;
/// More for the quality of one that may have data.
const MOST_FOR_QUALITY: i64 = 1344;

#[test]
#[expect(clippy::disallowed_macros, reason = "docs/performance.md keeps it")]
fn an_idle_allocation_costs_at_most_a_kibibyte() {
    let mut crowd = Crowd::of(ALLOCATIONS, false);
    let bare = crowd.cost_of([Request::allocate().lifetime(minutes(10))]);
    println!("an idle allocation costs {bare} bytes");
    let peer = SocketAddr::from(([9, 9, 9, 9], 4000));
    let whole = bare
        + crowd.cost_of([
            Request::create_permission([peer]),
            Request::channel_bind(0x4000, peer),
        ]);
    println!("with a permission and a channel it costs {whole} bytes");
    assert!(whole <= MOST, "{whole} bytes");
}

#[test]
#[expect(clippy::disallowed_macros, reason = "docs/performance.md keeps it")]
fn a_full_story_costs_half_a_kibibyte() {
    let mut crowd = Crowd::of(1000, false);
    crowd.cost_of([Request::allocate().lifetime(minutes(10))]);
    let peer = SocketAddr::from(([9, 9, 9, 9], 4000));
    let renewed = || {
        [
            Request::create_permission([peer]),
            Request::channel_bind(0x4000, peer),
        ]
    };
    crowd.cost_of(renewed());
    let grown: i64 = (0..20).map(|_| crowd.cost_of(renewed())).sum();
    println!("a full story costs {grown} bytes more");
    assert!((200..512).contains(&grown), "{grown} bytes");
}

#[test]
#[expect(clippy::disallowed_macros, reason = "docs/performance.md keeps it")]
fn quality_costs_an_allocation_at_most_another_kibibyte_and_a_third() {
    let requests = || {
        let peer = SocketAddr::from(([9, 9, 9, 9], 4000));
        [
            Request::allocate().lifetime(minutes(10)),
            Request::create_permission([peer]),
            Request::channel_bind(0x4000, peer),
        ]
    };
    let [without, with] = [false, true].map(|is_measured| {
        let mut crowd = Crowd::of(5_000, is_measured);
        crowd.cost_of(requests())
    });
    let quality = with - without;
    println!("its quality costs {quality} bytes more");
    assert!((1..=MOST_FOR_QUALITY).contains(&quality), "{quality} bytes");
}

/// One user behind one NAT, who sends the same requests from port after port.
struct Crowd {
    world: World,
    alice: Client,
    /// How many clients.
    size: u16,
}

impl Crowd {
    fn of(size: u16, is_measured: bool) -> Self {
        let ports = PortRange::new(10_000, 65_535).expect("a range");
        let mut world = World::with(|config| {
            config.ports = ports;
            let rules = config.rules_mut();
            rules.limits.per_user = Some(u32::MAX);
            if !is_measured {
                rules.quality = None;
            }
        });
        let alice = world.client("alice");
        Self { world, alice, size }
    }

    /// The bytes of heap that these requests cost per client.
    fn cost_of<const N: usize>(&mut self, requests: [Request; N]) -> i64 {
        let packets = requests.map(|request| self.alice.write(&mut self.world, &request));
        let (now, alice) = (self.world.now(), self.alice.tuple(&self.world));
        let server = self.world.server(0);
        let counted = allocation_counter::measure(|| {
            for port in 1..=self.size {
                let client = SocketAddr::new(alice.client.ip(), port);
                let tuple = ClientTuple { client, ..alice };
                for packet in &packets {
                    ask(server, now, tuple, packet);
                }
            }
        });
        assert_eq!(server.allocations(), usize::from(self.size));
        counted.bytes_current / i64::from(self.size)
    }
}

/// A request that is granted, at once or when the socket is open.
fn ask(server: &mut Server, now: Now, tuple: ClientTuple, packet: &[u8]) {
    let mut granted = match server.handle_client(now, tuple, packet) {
        Verdict::Answer(answer) => is_success(answer.contents),
        Verdict::Relay(_) | Verdict::Drop(_) | Verdict::Done => false,
    };
    while let Some(effect) = server.poll_effect() {
        match effect {
            Effect::OpenRelay { relay, .. } => server.handle_opened(now.mono, relay, Ok(())),
            Effect::Send(outgoing) => granted |= is_success(&outgoing.contents),
            Effect::CloseRelay { .. }
            | Effect::Report(_)
            | Effect::Traced(_)
            | Effect::Bind(_)
            | Effect::Unbind(_) => {}
            Effect::Mail { .. }
            | Effect::AdoptRelay { .. }
            | Effect::FetchKey { .. }
            | Effect::OpenTcpRelay { .. }
            | Effect::Connect { .. }
            | Effect::CloseConnection { .. }
            | Effect::Splice { .. }
            | Effect::AdoptConnection { .. } => {
                panic!("nobody moves here, and keys are at hand")
            }
        }
    }
    assert!(granted);
}

/// Class and method in the first two bytes. RFC 8489 §5.
fn is_success(answer: &[u8]) -> bool {
    answer[0] == 0x01
}
