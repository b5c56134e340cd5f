//! A shard on loopback with its clients and their peers: each is a socket of the test.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use client::{AllocateOptions, Client, Credentials, Event};
use relay::policy::{Mode, Own, Policy};
use relay::{
    AddressFamily, Allowance, ChannelNumber, Keys, PortRange, ProcessSecret, RelayAddress, RelayId,
    Rules, Transport,
};
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, yield_now};

use super::outcome::{LARGEST, Outcome};
use super::packet::Packet;
use super::stream::Stream;
use super::{Down, Up};
use crate::gate::Place;
use crate::local::{Handle, Local};
use crate::marking::Marking;
use crate::shard::Shard;
use crate::tests::{BINDING, blueprint};
use crate::{ListenerOptions, Offload, Transports, bind, listeners, udp};

/// How many clients: each two of them have a family of listener in common, and each other two one of
/// relayed addresses.
pub(super) const CLIENTS: usize = 4;

/// The world of a test.
pub(super) struct Hosts {
    pub(super) shard: Handle,
    // Within the runtime, its tasks are gone before it.
    tasks: LocalSet,
    runtime: Runtime,
    transport: Transport,
    clients: Vec<Guest>,
    /// The clients' connections by their addresses, if they have some.
    pub(super) streams: BTreeMap<SocketAddr, Stream>,
    /// All other sockets of the test.
    pub(super) sockets: Vec<UdpSocket>,
    places: HashMap<SocketAddr, usize>,
    /// The relay sockets by their addresses.
    pub(super) relays: HashMap<SocketAddr, RelayId>,
    /// How many datagrams were heard with another one in one message.
    pub(super) together: usize,
    /// How many datagrams were sent to the shard with another one in one call.
    pub(super) sent_in_runs: Cell<u64>,
}

/// A client with an allocation and a channel.
struct Guest {
    turn: Client,
    address: SocketAddr,
    listener: SocketAddr,
    relayed: SocketAddr,
    /// The address of its relay socket, which a NAT may hide.
    local: SocketAddr,
    /// To the first of these.
    channel: ChannelNumber,
    /// On the channel, beside it, and without a permission.
    peers: [SocketAddr; 3],
}

impl Hosts {
    /// With clients over this transport.
    pub(super) fn new(transport: Transport, is_behind_nat: bool) -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let _entered = runtime.enter();
        let loopbacks = [LOOPBACK, LOOPBACK_V6];
        let options = loopbacks.map(|ip| ListenerOptions {
            transports: Transports::Only(transport),
            listen: (ip, 0).into(),
        });
        let bound = bind::listeners(&options, Vec::new(), 1, Offload::Auto.find()).unwrap();
        let at = [bound[0].listen, bound[1].listen];
        let blueprint = blueprint(bound, config(is_behind_nat));
        let (_, exits) = runtime.block_on(blueprint.inbox.lanes.ends());
        let shard = Rc::new(Local::new(Shard::new(&blueprint), exits));
        let tasks = LocalSet::new();
        let following = listeners::follow(&shard, &blueprint.listeners);
        tasks.block_on(&runtime, following).unwrap();
        let mut hosts = Self {
            shard,
            tasks,
            runtime,
            clients: Vec::new(),
            transport,
            streams: BTreeMap::new(),
            sockets: Vec::new(),
            places: HashMap::new(),
            relays: HashMap::new(),
            together: 0,
            sent_in_runs: Cell::new(0),
        };
        for (listener, is_v6) in [(0, false), (0, true), (1, false), (1, true)] {
            hosts.admit(at[listener], is_v6 && !is_behind_nat);
        }
        hosts.introduce();
        hosts
    }

    /// A new client of this listener, with an allocation of a family, and with peers.
    fn admit(&mut self, listener: SocketAddr, is_v6: bool) {
        let address = self.connect(listener);
        let peers = if is_v6 {
            let [on, beside] = [(); 2].map(|()| self.bind(LOOPBACK_V6));
            [on, beside, (Ipv6Addr::LOCALHOST, 9).into()]
        } else {
            let [on, beside] = [(); 2].map(|()| self.bind(PEERS));
            [on, beside, self.bind(STRANGERS)]
        };
        let mut config = client::Config::new(self.transport);
        config.credentials = Some(Credentials::new("alice", "wonderland").unwrap());
        let seed = [self.clients.len() as u8; 32];
        let mut turn = Client::new(config, seed);
        let family = if is_v6 {
            AddressFamily::V6
        } else {
            AddressFamily::V4
        };
        let now = Instant::now();
        let family = Some(family);
        turn.allocate(
            now,
            AllocateOptions {
                family,
                ..AllocateOptions::default()
            },
        );
        let allocated = self.event(&mut turn, address, listener);
        let Event::Allocated { relayed, .. } = allocated else {
            panic!("{allocated:?}");
        };
        let channel = turn.bind_channel(now, peers[0]).unwrap();
        let bound = self.event(&mut turn, address, listener);
        assert!(matches!(bound, Event::ChannelBound { .. }), "{bound:?}");
        // A peer that has sent an empty datagram may be sent some.
        turn.send(peers[0], &[]).unwrap();
        let ip = if is_v6 { LOOPBACK_V6 } else { LOOPBACK };
        self.clients.push(Guest {
            turn,
            address,
            listener,
            relayed,
            local: (ip, relayed.port()).into(),
            channel,
            peers,
        });
    }

    /// Lets each client hear another one's relayed address.
    fn introduce(&mut self) {
        for at in 0..CLIENTS {
            let relayed = self.clients[other(at)].relayed;
            let mut guest = self.clients.remove(at);
            guest.turn.create_permission(Instant::now(), &[relayed]);
            let event = self.event(&mut guest.turn, guest.address, guest.listener);
            let is_done = matches!(event, Event::PermissionCreated { .. });
            assert!(is_done, "{event:?}");
            self.clients.insert(at, guest);
        }
        // The empty datagrams of the beginning.
        self.drain();
    }

    fn connect(&mut self, listener: SocketAddr) -> SocketAddr {
        if !self.transport.is_stream() {
            return self.bind(listener.ip());
        }
        let stream = Stream::to(listener);
        let address = stream.address();
        self.streams.insert(address, stream);
        address
    }

    fn bind(&mut self, ip: IpAddr) -> SocketAddr {
        // These tell DSCP and ECN, too.
        let socket: UdpSocket =
            bind::relay((ip, 0).into(), Offload::Auto.find(), bind::SOCKET_BUFFER)
                .unwrap()
                .into();
        let address = socket.local_addr().unwrap();
        self.places.insert(address, self.sockets.len());
        self.sockets.push(socket);
        address
    }

    pub(super) fn socket(&self, address: SocketAddr) -> &UdpSocket {
        &self.sockets[self.places[&address]]
    }

    /// The next event of a client that asks for something.
    fn event(&mut self, turn: &mut Client, address: SocketAddr, listener: SocketAddr) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(packet) = turn.poll_transmit() {
                self.put(address, listener, &packet);
            }
            if let Some(event) = turn.poll_event() {
                return event;
            }
            assert!(Instant::now() < deadline, "no answer");
            self.serve();
            for packet in self.take(address) {
                turn.handle_input(Instant::now(), &packet);
            }
        }
    }

    /// Sends a packet of a client.
    fn put(&mut self, address: SocketAddr, listener: SocketAddr, packet: &[u8]) {
        match self.streams.get_mut(&address) {
            Some(stream) => stream.send(packet),
            None => {
                self.socket(address).send_to(packet, listener).unwrap();
            }
        }
    }

    /// The packets that came to a client.
    fn take(&mut self, address: SocketAddr) -> Vec<Vec<u8>> {
        if let Some(stream) = self.streams.get_mut(&address) {
            return stream.frames();
        }
        let mut buffer = [0; 2_048];
        let length = self.socket(address).recv(&mut buffer);
        length
            .iter()
            .map(|length| buffer[..*length].to_vec())
            .collect()
    }

    /// Lets the shard work for a moment.
    pub(super) fn serve(&mut self) {
        let shard = &self.shard;
        let relays = &mut self.relays;
        self.tasks.block_on(&self.runtime, async {
            let unread = std::mem::take(&mut shard.shard.borrow_mut().unread);
            for relay in unread {
                let mut shard_now = shard.shard.borrow_mut();
                let open = shard_now.egress.relays.get_mut(relay).unwrap();
                let local = open.socket.get_ref().local_addr().unwrap();
                relays.insert(local.as_socket().unwrap(), relay);
                let place = Place::of(relay.index() as u64);
                tokio::task::spawn_local(udp::relay(Rc::clone(shard), relay, place));
            }
            shard.shard.borrow_mut().gates.begin_round();
            yield_now().await;
        });
    }

    /// A packet of a client; `None` if there is none of this form and length.
    pub(super) fn of_client(&mut self, at: usize, form: Up, payload: &[u8]) -> Option<Packet> {
        let other = self.clients[other(at)].relayed;
        let guest = &mut self.clients[at];
        let [peer, beside, stranger] = guest.peers;
        let stranger = if stranger.is_ipv6() {
            NOBODY_V6.into()
        } else {
            stranger
        };
        let turn = &mut guest.turn;
        let sent = match form {
            Up::Channel { .. } => turn.send_channel(guest.channel, payload),
            Up::Unbound => turn.send_channel(ChannelNumber::new(0x4FFF)?, payload),
            Up::Indication {
                dont_fragment: false,
            } => turn.send(beside, payload),
            Up::Indication {
                dont_fragment: true,
            } => turn.send_unfragmented(peer, payload),
            Up::ToRelay => turn.send(other, payload),
            Up::Unpermitted => turn.send(stranger, payload),
            Up::Binding => Ok(()),
        };
        let mut bytes = match form {
            Up::Binding => BINDING.to_vec(),
            Up::Channel { .. }
            | Up::Unbound
            | Up::Indication { .. }
            | Up::ToRelay
            | Up::Unpermitted => sent.ok().and_then(|()| turn.poll_transmit())?,
        };
        if let Up::Channel { is_padded: true } = form {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        (bytes.len() <= LARGEST).then_some(Packet {
            from: guest.address,
            to: guest.listener,
            transport: self.transport,
            marking: Marking::PLAIN,
            bytes,
        })
    }

    /// A datagram of a peer.
    pub(super) fn of_peer(&self, at: usize, form: Down, payload: &[u8]) -> Option<Packet> {
        let Guest { local, peers, .. } = self.clients[at];
        let from = match form {
            Down::Channel => peers[0],
            Down::Refused if local.is_ipv4() => peers[2],
            Down::Refused | Down::Beside => peers[1],
        };
        Some(Packet {
            from,
            to: local,
            transport: Transport::Udp,
            marking: Marking::PLAIN,
            bytes: payload.to_vec(),
        })
    }

    /// Leaves nothing of what was sent so far.
    fn drain(&mut self) {
        for at in 0..CLIENTS {
            let Guest {
                address, listener, ..
            } = self.clients[at];
            while let Some(packet) = self.clients[at].turn.poll_transmit() {
                self.put(address, listener, &packet);
            }
        }
        let sent = |hosts: &Self| hosts.shard.shard.borrow().server.counters().sent.packets;
        let deadline = Instant::now() + PATIENCE;
        let mut outcome = Outcome::default();
        while sent(self) < CLIENTS as u64 || outcome.heard.len() < CLIENTS {
            assert!(Instant::now() < deadline, "{outcome:?}");
            self.serve();
            self.listen(&mut outcome);
        }
    }
}

/// The client that has relayed addresses of the same family.
const fn other(client: usize) -> usize {
    (client + 2) % CLIENTS
}

/// Nothing that depends on when a packet comes.
fn config(is_behind_nat: bool) -> relay::Config {
    let external = if is_behind_nat { EXTERNAL } else { LOOPBACK };
    let relays = vec![
        RelayAddress {
            local: LOOPBACK,
            external,
        },
        RelayAddress {
            local: LOOPBACK_V6,
            external: LOOPBACK_V6,
        },
    ];
    let mut own: Vec<IpAddr> = vec![LOOPBACK, LOOPBACK_V6, external];
    own.sort_unstable();
    own.dedup();
    let own = Own {
        listeners: vec![],
        addresses: vec![],
        relays: own,
        relay_ports: PORTS.0..=PORTS.1,
    };
    let allowed = ["127.0.0.0/8", "::1"].map(|network| network.parse().unwrap());
    let policy = Policy::new(Mode::Closed, allowed.to_vec(), vec![], own);
    let mut keys = Keys::new("hairpin.test");
    keys.add_user("alice", "wonderland").unwrap();
    let mut rules = Rules::new(keys, policy);
    rules.quality = None;
    rules.unauthenticated = Allowance {
        per_prefix: None,
        total: None,
    };
    let ports = PortRange::new(PORTS.0, PORTS.1).unwrap();
    relay::Config::new(ProcessSecret([7; 32]), relays, ports, rules)
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// The address of a NAT in front of this host.
const EXTERNAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Loopback has them, too.
const PEERS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const STRANGERS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const NOBODY_V6: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 7), 9);

/// Ports of relayed addresses, below those that the system gives out.
const PORTS: (u16, u16) = (21_000, 21_999);

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
