//! The beginning of a stream: what its first bytes tell, and the session that follows from them.
//!
//! The bytes come as they like, one by one or several messages at once, so they are kept until they
//! tell enough. Time, bytes and turns are bounded: nobody has authenticated yet.

use std::cell::RefCell;
use std::io::{self, ErrorKind};

use bytes::BytesMut;
use relay::{ClientTuple, Transport};
use rustls::server::Acceptor;
use rustls::{AlertDescription, Error as TlsError};
use tokio::net::TcpStream;
use tokio::time;

use crate::admission::Admitted;
use crate::connection::Session;
use crate::first_bytes::{Stream, stream as told_by};
use crate::gate::Place;
use crate::local::Handle;
use crate::stream::{End, TURN, turn};
use crate::tls::{ACME_PROTOCOL, Handshake, Tls, TlsEvent};
use crate::{Transports, clock};

/// A stream whose session can be served.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) client: ClientTuple,
    /// Bytes that the client has sent already.
    pub(crate) first: BytesMut,
}

/// A stream that nothing is known of but where it comes from.
pub(crate) struct Opening<'a> {
    pub(crate) shard: &'a Handle,
    pub(crate) stream: TcpStream,
    pub(crate) transports: Transports,
    /// Its addresses; the transport is the listener's, or TCP while it is not known.
    pub(crate) client: ClientTuple,
    pub(crate) admitted: &'a Admitted,
    pub(crate) place: &'a RefCell<Place>,
}

impl Opening<'_> {
    /// Waits for the session.
    ///
    /// # Errors
    /// Why there is none, and the connection ends.
    pub(crate) async fn open(self) -> Result<Opened, End> {
        let limit = self.shard.shard.borrow().limits.first_frame;
        let opened = time::timeout(limit, self.tell_apart()).await;
        opened.unwrap_or(Err(End::Idle))
    }

    async fn tell_apart(self) -> Result<Opened, End> {
        let mut first = BytesMut::new();
        if self.transports == Transports::Only(Transport::Tcp) {
            return Ok(self.plain(first));
        }
        let told = loop {
            if let Some(told) = told_by(&first) {
                break told;
            }
            self.read(&mut first).await?;
        };
        match told {
            // Most of what a handshake needs is not needed by those who say nothing.
            Stream::Tls => Box::pin(self.secure(first)).await,
            Stream::Stun | Stream::ChannelData if self.transports.has(Transport::Tcp) => {
                Ok(self.plain(first))
            }
            Stream::Stun | Stream::ChannelData => {
                if let Some(tls) = self.tls() {
                    let client = self.client;
                    (tls.tell)(TlsEvent::Plain { client });
                }
                Err(End::Broken)
            }
            Stream::Other => Err(End::Broken),
        }
    }

    fn plain(self, first: BytesMut) -> Opened {
        Opened {
            session: Session::Tcp(self.stream),
            client: ClientTuple {
                transport: Transport::Tcp,
                ..self.client
            },
            first,
        }
    }

    fn tls(&self) -> Option<std::sync::Arc<Tls>> {
        self.shard.shard.borrow().tls.clone()
    }

    /// Reads the hello of a client, and does the handshake that it asks for.
    async fn secure(self, mut first: BytesMut) -> Result<Opened, End> {
        let tls = self.tls().ok_or(End::Broken)?;
        let mut acceptor = Acceptor::default();
        let mut seen = 0;
        let hello = loop {
            seen += feed(&mut acceptor, &first[seen..]);
            match acceptor.accept() {
                Ok(Some(accepted)) => break Hello::of(&accepted.client_hello()),
                Ok(None) if first.len() < MOST_HELLO => self.read(&mut first).await?,
                Ok(None) => return Err(End::Broken),
                Err((_, alert)) => return Err(self.refuse(alert)),
            }
        };
        self.shake_hands(&tls, &hello, first).await
    }

    /// Tells a client what was wrong with its hello, if it can be told at once.
    fn refuse(&self, mut alert: rustls::server::AcceptedAlert) -> End {
        let mut words = Vec::new();
        if alert.write_all(&mut words).is_ok() {
            let _ = self.stream.try_write(&words);
        }
        End::Broken
    }

    async fn shake_hands(self, tls: &Tls, hello: &Hello, first: BytesMut) -> Result<Opened, End> {
        let is_challenge = hello.is_challenge && tls.certificates.are_challenged();
        let config = if is_challenge {
            &tls.challenges
        } else {
            &tls.config
        };
        let room = self.shard.room.clone();
        let client = ClientTuple {
            transport: Transport::Tls,
            ..self.client
        };
        // A handshake costs as much as many frames, and takes its turn as these do.
        let wait = self.admitted.charge(clock::now().mono, HANDSHAKE);
        time::sleep(wait).await;
        self.turn().await;
        let Self {
            shard,
            stream,
            place,
            ..
        } = self;
        let handshake = Handshake::new(stream, config.clone(), room);
        let mut handshake = handshake.map_err(|_| End::Broken)?;
        let mut bytes = first;
        let mut taken = 0;
        loop {
            taken += bytes.len();
            let outcome = handshake.take(&bytes);
            shard.shard.borrow_mut().gates.streams.spend(TURN / 2);
            if let Err(error) = outcome {
                shard.shard.borrow_mut().egress.counters.handshakes_failed += 1;
                if let Some(alert) = distrust(&error) {
                    let name = hello.name.clone();
                    (tls.tell)(TlsEvent::Refused {
                        client,
                        name,
                        alert,
                    });
                }
                return Err(End::Broken);
            }
            if !handshake.is_going_on() {
                break;
            }
            if taken > MOST_HANDSHAKE {
                return Err(End::Broken);
            }
            let ready = ready(&mut handshake).await;
            ready.map_err(|_| End::Closed)?;
            turn(shard, place).await;
            bytes.clear();
            read(shard, handshake.stream(), &mut bytes)?;
        }
        if is_challenge {
            // The authority has seen what it came for.
            return Err(End::Closed);
        }
        shard.shard.borrow_mut().egress.counters.handshakes += 1;
        let session = Session::Tls(Box::new(handshake.done()));
        let first = BytesMut::new();
        Ok(Opened {
            session,
            client,
            first,
        })
    }

    async fn turn(&self) {
        turn(self.shard, self.place).await;
    }

    /// Waits for more bytes of the client.
    async fn read(&self, bytes: &mut BytesMut) -> Result<(), End> {
        self.stream.readable().await.map_err(|_| End::Closed)?;
        self.turn().await;
        let outcome = read(self.shard, &self.stream, bytes);
        self.shard.shard.borrow_mut().gates.streams.spend(1);
        outcome
    }
}

/// Reads what is there, which may be nothing.
fn read(shard: &Handle, stream: &TcpStream, bytes: &mut BytesMut) -> Result<(), End> {
    let mut scratch = shard.scratch.borrow_mut();
    match stream.try_read(&mut scratch[..PIECE]) {
        Ok(0) => Err(End::Closed),
        Ok(length) => {
            bytes.extend_from_slice(&scratch[..length]);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(_) => Err(End::Closed),
    }
}

/// Waits until the client has sent something, and sends on what waits meanwhile.
async fn ready(handshake: &mut Handshake) -> io::Result<()> {
    while handshake.has_unsent() {
        tokio::select! {
            readable = handshake.stream().readable() => return readable,
            writable = handshake.stream().writable() => writable?,
        }
        handshake.flush()?;
    }
    handshake.stream().readable().await
}

/// Gives the reader of hellos bytes; returns how many it took.
fn feed(acceptor: &mut Acceptor, mut bytes: &[u8]) -> usize {
    let all = bytes.len();
    while !bytes.is_empty() {
        match acceptor.read_tls(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    all - bytes.len()
}

/// The parts of a hello that decide who serves it.
struct Hello {
    /// The name that the client asks for. RFC 6066 §3.
    name: Option<String>,
    /// Whether an authority looks for the proof of a name. RFC 8737 §3.
    is_challenge: bool,
}

impl Hello {
    fn of(hello: &rustls::server::ClientHello<'_>) -> Self {
        let mut protocols = hello.alpn().into_iter().flatten();
        Self {
            name: hello.server_name().map(str::to_owned),
            is_challenge: protocols.any(|protocol| protocol == ACME_PROTOCOL),
        }
    }
}

/// The alert by which a client says that it does not trust our certificate.
fn distrust(error: &TlsError) -> Option<u8> {
    let TlsError::AlertReceived(alert) = error else {
        return None;
    };
    let is_of_certificate = matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
    );
    is_of_certificate.then(|| u8::from(*alert))
}

/// The most bytes in one read.
const PIECE: usize = 4 * 1024;

/// The longest hello with what comes behind it. Those of browsers have some 2,500 bytes, of which
/// post-quantum key shares are most.
const MOST_HELLO: usize = 16 * 1024;

/// The most bytes of a client until its handshake is done.
const MOST_HANDSHAKE: usize = 32 * 1024;

/// The cost of a handshake, in frames of a stranger: a signature with an RSA key takes as long.
const HANDSHAKE: u32 = 16;
