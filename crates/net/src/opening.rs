//! The beginning of a stream: what its first bytes tell, and the session that follows from them.
//!
//! The bytes come as they like, one by one or several messages at once, so they are kept until they
//! tell enough. Time, bytes and turns are bounded: nobody has authenticated yet.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::BytesMut;
use relay::{ClientTuple, Transport};
use rustls::server::AcceptedAlert;
use tokio::net::TcpStream;
use tokio::time;

use crate::admission::Admitted;
use crate::connection::Session;
use crate::demultiplexer::{Demultiplexer, Hello, Told};
use crate::gate::Place;
use crate::local::Handle;
use crate::proxied;
use crate::proxy::Proxied;
use crate::stream::{End, TURN, turn};
use crate::tls::{Handshake, Tls, TlsEvent, failed};
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
        let host = self.client.client.ip();
        let is_proxy = self.shard.shard.borrow().proxies.tcp.has(host);
        let mut first = Demultiplexer::new(is_proxy);
        loop {
            match self.told(&mut first).await? {
                Told::Header(proxied) => self.introduce(proxied)?,
                Told::NoHeader => {
                    proxied::note_missing(self.shard, host);
                    return Err(End::Broken);
                }
                Told::Plain if self.transports.has(Transport::Tcp) => {
                    return Ok(self.plain(first.into_bytes()));
                }
                Told::Plain => return Err(self.refuse_plain()),
                Told::Tls if self.serves_tls() => {}
                Told::Tls | Told::LongHello => return Err(End::Broken),
                // Most of what a handshake needs is not needed by those who say nothing.
                Told::Hello(hello) => {
                    return Box::pin(self.secure(hello, first.into_bytes())).await;
                }
                Told::BadHello(bad) => return Err(self.refuse_hello(*bad)),
                Told::Other { is_header } => {
                    // It is worth a line in the log.
                    if is_header {
                        proxied::note_foreign(self.shard, self.client.client.ip());
                    }
                    return Err(End::Broken);
                }
            }
        }
    }

    /// Reads until the bytes tell something.
    async fn told(&self, first: &mut Demultiplexer) -> Result<Told, End> {
        loop {
            if let Some(told) = first.tell() {
                return Ok(told);
            }
            self.stream.readable().await.map_err(|_| End::Closed)?;
            self.turn().await;
            let most = first.room();
            let outcome = read(self.shard, &self.stream, first.bytes_mut(), most);
            self.shard.shard.borrow_mut().gates.streams.spend(1);
            outcome?;
        }
    }

    /// A proxy has written its header. From then on the stream is that of the client that it names.
    fn introduce(&mut self, proxied: Option<Proxied>) -> Result<(), End> {
        let Some(Proxied { source, .. }) = proxied else {
            return Ok(());
        };
        let now = clock::now().mono;
        if self.shard.shard.borrow_mut().refuses(now, source.ip()) {
            return Err(End::Closed);
        }
        if !self.admitted.belongs_to(source.ip()) {
            let counters = &mut self.shard.shard.borrow_mut().egress.counters;
            counters.connections_refused += 1;
            return Err(End::Closed);
        }
        self.client.client = source;
        *self.place.borrow_mut() = Place::of(self.admitted.party());
        Ok(())
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

    /// Whether a handshake has anybody to go to.
    fn serves_tls(&self) -> bool {
        let shard = self.shard.shard.borrow();
        let has_anybody = shard.tls.is_some() || shard.https.is_some() || shard.browsers.is_some();
        self.transports.has(Transport::Tls) && has_anybody
    }

    /// A client speaks in the clear where only TLS is taken.
    fn refuse_plain(&self) -> End {
        if let Some(tls) = self.tls() {
            let client = self.client;
            (tls.tell)(TlsEvent::Plain { client });
        }
        End::Broken
    }

    /// Serves the client of a hello, or leaves it to another server.
    async fn secure(self, hello: Hello, first: BytesMut) -> Result<Opened, End> {
        let (tls, has_web, has_browsers) = {
            let shard = self.shard.shard.borrow();
            let (https, browsers) = (shard.https.is_some(), shard.browsers.is_some());
            (shard.tls.clone(), https, browsers)
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
    fn refuse_hello(&self, (error, mut alert): (rustls::Error, AcceptedAlert)) -> End {
        if let (Some(tls), Some(event)) = (self.tls(), failed(&error, self.client, None)) {
            (tls.tell)(event);
        }
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
            read(shard, handshake.stream(), &mut bytes, PIECE)?;
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
}

/// Reads what is there, which may be nothing, and no more than `most` bytes.
fn read(shard: &Handle, stream: &TcpStream, bytes: &mut BytesMut, most: usize) -> Result<(), End> {
    let mut scratch = shard.scratch.borrow_mut();
    match stream.try_read(&mut scratch[..most.min(PIECE)]) {
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

/// The most bytes in one read.
const PIECE: usize = 4 * 1024;

/// The most bytes of a client until its handshake is done.
const MOST_HANDSHAKE: usize = 32 * 1024;

/// The cost of a connection to the web server, in frames of a stranger.
const VISIT: u32 = 4;

/// The cost of a handshake, in frames of a stranger: a signature with an RSA key takes as long.
const HANDSHAKE: u32 = 16;
