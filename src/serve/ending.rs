//! The end of the server: at once, or when its last allocation ends, or when the time for that is over.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::admin::api::{DrainWish, Left};
use net::Running;
use relay::{DropReason, EndCause, Selection};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant as Tick, Interval, interval_at};
use tracing::{info, warn};

use super::control::Control;
use super::systemd;

/// Waits for what ends the server.
pub(super) struct Ending {
    control: Arc<Control>,
    terminate: Signal,
    interrupt: Signal,
    /// SIGUSR1.
    drain: Signal,
    state: State,
}

/// Whether the server drains, as others see it.
struct State {
    draining: Option<Draining>,
    deadline: watch::Sender<Option<SystemTime>>,
}

impl Ending {
    pub(super) fn new(
        control: Arc<Control>,
        terminate: Signal,
        interrupt: Signal,
        drain: Signal,
        deadline: watch::Sender<Option<SystemTime>>,
    ) -> Self {
        let state = State {
            draining: None,
            deadline,
        };
        Self {
            control,
            terminate,
            interrupt,
            drain,
            state,
        }
    }

    /// Waits until the server is to end.
    pub(super) async fn wait(mut self, mut wishes: mpsc::Receiver<DrainWish>) {
        let running = &self.control.running;
        loop {
            let State { draining, .. } = &mut self.state;
            tokio::select! {
                _ = self.terminate.recv() => {
                    let patience = self.control.stop_drain();
                    let is_again = draining.as_ref().is_some_and(|draining| draining.is_stop);
                    if is_again || patience.is_zero() || running.allocations() == 0 {
                        return;
                    }
                    self.state.stop(running, patience).await;
                }
                _ = self.interrupt.recv() => return,
                _ = self.drain.recv() => {
                    // A second signal means that the operator does not want to wait.
                    if draining.is_some() {
                        return;
                    }
                    self.state.drain(running, None).await;
                }
                Some(wish) = wishes.recv() => self.state.grant(running, wish).await,
                () = next_look(draining) => {
                    if self.state.is_over(running).await {
                        return;
                    }
                }
            }
        }
    }
}

impl State {
    /// Does what the operator wishes about draining.
    async fn grant(&mut self, running: &Running, wish: DrainWish) {
        let outcome = if wish.is_to_drain {
            self.drain(running, wish.within).await;
            Ok(())
        } else {
            self.undrain(running)
        };
        // The asker may be gone.
        let _ = wish.answer.send(outcome);
    }

    /// Grants nothing new from now on. Another wish changes the deadline of the one before.
    async fn drain(&mut self, running: &Running, within: Option<Duration>) {
        let was_draining = self.draining.is_some();
        let draining = self.draining.get_or_insert_with(Draining::new);
        let asked = within.map(|within| Instant::now() + within);
        // A server that is told to stop does so in time.
        draining.deadline = match (draining.is_stop, draining.deadline, asked) {
            (true, Some(stop), Some(asked)) => Some(stop.min(asked)),
            (true, stop, None) => stop,
            (true, None, asked) | (false, _, asked) => asked,
        };
        if !was_draining {
            running.drain();
            systemd::draining();
        }
        self.say(running, "nothing new is granted; SIGINT ends it at once")
            .await;
    }

    /// Drains before the end that systemd, Kubernetes or a person asks for.
    async fn stop(&mut self, running: &Running, patience: Duration) {
        let draining = self.draining.get_or_insert_with(Draining::new);
        let stop = Instant::now() + patience;
        draining.deadline = Some(draining.deadline.map_or(stop, |earlier| earlier.min(stop)));
        draining.is_stop = true;
        running.drain();
        systemd::draining();
        systemd::extend_stop();
        let words = "the server was told to stop: nothing new is granted, and what is left ends at the deadline (key `drain` \
                     in [stop]); SIGTERM again, or SIGINT, ends it at once";
        self.say(running, words).await;
    }

    fn undrain(&mut self, running: &Running) -> Result<(), &'static str> {
        match &self.draining {
            Some(Draining { is_stop: true, .. }) => {
                Err("the server was told to stop, and ends: it cannot go on")
            }
            Some(_) => {
                self.draining = None;
                self.deadline.send_replace(None);
                running.undrain();
                systemd::serving();
                info!("server.undrained: allocations are granted again");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether the last allocation has ended, or the time for that is over: then all that are left
    /// end here.
    async fn is_over(&mut self, running: &Running) -> bool {
        let Some(draining) = &mut self.draining else {
            return false;
        };
        if running.is_drained() {
            info!("server.drained");
            return true;
        }
        if draining.is_stop && draining.extended.elapsed() >= EXTEND {
            draining.extended = Instant::now();
            systemd::extend_stop();
        }
        if draining
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.say(running, "the time for it is over").await;
            let ended = running
                .end_as(Selection::default(), EndCause::DrainDeadline)
                .await;
            warn!(
                allocations = ended.allocations,
                "server.drain-deadline: the sessions that were left have ended"
            );
            return true;
        }
        if draining.said.elapsed() >= SAY {
            self.say(running, "what is left goes on").await;
        }
        false
    }

    /// Logs what the server waits for, and lets others see until when.
    async fn say(&mut self, running: &Running, words: &str) {
        let Some(draining) = &mut self.draining else {
            return;
        };
        draining.said = Instant::now();
        let left = draining
            .deadline
            .map(|it| it.saturating_duration_since(Instant::now()));
        self.deadline
            .send_replace(left.map(|left| SystemTime::now() + left));
        let Left {
            sessions,
            realms,
            oldest,
            longest,
            ..
        } = Left::now(running, None).await;
        let shown = realms.iter().take(REALMS);
        let mut realms_shown: Vec<String> = shown.map(|(name, n)| format!("{name} {n}")).collect();
        if realms.len() > REALMS {
            realms_shown.push(format!("{} more realms", realms.len() - REALMS));
        }
        let within = left.map(|left| left.as_secs());
        info!(
            allocations = sessions,
            realms = realms_shown.join(", "),
            oldest,
            longest,
            within,
            "server.draining: {words}"
        );
    }
}

/// A server that grants nothing new and waits for its last allocation to end.
struct Draining {
    looks: Interval,
    said: Instant,
    /// When all that is left ends.
    deadline: Option<Instant>,
    /// Whether the process was told to end: it does not go on.
    is_stop: bool,
    /// When systemd was last asked for time.
    extended: Instant,
}

impl Draining {
    fn new() -> Self {
        Self {
            // The one who asked for it is answered before the server ends.
            looks: interval_at(Tick::now() + LOOK, LOOK),
            said: Instant::now(),
            deadline: None,
            is_stop: false,
            extended: Instant::now(),
        }
    }
}

/// Waits until the next look at a server that drains; for ever at one that does not.
async fn next_look(draining: &mut Option<Draining>) {
    match draining {
        Some(draining) => {
            draining.looks.tick().await;
        }
        None => pending().await,
    }
}

/// Stops the shards.
pub(super) fn say_what_was_done(running: &Running) {
    let (relay, net) = running.stop();
    for why in DropReason::ALL {
        let packets = relay.dropped(*why);
        if packets > 0 {
            info!(cause = why.name(), packets, "server.dropped");
        }
    }
    for (what, count) in net.named() {
        if count > 0 {
            info!(what, count, "server.sockets");
        }
    }
    if relay.connected + relay.accepted > 0 {
        info!(
            connected = relay.connected,
            accepted = relay.accepted,
            bound = relay.bound,
            unbound = relay.unbound,
            "server.connections"
        );
    }
    info!(
        allocations = relay.opened(),
        bindings = relay.bindings,
        challenges = relay.challenges(),
        refused = relay.refused(),
        failed = relay.failed,
        redirected = relay.redirected(),
        sent_bytes = relay.sent.bytes,
        received_bytes = relay.received.bytes,
        icmp = relay.icmp,
        "server.stopped"
    );
}

/// How often a server that drains is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How often it logs what it waits for.
const SAY: Duration = Duration::from_secs(60);

/// How often systemd is asked for more time to stop.
const EXTEND: Duration = Duration::from_secs(2);

/// How many realms a line of the log has.
const REALMS: usize = 8;
