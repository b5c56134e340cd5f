//! The life of a shard: its thread's runtime, its sockets, and the tasks that serve them.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use relay::ShardId;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, LocalSet};
use tokio::time;

use crate::bind::Bound;
use crate::egress::UdpListener;
use crate::gate::Place;
use crate::inbox::{Inbox, Post};
use crate::local::{Handle, Local};
use crate::shard::{Blueprint, Shard};
use crate::{Transports, clock, quic, stream, sys, udp};

/// Runs a shard on this thread until it is told to stop.
///
/// # Errors
/// If it cannot begin, or a task panicked. What its clients had is given up then; their sockets
/// are the blueprint's and stay, so that a new life of the shard hears the same clients.
pub(crate) fn run(blueprint: &Blueprint) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(serve(blueprint)))
}

async fn serve(blueprint: &Blueprint) -> io::Result<()> {
    let Sockets {
        listeners,
        read,
        acceptors,
    } = Sockets::of(&blueprint.bound)?;
    let mut shard = Shard::new(blueprint, listeners);
    for partner in blueprint.partners.iter() {
        shard.egress.partners.push(partner.try_clone()?);
    }
    let shard = Rc::new(Local::new(shard));
    let mut tasks = JoinSet::new();
    if blueprint.number == KEEPS_PARTNERS {
        for partner in blueprint.partners.iter() {
            let socket = sys::register(partner.socket.try_clone()?)?;
            tasks.spawn_local(udp::partner(Rc::clone(&shard), socket));
        }
        shard.shard.borrow_mut().server.keep_partners(clock::now());
    }
    for index in read {
        tasks.spawn_local(udp::listen(Rc::clone(&shard), index));
    }
    for (acceptor, transports) in acceptors {
        tasks.spawn_local(stream::accept(Rc::clone(&shard), acceptor, transports));
    }
    let (post, inbox) = (Arc::clone(&blueprint.post), Arc::clone(&blueprint.inbox));
    tasks.spawn_local(read_mail(Rc::clone(&shard), post, blueprint.number, inbox));
    tasks.spawn_local(give_tasks(Rc::clone(&shard)));
    tasks.spawn_local(keep_rounds(Rc::clone(&shard)));
    let heartbeat = Arc::clone(&blueprint.heartbeat);
    tasks.spawn_local(keep_time(Rc::clone(&shard), heartbeat));
    // In a later life of the shard the receiver is gone: only the start waits for it.
    let _ = blueprint.ready.send(());

    let mut stop = blueprint.stop.clone();
    let outcome = tokio::select! {
        // A sender that is gone means the same as one that says stop.
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        _ = tasks.join_next() => Err(io::Error::other("a listener or the clock stopped")),
        () = shard.panicked.notified() => Err(io::Error::other("a task panicked")),
    };
    tasks.shutdown().await;
    // After a fault too: the other shards need the ports back.
    let mut shard = shard.shard.borrow_mut();
    if outcome.is_ok() {
        // There is no next life to read the inbox.
        while let Some(letter) = blueprint.inbox.last() {
            shard.handle_letter(letter);
        }
    }
    shard.close_sessions();
    shard.server.handle_shutdown(clock::now().mono);
    shard.perform_effects();
    shard.publish();
    outcome
}

/// The sockets of one life of a shard, on its runtime.
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<UdpListener>,
    /// The places of those that this shard reads.
    read: Vec<usize>,
    acceptors: Vec<(TcpListener, Transports)>,
}

impl Sockets {
    pub(crate) fn of(bound: &[Bound]) -> io::Result<Self> {
        let (mut listeners, mut read, mut acceptors) = (Vec::new(), Vec::new(), Vec::new());
        for Bound {
            transports,
            listen,
            socket,
            is_read,
        } in bound
        {
            let socket = socket.try_clone()?;
            if transports.are_streams() {
                acceptors.push((TcpListener::from_std(socket.into())?, *transports));
            } else {
                let socket = if *is_read {
                    read.push(listeners.len());
                    sys::register(socket)?
                } else {
                    sys::register_to_send(socket)?
                };
                listeners.push(UdpListener {
                    transports: *transports,
                    listen: *listen,
                    socket,
                });
            }
        }
        Ok(Self {
            listeners,
            read,
            acceptors,
        })
    }
}

/// Reads the mail of other shards.
async fn read_mail(shard: Handle, post: Arc<Post>, own: ShardId, inbox: Arc<Inbox>) {
    let mut letters = inbox.letters().await;
    while let Some(letter) = letters.recv().await {
        post.taken_out(own, &letter);
        shard.shard.borrow_mut().handle_letter(letter);
    }
}

/// Gives every relay socket that was opened, or is to be connected, and every flow of QUIC a task.
async fn give_tasks(shard: Handle) {
    let opened = Rc::clone(&shard.shard.borrow().opened);
    loop {
        opened.notified().await;
        let unread = std::mem::take(&mut shard.shard.borrow_mut().unread);
        for relay in unread {
            let place = Place::of(shard.shard.borrow().server.party(relay));
            let task = tokio::task::spawn_local(udp::relay(Rc::clone(&shard), relay, place));
            let relays = &mut shard.shard.borrow_mut().egress.relays;
            relays.set_task(relay, task.abort_handle());
        }
        let unserved = shard.shard.borrow_mut().take_unserved();
        for (client, flow) in unserved {
            tokio::task::spawn_local(quic::serve(Rc::clone(&shard), client, flow));
        }
        Shard::give_peers_tasks(&shard);
    }
}

/// Begins a new round whenever somebody waits for it.
async fn keep_rounds(shard: Handle) {
    let contended = Rc::clone(&shard.shard.borrow().gates.contended);
    loop {
        contended.notified().await;
        while shard.shard.borrow().gates.are_contended() {
            // The runtime looks at the sockets before it goes on here.
            tokio::task::yield_now().await;
            shard.shard.borrow_mut().gates.begin_round();
        }
    }
}

/// Ends everything that is due, also when no packet comes.
async fn keep_time(shard: Handle, heartbeat: Arc<AtomicU64>) {
    loop {
        let next = shard.shard.borrow().poll_timeout();
        let tick = time::Instant::now() + TICK;
        time::sleep_until(next.map_or(tick, |next| tick.min(next.into()))).await;
        heartbeat.fetch_add(1, Ordering::Relaxed);
        let mut shard = shard.shard.borrow_mut();
        let now = clock::now();
        shard.server.handle_timeout(now);
        shard.perform_effects();
        shard.handle_dtls_timeouts(now.mono);
        shard.publish();
    }
}

/// The longest time between two looks at the core's timers. Packets do not depend on it: each one
/// first ends what is due.
const TICK: Duration = Duration::from_secs(1);

/// The shard that keeps the links to partners. Any would do, and this one always exists.
const KEEPS_PARTNERS: ShardId = ShardId(0);
