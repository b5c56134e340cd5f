//! How many instructions a packet takes, for callgrind: one kind of packet, so many times.
//!
//! ```sh
//! cargo bench -p hairpin-relay --bench instructions --no-run       # prints where the program is
//! valgrind --tool=callgrind PROGRAM KIND 10000                     # and once with 0, to take off what the start costs
//! ```
//!
//! Counts do not depend on how busy a machine is. Results are kept in `docs/performance.md`.

use std::env;
use std::hint::black_box;
use std::num::NonZeroU64;
use std::time::Duration;

use relay::{Bandwidth, Command, PeerAddr, Places, Selection, Verdict};
use sim::{Request, World, minutes, seconds};

#[expect(
    clippy::disallowed_methods,
    reason = "the program around the core may be told what to do"
)]
fn main() {
    let mut arguments = env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    // Without a number, as cargo calls it among all benches, it only shows that every kind works.
    let count = arguments.next().and_then(|count| count.parse().ok());
    match count {
        Some(count) => run(&kind, count),
        None => KINDS.iter().for_each(|kind| run(kind, 1)),
    }
}

/// The kinds in the table of `docs/performance.md`.
const KINDS: &[&str] = &[
    "channel-data",
    "send",
    "peer-on-channel",
    "peer-as-indication",
    "binding",
    "challenge",
    "refresh",
    "wrong-password",
    "wrong-by-2-secrets",
    "wrong-by-8-secrets",
    "metered-channel-data",
    "list-of-1000",
    // Media, and the same with no quality measured.
    "rtp-channel-data",
    "rtp-send",
    "rtp-peer-on-channel",
    "rtp-peer-as-indication",
    "unmeasured-rtp-channel-data",
    "unmeasured-rtp-send",
    "unmeasured-rtp-peer-on-channel",
    "unmeasured-rtp-peer-as-indication",
];

/// One client with an allocation, a channel to one peer and a permission for another.
fn run(kind: &str, count: usize) {
    let mut world = world(kind);
    let (alice, bound, permitted) = (world.client("alice"), world.peer(), world.peer());
    alice.allocate(&mut world, minutes(10));
    alice.bind(&mut world, bound);
    alice.permit(&mut world, permitted);
    let mut payload = [7_u8; 1200];
    let from_peer = |peer| Packet::FromPeer(PeerAddr(peer));
    let shape = kind.trim_start_matches("unmeasured-");
    let is_media = shape.starts_with("rtp-");
    let mut packet = match shape.trim_start_matches("rtp-") {
        "channel-data" | "metered-channel-data" => {
            Packet::FromClient([&[0x40, 0, 0x04, 0xB0][..], &payload].concat())
        }
        "send" => {
            let request = Request::send(permitted, &payload);
            Packet::FromClient(alice.write(&mut world, &request))
        }
        "peer-on-channel" => from_peer(bound.0),
        "peer-as-indication" => from_peer(permitted.0),
        "binding" => Packet::FromClient(alice.write(&mut world, &Request::binding())),
        "challenge" => {
            let request = Request::allocate().unsigned();
            Packet::FromClient(alice.write(&mut world, &request))
        }
        "refresh" => {
            let request = Request::refresh(minutes(10));
            Packet::FromClient(alice.write(&mut world, &request))
        }
        // Beyond those that are answered.
        "wrong-password" | "wrong-by-2-secrets" | "wrong-by-8-secrets" => {
            let name = if secrets(kind) > 0 {
                "4000000000:alice"
            } else {
                "alice"
            };
            let request = Request::allocate().as_user(name, "guessed");
            Packet::FromClient(alice.write(&mut world, &request))
        }
        "list-of-1000" => {
            for _ in 1..1000 {
                let (other, peer) = (world.client("alice"), world.peer());
                other.allocate(&mut world, minutes(10));
                other.bind(&mut world, peer);
            }
            Packet::List
        }
        _ => panic!("{kind} is none of {KINDS:?}"),
    };
    world.advance(seconds(10));
    let (mut now, tuple, relay) = (world.now(), alice.tuple(&world), world.relay_of(alice));
    let server = world.server(0);
    // The framing may be of any kind.
    let data_at = match &packet {
        Packet::FromClient(packet) if is_media => {
            let data = packet.windows(8).position(|it| it == [7; 8]);
            data.expect("the packet has data")
        }
        Packet::FromClient(_) | Packet::FromPeer(_) | Packet::List => 0,
    };
    for place in 0..count {
        if is_media {
            now.mono += Duration::from_millis(1);
            let data = match &mut packet {
                Packet::FromClient(packet) => &mut packet[data_at..],
                Packet::FromPeer(_) | Packet::List => &mut payload[..],
            };
            write_media(data, place as u32);
        }
        match &packet {
            Packet::FromClient(packet) => {
                seen(server.handle_client(now, tuple, black_box(packet)));
            }
            Packet::FromPeer(peer) => {
                seen(server.handle_peer(now, relay, *peer, black_box(&payload)));
            }
            Packet::List => {
                let list = Command::List(Selection::default(), Places::ALL);
                black_box(server.handle_command(now, list));
            }
        }
    }
}

/// The RTP header of a packet among many: one a millisecond, of video with frames of ten packets, and
/// every twentieth of speech.
fn write_media(data: &mut [u8], place: u32) {
    let (ssrc, number, timestamp) = if place.is_multiple_of(20) {
        (0x1234_5678_u32, place / 20, place * 48)
    } else {
        (0x9ABC_DEF0, place - place / 20 - 1, place / 10 * 900)
    };
    data[..2].copy_from_slice(&[0x80, 96]);
    data[2..4].copy_from_slice(&(number as u16).to_be_bytes());
    data[4..8].copy_from_slice(&timestamp.to_be_bytes());
    data[8..12].copy_from_slice(&ssrc.to_be_bytes());
}

/// The world of a kind.
fn world(kind: &str) -> World {
    let secrets = secrets(kind);
    World::ruled(|rules| {
        for secret in 0..secrets {
            let keys = rules.realms.default_keys();
            keys.add_secret(format!("a secret of a rotation {secret}").as_bytes());
        }
        if kind == "list-of-1000" {
            rules.limits.per_user = Some(1000);
        }
        if kind.starts_with("unmeasured") {
            rules.quality = None;
        }
        if kind == "metered-channel-data" {
            let fast = NonZeroU64::new(1 << 40);
            rules.limits.bandwidth = Bandwidth {
                allocation: fast,
                user: fast,
            };
        }
    })
}

/// How many secrets there are for time-limited credentials.
fn secrets(kind: &str) -> usize {
    match kind {
        "wrong-by-2-secrets" => 2,
        "wrong-by-8-secrets" => 8,
        _ => 0,
    }
}

enum Packet {
    FromClient(Vec<u8>),
    FromPeer(PeerAddr),
    /// No packet, but the command of whoever looks at the sessions.
    List,
}

/// Looks at the verdict, so that none of it is optimised away.
fn seen(verdict: Verdict<'_, '_>) {
    black_box(&verdict);
}
