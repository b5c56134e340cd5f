//! A small SFU (selective forwarding unit): every member of a room sends its picture and sound once, to here, and gets
//! those of all others from here.
//!
//! ```text
//!  member ══ TURN ══╗                        ╔══ TURN ══ member
//!  member ══ TURN ══╬══ hairpin ── UDP ── SFU            (the same hairpin)
//!  member ══ TURN ══╝       \___ signaling ___/
//! ```
//!
//! It is a member of the room itself, named "sfu" unless `--name` says otherwise. The others make one connection, with
//! it, and none with each other: `examples/room.html` is a page that does so. A member that sends nothing is a viewer;
//! the streams that a member is sent have the ids of the members that they come from.
//!
//! Its media port needs to be open to the relay only. `examples/sfu/turnserver.toml` is the configuration of such a
//! server: it relays to the SFU and to nobody else. With that, and with the addresses in it and here replaced:
//!
//! ```text
//! hairpin serve --config examples/sfu/turnserver.toml
//! HAIRPIN_ROOM_SECRET='all who may enter know this' cargo run --manifest-path examples/sfu/Cargo.toml -- \
//!     --signal ws://198.51.100.1:8080/signal --room lounge --media 198.51.100.12:7000
//! ```
//!
//! It needs Debian's libssl-dev and pkg-config, or the like.
//!
//! Read on in `sfu.rs`. The program leaves out simulcast, bandwidth estimation towards viewers, TLS to the signaling (run
//! both on one host or in one private network), and coming back when the signaling is lost: the program then ends, and
//! systemd or the like starts it again.

mod participant;
mod room;
mod sfu;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use clap::Parser;
use tokio::net::UdpSocket;
use tokio::signal::ctrl_c;
use tokio::time::sleep_until;

use crate::room::Room;
use crate::sfu::Sfu;

/// An SFU for one room, behind Hairpin's signaling and relay
#[derive(Parser)]
struct Arguments {
    /// The WebSocket of the signaling, such as ws://198.51.100.1:8080/signal
    #[arg(long)]
    signal: String,
    /// The room
    #[arg(long)]
    room: String,
    /// The secret of the room, where the server wants one
    #[arg(long, env = "HAIRPIN_ROOM_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// The name by which the other members know that this is their SFU
    #[arg(long, default_value = "sfu")]
    name: String,
    /// The address and UDP port for all media; what [peers] allow names in turnserver.toml
    #[arg(long)]
    media: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if arguments.media.ip().is_unspecified() {
        return Err("--media must be an address of this host that the relay reaches".into());
    }
    str0m::crypto::from_feature_flags().install_process_default();
    let socket = UdpSocket::bind(arguments.media).await?;
    let media = socket.local_addr()?;
    let (mut room, members) = Room::join(&arguments).await?;
    println!("in room {}, media at {media}", arguments.room);

    let mut sfu = Sfu::new(media);
    let now = Instant::now();
    members.into_iter().for_each(|member| sfu.add(now, member));
    let mut buffer = vec![0; 2048];
    loop {
        // After every change all that follows from it leaves, and then nothing happens before `deadline`.
        let deadline = sfu.drain(&socket);
        for (to, description) in sfu.descriptions() {
            room.send(&to, &description).await?;
        }
        tokio::select! {
            news = room.next() => match news? {
                Some(news) => sfu.handle_news(Instant::now(), news),
                None => return Err("the signaling server has closed the connection".into()),
            },
            received = socket.recv_from(&mut buffer) => {
                // A port of a peer that is closed may be reported here, and is not this socket's end.
                if let Ok((length, from)) = received {
                    sfu.handle_packet(Instant::now(), from, &buffer[..length]);
                }
            }
            () = sleep_until(deadline.into()) => sfu.handle_timeout(Instant::now()),
            _ = ctrl_c() => return room.leave().await,
        }
    }
}
