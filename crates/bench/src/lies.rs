//! Servers that do not pass on what they were given, and whether the load generator sees it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use wire::attributes::{
    ChannelNumberAttribute, Data, Lifetime, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use wire::{
    ChannelData, ChannelNumber, Class, Message, Method, RelayHeader, TransactionId, Writer,
};

use crate::measured::{Measured, Packets};
use crate::packet::{Stamp, TRIAL};
use crate::{Fault, Mode, Plan, Rate, Transport};

/// What a server does with the packets of a load. Trials pass as they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Nothing: they pass.
    None,
    /// Those of one flow leave as those of another one.
    Swapped,
    /// They come from another peer: on another channel, or with another address.
    OtherPeer,
    /// In Data indications in place of channels.
    OtherFraming,
    /// Bare.
    NoFraming,
    /// Every other one is lost, and those between are there twice.
    Doubled,
    /// One byte in the middle is another one.
    Changed,
    /// They pass, but once the server stands still.
    Pause,
}

/// A server without credentials.
struct Server {
    socket: UdpSocket,
    flows: Mutex<Vec<Flow>>,
    lie: Lie,
}

/// A client with its relay socket and its only peer.
struct Flow {
    client: SocketAddr,
    relay: UdpSocket,
    peer: Option<SocketAddr>,
    number: Option<ChannelNumber>,
}

impl Server {
    /// Takes what clients send, until nothing comes any more.
    fn serve(self: Arc<Self>) {
        let mut packet = [0; 2_048];
        while let Ok((length, client)) = self.socket.recv_from(&mut packet) {
            let packet = &packet[..length];
            if let Ok(data) = ChannelData::parse(packet) {
                self.up(client, data.payload);
                continue;
            }
            let message = Message::parse(packet).expect("the client's own");
            match message.get::<Data<'_>>().expect("readable") {
                Some(Data(payload)) => self.up(client, payload),
                None => self.answer(&message, client),
            }
        }
    }

    fn answer(self: &Arc<Self>, request: &Message<'_>, client: SocketAddr) {
        let mut answer = Vec::new();
        let (method, id) = (request.method(), request.transaction());
        let mut writer = Writer::new(&mut answer, method, Class::Success, id);
        writer.put(&XorMappedAddress(client)).put(&Lifetime(600));
        if method == Method::Allocate {
            writer.put(&XorRelayedAddress(self.allocate(client)));
        }
        let mut flows = self.flows.lock().unwrap();
        if let Some(flow) = flows.iter_mut().find(|flow| flow.client == client)
            && let Ok(Some(XorPeerAddress(peer))) = request.get()
        {
            flow.peer = Some(peer);
            let number: Option<ChannelNumberAttribute> = request.get().unwrap();
            flow.number = number.and_then(|number| ChannelNumber::new(number.0));
        }
        self.socket.send_to(&answer, client).unwrap();
    }

    fn allocate(self: &Arc<Self>, client: SocketAddr) -> SocketAddr {
        let relay = socket();
        let mut flows = self.flows.lock().unwrap();
        flows.push(Flow {
            client,
            relay: relay.try_clone().unwrap(),
            peer: None,
            number: None,
        });
        let (place, server) = (flows.len() - 1, Arc::clone(self));
        let relayed = relay.local_addr().unwrap();
        thread::spawn(move || {
            let mut payload = [0; 2_048];
            while let Ok((length, _)) = relay.recv_from(&mut payload) {
                server.down(place, &payload[..length]);
            }
        });
        relayed
    }

    /// From a client to its peer.
    fn up(&self, client: SocketAddr, payload: &[u8]) {
        let flows = self.flows.lock().unwrap();
        let place = flows.iter().position(|flow| flow.client == client).unwrap();
        let peer = flows[place].peer.unwrap();
        let is_own = |flow: &Flow| flow.relay.local_addr().unwrap() == peer;
        // On its way between two clients a packet passes twice; the lie is told once.
        let lie = if flows.iter().any(is_own) {
            Lie::None
        } else {
            self.lie
        };
        for (lie, payload) in told(lie, payload) {
            let flow = &flows[lie.flow(place)];
            flow.relay.send_to(&payload, flow.peer.unwrap()).unwrap();
        }
    }

    /// From a peer to a client.
    fn down(&self, place: usize, payload: &[u8]) {
        let flows = self.flows.lock().unwrap();
        for (lie, payload) in told(self.lie, payload) {
            let flow = &flows[lie.flow(place)];
            let packet = lie.framed(flow, &payload);
            self.socket.send_to(&packet, flow.client).unwrap();
        }
    }
}

impl Lie {
    fn flow(self, place: usize) -> usize {
        place ^ usize::from(self == Self::Swapped)
    }

    /// What a client receives.
    fn framed(self, flow: &Flow, payload: &[u8]) -> Vec<u8> {
        let is_other = self == Self::OtherPeer;
        let indication = || {
            let mut message = Vec::new();
            let id = TransactionId::new([7; 12]);
            let mut peer = flow.peer.unwrap();
            peer.set_port(peer.port() ^ u16::from(is_other));
            let mut writer = Writer::new(&mut message, Method::Data, Class::Indication, id);
            writer.put(&XorPeerAddress(peer)).put(&Data(payload));
            message
        };
        match flow.number {
            _ if self == Self::NoFraming => payload.to_vec(),
            Some(number) if self != Self::OtherFraming => {
                let number = ChannelNumber::new(number.get() ^ u16::from(is_other)).unwrap();
                let header = RelayHeader::channel_data(number, payload.len());
                [&header[..], payload].concat()
            }
            Some(_) | None => indication(),
        }
    }
}

/// The packets that become of one, each with the lie that is left to tell of it.
fn told(lie: Lie, payload: &[u8]) -> Vec<(Lie, Vec<u8>)> {
    let (stamp, _) = Stamp::read(payload).expect("a payload of the load");
    let mut payload = payload.to_vec();
    if stamp.lane == TRIAL {
        return vec![(Lie::None, payload)];
    }
    match lie {
        Lie::Doubled if stamp.number % 2 == 1 => return Vec::new(),
        Lie::Doubled => return vec![(lie, payload.clone()), (lie, payload)],
        Lie::Changed => payload[100] ^= 1,
        // The first that was to leave after half a second, which is within the measured time.
        Lie::Pause if stamp.lane == 0 && stamp.number == PAUSE_AT => thread::sleep(PAUSE),
        Lie::None
        | Lie::Swapped
        | Lie::OtherPeer
        | Lie::OtherFraming
        | Lie::NoFraming
        | Lie::Pause => {}
    }
    vec![(lie, payload)]
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((LOCAL, 0)).unwrap();
    // It ends with its test: nothing comes any more.
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

/// The findings of a load of 400 packets a second and flow on such a server; none if no trial came through in time, as
/// on a host that stands still.
fn measured(mode: Mode, indications: bool, lie: Lie) -> Option<Measured> {
    let server = Arc::new(Server {
        socket: socket(),
        flows: Mutex::default(),
        lie,
    });
    let address = server.socket.local_addr().unwrap();
    thread::spawn(|| server.serve());
    let plan = Plan {
        server: address,
        transport: Transport::Udp,
        trust: None,
        credentials: None,
        peer: Some(LOCAL),
        mode,
        indications,
        payload: 160,
        burst: 1,
        together: false,
        flows: if mode == Mode::Relay { 4 } else { 2 },
        rate: Rate::Even(800),
        duration: Duration::from_millis(if lie == Lie::Pause { 800 } else { 200 }),
        threads: 1,
        pid: None,
    };
    match crate::run(&plan, &mut |_| ()) {
        Err(Fault::NoWay { .. } | Fault::NoWayBack { .. }) => None,
        outcome => Some(outcome.unwrap()),
    }
}

/// Every mode with data, on channels and in indications.
fn everywhere(lie: Lie, check: impl Fn(Packets) -> bool + Sync) {
    thread::scope(|scope| {
        for mode in [Mode::Up, Mode::Down, Mode::Both, Mode::Relay] {
            for indications in [false, true] {
                let check = &check;
                scope.spawn(move || {
                    let Packets { sent, .. } = packets_of(mode, indications, lie, check);
                    assert!(sent > 10, "{sent}");
                });
            }
        }
    });
}

/// The packets of a run that is as it should be. A host that stands still may spoil some; what a lie does, it does in
/// every run.
fn packets_of(mode: Mode, indications: bool, lie: Lie, check: impl Fn(Packets) -> bool) -> Packets {
    let mut last = None;
    for _ in 0..TRIES {
        last = measured(mode, indications, lie).map(|it| it.packets);
        if let Some(packets) = last.filter(|packets| check(*packets)) {
            return packets;
        }
    }
    panic!("{lie:?}, {mode:?}, indications: {indications}: {last:?}");
}

/// Whether so many packets came elsewhere, and none to its place. Those of the warm-up are among them.
fn are_astray(packets: Packets) -> bool {
    packets.astray >= packets.sent && (packets.received, packets.damaged) == (0, 0)
}

#[test]
fn what_passes_as_it_should_has_arrived() {
    everywhere(Lie::None, |packets| {
        let other = [packets.duplicates, packets.astray, packets.damaged];
        packets.received == packets.sent && other == [0; 3]
    });
}

#[test]
fn packets_of_another_flow_have_not_arrived() {
    everywhere(Lie::Swapped, are_astray);
}

#[test]
fn packets_from_another_peer_have_not_arrived() {
    for mode in [Mode::Down, Mode::Relay] {
        for indications in [false, true] {
            packets_of(mode, indications, Lie::OtherPeer, are_astray);
        }
    }
}

#[test]
fn packets_in_another_framing_have_not_arrived() {
    packets_of(Mode::Down, false, Lie::OtherFraming, are_astray);
    packets_of(Mode::Down, true, Lie::NoFraming, are_astray);
}

#[test]
fn changed_packets_have_not_arrived() {
    everywhere(Lie::Changed, |packets| {
        packets.damaged >= packets.sent && (packets.received, packets.astray) == (0, 0)
    });
}

#[test]
fn duplicates_do_not_hide_that_others_were_lost() {
    // Every other one came, and came twice: nearly half of them are lost, whatever a busy machine loses beside.
    everywhere(Lie::Doubled, |packets| {
        let most = packets.sent / 2 + 1;
        (1..=most).contains(&packets.received) && packets.duplicates > 0
    });
}

#[test]
fn a_server_that_stands_still_is_charged_with_the_packets_of_that_time() {
    let mut runs = (0..TRIES).filter_map(|_| measured(Mode::Up, false, Lie::Pause));
    let latency = runs.next().expect("a run").latency.unwrap();
    let micros = PAUSE.as_secs_f64() * 1e6;
    assert!(latency.max >= micros, "{latency:?}");
    // A quarter of the measured time: one packet in a hundred waited for nearly all of it.
    assert!(latency.p99 >= micros * 0.9, "{latency:?}");
    assert!(latency.p90 >= micros * 0.5, "{latency:?}");
}

pub(crate) const TRIES: usize = 5;
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PAUSE: Duration = Duration::from_millis(200);
/// The number of a packet that is to leave half a second after the load begins, at 400 a second.
const PAUSE_AT: u64 = 200;
