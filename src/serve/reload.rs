//! The configuration is read again: at SIGHUP or when the API is asked, when a file of users or secrets
//! that it names has changed, and, where that is wanted, when it has changed itself. Keys that may change hold
//! at once in all shards; a faulty file changes nothing.

use std::path::PathBuf;
use std::time::Duration;
use std::{path, sync::Arc};

use ::admin::api::{self, ReloadWish, Reloaded};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use super::addresses::Addresses;
use super::control::Control;
use super::difference::{Difference, emptied, in_effect};
use super::http::demonstrate;
use super::in_force::{changed_values, note_adopted, note_refused};
use super::looks::Looks;
use super::nearby::open_for_trying;
use super::shards::rules;
use super::{buffers, relisten, systemd};
use crate::config::{self, Config, Filed, Loaded, Machine, Remarks, Secret, Unusable};
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
    /// The file, and those that it names.
    pub(super) looks: Looks,
    /// Keys whose new value waits for a restart.
    pub(super) waiting: Vec<&'static str>,
    /// Why certificates stay whose files hold no good ones, as it was said.
    pub(super) stale: String,
    /// The cautions about the configuration, as they were said.
    pub(super) cautions: String,
    /// The host, which is in effect as much as the file.
    pub(super) addresses: Addresses,
    /// A reading that takes longer than [`PATIENCE`], and why it began.
    pub(super) late: Option<(JoinHandle<Reading>, Reason)>,
}

/// The outcome of a reading.
type Reading = Result<Loaded, Unusable>;

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The operator asks: the file itself may be another.
    Asked,
    /// The operator asks what would change, and nothing is to.
    DryRun,
    /// A file that it names is another. An edit of the configuration itself that nobody has asked
    /// to be read yet is none of that.
    File,
    /// The file itself is another, and `[reload] watch` asks for it to be read.
    Edit,
}

/// Reads the configuration again whenever there is reason to.
pub(super) async fn follow(
    control: Arc<Control>,
    mut reload: Reload,
    mut hangup: Signal,
    mut asked: mpsc::Receiver<ReloadWish>,
) {
    let mut closings = interval(LOOK_AT_LISTENERS);
    closings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let watches_own = reload.config.watch;
        tokio::select! {
            signal = hangup.recv() => match signal {
                Some(()) => {
                    // The log has the outcome.
                    let _ = reload.read_when_asked(&control).await;
                }
                None => return,
            },
            Some(ReloadWish { reload: api::Reload { dry_run }, answer }) = asked.recv() => {
                let outcome = if dry_run {
                    reload.read_again(&control, Reason::DryRun).await
                } else {
                    reload.read_when_asked(&control).await
                };
                // The asker may be gone.
                let _ = answer.send(outcome);
            }
            () = reload.addresses.changed() => reload.follow_host(&control).await,
            due = reload.looks.next(watches_own) => {
                reload.take_in_late(&control).await;
                if let Some(reason) = due {
                    // The log has the outcome.
                    let _ = reload.read_again(&control, reason).await;
                }
            }
            _ = closings.tick() => reload.close_listeners(&control).await,
        }
    }
}

impl Reload {
    async fn read_when_asked(&mut self, control: &Control) -> Result<Reloaded, String> {
        systemd::reloading();
        let outcome = self.read_again(control, Reason::Asked).await;
        systemd::reloaded();
        outcome
    }

    /// Reads the configuration and has the server follow it; returns what changed, or why nothing did.
    async fn read_again(&mut self, control: &Control, reason: Reason) -> Result<Reloaded, String> {
        let Some((path, text)) = self.file.clone() else {
            info!("configuration.none: {NO_FILE}");
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
            Reason::Asked | Reason::DryRun | Reason::Edit if is_file => {
                config::load(Some(&path), &host)
            }
            Reason::Asked | Reason::DryRun | Reason::Edit => {
                config::read(text.expose(), &path, &host)
            }
            // The addresses were judged when the server started, and may be away for a moment.
            Reason::File => config::read(text.expose(), &path, &host.with_every_address()),
        });
        if reason == Reason::DryRun {
            let read = timeout(PATIENCE, reading).await;
            return self.compare(control, read.map_err(|_| SLOW.to_owned())?);
        }
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

    /// Says what a reload would change. New listeners are bound for a moment, to see whether they
    /// can be had.
    fn compare(
        &self,
        control: &Control,
        read: Result<Reading, JoinError>,
    ) -> Result<Reloaded, String> {
        let read = read.map_err(|error| error.to_string())?;
        let loaded = read.map_err(|unusable| unusable.to_string())?;
        let (mut new, mut difference) = self.compared(loaded.config);
        let prepared = relisten::prepare(&control.running, &control.shown, &mut new)?;
        difference.note_passed(&prepared, &self.config, &new);
        Ok(Reloaded {
            dry_run: true,
            values: changed_values(control, &loaded.values, &difference),
            ..self.reloaded(&difference)
        })
    }

    /// The configuration that would be in effect, and how it differs from the one that is.
    fn compared(&self, mut new: Config) -> (Config, Difference) {
        let host = &self.addresses.host;
        new.relay.addresses.clone_from(&self.config.relay.addresses);
        let found = self.addresses.found.borrow().clone();
        new.relay.follow(host, &found);
        if self.dev {
            open_for_trying(&mut new, host);
        }
        if let Some(port) = self.demo {
            demonstrate(&mut new, host, port);
        }
        let difference = Difference::between(&self.config, &new);
        (in_effect(&self.config, new), difference)
    }

    fn reloaded(&self, Difference { live, fixed }: &Difference) -> Reloaded {
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        let file = self.file.as_ref().map(|(path, _)| path.as_path());
        let file = file.filter(|path| !matches!(path.to_str(), Some("" | "-")));
        Reloaded {
            changed: keys(live),
            needs_restart: keys(fixed),
            values: Vec::new(),
            dry_run: false,
            file: file
                .and_then(|path| path::absolute(path).ok())
                .map(|path| path.display().to_string()),
        }
    }

    /// Closes the listeners that were taken away and are not used any more.
    async fn close_listeners(&self, control: &Control) {
        let closed = control.running.close_unused().await;
        if closed.is_empty() {
            return;
        }
        relisten::say_what_closed(&closed);
        let host = &self.addresses.host;
        match rules(&self.config, host, relisten::retiring(&control.running)) {
            Ok(rules) => control.adopt(rules).await,
            Err(fault) => error!("configuration.refused: {fault}"),
        }
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
        let was_refused = control.configuration.load().refused.is_some();
        let mut faults = String::new();
        let outcome = match read {
            Ok(Ok(loaded)) => {
                self.say_what_is_stale(&loaded.stale);
                self.adopt(control, loaded, reason).await
            }
            Ok(Err(Unusable::Faulty(remarks, certificates))) => {
                say(&remarks);
                if matches!(reason, Reason::File | Reason::Edit) {
                    self.follow_certificates(control, certificates);
                }
                faults = remarks.to_string();
                Err("it has faults".to_owned())
            }
            Ok(Err(unusable @ (Unusable::Unreadable { .. } | Unusable::Twice))) => {
                Err(unusable.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if outcome.is_err() {
            note_refused(control);
        }
        let is_needless = reason != Reason::Asked
            && !was_refused
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
        let before = self.config.relay.addresses.clone();
        let (mut new, mut difference) = self.compared(loaded.config);
        let prepared = relisten::prepare(&control.running, &control.shown, &mut new)?;
        difference.note_passed(&prepared, &self.config, &new);
        let retiring = prepared.retiring().to_vec();
        let rules =
            rules(&new, &self.addresses.host, retiring).map_err(|fault| fault.to_string())?;
        let listened = control.running.listen(prepared).await;
        let listened = listened.map_err(|fault| fault.to_string())?;
        relisten::say_what_changed(&listened, &self.addresses.host);
        self.say_about(&loaded.remarks, &difference.fixed, reason);
        control.adopt(rules).await;
        buffers::follow(&new, &self.config, &control.running);
        control.minting.follow(&new);
        control.browsers.follow(&new);
        control.usage.follow(&new, &control.running);
        control.follow_stop(&new);
        control.access.follow(&new);
        let values = note_adopted(control, loaded.source, loaded.values, &difference);
        if new.tls.certificates != self.config.tls.certificates {
            control.shown.follow(&new.tls.certificates);
        }
        // The operator who asks for a reload may have mended what an order failed for.
        if reason == Reason::Asked || new.tls.acme != self.config.tls.acme {
            let wanted = new.tls.acme.clone();
            control.orders.want(wanted, &control.shown);
        }
        say_who_is_gone(&self.config, &new);
        self.addresses.note_losses(&before, &new.relay.addresses);
        self.addresses.ask_for(&new);
        // Whichever of both levels has it, the log has the line about this.
        let level = new.log.level.max(self.config.log.level);
        control.log.set_level(level);
        self.config = new;
        self.looks.follow(loaded.own, loaded.files);
        if let Some((_, text)) = &mut self.file {
            *text = loaded.text;
        }
        Ok(Reloaded {
            values,
            ..self.reloaded(&difference)
        })
    }

    /// Says what is doubtful in a configuration that is followed from now on, and which of its keys wait for a restart.
    /// Nobody waits for that at an edit: it is said when it is something else than before.
    fn say_about(&mut self, remarks: &Remarks, fixed: &[&'static str], reason: Reason) {
        let is_asked = reason == Reason::Asked;
        let cautions = remarks.to_string();
        if is_asked || reason == Reason::Edit && cautions != self.cautions {
            say(remarks);
            self.cautions = cautions;
        }
        for key in fixed {
            if is_asked || !self.waiting.contains(key) {
                warn!(
                    key,
                    "configuration.waits: needs a restart: until then the old value is used"
                );
            }
        }
        self.waiting = fixed.to_vec();
    }
}

/// Says which realms have lost their last user.
fn say_who_is_gone(before: &Config, new: &Config) {
    for (realm, removed) in emptied(before, new) {
        let outcome = if new.is_stun_only() {
            "nobody can allocate"
        } else {
            "only users of other realms, secrets or tokens can allocate"
        };
        warn!(
            realm,
            removed, "users.none: no users are left (users-file, users): {outcome}"
        );
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

/// How often listeners that were taken away are looked at.
const LOOK_AT_LISTENERS: Duration = Duration::from_secs(1);
