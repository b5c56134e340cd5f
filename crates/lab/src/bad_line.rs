//! A bad line between a client and its server, as netem makes them where a kernel has it: each datagram
//! is late, and some of the media that the client sends is lost. The lost media is counted.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;
use wire::{ChannelData, Class, Kind, Message, Method, TransactionId, attributes::Data};

use crate::locked;

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
    /// When a check for a client came from the server: nothing if it came twice, or was answered.
    asked: Mutex<HashMap<TransactionId, Option<Instant>>>,
    /// How long each check took from there to the client and back to the server.
    answered: Mutex<Vec<Duration>>,
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
            asked: Mutex::default(),
            answered: Mutex::default(),
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

    /// How many checks for clients were answered.
    pub fn checks(&self) -> usize {
        locked(&self.shared.answered).len()
    }

    /// The median of what the last five checks took there and back, and the same without the newest check, which the
    /// server may not have counted yet. A busy machine makes both longer than the delay that was asked for, and so does a
    /// browser that waits for a processor before it answers.
    pub fn round_trips(&self) -> [Duration; 2] {
        let answered = locked(&self.shared.answered);
        [0, 1].map(|newest| {
            let known = answered.len().checked_sub(newest).filter(|it| *it > 0);
            let known = known.expect("two checks were answered");
            let mut last = answered[known.saturating_sub(5)..known].to_vec();
            last.sort_unstable();
            last[(last.len() - 1) / 2]
        })
    }

    /// Whether the server sees a client of this line at an address.
    pub fn has(&self, client: &str) -> bool {
        let seen_at = locked(&self.shared.seen_at);
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
        locked(&self.seen_at).push(seen_at);
        let far = Arc::new(far);
        let (there, back) = (channel::<Late>(), channel::<Late>());
        let to_server = Arc::clone(&far);
        let line = Arc::clone(self);
        thread::spawn(move || {
            line.deliver(&there.1, |packet| {
                line.answer(packet);
                let _ = to_server.send(packet);
            });
        });
        let line = Arc::clone(self);
        thread::spawn(move || line.deliver(&back.1, |packet| drop(near.send_to(packet, client))));
        let returning = back.0;
        let line = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            loop {
                // An ICMP error is told once, and then forgotten.
                if let Ok(length) = far.recv(&mut buffer) {
                    line.ask(&buffer[..length]);
                    let late = (Instant::now(), buffer[..length].to_vec());
                    returning.send(late).expect("the way back lasts as long");
                }
            }
        });
        there.0
    }

    /// Sends each datagram when it is due. All of them take as long, so that they keep their order.
    fn deliver(&self, late: &Receiver<Late>, send: impl Fn(&[u8])) {
        for (came, packet) in late {
            thread::sleep(self.delay.saturating_sub(came.elapsed()));
            send(&packet);
        }
    }

    /// A packet comes from the server.
    fn ask(&self, packet: &[u8]) {
        let Some((Class::Request, id)) = check_of(packet) else {
            return;
        };
        let mut asked = locked(&self.asked);
        let at = (!asked.contains_key(&id)).then(Instant::now);
        asked.insert(id, at);
    }

    /// A packet goes to the server.
    fn answer(&self, packet: &[u8]) {
        let Some((Class::Success | Class::Error, id)) = check_of(packet) else {
            return;
        };
        let asked = locked(&self.asked).get_mut(&id).and_then(Option::take);
        if let Some(at) = asked {
            locked(&self.answered).push(at.elapsed());
        }
    }
}

/// The bytes that may wait for the line, as far as the host lets it.
const ROOM: usize = 4 << 20;

/// The data between a client and a peer in a packet.
fn data_of(packet: &[u8]) -> &[u8] {
    match Kind::of(packet) {
        Some(Kind::ChannelData) => ChannelData::parse(packet).map_or(&[], |it| it.payload),
        Some(Kind::Stun) => {
            let Ok(message) = Message::parse(packet) else {
                return &[];
            };
            let has_data = message.class() == Class::Indication;
            let data = message.get::<Data>().ok().flatten();
            data.filter(|_| has_data).map_or(&[], |Data(data)| data)
        }
        None => &[],
    }
}

/// The class and the transaction of a check, or of its answer, in a packet. RFC 8445 §7, RFC 7675
fn check_of(packet: &[u8]) -> Option<(Class, TransactionId)> {
    let message = Message::parse(data_of(packet)).ok()?;
    let is_it = message.method() == Method::Binding;
    is_it.then(|| (message.class(), message.transaction()))
}

/// RFC 7983, without RTCP: RFC 5761 §4.
fn is_rtp(data: &[u8]) -> bool {
    data.len() >= 12 && (128..=191).contains(&data[0]) && !(192..=223).contains(&data[1])
}
