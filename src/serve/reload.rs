//! The configuration is read again: at SIGHUP, and when a file of users or secrets that it names
//! has changed. What may change holds at once in all shards; a faulty file changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::admin::api::Reloaded;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use super::addresses::Addresses;
use super::admin::Answer;
use super::control::Control;
use super::difference::{Difference, emptied, in_effect};
use super::http::demonstrate;
use super::nearby::open_for_trying;
use super::{rules, systemd};
use crate::config::{self, Config, Filed, Loaded, Machine, Remarks, Secret, Unusable, Watched};
use crate::log::say;

/// The configuration that is in effect, and where it comes from.
pub(super) struct Reload {
    /// The file and its text when it was accepted. A server that the environment configures has one
    /// without name and text, and a server without any configuration has none.
    pub(super) file: Option<(PathBuf, Secret)>,
    /// Whether loopback and private peers are allowed.
    pub(super) dev: bool,
    /// The port of the pages for trying, if they are served whatever the file says.
    pub(super) demo: Option<u16>,
    pub(super) config: Config,
    /// The files that it names.
    pub(super) files: Vec<Watched>,
    /// Keys whose new value waits for a restart.
    pub(super) waiting: Vec<&'static str>,
    /// Why certificates stay whose files hold no good ones, as it was said.
    pub(super) stale: String,
    /// The host, which is in effect as much as the file.
    pub(super) addresses: Addresses,
    /// A look at the files that is under way.
    pub(super) look: Option<JoinHandle<Look>>,
    /// A reading that takes longer than [`PATIENCE`], and why it began.
    pub(super) late: Option<(JoinHandle<Reading>, Reason)>,
}

/// The outcome of a reading.
type Reading = Result<Loaded, Unusable>;

/// Whether any of these files has changed, and what they are now.
type Look = (bool, Vec<Watched>);

/// Why the configuration is read again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// SIGHUP: the file itself may be another.
    Signal,
    /// A file that it names is another. An edit of the configuration itself that nobody has asked
    /// to be read yet is none of that.
    File,
}

/// Reads the configuration again whenever there is reason to.
pub(super) async fn follow(
    control: Arc<Control>,
    mut reload: Reload,
    mut hangup: Signal,
    mut asked: mpsc::Receiver<Answer>,
) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_due = false;
    loop {
        tokio::select! {
            signal = hangup.recv() => match signal {
                Some(()) => {
                    systemd::reloading();
                    // The log has the outcome.
                    let _ = reload.read_again(&control, Reason::Signal).await;
                    systemd::reloaded();
                }
                None => return,
            },
            Some(answer) = asked.recv() => {
                systemd::reloading();
                let outcome = reload.read_again(&control, Reason::Signal).await;
                systemd::reloaded();
                // Whoever asked may be gone.
                let _ = answer.send(outcome);
            }
            () = reload.addresses.changed() => reload.follow_host(&control).await,
            has_changed = look(&mut reload.look, &mut reload.files, &mut looks) => {
                reload.take_in_late(&control).await;
                // A file that still changes may be written half.
                if is_due && !has_changed {
                    let _ = reload.read_again(&control, Reason::File).await;
                }
                is_due = has_changed;
            }
        }
    }
}

/// Whether any of the files is another than at the last look. It may be given up for a signal, as a
/// file system that does not answer holds a look up; the next call waits for the same look.
async fn look(
    under_way: &mut Option<JoinHandle<Look>>,
    files: &mut Vec<Watched>,
    looks: &mut Interval,
) -> bool {
    if under_way.is_none() {
        looks.tick().await;
        let mut files = files.clone();
        *under_way = Some(spawn_blocking(move || {
            let changed = files
                .iter_mut()
                .filter_map(|file| file.has_changed().then_some(()));
            (changed.count() > 0, files)
        }));
    }
    let Some(look) = under_way else {
        return false;
    };
    let looked = look.await;
    *under_way = None;
    match looked {
        Ok((has_changed, seen)) => {
            *files = seen;
            has_changed
        }
        // It panicked, or the process ends.
        Err(_) => false,
    }
}

impl Reload {
    /// Reads the configuration and has the server follow it; returns what changed, or why nothing did.
    async fn read_again(&mut self, control: &Control, reason: Reason) -> Result<Reloaded, String> {
        let Some((path, text)) = self.file.clone() else {
            info!("reload: {NO_FILE}");
            return Err(NO_FILE.to_owned());
        };
        // Nor can standard input be read twice.
        let is_file = !matches!(path.to_str(), Some("" | "-"));
        let host = Machine {
            is_for_trying: self.dev || self.demo.is_some(),
            certificates: self.config.tls.certificates.clone(),
            ..self.addresses.host.clone()
        };
        let mut reading = spawn_blocking(move || match reason {
            Reason::Signal if is_file => config::load(Some(&path), &host),
            Reason::Signal => config::read(text.expose(), &path, &host),
            // The addresses were judged when the server started, and may be away for a moment.
            Reason::File => config::read(text.expose(), &path, &host.with_every_address()),
        });
        self.late = None;
        if let Ok(read) = timeout(PATIENCE, &mut reading).await {
            return self.take_in(control, read, reason).await;
        }
        error!(
            file = self.name(),
            within = PATIENCE.as_secs(),
            "configuration.refused: {SLOW}"
        );
        self.late = Some((reading, reason));
        Err(SLOW.to_owned())
    }

    /// A change is seen once, so a reading that was slow is not lost.
    async fn take_in_late(&mut self, control: &Control) {
        let late = self.late.take_if(|(reading, _)| reading.is_finished());
        if let Some((reading, reason)) = late {
            // The log has the outcome.
            let _ = self.take_in(control, reading.await, reason).await;
        }
    }

    async fn take_in(
        &mut self,
        control: &Control,
        read: Result<Reading, JoinError>,
        reason: Reason,
    ) -> Result<Reloaded, String> {
        let name = self.name();
        let mut faults = String::new();
        let outcome = match read {
            Ok(Ok(loaded)) => {
                self.say_what_is_stale(&loaded.stale);
                self.adopt(control, loaded, reason).await
            }
            Ok(Err(Unusable::Faulty(remarks, certificates))) => {
                say(&remarks);
                if reason == Reason::File {
                    self.follow_certificates(control, certificates);
                }
                faults = remarks.to_string();
                Err("it has faults".to_owned())
            }
            Ok(Err(unusable @ Unusable::Unreadable { .. })) => Err(unusable.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let is_needless = reason == Reason::File
            && outcome
                .as_ref()
                .is_ok_and(|reloaded| reloaded.changed.is_empty());
        if !is_needless {
            control.reloads.count(outcome.is_ok());
        }
        match &outcome {
            Ok(_) if is_needless => {}
            Ok(reloaded) => info!(
                file = name,
                changed = listed(&reloaded.changed),
                "configuration.reloaded"
            ),
            Err(why) => error!(
                file = name,
                why, "configuration.refused: the server goes on with the old one"
            ),
        }
        control.log.set_level(self.config.log.level);
        outcome.map_err(|why| if faults.is_empty() { why } else { faults })
    }

    /// Shows new certificates although another file is faulty: those in effect would expire while
    /// nobody mends it.
    fn follow_certificates(&mut self, control: &Control, new: Vec<Filed>) {
        let own = &mut self.config.tls.certificates;
        if new.len() == own.len() && new != *own {
            control.shown.follow(&new);
            *own = new;
            control.minting.follow(&self.config);
        }
    }

    /// Says why certificates stay, once.
    fn say_what_is_stale(&mut self, stale: &Remarks) {
        let before = std::mem::replace(&mut self.stale, stale.to_string());
        if self.stale != before {
            say(stale);
        }
    }

    /// The configuration file, for the log.
    fn name(&self) -> String {
        match &self.file {
            Some((path, _)) if path.as_os_str().is_empty() => "the environment".to_owned(),
            Some((path, _)) => path.display().to_string(),
            None => String::new(),
        }
    }

    /// Has the shards follow a configuration; returns the keys that changed.
    async fn adopt(
        &mut self,
        control: &Control,
        loaded: Loaded,
        reason: Reason,
    ) -> Result<Reloaded, String> {
        let mut new = loaded.config;
        let host = &self.addresses.host;
        let before = self.config.relay.addresses.clone();
        new.relay.addresses.clone_from(&before);
        let found = self.addresses.found.borrow().clone();
        new.relay.follow(host, &found);
        if self.dev {
            open_for_trying(&mut new, host);
        }
        if let Some(port) = self.demo {
            demonstrate(&mut new, host, port);
        }
        let Difference { live, fixed } = Difference::between(&self.config, &new);
        let is_asked = reason == Reason::Signal;
        if is_asked {
            say(&loaded.remarks);
        }
        for key in &fixed {
            if is_asked || !self.waiting.contains(key) {
                warn!(key, "needs a restart: until then the old value is used");
            }
        }
        self.waiting = fixed;
        let new = in_effect(&self.config, new);
        let rules = rules(&new, host).map_err(|fault| fault.to_string())?;
        control.adopt(rules).await;
        control.minting.follow(&new);
        control.browsers.follow(&new);
        if new.tls.certificates != self.config.tls.certificates {
            control.shown.follow(&new.tls.certificates);
        }
        // The operator who asks for a reload may have mended what an order failed for.
        if is_asked || new.tls.acme != self.config.tls.acme {
            control.orders.want(new.tls.acme.clone());
        }
        for (realm, removed) in emptied(&self.config, &new) {
            let outcome = if new.is_stun_only() {
                "nobody can allocate"
            } else {
                "only users of other realms, secrets or tokens can allocate"
            };
            warn!(
                realm,
                removed, "no users are left (users-file, users): {outcome}"
            );
        }
        self.addresses.note_losses(&before, &new.relay.addresses);
        self.addresses.ask_for(&new);
        // Whichever of both levels has it, the log has the line about this.
        let level = new.log.level.max(self.config.log.level);
        control.log.set_level(level);
        self.config = new;
        (self.files, self.look) = (loaded.files, None);
        if let Some((_, text)) = &mut self.file {
            *text = loaded.text;
        }
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        Ok(Reloaded {
            changed: keys(&live),
            needs_restart: keys(&self.waiting),
        })
    }
}

/// Keys in words.
fn listed(keys: &[String]) -> String {
    if keys.is_empty() {
        "nothing".to_owned()
    } else {
        keys.join(", ")
    }
}

/// Why there is nothing to read.
const NO_FILE: &str = "there is no configuration file to read; start the server with --config, or with \
                       HAIRPIN_CONFIG";

/// Why nothing changes yet.
const SLOW: &str = "its files cannot be read in so many seconds; once they are, they are used";

/// How long the files may take to be read. A file system that does not answer holds up no reload
/// that comes after.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_hangs_can_be_given_up_and_goes_on_and_there_is_one_at_a_time() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        runtime.block_on(async {
            let (answer, answered) = std::sync::mpsc::channel();
            let mut under_way = Some(spawn_blocking(move || {
                (answered.recv().unwrap(), Vec::new())
            }));
            let mut files = Vec::new();
            let mut looks = interval(Duration::from_millis(1));
            for _ in 0..3 {
                let a_moment = Duration::from_millis(5);
                let outcome = timeout(a_moment, look(&mut under_way, &mut files, &mut looks)).await;
                outcome.unwrap_err();
            }
            answer.send(true).unwrap();
            assert!(look(&mut under_way, &mut files, &mut looks).await);
            assert!(!look(&mut under_way, &mut files, &mut looks).await);
        });
    }
}
