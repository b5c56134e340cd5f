//! The relay as a value: no socket, no clock, no thread. A client, a value as well, opens an allocation; the program
//! carries bytes between them, and says so where the server asks for a socket.
//!
//! Run it with `cargo run --example without_sockets`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use client::{AllocateOptions, Client, Credentials};
use relay::policy::{Mode, Own, Policy};
use relay::{
    ClientTuple, Config, Effect, Keys, Now, PortRange, ProcessSecret, Rules, Server, ShardId,
    Shared, Transport, Verdict,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen: SocketAddr = "198.51.100.1:3478".parse()?;
    let ports = PortRange::new(50_000, 50_099).ok_or("an empty port range")?;
    let mut keys = Keys::new("example.org");
    keys.add_user("alice", "wonderland")?;
    // Peers that are this host are denied, so the policy knows it.
    let policy = Policy::new(Mode::Closed, vec![], vec![], Own::alone(listen, ports));
    let rules = Rules::new(keys, policy);
    // Your program draws these bytes, and those below, at random.
    let secret = ProcessSecret([1; 32]);
    let config = Arc::new(Config::new(secret, vec![listen.ip().into()], ports, rules));
    let shared = Arc::new(Shared::new(&config));
    let mut server = Server::new(config, shared, ShardId(0), [2; 32]);

    let mut alice = client::Config::new(Transport::Udp);
    alice.credentials = Some(Credentials::new("alice", "wonderland")?);
    let mut alice = Client::new(alice, [3; 32]);
    let tuple = ClientTuple {
        transport: Transport::Udp,
        client: "203.0.113.7:40000".parse()?,
        server: listen,
    };

    let (mono, unix) = (
        Instant::now(),
        SystemTime::now().duration_since(UNIX_EPOCH)?,
    );
    alice.allocate(mono, AllocateOptions::default());
    while let Some(packet) = alice.poll_transmit() {
        if let Verdict::Answer(answer) = server.handle_client(Now { mono, unix }, tuple, &packet) {
            alice.handle_input(mono, answer.contents);
        }
        while let Some(effect) = server.poll_effect() {
            if let Effect::OpenRelay { relay, .. } = effect {
                // Your program binds a socket here.
                server.handle_opened(mono, relay, Ok(()));
            } else if let Effect::Send(answer) = effect {
                alice.handle_input(mono, &answer.contents);
            }
        }
    }
    // `Allocated`, with the address at which alice is reached.
    println!("{:?}", alice.poll_event());
    Ok(())
}
