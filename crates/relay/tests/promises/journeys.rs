//! Clients that move at random, while the mail between shards takes its time: promises for all
//! cases.

use proptest::prelude::*;
use relay::Transport;
use sim::{Client, Outcome, Peer, World, minutes};

use crate::mobility::{allocate, shown, ticket};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The client sends some packets from where it is, answered or not.
    Send(u8),
    /// It shows its ticket again, as if the answer was lost.
    Again,
    /// It goes to a shard.
    Roam(usize),
    /// Its connection ends, if it has one.
    Disconnect,
    /// The peer sends.
    Hear,
    /// So many letters arrive.
    Deliver(u8),
    /// The next letter is lost, if it is a packet: an inbox was full.
    Lose,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..6_u8).prop_map(Step::Send),
        1 => Just(Step::Again),
        2 => (0..SHARDS).prop_map(Step::Roam),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Hear),
        6 => (1..5_u8).prop_map(Step::Deliver),
        1 => Just(Step::Lose),
    ]
}

struct Journey {
    world: World,
    peer: Peer,
    relayed: std::net::SocketAddr,
    here: Client,
    /// How many 5-tuples and connections it has had.
    stations: u16,
    /// The ticket that it shows, and the request with it.
    ticket: Vec<u8>,
    refresh: Option<Vec<u8>>,
    sent: u16,
    /// Payloads that the peer got, as they came.
    heard: Vec<[u8; 4]>,
}

impl Journey {
    fn new(transport: Transport) -> Self {
        let mut world = World::sharded(u8::try_from(SHARDS).unwrap(), |_| {});
        let (home, peer) = (world.client_over(transport, "alice"), world.peer());
        let ticket = allocate(home, &mut world);
        home.bind(&mut world, peer);
        world.hold_mail();
        Self {
            relayed: home.relayed(&world),
            world,
            peer,
            here: home,
            stations: 1,
            ticket,
            refresh: None,
            sent: 0,
            heard: Vec::new(),
        }
    }

    fn step(&mut self, step: Step, transport: Transport) {
        match step {
            Step::Send(count) => (0..count).for_each(|_| self.send()),
            Step::Again => self.show(),
            Step::Roam(shard) => self.roam(shard, transport),
            Step::Disconnect if transport == Transport::Tcp => {
                self.here.disconnect(&mut self.world);
                // If its last Refresh is not answered it comes back from the same port.
                self.stations += 1;
                self.roam(0, transport);
            }
            Step::Disconnect => {}
            Step::Hear => {
                self.peer.send(&mut self.world, self.relayed, b"hi");
            }
            Step::Deliver(letters) => {
                for _ in 0..letters {
                    self.world.deliver_one();
                }
            }
            Step::Lose => {
                self.world.lose_packet();
            }
        }
        self.listen();
    }

    fn send(&mut self) {
        let station = self.stations.to_be_bytes();
        let [high, low] = self.sent.to_be_bytes();
        let payload = [station[0], station[1], high, low];
        self.sent += 1;
        let outcome = self.here.send(&mut self.world, self.peer, &payload);
        self.listen();
        self.note(outcome);
    }

    fn show(&mut self) {
        if let Some(refresh) = self.refresh.clone() {
            let outcome = self.here.packet(&mut self.world, &refresh);
            if let Outcome::Answered(answer) = outcome {
                self.take_ticket(&answer);
            }
        }
    }

    /// Moves with the client's ticket; while the last Refresh is not answered, sends that again.
    fn roam(&mut self, shard: usize, transport: Transport) {
        if self.refresh.is_some() {
            return self.show();
        }
        let there = self.world.roam(self.here, shard, transport);
        self.refresh = Some(there.write(&mut self.world, &shown(&self.ticket)));
        self.here = there;
        self.stations += 1;
        self.show();
    }

    fn listen(&mut self) {
        for outcome in self.world.late() {
            self.note(outcome);
        }
        for answer in self.here.inbox(&mut self.world) {
            self.take_ticket(&answer);
        }
    }

    fn take_ticket(&mut self, answer: &sim::Answer) {
        if self.refresh.is_some() && answer.is_success() {
            self.ticket = ticket(answer);
            self.refresh = None;
        }
    }

    fn note(&mut self, outcome: Outcome) {
        if let Outcome::AtPeer {
            payload, from, to, ..
        } = outcome
        {
            assert_eq!((from, to), (self.relayed, self.peer.0));
            self.heard.push(payload.try_into().unwrap());
        }
    }

    /// Wherever the client is in the end, it gets its allocation there.
    fn arrive(&mut self, transport: Transport) {
        self.world.release_mail();
        self.listen();
        // If an allocation was between two shards, the next retransmission finds it.
        self.show();
        self.listen();
        assert_eq!(self.refresh, None, "all that was shown is answered");
        self.roam(2, transport);
        let before = self.heard.len();
        (0..3).for_each(|_| self.send());
        assert_eq!(self.heard.len(), before + 3);
        assert_eq!(self.world.allocations(), 1);
        assert_eq!(self.world.server(2).allocations(), 1);
    }

    /// The packets of each 5-tuple, or of each of its connections, come in their order and once.
    fn assert_order(&self) {
        for station in 1..=self.stations {
            let station = station.to_be_bytes();
            let of_it = self.heard.iter().filter(|it| it[..2] == station);
            assert!(of_it.is_sorted_by(|a, b| a < b), "{:?}", self.heard);
        }
    }
}

fn travel(steps: &[Step], transport: Transport) {
    let mut journey = Journey::new(transport);
    for step in steps {
        journey.step(*step, transport);
    }
    journey.arrive(transport);
    journey.assert_order();
    journey.world.advance(minutes(10));
    assert!(journey.world.is_idle());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn wherever_a_client_goes_its_packets_keep_their_order_and_its_allocation_follows(
        steps in prop::collection::vec(step(), 1..60),
        is_tcp in any::<bool>(),
    ) {
        travel(&steps, if is_tcp { Transport::Tcp } else { Transport::Udp });
    }
}

const SHARDS: usize = 3;
