//! A bad line between a client and its server, as netem makes them where a kernel has it: each datagram
//! is late, and some of the media that the client sends is lost. The lost media is counted.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;
use wire::{ChannelData, Class, Kind, Message, Method, attributes::Data};

/// The line. It lasts as long as the test.
pub struct BadLine {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    delay: Duration,
    /// One of so many is lost.
    one_in: u64,
    media: AtomicU64,
    lost: AtomicU64,
    /// How long datagrams really took, to the server and back.
    took: [Mutex<Vec<Duration>>; 2],
    /// Where its clients are seen by the server.
    seen_at: Mutex<Vec<SocketAddr>>,
}

/// A datagram, and when it came.
type Late = (Instant, Vec<u8>);

impl BadLine {
    /// A line from this address to a server, over which each way takes so long, and on which one of so
    /// many packets of RTP is lost on its way to the server.
    pub fn to(server: SocketAddr, from: impl Into<IpAddr>, delay: Duration, one_in: u64) -> Self {
        let socket = UdpSocket::bind((from.into(), 0)).expect("an address of the client's host");
        // Packets that come while this thread waits for a processor are to be late, not lost: only its own losses are counted.
        let room = SockRef::from(&socket).set_recv_buffer_size(ROOM);
        room.expect("a socket has a buffer");
        let address = socket.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            server,
            delay,
            one_in,
            media: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            took: Default::default(),
            seen_at: Mutex::default(),
        });
        let carrying = Arc::clone(&shared);
        thread::spawn(move || carrying.carry(&Arc::new(socket)));
        Self { address, shared }
    }

    /// The address that clients take for the server's.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many packets of RTP clients have sent, and how many of them were lost.
    pub fn media(&self) -> (u64, u64) {
        let [media, lost] = [&self.shared.media, &self.shared.lost];
        (media.load(Ordering::SeqCst), lost.load(Ordering::SeqCst))
    }

    /// How long it was there and back, by the median of each: a busy machine adds to what was asked for.
    pub fn round_trip(&self) -> Duration {
        let median = |took: &Mutex<Vec<Duration>>| {
            let mut took = took.lock().unwrap_or_else(PoisonError::into_inner).clone();
            took.sort_unstable();
            took[took.len() / 2]
        };
        self.shared.took.iter().map(median).sum()
    }

    /// Whether the server sees a client of this line at an address.
    pub fn has(&self, client: &str) -> bool {
        let seen_at = self.shared.seen_at.lock();
        let seen_at = seen_at.unwrap_or_else(PoisonError::into_inner);
        seen_at.iter().any(|it| it.to_string() == client)
    }
}

impl Shared {
    /// Takes what clients send, each of which has a socket of its own towards the server.
    fn carry(self: &Arc<Self>, socket: &Arc<UdpSocket>) {
        let mut ways: HashMap<SocketAddr, Sender<Late>> = HashMap::new();
        let mut chance: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut buffer = [0; 2048];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let packet = &buffer[..length];
            let way = ways.entry(client);
            let way = way.or_insert_with(|| self.open(Arc::clone(socket), client));
            if is_rtp(data_of(packet)) {
                // Xorshift: the same losses in every run, at no even distance.
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                let is_lost = chance.is_multiple_of(self.one_in);
                self.lost.fetch_add(is_lost.into(), Ordering::SeqCst);
                self.media.fetch_add(1, Ordering::SeqCst);
                if is_lost {
                    continue;
                }
            }
            way.send((Instant::now(), packet.to_vec()))
                .expect("the way lasts as long as the line");
        }
    }

    /// Opens the way of a client, there and back.
    fn open(self: &Arc<Self>, near: Arc<UdpSocket>, client: SocketAddr) -> Sender<Late> {
        let far = UdpSocket::bind(("0.0.0.0", 0)).expect("a free port");
        far.connect(self.server).expect("a server of IPv4");
        let seen_at = far.local_addr().expect("a bound socket");
        self.seen_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(seen_at);
        let far = Arc::new(far);
        let (there, back) = (channel::<Late>(), channel::<Late>());
        let to_server = Arc::clone(&far);
        let line = Arc::clone(self);
        thread::spawn(move || line.deliver(0, &there.1, |packet| drop(to_server.send(packet))));
        let line = Arc::clone(self);
        thread::spawn(move || {
            line.deliver(1, &back.1, |packet| drop(near.send_to(packet, client)))
        });
        let returning = back.0;
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            loop {
                // An ICMP error is told once, and then forgotten.
                if let Ok(length) = far.recv(&mut buffer) {
                    let late = (Instant::now(), buffer[..length].to_vec());
                    returning.send(late).expect("the way back lasts as long");
                }
            }
        });
        there.0
    }

    /// Sends each datagram when it is due. All of them take as long, so that they keep their order.
    fn deliver(&self, way: usize, late: &Receiver<Late>, send: impl Fn(&[u8])) {
        for (came, packet) in late {
            thread::sleep(self.delay.saturating_sub(came.elapsed()));
            send(&packet);
            let took = self.took[way].lock();
            let mut took = took.unwrap_or_else(PoisonError::into_inner);
            took.push(came.elapsed());
        }
    }
}

/// The bytes that may wait for the line, as far as the host lets it.
const ROOM: usize = 4 << 20;

/// The data that a client sends to a peer in a packet.
fn data_of(packet: &[u8]) -> &[u8] {
    match Kind::of(packet) {
        Some(Kind::ChannelData) => ChannelData::parse(packet).map_or(&[], |it| it.payload),
        Some(Kind::Stun) => {
            let Ok(message) = Message::parse(packet) else {
                return &[];
            };
            let is_send = (message.class(), message.method()) == (Class::Indication, Method::Send);
            let data = message.get::<Data>().ok().flatten();
            data.filter(|_| is_send).map_or(&[], |Data(data)| data)
        }
        None => &[],
    }
}

/// RFC 7983, without RTCP: RFC 5761 §4.
fn is_rtp(data: &[u8]) -> bool {
    data.len() >= 12 && (128..=191).contains(&data[0]) && !(192..=223).contains(&data[1])
}
