//! DTLS for clients on datagrams: half-open handshakes and sessions, by 5-tuple. RFC 6347, RFC 7350.
//!
//! A hello without a good cookie leaves no state; it is answered by a shorter datagram. One with a
//! good cookie, whose sender hears at its address, makes an engine, within bounds: half-open
//! handshakes of a source prefix, of a shard, their bytes, their time, and handshakes per second. A
//! client that was restarted may make a handshake beside its old session, which goes on until the
//! new one is there (RFC 6347 §4.2.8).
//!
//! DTLS 1.2 is what is served. The first certificate with an ECDSA key is shown.

mod chain;
mod cookie;
mod hello;
mod serve;
mod session;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, DtlsCertificate};
use hashbrown::HashMap;
use relay::{ClientTuple, Transport};

use crate::admission::{Admission, Admitted};
use crate::egress::Egress;
use crate::marking::Marking;
use crate::{Certificates, StreamLimits, Transports};
use cookie::Cookies;
use hello::ClientHello;
pub(crate) use session::takes_key;
use session::{Broken, Drained, Session};

/// The means of the shards to serve DTLS.
pub(crate) struct Offer {
    certificates: Certificates,
    /// Whether listeners for all datagrams take it.
    is_on_auto: bool,
    config: Arc<Config>,
    /// A handshake that is not done by then is given up.
    handshake: Duration,
    limits: StreamLimits,
    /// Bounds sessions, for all shards.
    sessions: Arc<Admission>,
    /// Bounds half-open handshakes, and the handshakes per second of a prefix.
    half_open: Arc<Admission>,
}

impl Offer {
    /// `None` if the library fails its own test.
    pub(crate) fn new(
        certificates: Certificates,
        is_on_auto: bool,
        limits: StreamLimits,
    ) -> Option<Self> {
        let handshake = limits.first_frame.min(HANDSHAKE);
        Some(Self {
            certificates,
            is_on_auto,
            config: Arc::new(session::config(handshake)?),
            handshake,
            limits,
            sessions: Arc::new(Admission::new(&limits)),
            half_open: Arc::new(Admission::new(&StreamLimits {
                connections: usize::MAX,
                per_prefix: HALF_OPEN_OF_PREFIX,
                ..limits
            })),
        })
    }

    /// Whether a listener for these transports takes DTLS.
    pub(crate) fn serves(&self, transports: Transports) -> bool {
        match transports {
            Transports::Only(transport) => transport == Transport::Dtls,
            Transports::Datagrams => self.is_on_auto,
            Transports::Streams => false,
        }
    }

    /// The certificate that is shown now.
    fn certificate(&self) -> Option<DtlsCertificate> {
        let all = self.certificates.all();
        let shown = all.iter().find(|own| own.suits_dtls())?;
        let chain = shown.certified.cert.iter().map(AsRef::as_ref);
        Some(DtlsCertificate {
            certificate: chain::joined(chain),
            private_key: shown.key.secret_der().to_vec(),
        })
    }
}

/// Whether a datagram begins a session, as far as its first bytes tell.
pub(crate) fn is_hello(datagram: &[u8]) -> bool {
    ClientHello::parse(datagram).is_some()
}

/// The clients over DTLS of one shard.
pub(crate) struct Dtls {
    pub(crate) offer: Arc<Offer>,
    cookies: Cookies,
    pub(crate) sessions: HashMap<ClientTuple, Box<Session>, ahash::RandomState>,
    pub(crate) half_open: HashMap<ClientTuple, HalfOpen, ahash::RandomState>,
    /// When to look at whom. Each is a reminder: the session knows whether it is due.
    reminders: BinaryHeap<Reverse<(Instant, ClientTuple)>>,
    budget: Budget,
    /// Where the engines put what they decrypted.
    opened: Vec<u8>,
    /// Where a datagram is put together that is to be encrypted.
    whole: Vec<u8>,
    /// Where the engines put records.
    sealed: Vec<u8>,
}

/// A handshake that a client has begun, and proven its address for.
pub(crate) struct HalfOpen {
    session: Box<Session>,
    cookie: [u8; 32],
    since: Instant,
    /// Bytes that the client may still send before it is given up.
    left: usize,
    /// The place that it takes among those of its prefix.
    _admitted: Admitted,
}

/// The outcome of a datagram.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The client has a new session in place of one that it had.
    is_replaced: bool,
    /// The session is over.
    is_over: bool,
    drained: Option<Drained>,
}

impl Dtls {
    pub(crate) fn new(offer: Arc<Offer>, now: Instant) -> Self {
        Self {
            offer,
            cookies: Cookies::new(now),
            sessions: HashMap::default(),
            half_open: HashMap::default(),
            reminders: BinaryHeap::new(),
            budget: Budget::new(now),
            opened: vec![0; ROOM],
            whole: Vec::new(),
            sealed: vec![0; ROOM],
        }
    }

    /// Whether a datagram is the first of a handshake: what follows costs more.
    fn begins(&self, client: ClientTuple, datagram: &[u8]) -> bool {
        is_hello(datagram) && !self.sessions.contains_key(&client)
    }

    /// Takes a datagram of a client, whose first byte says that it is a record.
    fn handle(
        &mut self,
        egress: &mut Egress,
        now: Instant,
        client: ClientTuple,
        datagram: &[u8],
    ) -> Outcome {
        if let Some(hello) = ClientHello::parse(datagram) {
            let is_known = |session: &Session| session.random == *hello.random;
            let half_open = self.half_open.get(&client);
            if half_open.is_none_or(|own| !is_known(&own.session)) {
                let session = self.sessions.get(&client);
                if session.is_none_or(|own| !is_known(own)) {
                    return self.greet(egress, now, client, &hello, datagram);
                }
            }
        }
        // The epoch: 0 before there are keys.
        let is_protected = datagram.get(3..5).is_some_and(|epoch| epoch != [0, 0]);
        let has_session = self.sessions.contains_key(&client);
        if self.half_open.contains_key(&client) && !(is_protected && has_session) {
            return self.go_on(egress, now, client, datagram);
        }
        if !has_session {
            egress.counters.dtls_dropped += 1;
            return Outcome::default();
        }
        let outcome = self.receive(egress, now, client, datagram);
        let is_nothing = !outcome.is_over
            && (outcome.drained.as_ref()).is_none_or(|drained| drained.data.is_empty());
        if is_nothing && self.half_open.contains_key(&client) {
            // No record of the old session: the end of the new handshake.
            return self.go_on(egress, now, client, datagram);
        }
        outcome
    }

    /// A datagram for a session.
    fn receive(
        &mut self,
        egress: &mut Egress,
        now: Instant,
        client: ClientTuple,
        datagram: &[u8],
    ) -> Outcome {
        let Some(session) = self.sessions.get_mut(&client) else {
            return Outcome::default();
        };
        let taken = session.handle(now, datagram);
        match taken.and_then(|()| drain(session, &mut self.opened, egress, client)) {
            Ok(drained) => {
                remind(&mut self.reminders, client, session, drained.deadline);
                Outcome {
                    is_over: drained.is_closed,
                    drained: Some(drained),
                    ..Outcome::default()
                }
            }
            Err(Broken) => {
                egress.counters.dtls_failed += 1;
                Outcome {
                    is_over: true,
                    ..Outcome::default()
                }
            }
        }
    }

    /// A hello that begins a handshake.
    fn greet(
        &mut self,
        egress: &mut Egress,
        now: Instant,
        client: ClientTuple,
        hello: &ClientHello<'_>,
        datagram: &[u8],
    ) -> Outcome {
        if hello.version != hello::DTLS_1_2 {
            egress.counters.dtls_other_version += 1;
            let alert = hello::alert(hello::PROTOCOL_VERSION);
            egress.send_record(client, Marking::PLAIN, &alert);
            return Outcome::default();
        }
        let Some(cookie) = self.proof(now, client, hello) else {
            egress.counters.dtls_cookies += 1;
            let cookie = self.cookies.issue(now, client, hello.random);
            let request = hello::verify_request(hello, &cookie);
            egress.send_record(client, Marking::PLAIN, &request);
            return Outcome::default();
        };
        // The earlier handshake in this place is over: the client has begun anew.
        self.half_open.remove(&client);
        let Some((admitted, place)) = self.admit(now, client) else {
            egress.counters.dtls_refused += 1;
            return Outcome::default();
        };
        if self.half_open.len() >= HALF_OPEN {
            self.displace();
            egress.counters.dtls_half_open_dropped += 1;
        }
        let session = self.offer.certificate().ok_or(Broken).and_then(|shown| {
            Session::accept(&self.offer.config, shown, hello, cookie, admitted, now)
        });
        let Ok(session) = session else {
            fail(egress, client);
            return Outcome::default();
        };
        let half_open = HalfOpen {
            session: Box::new(session),
            cookie,
            since: now,
            left: HANDSHAKE_BYTES,
            _admitted: place,
        };
        self.half_open.insert(client, half_open);
        self.go_on(egress, now, client, datagram)
    }

    /// The cookie of a hello, if it is good.
    fn proof(
        &self,
        now: Instant,
        client: ClientTuple,
        hello: &ClientHello<'_>,
    ) -> Option<[u8; 32]> {
        // A hello with a cookie answers a request, so it is not the first.
        let is_proof = (1..=MOST_REQUESTS).contains(&hello.message)
            && (self.cookies).is_good(now, client, hello.random, hello.cookie);
        hello.cookie.try_into().ok().filter(|_| is_proof)
    }

    /// A place for a session and one for its handshake, if there is room and time for them.
    fn admit(&mut self, now: Instant, client: ClientTuple) -> Option<(Admitted, Admitted)> {
        let ip = client.client.ip();
        let admitted = self.offer.sessions.admit(ip)?;
        let place = self.offer.half_open.admit(ip)?;
        if !place.charge(now, 0).is_zero() || !self.budget.take(now) {
            return None;
        }
        place.charge(now, 1);
        Some((admitted, place))
    }

    /// Gives up the oldest handshake.
    fn displace(&mut self) {
        let oldest = self.half_open.iter().min_by_key(|(_, own)| own.since);
        if let Some((&client, _)) = oldest {
            self.half_open.remove(&client);
        }
    }

    /// A datagram of a handshake.
    fn go_on(
        &mut self,
        egress: &mut Egress,
        now: Instant,
        client: ClientTuple,
        datagram: &[u8],
    ) -> Outcome {
        let Some(own) = self.half_open.get_mut(&client) else {
            return Outcome::default();
        };
        let taken = match own.left.checked_sub(datagram.len()) {
            Some(left) => {
                own.left = left;
                own.session.handle_handshake(now, own.cookie, datagram)
            }
            None => Err(Broken),
        };
        let drained =
            taken.and_then(|()| drain(&mut own.session, &mut self.opened, egress, client));
        let Ok(drained) = drained else {
            self.half_open.remove(&client);
            fail(egress, client);
            return Outcome::default();
        };
        remind(
            &mut self.reminders,
            client,
            &mut own.session,
            drained.deadline,
        );
        if !drained.is_connected {
            return Outcome::default();
        }
        let Some(HalfOpen { mut session, .. }) = self.half_open.remove(&client) else {
            return Outcome::default();
        };
        egress.counters.dtls_sessions += 1;
        session.idle = session::Idle::new(now);
        let deadline = session.idle.deadline(&self.offer.limits);
        remind(&mut self.reminders, client, &mut session, deadline);
        Outcome {
            is_replaced: self.sessions.insert(client, session).is_some(),
            is_over: drained.is_closed,
            drained: Some(drained),
        }
    }

    /// Encrypts a datagram for a client.
    pub(crate) fn seal(
        &mut self,
        egress: &mut Egress,
        to: ClientTuple,
        marking: Marking,
        parts: &[IoSlice<'_>],
    ) {
        let Some(session) = self.sessions.get_mut(&to) else {
            egress.counters.send_gone += 1;
            return;
        };
        self.whole.clear();
        for part in parts {
            self.whole.extend_from_slice(part);
        }
        if self.whole.len() > LONGEST {
            egress.counters.send_failed += 1;
            return;
        }
        let send = |record: &[u8]| egress.send_record(to, marking, record);
        if session.seal(&self.whole, &mut self.sealed, send).is_err() {
            egress.counters.send_failed += 1;
            // Its allocation ends where the server is at hand.
            remind(&mut self.reminders, to, session, Instant::now());
        }
    }

    /// When somebody is to be looked at next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.reminders.peek().map(|Reverse((at, _))| *at)
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dtls")
            .field("sessions", &self.sessions.len())
            .field("half_open", &self.half_open.len())
            .finish_non_exhaustive()
    }
}

/// Sends what a session has to say, and takes out what its client said.
fn drain(
    session: &mut Session,
    opened: &mut Vec<u8>,
    egress: &mut Egress,
    client: ClientTuple,
) -> Result<Drained, Broken> {
    session.drain(opened, |record| {
        egress.send_record(client, Marking::PLAIN, record)
    })
}

/// Ends a handshake that cannot come to its end.
fn fail(egress: &mut Egress, client: ClientTuple) {
    egress.counters.dtls_failed += 1;
    let alert = hello::alert(hello::HANDSHAKE_FAILURE);
    egress.send_record(client, Marking::PLAIN, &alert);
}

/// Has a session looked at, at the latest then.
fn remind(
    reminders: &mut BinaryHeap<Reverse<(Instant, ClientTuple)>>,
    client: ClientTuple,
    session: &mut Session,
    at: Instant,
) {
    if session.reminder.is_none_or(|earlier| at < earlier) {
        session.reminder = Some(at);
        reminders.push(Reverse((at, client)));
    }
}

/// The handshakes that a shard has time for: each costs as much as thousands of packets.
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    const fn new(now: Instant) -> Self {
        Self {
            left: HANDSHAKES_AT_ONCE,
            since: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let earned = passed.as_millis() * u128::from(HANDSHAKES_PER_SECOND) / 1_000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(HANDSHAKES_AT_ONCE);
            self.left = self.left.saturating_add(earned).min(HANDSHAKES_AT_ONCE);
            self.since = now;
        }
        let is_there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_there
    }
}

/// The longest time for a handshake, as for the first frame over TCP.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes of one shard that are not done.
pub(crate) const HALF_OPEN: usize = 512;

/// Those of one source prefix, over all shards. It may begin as many in a second.
pub(crate) const HALF_OPEN_OF_PREFIX: usize = 64;

/// Bytes that a client needs for a handshake; the engine keeps what it cannot use yet.
const HANDSHAKE_BYTES: usize = 16 * 1024;

/// Requests for a cookie that a client may have answered before its hello is taken.
const MOST_REQUESTS: u16 = 4;

/// Handshakes per second of one shard, and those at once.
const HANDSHAKES_PER_SECOND: u32 = 200;
const HANDSHAKES_AT_ONCE: u32 = 400;

/// The plaintext of a record has no more bytes. RFC 6347 §4.1.1.
const LONGEST: usize = 1 << 14;

/// Room for the largest datagram there is.
const ROOM: usize = 65_536;

/// Sooner than this a session is not looked at again.
const PAUSE: Duration = Duration::from_millis(10);
