//! ystreet's `turn-client-proto` over RFC 6062: its TCP allocation connects to peers. It takes no connection of
//! a peer: it awaits ConnectionAttempt as a request, which is an indication (RFC 6062 §5.3).

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use lab::{
    PATIENCE,
    server::{PASSWORD, PORT, USER, serving},
    setup::Setup,
    world::{PEER_V4, SERVER_V4},
};
use stun_proto::{Instant as Moment, agent::Transmit, types::TransportType};
use turn_client_proto::{
    api::{TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet},
    prelude::DelayedTransmitBuild,
    tcp::TurnClientTcp,
    types::TurnCredentials,
};

#[test]
fn another_client_has_connections_to_two_peers_over_tcp() {
    let setup = Setup::default().with("threads = 2\nallocation.tcp = true");
    serving(setup, |_, _| {
        let mut agent = Agent::new();
        let relayed = agent.allocated();
        agent.permit(PEER_V4.into());
        let peers = [b"to the first peer", b"to the other one "].map(|words| {
            let listener = TcpListener::bind((PEER_V4, 0)).expect("a free port");
            let address = listener.local_addr().expect("a bound socket");
            let asked = agent.client.tcp_connect(address, agent.now());
            asked.expect("a permission");
            agent.connected_to(address);
            let (peer, from) = listener.accept().expect("a connection");
            assert_eq!(from, relayed);
            agent.exchange(&peer, address, words);
            (peer, address)
        });
        // Both are there at once.
        for (peer, address) in &peers {
            agent.exchange(peer, *address, b"and still");
        }
    });
}

/// The client, its control connection, and one connection for each peer.
struct Agent {
    client: TurnClientTcp,
    streams: Vec<TcpStream>,
    began: Instant,
}

impl Agent {
    fn new() -> Self {
        let control = connection();
        let mut config = TurnConfig::new(TurnCredentials::new(USER, PASSWORD));
        config.set_allocation_transport(TransportType::Tcp);
        Self {
            client: TurnClientTcp::allocate(local(&control), server(), config),
            streams: vec![control],
            began: Instant::now(),
        }
    }

    fn allocated(&mut self) -> SocketAddr {
        let event = self.event();
        let TurnEvent::AllocationCreated(TransportType::Tcp, relayed) = event else {
            panic!("an Allocate led to {event:?}");
        };
        relayed
    }

    fn permit(&mut self, peer: IpAddr) {
        let now = self.now();
        let asked = self.client.create_permission(TransportType::Tcp, peer, now);
        asked.expect("an allocation");
        let event = self.event();
        assert!(
            matches!(event, TurnEvent::PermissionCreated(_, ip) if ip == peer),
            "{event:?}"
        );
    }

    #[track_caller]
    fn connected_to(&mut self, peer: SocketAddr) {
        let event = self.event();
        assert!(
            matches!(event, TurnEvent::TcpConnected(to) if to == peer),
            "{event:?}"
        );
    }

    /// Words to the peer and back.
    fn exchange(&mut self, mut peer: &TcpStream, address: SocketAddr, words: &[u8]) {
        let now = self.now();
        let sent = self.client.send_to(TransportType::Tcp, address, words, now);
        let sent = sent.expect("a connection").expect("something to send");
        self.say(sent.from, &sent.data.build());
        let mut heard = vec![0; words.len()];
        peer.set_read_timeout(Some(PATIENCE)).expect("not zero");
        peer.read_exact(&mut heard).expect("the client speaks");
        assert_eq!(heard, words);

        peer.write_all(b"heard it").expect("a connection");
        let mut answer = Vec::new();
        self.until(|step| {
            if let Step::Data(from, payload) = step {
                assert_eq!(from, address);
                answer.extend(payload);
            }
            (answer.len() >= 8).then_some(())
        });
        assert_eq!(answer, b"heard it");
    }

    #[track_caller]
    fn event(&mut self) -> TurnEvent {
        self.until(|step| match step {
            Step::Event(event) => Some(event),
            Step::Data(..) | Step::Nothing => None,
        })
    }

    #[track_caller]
    fn until<T>(&mut self, mut find: impl FnMut(Step) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nothing came of it");
            let step = self.turn();
            if let Some(found) = find(step) {
                return found;
            }
        }
    }

    /// Sends what the client has to say, makes the connections that it asks for, and hears one of all.
    fn turn(&mut self) -> Step {
        let now = self.now();
        if let TurnPollRet::AllocateTcpSocket {
            id,
            socket,
            peer_addr,
        } = self.client.poll(now)
        {
            let data = connection();
            let own = Some(local(&data));
            let made = (self.client).allocated_tcp_socket(id, socket, peer_addr, own, now);
            made.expect("it was asked for");
            self.streams.push(data);
        }
        if let Some(event) = self.client.poll_event() {
            return Step::Event(event);
        }
        if let Some(data) = self.client.poll_recv(now) {
            return Step::Data(data.peer, data.data().to_vec());
        }
        while let Some(transmit) = self.client.poll_transmit(now) {
            self.say(transmit.from, &transmit.data);
        }
        self.hear(now)
    }

    fn hear(&mut self, now: Moment) -> Step {
        let mut buffer = [0; 2048];
        for stream in &mut self.streams {
            let length = match stream.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("{error}"),
            };
            let packet = buffer[..length].to_vec();
            let heard = Transmit::new(packet, TransportType::Tcp, server(), local(stream));
            return match self.client.recv(heard, now) {
                TurnRecvRet::PeerData(data) => Step::Data(data.peer, data.data().to_vec()),
                TurnRecvRet::Handled | TurnRecvRet::Ignored(_) => Step::Nothing,
                icmp @ TurnRecvRet::PeerIcmp { .. } => panic!("nothing is unreachable: {icmp:?}"),
            };
        }
        Step::Nothing
    }

    fn say(&mut self, from: SocketAddr, packet: &[u8]) {
        let mut streams = self.streams.iter_mut();
        let stream = streams.find(|stream| local(stream) == from);
        let stream = stream.expect("a connection of this client");
        stream.write_all(packet).expect("the server reads");
    }

    fn now(&self) -> Moment {
        Moment::from_std(self.began)
    }
}

/// The result of a turn.
enum Step {
    Event(TurnEvent),
    Data(SocketAddr, Vec<u8>),
    Nothing,
}

fn server() -> SocketAddr {
    (SERVER_V4, PORT).into()
}

fn local(stream: &TcpStream) -> SocketAddr {
    stream.local_addr().expect("a connection")
}

/// A connection to the server, which is read for a moment only.
fn connection() -> TcpStream {
    let stream = TcpStream::connect(server()).expect("a server");
    let moment = Some(Duration::from_millis(20));
    stream.set_read_timeout(moment).expect("not zero");
    stream
}
