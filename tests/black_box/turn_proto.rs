//! ystreet's `turn-client-proto`: a client that speaks RFC 8489's newer authentication.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use client::Transport;
use lab::{
    PATIENCE,
    server::{PASSWORD, PORT, USER, serving},
    setup::Setup,
    socket::{LiveSocket, assert_hears, peer_at},
    world::{PEER_V4, PEER_V6, SERVER_V4, in_own_world},
};
use stun_proto::{
    Instant as Moment,
    agent::Transmit,
    auth::Feature,
    types::{TransportType, message::IntegrityAlgorithm},
};
use turn_client_proto::{
    api::{TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet},
    client::TurnClient,
    prelude::DelayedTransmitBuild,
    tcp::TurnClientTcp,
    types::{AddressFamily, TurnCredentials},
    udp::TurnClientUdp,
};

#[test]
fn a_client_that_knows_sha256_has_a_whole_session_with_it_over_udp() {
    serving(Setup::default(), |_, _| {
        whole_session(Agent::new(TransportType::Udp, sha256()));
    });
}

#[test]
fn a_client_that_knows_sha256_has_a_whole_session_with_it_over_tcp() {
    serving(Setup::default(), |_, _| {
        whole_session(Agent::new(TransportType::Tcp, sha256()));
    });
}

#[test]
fn where_sha256_is_required_who_knows_it_is_served() {
    serving(Setup::default().with("auth.sha256 = 'require'"), |_, _| {
        let mut both = TurnConfig::new(credentials());
        both.add_supported_integrity(IntegrityAlgorithm::Sha256);
        whole_session(Agent::new(TransportType::Udp, both));
        whole_session(Agent::new(TransportType::Tcp, sha256()));
    });
}

#[test]
fn where_sha256_is_required_who_knows_only_sha1_gets_nothing() {
    in_own_world(|world| {
        let server =
            world.serve(Setup::default().with("auth.sha256 = 'require'\nlog.level = 'debug'"));
        let mut sha1 = TurnConfig::new(credentials());
        let once = Duration::from_millis(300);
        sha1.set_request_retransmits(once, once, 1, once);
        Agent::new(TransportType::Udp, sha1).is_refused();
        assert!(!server.log().contains("allocation.opened"));
    });
}

/// It names MD5 where it has to choose, and still signs and expects SHA-1.
#[test]
fn a_client_that_knows_only_sha1_has_a_whole_session_with_it() {
    in_own_world(|world| {
        for (port, sha256) in [(3478, "offer"), (3479, "off")] {
            let _server =
                world.serve(Setup::on_port(port).with(&format!("auth.sha256 = '{sha256}'")));
            for transport in [TransportType::Udp, TransportType::Tcp] {
                let sha1 = TurnConfig::new(credentials());
                whole_session(Agent::at(port, transport, sha1));
            }
        }
    });
}

#[test]
fn a_client_that_hides_its_name_has_a_whole_session_and_never_tells_it() {
    serving(Setup::default().with("auth.secrets = []"), |_, server| {
        for transport in [TransportType::Udp, TransportType::Tcp] {
            let mut anonymous = sha256();
            anonymous.set_anonymous_username(Feature::Required);
            let said = whole_session(Agent::new(transport, anonymous));
            let name = USER.as_bytes();
            assert!(!said.windows(name.len()).any(|part| part == name));
        }
        // The server knows it all the same.
        assert!(server.log().contains(&format!("user=\"{USER}\"")));
    });
}

#[test]
fn a_dual_allocation_under_sha256_reaches_peers_of_both_families() {
    serving(Setup::default(), |_, _| {
        let mut config = sha256();
        config.add_address_family(AddressFamily::IPV6);
        let mut agent = Agent::new(TransportType::Udp, config);
        let mut relayed = [agent.allocated(), agent.allocated()];
        relayed.sort();
        let peers = [IpAddr::from(PEER_V4), PEER_V6.into()];
        for (relayed, peer) in relayed.into_iter().zip(peers) {
            let (peer, address) = peer_at(peer);
            agent.permit(address.ip());
            agent.exchange(&peer, relayed, "by an indication");
        }
        agent.delete();
    });
}

fn credentials() -> TurnCredentials {
    TurnCredentials::new(USER, PASSWORD)
}

/// A client that accepts nothing older.
fn sha256() -> TurnConfig {
    let mut config = TurnConfig::new(credentials());
    config.set_supported_integrity(IntegrityAlgorithm::Sha256);
    config
}

/// Allocate, Refresh, permission, channel, data both ways by either, and the end. Returns all that
/// the client sent.
fn whole_session(mut agent: Agent) -> Vec<u8> {
    let relayed = agent.allocated();
    agent.outlives_its_first_lifetime();
    let (peer, address) = peer_at(PEER_V4);
    agent.permit(address.ip());
    agent.exchange(&peer, relayed, "by an indication");
    agent.bind(address);
    agent.exchange(&peer, relayed, "by a channel");
    agent.delete();
    agent.said
}

/// The client and its socket.
struct Agent {
    client: TurnClient,
    socket: LiveSocket,
    began: Instant,
    /// How far the client's clock is ahead of ours.
    ahead: Duration,
    said: Vec<u8>,
}

impl Agent {
    fn new(transport: TransportType, config: TurnConfig) -> Self {
        Self::at(PORT, transport, config)
    }

    fn at(port: u16, transport: TransportType, config: TurnConfig) -> Self {
        let server = SocketAddr::from((SERVER_V4, port));
        let (socket, client) = match transport {
            TransportType::Udp => {
                let socket = LiveSocket::to(server, Transport::Udp, 0);
                let client = TurnClientUdp::allocate(socket.address(), server, config);
                (socket, client.into())
            }
            TransportType::Tcp => {
                let socket = LiveSocket::to(server, Transport::Tcp, 0);
                let client = TurnClientTcp::allocate(socket.address(), server, config);
                (socket, client.into())
            }
        };
        Self {
            client,
            socket,
            began: Instant::now(),
            ahead: Duration::ZERO,
            said: Vec::new(),
        }
    }

    /// The next relayed address.
    fn allocated(&mut self) -> SocketAddr {
        let event = self.event();
        let TurnEvent::AllocationCreated(_, relayed) = event else {
            panic!("an Allocate led to {event:?}");
        };
        relayed
    }

    fn is_refused(&mut self) {
        let event = self.event();
        assert!(
            matches!(event, TurnEvent::AllocationCreateFailed(_)),
            "{event:?}"
        );
    }

    /// Moves the client's clock to a moment when it refreshes, and to one when the allocation would
    /// have ended without that.
    fn outlives_its_first_lifetime(&mut self) {
        for minutes in [29, 2] {
            self.ahead += Duration::from_secs(minutes * 60);
            let heard = self.said.len();
            // The answer to a Refresh is waited for: without it the client would ask again later.
            let mut silences = if minutes == 29 { ANSWER } else { 1 };
            while silences > 0 {
                silences = if self.turn().is_some() {
                    1
                } else {
                    silences - 1
                };
            }
            let refreshed = self.said.len() > heard;
            assert_eq!(refreshed, minutes == 29, "a Refresh, once");
        }
        assert_eq!(self.client.relayed_addresses().count(), 1);
    }

    fn permit(&mut self, peer: IpAddr) {
        let now = self.now();
        let asked = self.client.create_permission(TransportType::Udp, peer, now);
        asked.expect("an allocation");
        let event = self.event();
        assert!(
            matches!(event, TurnEvent::PermissionCreated(_, ip) if ip == peer),
            "{event:?}"
        );
    }

    fn bind(&mut self, peer: SocketAddr) {
        let now = self.now();
        let asked = self.client.bind_channel(TransportType::Udp, peer, now);
        asked.expect("an allocation");
        let event = self.event();
        assert!(
            matches!(event, TurnEvent::ChannelCreated(_, bound) if bound == peer),
            "{event:?}"
        );
    }

    /// Data to the peer and back. Its length is a multiple of four: on streams the client neither
    /// pads ChannelData, as RFC 8656 §12.5 demands, nor expects it to be padded.
    fn exchange(&mut self, peer: &UdpSocket, relayed: SocketAddr, words: &str) {
        let address = peer.local_addr().expect("a bound socket");
        let now = self.now();
        let sent = self
            .client
            .send_to(TransportType::Udp, address, words.as_bytes(), now);
        let sent = sent.expect("a permission").expect("something to send");
        self.say(&sent.data.build());

        assert_hears(peer, relayed, words.as_bytes());
        peer.send_to(b"heard it", relayed).expect("a route");
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the peer was not heard");
            if let Some(Step::Data(from, payload)) = self.turn() {
                assert_eq!((from, &payload[..]), (address, &b"heard it"[..]));
                return;
            }
        }
    }

    fn delete(&mut self) {
        let now = self.now();
        self.client.delete(now).expect("an allocation");
        let deadline = Instant::now() + PATIENCE;
        while !matches!(self.client.poll(self.now()), TurnPollRet::Closed) {
            assert!(Instant::now() < deadline, "the end was not granted");
            self.turn();
        }
    }

    #[track_caller]
    fn event(&mut self) -> TurnEvent {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nothing came of it");
            if let Some(Step::Event(event)) = self.turn() {
                return event;
            }
        }
    }

    /// Sends the client's packets and takes those that come within a moment.
    fn turn(&mut self) -> Option<Step> {
        let now = self.now();
        self.client.poll(now);
        if let Some(event) = self.client.poll_event() {
            return Some(Step::Event(event));
        }
        if let Some(data) = self.client.poll_recv(now) {
            return Some(Step::Data(data.peer, data.data().to_vec()));
        }
        while let Some(transmit) = self.client.poll_transmit(now) {
            self.say(&transmit.data);
        }
        let packet = self.hear()?;
        let (transport, from, to) = (
            self.client.transport(),
            self.client.remote_addr(),
            self.client.local_addr(),
        );
        let heard = Transmit::new(packet, transport, from, to);
        match self.client.recv(heard, now) {
            TurnRecvRet::PeerData(data) => Some(Step::Data(data.peer, data.data().to_vec())),
            // The client ignores a refusal that it cannot answer, and gives up in its own time.
            TurnRecvRet::Handled | TurnRecvRet::Ignored(_) => Some(Step::Heard),
            icmp @ TurnRecvRet::PeerIcmp { .. } => panic!("nothing is unreachable: {icmp:?}"),
        }
    }

    fn now(&self) -> Moment {
        Moment::from_std(self.began) + self.ahead
    }

    fn say(&mut self, packet: &[u8]) {
        self.said.extend_from_slice(packet);
        self.socket.send(packet);
    }

    /// The packet that comes within a moment, if one does.
    fn hear(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        let moment = Duration::from_millis(200);
        let length = self.socket.receive(&mut buffer, moment)?;
        buffer.truncate(length);
        Some(buffer)
    }
}

/// How many moments an answer may take.
const ANSWER: u32 = 100;

/// The result of a turn.
enum Step {
    Event(TurnEvent),
    Data(SocketAddr, Vec<u8>),
    Heard,
}
