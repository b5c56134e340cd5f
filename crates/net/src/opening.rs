//! The beginning of a stream: what its first bytes tell, and the session that follows from them.
//!
//! The bytes come as they like, one by one or several messages at once, so they are kept until they
//! tell enough. Time, bytes and turns are bounded: nobody has authenticated yet.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use relay::{ClientTuple, Transport};
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time;

use crate::admission::Admitted;
use crate::connection::Session;
use crate::first_bytes::{Stream, stream as told_by};
use crate::gate::Place;
use crate::local::Handle;
use crate::proxied;
use crate::proxy::{Beginning, Proxied, is_header};
use crate::stream::{End, TURN, turn};
use crate::tls::{ACME_PROTOCOL, Certificates, Handshake, OWN_PROTOCOLS, Tls, TlsEvent, failed};
use crate::web::Visit;
use crate::{Browser, Transports, clock};

/// A stream of which it is known whose it is.
pub(crate) enum Opened {
    /// A client of this server.
    Client {
        session: Session,
        client: ClientTuple,
        /// Bytes that the client has sent already.
        first: BytesMut,
    },
    /// A client of the web server behind it.
    Visitor(Visit),
    /// A client of the server for browsers beside it.
    Browser(Browser),
}

/// A stream that nothing is known of but where it comes from.
pub(crate) struct Opening<'a> {
    pub(crate) shard: &'a Handle,
    pub(crate) stream: TcpStream,
    pub(crate) transports: Transports,
    /// Its addresses; the transport is the listener's, or TCP while it is not known.
    pub(crate) client: ClientTuple,
    pub(crate) admitted: &'a mut Admitted,
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

    async fn tell_apart(mut self) -> Result<Opened, End> {
        let mut first = BytesMut::new();
        self.introduce(&mut first).await?;
        let told = loop {
            if let Some(told) = told_by(&first) {
                break told;
            }
            self.read(&mut first).await?;
        };
        match told {
            // Most of what a handshake needs is not needed by those who say nothing.
            Stream::Tls if self.transports.has(Transport::Tls) => {
                Box::pin(self.secure(first)).await
            }
            Stream::Tls => Err(End::Broken),
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
            Stream::Other => Err(self.refuse_other(first).await),
        }
    }

    /// Reads the header of a proxy. From then on the stream is that of the client that it names.
    async fn introduce(&mut self, first: &mut BytesMut) -> Result<(), End> {
        let host = self.client.client.ip();
        if !self.shard.shard.borrow().proxies.tcp.has(host) {
            return Ok(());
        }
        let (length, proxied) = loop {
            match Beginning::of(first) {
                Beginning::Header { length, proxied } => break (length, proxied),
                Beginning::Unfinished => self.read(first).await?,
                Beginning::Other | Beginning::Malformed => {
                    proxied::note_missing(self.shard, host);
                    return Err(End::Broken);
                }
            }
        };
        first.advance(length);
        let Some(Proxied { source, .. }) = proxied else {
            return Ok(());
        };
        if !self.admitted.belongs_to(source.ip()) {
            let counters = &mut self.shard.shard.borrow_mut().egress.counters;
            counters.connections_refused += 1;
            return Err(End::Closed);
        }
        self.client.client = source;
        *self.place.borrow_mut() = Place::of(self.admitted.party());
        Ok(())
    }

    /// Ends a stream of another protocol. The header of a proxy is worth a line in the log.
    async fn refuse_other(&self, mut first: BytesMut) -> End {
        loop {
            if let Some(is_header) = is_header(&first) {
                if is_header {
                    proxied::note_foreign(self.shard, self.client.client.ip());
                }
                return End::Broken;
            }
            if let Err(end) = self.read(&mut first).await {
                return end;
            }
        }
    }

    fn plain(self, first: BytesMut) -> Opened {
        Opened::Client {
            session: Session::Tcp(self.stream),
            client: ClientTuple {
                transport: Transport::Tcp,
                ..self.client
            },
            first,
        }
    }

    fn tls(&self) -> Option<Arc<Tls>> {
        self.shard.shard.borrow().tls.clone()
    }

    /// Reads the hello of a client, and does the handshake that it asks for.
    async fn secure(self, mut first: BytesMut) -> Result<Opened, End> {
        let (tls, has_web, has_browsers) = {
            let shard = self.shard.shard.borrow();
            let (https, browsers) = (shard.https.is_some(), shard.browsers.is_some());
            (shard.tls.clone(), https, browsers)
        };
        if tls.is_none() && !has_web && !has_browsers {
            return Err(End::Broken);
        }
        let mut acceptor = Acceptor::default();
        let mut seen = 0;
        let hello = loop {
            seen += feed(&mut acceptor, &first[seen..]);
            match acceptor.accept() {
                Ok(Some(accepted)) => break Hello::of(&accepted.client_hello()),
                Ok(None) if first.len() < MOST_HELLO => self.read(&mut first).await?,
                Ok(None) => return Err(End::Broken),
                Err((error, alert)) => {
                    if let (Some(tls), Some(event)) = (tls, failed(&error, self.client, None)) {
                        (tls.tell)(event);
                    }
                    return Err(self.refuse(alert));
                }
            }
        };
        let certificates = tls.as_ref().map(|tls| &tls.certificates);
        if has_browsers && hello.is_browsers(certificates, has_web) {
            return self.leave(first).await;
        }
        if has_web && !hello.is_ours(certificates) {
            return self.visit(first).await;
        }
        let tls = tls.ok_or(End::Broken)?;
        self.shake_hands(&tls, &hello, first).await
    }

    /// Leaves the stream to the web server.
    async fn visit(self, first: BytesMut) -> Result<Opened, End> {
        self.pay(VISIT).await?;
        Ok(Opened::Visitor(Visit {
            stream: self.stream,
            client: self.client,
            first,
            party: self.admitted.party(),
        }))
    }

    /// Leaves the stream to the server for browsers, which does the handshake.
    async fn leave(self, first: BytesMut) -> Result<Opened, End> {
        self.pay(VISIT).await?;
        Ok(Opened::Browser(Browser {
            stream: self.stream.into_std().map_err(|_| End::Closed)?,
            client: self.client.client,
            first: first.freeze(),
        }))
    }

    /// Waits for what costs as much as so many frames. A prefix that is too far ahead is refused at
    /// once.
    async fn pay(&self, frames: u32) -> Result<(), End> {
        let most = self.shard.shard.borrow().limits.first_frame;
        let wait = self.admitted.charge_within(clock::now().mono, frames, most);
        let Some(wait) = wait else {
            let counters = &mut self.shard.shard.borrow_mut().egress.counters;
            counters.connections_refused += 1;
            return Err(End::Closed);
        };
        time::sleep(wait).await;
        Ok(())
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
        self.pay(HANDSHAKE).await?;
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
                let event = failed(&error, client, hello.name.clone());
                // An authority is no client.
                if let Some(event) = event.filter(|_| !is_challenge) {
                    (tls.tell)(event);
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
        Ok(Opened::Client {
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
    /// Whether the client names protocols, and none of them is this server's.
    is_of_other_protocol: bool,
    /// Whether it names HTTP/1.1, as browsers do. RFC 7301 §6.
    is_of_http: bool,
}

impl Hello {
    fn of(hello: &rustls::server::ClientHello<'_>) -> Self {
        let protocols: Vec<&[u8]> = hello.alpn().into_iter().flatten().collect();
        let is_own = |protocol: &&[u8]| OWN_PROTOCOLS.contains(protocol);
        Self {
            name: hello.server_name().map(str::to_owned),
            is_challenge: protocols.contains(&ACME_PROTOCOL),
            is_of_http: protocols.contains(&HTTP),
            is_of_other_protocol: !protocols.is_empty() && !protocols.iter().any(is_own),
        }
    }

    /// Whether the hello is for the server for browsers. Where a web server is behind this one, a name
    /// that no certificate is for is its.
    fn is_browsers(&self, certificates: Option<&Certificates>, has_web: bool) -> bool {
        let name = self.name.as_deref();
        let is_own = |name: &str| certificates.is_some_and(|certificates| certificates.has(name));
        self.is_of_http && self.is_of_other_protocol && (!has_web || name.is_none_or(is_own))
    }

    /// Whether the hello is for this server and not for a web server that has the same port. Clients
    /// of TURN name no protocol, and some no host. The web server may prove its own names to an
    /// authority.
    fn is_ours(&self, certificates: Option<&Certificates>) -> bool {
        let name = self.name.as_deref();
        certificates.is_some_and(|certificates| {
            if self.is_challenge {
                return name.is_some_and(|name| certificates.is_challenged(name));
            }
            !self.is_of_other_protocol && name.is_none_or(|name| certificates.has(name))
        })
    }
}

const HTTP: &[u8] = b"http/1.1";

/// The most bytes in one read.
const PIECE: usize = 4 * 1024;

/// The longest hello with what comes behind it. Those of browsers have some 2,500 bytes, of which
/// post-quantum key shares are most.
const MOST_HELLO: usize = 16 * 1024;

/// The most bytes of a client until its handshake is done.
const MOST_HANDSHAKE: usize = 32 * 1024;

/// The cost of a connection to the web server, in frames of a stranger.
const VISIT: u32 = 4;

/// The cost of a handshake, in frames of a stranger: a signature with an RSA key takes as long.
const HANDSHAKE: u32 = 16;
