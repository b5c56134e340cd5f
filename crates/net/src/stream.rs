//! Clients on streams, TCP and TLS: frames in, frames out. RFC 8656 §3.1, §12.5.

mod client;

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use relay::{ClientTuple, Transport};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time;
use wire::stream::MAX_FRAME;

use crate::admission::{Admitted, Pace};
use crate::connection::Connection;
use crate::gate::Place;
use crate::local::{Alarm, Handle};
use crate::opening::{Opened, Opening};
use crate::shard::Shard;
use crate::sys::BATCH;
use crate::{Transports, bind, clock, splice};
use client::{Client, Input};

/// Accepts TCP clients.
pub(crate) async fn accept(shard: Handle, listener: TcpListener, transports: Transports) {
    let _alarm = Alarm::of(&shard);
    let place = RefCell::new(Place::of(rand::random()));
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Other errors are those of one connection, which is gone. accept(2)
                if bind::is_exhausted(&error) {
                    tracing::warn!(%error, "listener.accept-failed: cannot accept TCP connections for the moment");
                    time::sleep(Duration::from_secs(1)).await;
                }
                continue;
            }
        };
        turn(&shard, &place).await;
        shard.shard.borrow_mut().gates.streams.spend(1);
        if shard.shard.borrow_mut().turns_away(client.ip()) {
            continue;
        }
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
    let mut input = Input::after(first);
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
            input.into_rest(),
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

    /// Whether a host is not served. A proxy is: its clients are judged when it has named them.
    fn turns_away(&mut self, host: IpAddr) -> bool {
        !self.proxies.tcp.has(host) && self.refuses(clock::now().mono, host)
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
            // have ended. The allocation of that one is not this one's.
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

/// The longest frame of a client without allocation: a signed request with the longest user name
/// and realm has room to spare.
const STRANGERS_FRAME: usize = 4 * 1024;

/// Frames that are handled or sent before others have their turn: as many as datagrams. Small
/// frames are many in one read, and all clients of a shard wait for the one that is served.
pub(crate) const TURN: usize = BATCH;
