//! Clients on streams, TCP and TLS: frames in, frames out. RFC 8656 §3.1, §12.5.

use std::cell::RefCell;
use std::future::{self, poll_fn};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use relay::{ClientTuple, DropReason, Transport};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{self, Instant};
use wire::stream::{Deframer, MAX_FRAME};

use crate::admission::{Admitted, Pace};
use crate::connection::{Connection, Lost};
use crate::gate::Place;
use crate::local::{Alarm, Handle};
use crate::opening::{Opened, Opening};
use crate::shard::Shard;
use crate::sys::BATCH;
use crate::{StreamLimits, Transports, bind, clock, splice};

/// Accepts TCP clients.
pub(crate) async fn accept(shard: Handle, listener: TcpListener, transports: Transports) {
    let place = RefCell::new(Place::of(rand::random()));
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Other errors are those of one connection, which is gone. accept(2)
                if bind::is_exhausted(&error) {
                    tracing::warn!(%error, "cannot accept TCP connections for the moment");
                    time::sleep(Duration::from_secs(1)).await;
                }
                continue;
            }
        };
        turn(&shard, &place).await;
        shard.shard.borrow_mut().gates.streams.spend(1);
        let admitted = shard.shard.borrow().admit(client.ip());
        let Some(admitted) = admitted else {
            shard.shard.borrow_mut().egress.counters.connections_refused += 1;
            continue;
        };
        let prepared = bind::prepare_stream(SockRef::from(&stream));
        // A client that is gone already needs no service.
        let (Ok(()), Ok(server)) = (prepared, stream.local_addr()) else {
            continue;
        };
        let tuple = ClientTuple {
            transport: Transport::Tcp,
            client,
            server,
        };
        let served = serve(Rc::clone(&shard), stream, transports, tuple, admitted);
        tokio::task::spawn_local(served);
    }
}

/// Waits until streams have a turn and this place is called.
pub(crate) async fn turn(shard: &Handle, place: &RefCell<Place>) {
    poll_fn(|cx| {
        let gate = &mut shard.shard.borrow_mut().gates.streams;
        gate.poll(&mut place.borrow_mut(), cx)
    })
    .await;
}

/// Serves one client on a stream to its end.
async fn serve(
    shard: Handle,
    stream: TcpStream,
    transports: Transports,
    client: ClientTuple,
    mut admitted: Admitted,
) {
    let _alarm = Alarm::of(&shard);
    shard.shard.borrow_mut().egress.counters.connections += 1;
    let place = Place::of(admitted.party()).into();
    let opening = Opening {
        shard: &shard,
        stream,
        transports,
        client,
        admitted: &mut admitted,
        place: &place,
    };
    // Each part of a connection's life has memory of its own, as long as it lasts.
    let opened = Box::pin(opening.open()).await;
    let (session, client, first) = match opened {
        Ok(Opened::Client {
            session,
            client,
            first,
        }) => (session, client, first),
        Ok(Opened::Visitor(visit)) => {
            let end = Box::pin(visit.pass(&shard)).await;
            return shard.shard.borrow_mut().count(end);
        }
        Ok(Opened::Browser(browser)) => return shard.shard.borrow_mut().leave(browser),
        Err(end) => return shard.shard.borrow_mut().count(end),
    };
    let limits = shard.shard.borrow().limits;
    let connection = Rc::new(Connection::new(session, limits.send_queue));
    if !shard.shard.borrow_mut().connect(client, &connection) {
        return connection.close();
    }
    let mut input = Input {
        rest: first,
        ..Input::default()
    };
    let served = Client {
        shard: &shard,
        connection: &connection,
        client,
        place,
        pace: Pace::of(&admitted, clock::now().mono).into(),
        admitted: &admitted,
    };
    let end = Box::pin(served.run(&mut input)).await;
    if let Some(carried) = connection.take_carried() {
        let places = [(); 2].map(|()| Place::of(admitted.party()));
        // Of clients few carry data.
        Box::pin(splice::carry(
            &shard,
            &connection,
            carried,
            input.rest,
            places,
        ))
        .await;
    }
    connection.close();
    let mut shard = shard.shard.borrow_mut();
    shard.count(end);
    shard.disconnect(client, &connection);
}

impl Shard {
    /// Admits one more connection if there is room. Those of a proxy have clients of their own.
    fn admit(&self, host: IpAddr) -> Option<Admitted> {
        if self.proxies.tcp.has(host) {
            self.admission.admit_proxy(host)
        } else {
            self.admission.admit(host)
        }
    }

    /// Whether the connection is its client's from now on.
    fn connect(&mut self, client: ClientTuple, connection: &Rc<Connection>) -> bool {
        if let Some(earlier) = self.egress.connections.get(&client) {
            if earlier.host() != connection.host() && self.server.has_allocation(client) {
                // By another proxy, or by another of its connections, comes what has the same
                // address and port on the outside: it need not be the same client.
                self.egress.counters.proxied_elsewhere += 1;
                return false;
            }
            // The client was reset and is back on its port before its old connection was seen to
            // have ended. What that one had is not this one's.
            self.server.handle_disconnected(clock::now().mono, client);
            self.perform_effects();
        }
        self.egress
            .connections
            .insert(client, Rc::clone(connection));
        true
    }

    /// Whether this connection is the client's, and not one that its successor replaced.
    fn is_connected(&self, client: ClientTuple, connection: &Connection) -> bool {
        let current = self.egress.connections.get(&client);
        current.is_some_and(|current| std::ptr::eq(Rc::as_ptr(current), connection))
    }

    /// A stranger gets no more memory than a request needs.
    fn longest_frame(&self, client: ClientTuple) -> usize {
        if self.server.has_allocation(client) {
            MAX_FRAME
        } else {
            STRANGERS_FRAME
        }
    }

    fn count(&mut self, end: End) {
        let counters = &mut self.egress.counters;
        match end {
            End::Closed | End::Bound => {}
            End::Broken => counters.connections_broken += 1,
            End::Idle => counters.connections_idle += 1,
            End::Overdue => counters.connections_overdue += 1,
            End::Failed => counters.connections_failed += 1,
        }
    }

    fn disconnect(&mut self, client: ClientTuple, connection: &Connection) {
        if self.is_connected(client, connection) {
            self.egress.connections.remove(&client);
            self.server.handle_disconnected(clock::now().mono, client);
            self.perform_effects();
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed it, or the network did.
    Closed,
    /// The client sent what is no frame, or reads no answers for too long.
    Broken,
    /// The client was silent for too long.
    Idle,
    /// The client was without an allocation for too long.
    Overdue,
    /// The client failed to authenticate, and too often before.
    Failed,
    /// It became a data connection.
    Bound,
}

/// A client that is served.
struct Client<'a> {
    shard: &'a Handle,
    connection: &'a Connection,
    client: ClientTuple,
    admitted: &'a Admitted,
    place: RefCell<Place>,
    pace: RefCell<Pace>,
}

impl Client<'_> {
    /// Serves it until it ends, or is bound and to carry data.
    async fn run(&self, input: &mut Input) -> End {
        let limits = self.shard.shard.borrow().limits;
        let mut deadlines = Deadlines::new(limits);
        loop {
            let was_backed_up = self.connection.is_backed_up();
            tokio::select! {
                readable = self.readable(input) => {
                    if readable.is_err() {
                        return End::Closed;
                    }
                    match self.take_turn(input) {
                        Ok(Progress::Valid) => deadlines.put_off(self.has_allocation()),
                        Ok(Progress::Nothing) => {}
                        Err(end) => return end,
                    }
                    // Others have their turn before the next one.
                    tokio::task::yield_now().await;
                }
                () = self.connection.bound() => return End::Bound,
                outcome = self.drain() => {
                    match outcome {
                        // It reads, and so it will be read.
                        Ok(()) if was_backed_up => deadlines.put_off(self.has_allocation()),
                        Ok(()) => {}
                        Err(Lost::Closed) => return End::Closed,
                        Err(Lost::Stuck) => return End::Broken,
                    }
                }
                () = time::sleep_until(deadlines.next()) => {
                    if self.connection.is_backed_up() {
                        return End::Broken;
                    }
                    if !self.has_allocation() {
                        return deadlines.passed();
                    }
                    deadlines.put_off(true);
                }
            }
        }
    }

    fn has_allocation(&self) -> bool {
        let shard = self.shard.shard.borrow();
        shard.server.has_allocation(self.client)
    }

    /// Waits until there is something to handle, and a turn to do it in. A client that leaves its
    /// answers unread is not read meanwhile, nor is a stranger that is ahead of its rate: the network
    /// holds them back.
    async fn readable(&self, input: &Input) -> io::Result<()> {
        if self.connection.is_backed_up() {
            // It is asked again whenever something was sent.
            return future::pending().await;
        }
        if !self.has_allocation() {
            let next = self.pace.borrow().next;
            if next > clock::now().mono {
                time::sleep_until(next.into()).await;
            }
        }
        if input.rest.is_empty() {
            self.connection.readable().await?;
        }
        turn(self.shard, &self.place).await;
        Ok(())
    }

    /// Sends what waits, in turns like those of reading.
    async fn drain(&self) -> Result<(), Lost> {
        self.connection.sendable().await?;
        turn(self.shard, &self.place).await;
        let sent = self.connection.drain();
        self.shard.shard.borrow_mut().gates.streams.spend(TURN);
        sent
    }

    /// Handles what an earlier turn left over, or else reads once and handles that.
    fn take_turn(&self, Input { deframer, rest }: &mut Input) -> Result<Progress, End> {
        if rest.is_empty() {
            let mut scratch = self.shard.scratch.borrow_mut();
            let most = self.shard.shard.borrow().longest_frame(self.client);
            let most = most.min(scratch.len());
            let length = match self.connection.try_read(&mut scratch[..most]) {
                Ok(0) => return Err(End::Closed),
                Ok(length) => length,
                // Records may have come, and no bytes in them.
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Err(End::Closed),
            };
            // To decrypt a record costs as much as a frame, however small both are. The first is
            // counted with the frames.
            let records = self.connection.take_records();
            if records > 1 {
                self.shard
                    .shard
                    .borrow_mut()
                    .gates
                    .streams
                    .spend(records - 1);
            }
            if length == 0 && records == 0 {
                return Ok(Progress::Nothing);
            }
            let mut bytes = &scratch[..length];
            let outcome = self.handle(deframer, &mut bytes);
            rest.extend_from_slice(bytes);
            outcome
        } else {
            let mut bytes = &rest[..];
            let outcome = self.handle(deframer, &mut bytes);
            let left = bytes.len();
            rest.advance(rest.len() - left);
            if rest.is_empty() {
                // Most clients never need it again.
                *rest = BytesMut::new();
            }
            outcome
        }
    }

    /// Handles the frames that are whole, as many as one turn may take.
    fn handle(&self, deframer: &mut Deframer, bytes: &mut &[u8]) -> Result<Progress, End> {
        let mut shard = self.shard.shard.borrow_mut();
        if !shard.is_connected(self.client, self.connection) {
            return Err(End::Closed);
        }
        let now = clock::now();
        let mut progress = Progress::Nothing;
        let is_stranger = !shard.server.has_allocation(self.client);
        let most = if is_stranger { 1 } else { TURN };
        let mut frames = 0;
        while frames < most && !self.connection.is_backed_up() {
            match deframer.next(bytes, shard.longest_frame(self.client)) {
                // The next frame may take the place of this one: each is a turn.
                Ok(Some(frame)) => {
                    let (mut turn, marking) = (shard.egress.begin(), self.connection.marking);
                    let dropped = shard.handle_client(&mut turn, now, self.client, marking, frame);
                    shard.end(turn);
                    frames += 1;
                    if self.connection.is_bound() {
                        return Err(End::Bound);
                    }
                    match dropped {
                        None => progress = Progress::Valid,
                        // A call does not end for what its neighbours do.
                        Some(DropReason::TooManyFailures)
                            if !shard.server.has_allocation(self.client) =>
                        {
                            return Err(End::Failed);
                        }
                        Some(_) => {}
                    }
                }
                Ok(None) => break,
                Err(_) => return Err(End::Broken),
            }
        }
        shard.gates.streams.spend(frames);
        if is_stranger {
            self.pace.borrow_mut().spend(self.admitted, now.mono);
        }
        Ok(progress)
    }
}

/// When a connection ends, unless its client has an allocation then.
struct Deadlines {
    limits: StreamLimits,
    silent: Instant,
    stranger: Instant,
    /// Whether the client had one when these were put off.
    has_allocation: bool,
}

impl Deadlines {
    fn new(limits: StreamLimits) -> Self {
        let now = Instant::now();
        Self {
            limits,
            silent: now + limits.first_frame,
            stranger: now + limits.stranger_lifetime,
            has_allocation: false,
        }
    }

    fn next(&self) -> Instant {
        self.silent.min(self.stranger)
    }

    /// The client sent something of use, took what waited for it, or has an allocation. Whatever a stranger sends, it ends in
    /// time, counted from the end of its last allocation.
    fn put_off(&mut self, has_allocation: bool) {
        let now = Instant::now();
        self.silent = now + self.limits.idle;
        let had_allocation = std::mem::replace(&mut self.has_allocation, has_allocation);
        if has_allocation || had_allocation {
            self.stranger = now + self.limits.stranger_lifetime;
        }
    }

    fn passed(&self) -> End {
        if self.stranger <= Instant::now() {
            End::Overdue
        } else {
            End::Idle
        }
    }
}

/// The bytes that came from the client and are not handled yet.
#[derive(Debug, Default)]
struct Input {
    deframer: Deframer,
    /// Frames for the next turn; mostly none.
    rest: BytesMut,
}

/// The outcome of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// At least one frame that meant something.
    Valid,
    /// None.
    Nothing,
}

/// The longest frame of a client without allocation: a signed request with the longest user name
/// and realm has room to spare.
const STRANGERS_FRAME: usize = 4 * 1024;

/// Frames that are handled or sent before others have their turn: as many as datagrams. Small
/// frames are many in one read, and all clients of a shard wait for the one that is served.
pub(crate) const TURN: usize = BATCH;
