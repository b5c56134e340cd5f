//! The listeners of this process, which may come and go while clients are served.
//!
//! The list belongs to no life of a shard. The control side changes it, and then has every shard
//! [`follow`] it; a shard that begins anew begins with it. A UDP listener that is taken away *retires*:
//! its sockets stay in all shards until the last allocation on it has ended in any of them, since the
//! kernel spreads clients over the sockets that there are, and one socket less would move the clients of
//! the others. A listener for streams goes at once: its connections are sockets of their own.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::Socket;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_local};

use crate::bind::{Claim, is_wildcard, new_listener};
use crate::egress::UdpListener;
use crate::local::Handle;
use crate::{Fault, ListenerOptions, Together, Transports, stream, sys, udp};

/// The listeners as they are.
#[derive(Debug)]
pub(crate) struct Listeners {
    list: Mutex<Vec<Listener>>,
    shards: usize,
    together: Together,
}

/// A listener, and its sockets.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) transports: Transports,
    /// Its address in the options, where port 0 is any.
    pub(crate) asked: SocketAddr,
    /// Its address.
    pub(crate) listen: SocketAddr,
    /// Whether another process bound its sockets, and has them, too.
    pub(crate) is_passed: bool,
    /// Whether it goes when its last allocation has ended.
    pub(crate) is_retiring: bool,
    /// Those of each shard.
    pub(crate) sockets: Vec<Vec<Bound>>,
}

/// A listener's socket of one shard.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The name of the socket in this process.
    number: u64,
    socket: Socket,
    /// Whether this shard reads it, and not another that has it, too.
    is_read: bool,
}

/// Listeners that are about to be served: new ones are bound, and none of the others is concerned yet.
#[derive(Debug)]
pub struct Prepared {
    wanted: Vec<ListenerOptions>,
    new: Vec<Listener>,
    passed: Vec<ListenerOptions>,
    retiring: Vec<SocketAddr>,
}

/// The changes of listeners by [`crate::Running::listen`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relistened {
    /// These are served from now on, also those that were retiring.
    pub opened: Vec<(Transports, SocketAddr)>,
    /// These are not any more. Those for datagrams serve the allocations on them to their end.
    pub retired: Vec<(Transports, SocketAddr)>,
}

impl Listeners {
    pub(crate) const fn new(list: Vec<Listener>, shards: usize, together: Together) -> Self {
        Self {
            list: Mutex::new(list),
            shards,
            together,
        }
    }

    /// Those that are served, or those that retire.
    pub(crate) fn those(&self, retiring: bool) -> Vec<(Transports, SocketAddr)> {
        let list = self.list();
        let those = list.iter().filter(|it| it.is_retiring == retiring);
        those.map(|it| (it.transports, it.listen)).collect()
    }

    /// Binds what these need and is not there.
    ///
    /// # Errors
    /// If an address cannot be had, or calls would break. Nothing has changed then.
    pub(crate) fn prepare(&self, wanted: &[ListenerOptions]) -> Result<Prepared, Fault> {
        let list = self.list();
        let mut left: Vec<&Listener> = list.iter().collect();
        let mut missing = Vec::new();
        for wanted in wanted {
            match left.iter().position(|it| it.is_at(wanted)) {
                Some(at) => left.swap_remove(at).check_change(wanted.transports)?,
                None => missing.push(*wanted),
            }
        }
        let (passed, leaving): (Vec<&Listener>, Vec<&Listener>) =
            left.into_iter().partition(|it| it.is_passed);
        let mut new = Vec::new();
        for missing in missing {
            let overlaps = |it: &&Listener| it.overlaps(&missing);
            // The kernel prefers the narrower address, and would have the calls go there.
            if !missing.transports.are_streams()
                && let Some(other) = list.iter().find(overlaps)
            {
                return Err(Fault::Overlaps {
                    transports: missing.transports,
                    listen: missing.listen,
                    other: other.listen,
                });
            }
            let makes_room = leaving.iter().any(|it| it.overlaps(&missing));
            let claim = if makes_room {
                Claim::Beside
            } else {
                Claim::Alone
            };
            new.push(new_listener(missing, self.shards, self.together, claim)?);
        }
        Ok(Prepared {
            wanted: wanted.to_vec(),
            new,
            passed: passed.iter().map(|it| it.options()).collect(),
            retiring: leaving
                .iter()
                .filter(|it| !it.transports.are_streams())
                .map(|it| it.listen)
                .collect(),
        })
    }

    /// Takes the place of the list. The one before is returned: its sockets are open as long as it
    /// lives, and with it the list can be [`Listeners::restore`]d.
    pub(crate) fn adopt(&self, prepared: Prepared) -> (Relistened, Vec<Listener>) {
        let Prepared {
            mut wanted,
            new,
            passed,
            retiring: _,
        } = prepared;
        wanted.extend(passed);
        let mut list = self.list();
        let mut changes = Relistened::default();
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        for mut listener in list.drain(..) {
            let at = wanted.iter().position(|it| listener.is_at(it));
            let name = (listener.transports, listener.listen);
            if let Some(at) = at {
                let transports = wanted.swap_remove(at).transports;
                if listener.is_retiring || transports != listener.transports {
                    changes.opened.push((transports, listener.listen));
                }
                (listener.transports, listener.is_retiring) = (transports, false);
                kept.push(listener);
            } else if listener.transports.are_streams() {
                changes.retired.push(name);
                gone.push(listener);
            } else {
                if !listener.is_retiring {
                    changes.retired.push(name);
                }
                listener.is_retiring = true;
                kept.push(listener);
            }
        }
        for listener in new {
            changes.opened.push((listener.transports, listener.listen));
            kept.push(listener);
        }
        *list = kept;
        drop(list);
        (changes, gone)
    }

    /// How the listeners are, to come back to.
    pub(crate) fn noted(&self) -> Vec<Noted> {
        let list = self.list();
        let noted = list.iter().map(|it| Noted {
            asked: it.options(),
            listen: it.listen,
            is_retiring: it.is_retiring,
        });
        noted.collect()
    }

    /// Undoes [`Listeners::adopt`].
    pub(crate) fn restore(&self, before: &[Noted], gone: Vec<Listener>) {
        let mut list = self.list();
        list.extend(gone);
        list.retain_mut(|listener| {
            let is_it = |noted: &&Noted| {
                let streams = noted.asked.transports.are_streams();
                streams == listener.transports.are_streams() && noted.listen == listener.listen
            };
            let Some(noted) = before.iter().find(is_it) else {
                return false;
            };
            (listener.transports, listener.is_retiring) =
                (noted.asked.transports, noted.is_retiring);
            true
        });
    }

    /// Whether each of those that retire is in use.
    pub(crate) fn are_all_used(&self, is_used: impl Fn(&Listener) -> bool) -> bool {
        let list = self.list();
        let mut retiring = list.iter().filter(|it| it.is_retiring);
        retiring.all(is_used)
    }

    /// Takes out those that retire and are not in use.
    pub(crate) fn close(&self, is_used: impl Fn(&Listener) -> bool) -> Vec<Listener> {
        let mut list = self.list();
        list.extract_if(.., |it| it.is_retiring && !is_used(it))
            .collect()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener before a change.
#[derive(Debug)]
pub(crate) struct Noted {
    asked: ListenerOptions,
    listen: SocketAddr,
    is_retiring: bool,
}

impl Listener {
    const fn options(&self) -> ListenerOptions {
        ListenerOptions {
            transports: self.transports,
            listen: self.asked,
        }
    }

    fn is_at(&self, options: &ListenerOptions) -> bool {
        self.transports.are_streams() == options.transports.are_streams()
            && self.asked == options.listen
    }

    /// Whether clients of one address would come to either.
    fn overlaps(&self, options: &ListenerOptions) -> bool {
        let (own, other) = (self.listen, options.listen);
        self.transports.are_streams() == options.transports.are_streams()
            && own.port() == other.port()
            && own.is_ipv4() == other.is_ipv4()
            && (is_wildcard(own.ip()) || is_wildcard(other.ip()))
    }

    /// Whether the clients that it has are understood after the change. Those on streams have a
    /// socket of their own.
    fn check_change(&self, new: Transports) -> Result<(), Fault> {
        let old = self.transports;
        if old.are_streams() || old.each().all(|transport| new.has(transport)) {
            return Ok(());
        }
        Err(Fault::Unlearned {
            listen: self.listen,
            old,
            new,
        })
    }

    /// The listener as a shard has it: for datagrams, and read by no task yet.
    pub(crate) fn of_shard(&self, bound: &Bound) -> io::Result<UdpListener> {
        let socket = bound.socket.try_clone()?;
        let socket = if bound.is_read {
            sys::register(socket)?
        } else {
            sys::register_to_send(socket)?
        };
        Ok(UdpListener {
            number: bound.number,
            transports: self.transports,
            listen: self.listen,
            socket,
            task: None,
        })
    }

    /// Whether a client with this server address came to it.
    pub(crate) fn has(&self, server: SocketAddr) -> bool {
        let own = self.listen;
        own.port() == server.port()
            && own.is_ipv4() == server.is_ipv4()
            && (is_wildcard(own.ip()) || own.ip() == server.ip())
    }
}

impl Bound {
    pub(crate) fn new(socket: Socket, is_read: bool) -> Self {
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            socket,
            is_read,
        }
    }
}

impl Prepared {
    /// Those of another process that are not wanted any more: as long as that process has their
    /// sockets clients come to them, so they are served until a restart.
    pub fn passed(&self) -> &[ListenerOptions] {
        &self.passed
    }

    /// Those for datagrams that are to retire, or do so by now: [`relay::Rules::retiring`].
    pub fn retiring(&self) -> &[SocketAddr] {
        &self.retiring
    }
}

/// A listener for streams in one shard.
#[derive(Debug)]
pub(crate) struct Acceptor {
    number: u64,
    transports: Transports,
    task: JoinHandle<()>,
}

/// Has a shard serve the listeners that there are by now, and no others.
pub(crate) async fn follow(shard: &Handle, listeners: &Listeners) -> io::Result<()> {
    let gone = shard.shard.borrow_mut().leave_listeners(listeners);
    for acceptor in gone {
        acceptor.task.abort();
        // Its socket is closed once the task is gone.
        let _ = acceptor.task.await;
    }
    take(shard, listeners)
}

impl crate::shard::Shard {
    /// Leaves the listeners that are gone, and those that have other transports by now.
    fn leave_listeners(&mut self, listeners: &Listeners) -> Vec<Acceptor> {
        let list = listeners.list();
        let own = usize::from(self.number.0);
        let transports = |number: u64| {
            let mut list = list.iter();
            let mut is_of = |it: &&Listener| it.sockets[own].iter().any(|it| it.number == number);
            list.find(&mut is_of).map(|it| it.transports)
        };
        self.egress.listeners.retain_mut(|it| {
            let now = transports(it.number);
            it.transports = now.unwrap_or(it.transports);
            now.is_some()
        });
        let gone = |it: &mut Acceptor| transports(it.number) != Some(it.transports);
        self.acceptors.extract_if(.., gone).collect()
    }
}

/// Takes the listeners that the shard has not got.
fn take(shard: &Handle, listeners: &Listeners) -> io::Result<()> {
    let list = listeners.list();
    let mut state = shard.shard.borrow_mut();
    let own = usize::from(state.number.0);
    for listener in list.iter() {
        let transports = listener.transports;
        for bound in &listener.sockets[own] {
            let (number, is_read) = (bound.number, bound.is_read);
            let is_served = state.egress.listeners.iter().any(|it| it.number == number)
                || state.acceptors.iter().any(|it| it.number == number);
            if is_served {
                continue;
            }
            if transports.are_streams() {
                let socket = bound.socket.try_clone()?;
                let listener = TcpListener::from_std(socket.into())?;
                let task = spawn_local(stream::accept(Rc::clone(shard), listener, transports));
                state.acceptors.push(Acceptor {
                    number,
                    transports,
                    task,
                });
                continue;
            }
            let mut own = listener.of_shard(bound)?;
            if is_read {
                let task = spawn_local(udp::listen(Rc::clone(shard), number));
                own.task = Some(task.abort_handle());
            }
            state.egress.listeners.push(own);
        }
    }
    state.begin_dtls();
    Ok(())
}

/// The number of the next socket.
static NEXT: AtomicU64 = AtomicU64::new(0);
