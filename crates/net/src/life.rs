//! The life of a shard: its thread's runtime, its sockets, and the tasks that serve them.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use relay::ShardId;
use tokio::runtime::LocalOptions;
use tokio::task::JoinSet;
use tokio::time;

use crate::gate::Place;
use crate::inbox::{Inbox, Letter, Post};
use crate::listeners::{self, Listeners};
use crate::local::{Handle, Local};
use crate::shard::{Blueprint, Shard};
use crate::{clock, quic, sys, udp};

#[cfg(test)]
mod tests;

/// Runs a shard on this thread until it is told to stop.
///
/// # Errors
/// If it cannot begin, or a task panicked. The allocations of its clients are given up then; their sockets
/// are the blueprint's and stay, so that a new life of the shard hears the same clients.
pub(crate) fn run(blueprint: &Blueprint) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    // Not a `LocalSet`: whenever a task of it wakes, all that `serve` waits for is looked at, too.
    runtime.block_on(serve(blueprint))
}

async fn serve(blueprint: &Blueprint) -> io::Result<()> {
    let mut shard = Shard::new(blueprint);
    for partner in blueprint.partners.iter() {
        shard.egress.partners.push(partner.try_clone()?);
    }
    let (entrances, exits) = blueprint.inbox.lanes.ends().await;
    shard.egress.entrances = Some(entrances);
    let shard = Rc::new(Local::new(shard, exits));
    let mut tasks = begin(&shard, blueprint).await?;
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

/// Begins the tasks that serve the sockets, the mail and the clock of a shard.
async fn begin(shard: &Handle, blueprint: &Blueprint) -> io::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    if blueprint.number == KEEPS_PARTNERS {
        for partner in blueprint.partners.iter() {
            let socket = sys::register(partner.socket.try_clone()?)?;
            tasks.spawn_local(udp::partner(Rc::clone(shard), socket));
        }
        shard.shard.borrow_mut().server.keep_partners(clock::now());
    }
    listeners::follow(shard, &blueprint.listeners).await?;
    let mail = Mail {
        post: Arc::clone(&blueprint.post),
        own: blueprint.number,
        inbox: Arc::clone(&blueprint.inbox),
        listeners: Arc::clone(&blueprint.listeners),
    };
    tasks.spawn_local(mail.read(Rc::clone(shard)));
    tasks.spawn_local(udp::crossings(Rc::clone(shard)));
    tasks.spawn_local(give_tasks(Rc::clone(shard)));
    tasks.spawn_local(keep_rounds(Rc::clone(shard)));
    let heartbeat = Arc::clone(&blueprint.heartbeat);
    tasks.spawn_local(keep_time(Rc::clone(shard), heartbeat));
    Ok(tasks)
}

/// The mail of a shard, and what it is about.
struct Mail {
    post: Arc<Post>,
    own: ShardId,
    inbox: Arc<Inbox>,
    listeners: Arc<Listeners>,
}

impl Mail {
    /// Reads the mail of other shards and of the control side.
    async fn read(self, shard: Handle) {
        let mut letters = self.inbox.letters().await;
        while let Some(letter) = letters.recv().await {
            self.post.taken_out(self.own, &letter);
            if let Letter::Listeners(answer) = letter {
                let outcome = listeners::follow(&shard, &self.listeners).await;
                // The control side may have given up.
                let _ = answer.send(outcome);
                continue;
            }
            let is_command = matches!(letter, Letter::Command(..));
            shard.shard.borrow_mut().handle_letter(letter);
            if is_command {
                // Many may list sessions at once. The runtime looks at the sockets before it goes on here, so
                // that a packet waits for one of their commands, and not for one of each.
                tokio::task::yield_now().await;
            }
        }
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
