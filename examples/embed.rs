//! Hairpin as a library: a TURN server inside a program of your own, in about sixty lines.
//!
//! Run it with `cargo run --example embed`, and try it with coturn's client:
//! `turnutils_uclient -y -c -u alice -w wonderland -p 3479 127.0.0.1`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use net::Options;
use relay::policy::{Mode, Own, Policy};
use relay::{Config, Keys, PortRange, ProcessSecret, RelayAddress, Report, Rules, Transport};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    let listen = SocketAddr::new(local, 3479);
    let ports = PortRange::new(50_000, 50_099).ok_or("an empty port range")?;

    // The users who may allocate. Your program can mint time-limited credentials for its own users
    // too: see `relay::keys::mint`.
    let mut keys = Keys::new("example.org");
    keys.add_user("alice", "wonderland")?;

    // The peers that they may reach. Loopback is closed unless it is named, as here, for trying.
    let own = Own {
        listeners: vec![listen],
        addresses: vec![local.into()],
        relays: vec![local],
        relay_ports: ports.first()..=ports.last(),
    };
    let policy = Policy::new(Mode::Closed, vec!["127.0.0.0/8".parse()?], vec![], own);

    let config = Config::new(
        ProcessSecret(rand::random()),
        vec![RelayAddress {
            local,
            external: local,
        }],
        ports,
        Rules::new(keys, policy),
    );
    let listeners = [Transport::Udp, Transport::Tcp].map(|transport| (transport, listen));
    let running = net::start(Options {
        report: Arc::new(|report| match report {
            Report::Opened { user, relayed, .. } => println!("{user} relays from {relayed:?}"),
            Report::Moved { user, .. } => println!("{user} has another address"),
            Report::Ended { user, cause, .. } => println!("{user} is gone: {}", cause.name()),
            Report::Partner { partner, news } => println!("{partner}: {news:?}"),
            Report::Refused { reject, .. } => println!("refused: {reject}"),
        }),
        ..Options::new(listeners, config)
    })?;

    println!("relaying at {listen}; Enter stops it");
    std::io::stdin().read_line(&mut String::new())?;
    let (relay, _) = running.stop();
    println!(
        "{} allocations, {} bytes to peers",
        relay.opened(),
        relay.sent.bytes
    );
    Ok(())
}
