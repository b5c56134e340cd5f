//! Hairpin as a library: a TURN server inside a program of your own.
//!
//! Run it with `cargo run --example embed`, and try it with coturn's client:
//! `turnutils_uclient -y -c -u alice -w wonderland -p 3479 127.0.0.1`

use std::net::SocketAddr;
use std::sync::Arc;

use net::Options;
use relay::policy::{Mode, Own, Policy};
use relay::{Config, Keys, PortRange, ProcessSecret, Report, Rules, Transport};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen: SocketAddr = "127.0.0.1:3479".parse()?;
    let ports = PortRange::new(50_000, 50_099).ok_or("an empty port range")?;

    // The users who may allocate. Your program can make time-limited credentials for its own users
    // too: see `relay::keys::mint`.
    let mut keys = Keys::new("example.org");
    keys.add_user("alice", "wonderland")?;

    // The peers that they may reach. Loopback is closed unless it is named, as here, for trying.
    let allowed = vec!["127.0.0.0/8".parse()?];
    let policy = Policy::new(Mode::Closed, allowed, vec![], Own::alone(listen, ports));

    let secret = ProcessSecret(rand::random());
    let rules = Rules::new(keys, policy);
    let config = Config::new(secret, vec![listen.ip().into()], ports, rules);
    let listeners = [Transport::Udp, Transport::Tcp].map(|transport| (transport, listen));
    let running = net::start(Options {
        report: Arc::new(|report| match report {
            Report::Opened { user, relayed, .. } => println!("{user} relays from {relayed:?}"),
            Report::Moved { user, .. } => println!("{user} has another address"),
            Report::Ended { user, cause, .. } => println!("{user} is gone: {}", cause.name()),
            Report::Partner { partner, news } => println!("{partner}: {news:?}"),
            Report::Refused { reject, .. } => println!("refused: {reject}"),
            Report::Banned(ban) => println!("banned: {}", ban.prefix),
            Report::Denied { client } => println!("not served: {client}"),
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
