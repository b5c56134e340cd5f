//! A trial: the virtual world and the model go through the same steps, and must agree.
//!
//! Clients write random messages, based on the answers that they have had; a virtual network loses,
//! delays and doubles the packets. Every packet that reaches a server is given to the model first.
//! If the server then acts differently, the trial ends with a [`Difference`].
//!
//! A run is a list of steps that were chosen at random. Each step is complete in itself, so a run
//! can be repeated without some of them: [`Difference`] comes with the shortest list that was found
//! to fail.

mod act;
mod choose;
mod compare;
mod coverage;
mod read;
mod scene;
mod shrink;
mod step;

use std::net::SocketAddr;
use std::time::Duration;

use relay::{ClientTuple, ConnectionId, Icmp};
use wire::attributes::ReservationToken;

use crate::model::Model;
use crate::network::Network;
use crate::request::Credentials;
use crate::{Client, World, password};
pub use coverage::Coverage;
use scene::Scene;
pub use shrink::{Difference, run};
use step::Step;

/// The world and the model, side by side.
#[derive(Debug)]
struct Trial {
    scene: Scene,
    world: World,
    model: Model,
    network: Network<Parcel>,
    people: Vec<Person>,
    /// Reservation tokens that some client has had.
    tokens: Vec<ReservationToken>,
    /// Mobility tickets that some client has had.
    tickets: Vec<Vec<u8>>,
    /// Connections with peers that some client was told of.
    connections: Vec<ConnectionId>,
    transactions: u64,
    begun: Duration,
    /// Whether the machine does not give sockets at once.
    is_machine_ill: bool,
    /// Numbers the payloads.
    payloads: u32,
    coverage: Coverage,
    /// The events, for a reader; kept only when asked for.
    trace: Option<Vec<String>>,
}

/// A client and its memory.
#[derive(Debug)]
struct Person {
    client: Client,
    tuple: ClientTuple,
    credentials: Credentials,
    /// The last packet it sent.
    last: Vec<u8>,
    /// Relayed transport addresses of its own that it was told of.
    relayed: Vec<SocketAddr>,
    /// Until when its packets on a stream must wait for earlier ones.
    stream: Duration,
}

/// A packet under way.
#[derive(Debug)]
enum Parcel {
    ToServer {
        who: usize,
        packet: Vec<u8>,
        back: Option<Duration>,
    },
    FromPeer {
        from: SocketAddr,
        to: SocketAddr,
        payload: Vec<u8>,
    },
    Icmp {
        from: SocketAddr,
        peer: SocketAddr,
        icmp: Icmp,
    },
    ToClient {
        who: usize,
        answer: crate::Answer,
    },
}

impl Trial {
    fn new(scene: Scene) -> Self {
        let mut world = scene.world();
        world.peers_hesitate();
        let model = Model::new(scene.terms(), world.now().unix);
        let people = scene.people().into_iter().map(|(user, tuple, shard)| {
            let credentials = Credentials {
                username: user.to_owned(),
                password: password(user),
                realm: String::new(),
                nonce: String::new(),
                algorithms: Vec::new(),
                token: None,
            };
            Person {
                client: world.client_at(shard, tuple, user, &credentials.password),
                tuple,
                credentials,
                last: Vec::new(),
                relayed: Vec::new(),
                stream: Duration::ZERO,
            }
        });
        Self {
            people: people.collect(),
            begun: world.now().unix,
            scene,
            world,
            model,
            network: Network::new(),
            tokens: Vec::new(),
            tickets: Vec::new(),
            connections: Vec::new(),
            transactions: 0,
            is_machine_ill: false,
            payloads: 0,
            coverage: Coverage::default(),
            trace: None,
        }
    }

    /// Makes one step: its packets are sent, and arrive if it is time.
    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.coverage.steps += 1;
        self.coverage.note("step", step.name());
        self.say(|trial| format!("{:12.3?} {step:?}", trial.elapsed()));
        self.act(step)?;
        self.pass(Duration::ZERO)
    }

    /// Moves the time on, and delivers packets that are due.
    fn pass(&mut self, duration: Duration) -> Result<(), String> {
        let end = self.now() + duration;
        while let Some((arrival, parcel)) = self.network.arrive(end) {
            self.advance(arrival)?;
            self.arrive(parcel)?;
        }
        self.advance(end)
    }

    fn advance(&mut self, to: Duration) -> Result<(), String> {
        let left = to.saturating_sub(self.now());
        if left.is_zero() {
            return Ok(());
        }
        self.world.advance(left);
        self.model.at(self.now());
        self.compare(None, None)
    }

    /// Ends the trial: all clients leave, and nothing may be left of them.
    fn finish(&mut self) -> Result<(), String> {
        self.pass(Duration::from_secs(10))?;
        self.world.open_sockets();
        self.compare(None, None)?;
        // No lifetime is longer.
        self.pass(Duration::from_secs(3601))?;
        if self.world.is_idle() {
            Ok(())
        } else {
            Err("all lifetimes are over, and something is left".to_owned())
        }
    }

    fn now(&self) -> Duration {
        self.world.now().unix
    }

    fn elapsed(&self) -> Duration {
        self.now() - self.begun
    }

    fn is_stream(&self, who: usize) -> bool {
        let person = self.people.get(who);
        person.is_some_and(|person| person.tuple.transport.is_stream())
    }

    fn say(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = line(self);
            self.trace.get_or_insert_default().push(line);
        }
    }
}

/// Stands for no client, where a peer sends.
const NOBODY: usize = usize::MAX;
