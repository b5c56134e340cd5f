//! What an allocation costs in memory while nobody uses it.

use std::net::SocketAddr;

use relay::{ClientTuple, Effect, Now, PortRange, Server, Verdict};
use sim::{Request, World, minutes};

/// So many that what they share does not count.
const ALLOCATIONS: u16 = 50_000;
/// Bytes of heap for one, tables and timers included.
const MOST: i64 = 1024;

#[test]
fn an_idle_allocation_costs_at_most_a_kibibyte() {
    assert_costs_little("alone", Crowd::new([]));
}

#[test]
fn an_idle_allocation_with_permission_and_channel_costs_at_most_a_kibibyte() {
    let peer = SocketAddr::from(([9, 9, 9, 9], 4000));
    let requests = [
        Request::create_permission([peer]),
        Request::channel_bind(0x4000, peer),
    ];
    assert_costs_little("with a permission and a channel", Crowd::new(requests));
}

#[track_caller]
#[expect(clippy::disallowed_macros, reason = "docs/performance.md keeps it")]
fn assert_costs_little(what: &str, crowd: Crowd) {
    let bytes = crowd.cost();
    println!("an idle allocation {what} costs {bytes} bytes");
    assert!(bytes <= MOST, "{bytes} bytes");
}

/// One user behind one NAT, who asks for the same at port after port.
struct Crowd {
    world: World,
    tuple: ClientTuple,
    now: Now,
    packets: Vec<Vec<u8>>,
}

impl Crowd {
    fn new(requests: impl IntoIterator<Item = Request>) -> Self {
        let ports = PortRange::new(10_000, 65_535).expect("a range");
        let mut world = World::with(|config| config.ports = ports);
        let alice = world.client("alice");
        let mut packets = vec![alice.write(&mut world, &Request::allocate().lifetime(minutes(10)))];
        for request in requests {
            packets.push(alice.write(&mut world, &request));
        }
        let (tuple, now) = (alice.tuple(&world), world.now());
        Self {
            world,
            tuple,
            now,
            packets,
        }
    }

    /// Bytes of heap for each of many.
    fn cost(mut self) -> i64 {
        let server = self.world.server(0);
        let counted = allocation_counter::measure(|| {
            for port in 1..=ALLOCATIONS {
                let client = SocketAddr::new(self.tuple.client.ip(), port);
                let tuple = ClientTuple {
                    client,
                    ..self.tuple
                };
                for packet in &self.packets {
                    ask(server, self.now, tuple, packet);
                }
            }
        });
        assert_eq!(server.allocations(), usize::from(ALLOCATIONS));
        counted.bytes_current / i64::from(ALLOCATIONS)
    }
}

/// A request that is granted, at once or when the socket is open.
fn ask(server: &mut Server, now: Now, tuple: ClientTuple, packet: &[u8]) {
    let mut granted = match server.handle_client(now, tuple, packet) {
        Verdict::Reply(answer) => is_success(answer),
        Verdict::Forward { .. } | Verdict::Deliver { .. } | Verdict::Drop(_) | Verdict::Done => {
            false
        }
    };
    while let Some(effect) = server.poll_effect() {
        match effect {
            Effect::OpenRelay { relay, .. } => server.handle_opened(now.mono, relay, Ok(())),
            Effect::Send { message, .. } => granted |= is_success(&message),
            Effect::CloseRelay { .. } | Effect::Report(_) => {}
        }
    }
    assert!(granted);
}

/// Class and method in the first two bytes. RFC 8489 §5.
fn is_success(answer: &[u8]) -> bool {
    answer[0] == 0x01
}
