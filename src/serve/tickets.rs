//! The keys that seal the tickets by which clients resume a TLS session. RFC 8446 §4.6.1, RFC 5077.
//!
//! They are kept in the state directory: a browser that comes back after a restart of the server
//! resumes, as after any other break. Each seals for a day and opens for two. A thief of one can
//! read recorded sessions of TLS 1.2 from that day; those of TLS 1.3 have secrets of their own.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::server::ProducesTickets;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::state;

/// Seals and opens tickets.
pub(super) struct Tickets {
    /// The newest first, which seals.
    keys: ArcSwap<Vec<Key>>,
    /// The file of the keys; `None` if they are this process's own.
    file: Option<PathBuf>,
}

/// A key, and when it was made.
#[derive(Clone)]
struct Key {
    /// Since the Unix epoch, in seconds.
    made: u64,
    /// The bytes in the file: the name, by which a ticket says what sealed it, and the key itself.
    bytes: [u8; NAME + KEY],
    seal: Arc<LessSafeKey>,
}

impl Tickets {
    /// The keys in the state directory, or new ones. Without a directory they end with the process.
    pub(super) fn begin(directory: Option<PathBuf>) -> Self {
        let tickets = Self {
            keys: ArcSwap::default(),
            file: directory.map(|directory| directory.join("ticket-keys")),
        };
        if let Err(why) = tickets.renew(now()) {
            tickets.say_that_they_are_not_kept(&why);
        }
        tickets
    }

    /// Takes in keys that another process has put into the file, and makes a new one if it is time.
    ///
    /// # Errors
    /// If the keys cannot be kept. They are good in this process all the same.
    fn renew(&self, now: u64) -> io::Result<()> {
        let (read, outcome) = match self.file.as_deref().map(read) {
            Some(Ok(keys)) => (keys, Ok(())),
            Some(Err(why)) => (Vec::new(), Err(why)),
            None => (Vec::new(), Ok(())),
        };
        let mut keys: Vec<Key> = self.keys.load().iter().cloned().chain(read).collect();
        // One of the future was made by a clock that was wrong, and would be the newest for long.
        keys.retain(|key| key.made <= now + SKEW && now.saturating_sub(key.made) < KEPT * SEALS);
        keys.sort_by_key(|key| std::cmp::Reverse(key.made));
        keys.dedup_by(|one, other| one.bytes == other.bytes);
        let is_due = keys
            .first()
            .is_none_or(|newest| now.saturating_sub(newest.made) >= SEALS);
        if is_due {
            keys.insert(0, Key::new(now, rand::random(), rand::random()));
        }
        keys.truncate(KEPT as usize);
        let text: String = keys.iter().map(Key::line).collect();
        self.keys.store(Arc::new(keys));
        match &self.file {
            // A file that holds something else, or that others may read, is written anew.
            Some(file) if is_due || outcome.is_err() => state::replace(file, text.as_bytes()),
            Some(_) | None => outcome,
        }
    }

    fn say_that_they_are_not_kept(&self, why: &io::Error) {
        let file = self.file.as_deref().unwrap_or(Path::new(""));
        warn!(
            file = %file.display(),
            %why,
            "tickets.not-kept: the keys of TLS tickets cannot be kept, so that clients make whole handshakes after \
             a restart (option --state-dir)"
        );
    }
}

/// Makes a new key every day.
pub(super) async fn rotate(tickets: Arc<Tickets>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_kept = true;
    looks.tick().await;
    loop {
        looks.tick().await;
        let renewed = Arc::clone(&tickets);
        // A panic has its own line, and the keys go on.
        let Ok(outcome) = spawn_blocking(move || renewed.renew(now())).await else {
            continue;
        };
        if let Err(why) = &outcome
            && is_kept
        {
            tickets.say_that_they_are_not_kept(why);
        }
        is_kept = outcome.is_ok();
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        keys.first()?.seal(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (name, sealed) = cipher.split_at_checked(NAME)?;
        if sealed.len() > MOST_SEALED {
            return None;
        }
        let keys = self.keys.load();
        keys.iter().find(|key| key.name() == name)?.open(sealed)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Key {
    fn new(made: u64, name: [u8; NAME], key: [u8; KEY]) -> Self {
        let mut bytes = [0; NAME + KEY];
        bytes[..NAME].copy_from_slice(&name);
        bytes[NAME..].copy_from_slice(&key);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key);
        #[expect(clippy::expect_used, reason = "it is refused for its length alone")]
        let key = key.expect("32 bytes");
        Self {
            made,
            bytes,
            seal: Arc::new(LessSafeKey::new(key)),
        }
    }

    fn name(&self) -> &[u8] {
        &self.bytes[..NAME]
    }

    /// The name, a nonce, and the rest sealed.
    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        // By chance, as a counter would begin anew with each process: a day has far fewer than 2^32.
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = Vec::with_capacity(NAME + NONCE_LEN + plain.len() + TAG);
        sealed.extend_from_slice(self.name());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.seal.seal_in_place_separate_tag(
            nonce,
            Aad::from(self.name()),
            &mut sealed[NAME + NONCE_LEN..],
        );
        sealed.extend_from_slice(tag.ok()?.as_ref());
        Some(sealed)
    }

    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = sealed.to_vec();
        let aad = Aad::from(self.name());
        let length = self.seal.open_in_place(nonce, aad, &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }

    fn line(&self) -> String {
        format!("{} {}\n", self.made, STANDARD.encode(self.bytes))
    }

    fn from_line(line: &str) -> Option<Self> {
        let (made, bytes) = line.split_once(' ')?;
        let bytes: [u8; NAME + KEY] = STANDARD.decode(bytes).ok()?.try_into().ok()?;
        let (name, key) = bytes.split_at(NAME);
        Some(Self::new(
            made.parse().ok()?,
            name.try_into().ok()?,
            key.try_into().ok()?,
        ))
    }
}

/// The keys of a file that only this user may read; none if there is no file.
fn read(path: &Path) -> io::Result<Vec<Key>> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => io::Read::take(file, MOST_FILE),
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    if file.get_ref().metadata()?.mode() & OTHERS != 0 {
        return Err(io::Error::other("others may read the file"));
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut file, &mut text)?;
    let keys: Option<Vec<Key>> = text.lines().map(Key::from_line).collect();
    keys.ok_or_else(|| io::Error::other("the file is there, and holds no keys of ours"))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

const NAME: usize = 16;
const KEY: usize = 32;
const TAG: usize = 16;

/// In seconds: how long a key seals.
const SEALS: u64 = 24 * 60 * 60;
/// How many keys open tickets: the one that seals, and the one before it.
const KEPT: u64 = 2;
/// In seconds: a ticket of a key's last moment is good until the key goes.
const LIFETIME: u32 = 24 * 60 * 60;
/// In seconds: how far the clock of another host with the same file may be ahead.
const SKEW: u64 = 60 * 60;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(60 * 60);
/// A ticket has a few hundred bytes; a longer one is none of ours.
const MOST_SEALED: usize = 4096;
/// Two keys are some 160 bytes.
const MOST_FILE: u64 = 4096;
/// The rights of others than the owner.
const OTHERS: u32 = 0o077;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const PLAIN: &[u8] = b"the secrets of a session";

    fn in_directory(directory: &Path) -> Tickets {
        Tickets {
            keys: ArcSwap::default(),
            file: Some(directory.join("ticket-keys")),
        }
    }

    #[test]
    fn a_ticket_from_before_a_restart_is_opened_after_it() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("state");
        let before = Tickets::begin(Some(directory.clone()));
        let ticket = before.encrypt(PLAIN).unwrap();
        drop(before);
        let after = Tickets::begin(Some(directory.clone()));
        assert_eq!(after.decrypt(&ticket).unwrap(), PLAIN);
        let file = fs::metadata(directory.join("ticket-keys")).unwrap();
        assert_eq!(file.mode() & 0o777, 0o600);
    }

    #[test]
    fn without_a_directory_tickets_end_with_the_process() {
        let (before, after) = (Tickets::begin(None), Tickets::begin(None));
        let ticket = before.encrypt(PLAIN).unwrap();
        assert_eq!(before.decrypt(&ticket).unwrap(), PLAIN);
        assert_eq!(after.decrypt(&ticket), None);
    }

    #[test]
    fn a_key_seals_for_a_day_and_opens_for_two() {
        let home = tempfile::tempdir().unwrap();
        let tickets = in_directory(home.path());
        let start = 1_800_000_000;
        tickets.renew(start).unwrap();
        let first = tickets.encrypt(PLAIN).unwrap();
        tickets.renew(start + SEALS - 1).unwrap();
        let last = tickets.encrypt(PLAIN).unwrap();
        assert_eq!(first[..NAME], last[..NAME]);
        tickets.renew(start + SEALS).unwrap();
        assert_ne!(first[..NAME], tickets.encrypt(PLAIN).unwrap()[..NAME]);
        assert_eq!(tickets.decrypt(&last).unwrap(), PLAIN);
        tickets.renew(start + 2 * SEALS).unwrap();
        assert_eq!(tickets.decrypt(&last), None);
        // Nor does it come back from the file.
        let again = in_directory(home.path());
        again.renew(start + 2 * SEALS).unwrap();
        assert_eq!(again.decrypt(&last), None);
    }

    #[test]
    fn two_processes_with_one_directory_open_the_tickets_of_each_other() {
        let home = tempfile::tempdir().unwrap();
        let [one, other] = [in_directory(home.path()), in_directory(home.path())];
        let start = 1_800_000_000;
        one.renew(start).unwrap();
        other.renew(start).unwrap();
        other.renew(start + SEALS).unwrap();
        one.renew(start + SEALS + 60).unwrap();
        let ticket = one.encrypt(PLAIN).unwrap();
        assert_eq!(other.decrypt(&ticket).unwrap(), PLAIN);
    }

    #[test]
    fn a_ticket_that_was_changed_or_cut_is_none() {
        let tickets = Tickets::begin(None);
        let ticket = tickets.encrypt(PLAIN).unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "{at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at}");
        }
        let mut long = ticket;
        long.resize(64 * 1024, 0);
        assert_eq!(tickets.decrypt(&long), None);
    }

    #[test]
    fn keys_that_others_may_have_read_and_files_that_hold_none_are_replaced() {
        let home = tempfile::tempdir().unwrap();
        let tickets = Tickets::begin(Some(home.path().to_owned()));
        let ticket = tickets.encrypt(PLAIN).unwrap();
        let file = home.path().join("ticket-keys");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let after = Tickets::begin(Some(home.path().to_owned()));
        assert_eq!(after.decrypt(&ticket), None);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        for text in ["no keys\n", "\u{0}", "1 AAAA\n"] {
            fs::write(&file, text).unwrap();
            let after = Tickets::begin(Some(home.path().to_owned()));
            let ticket = after.encrypt(PLAIN).unwrap();
            let again = Tickets::begin(Some(home.path().to_owned()));
            assert_eq!(again.decrypt(&ticket).unwrap(), PLAIN, "{text}");
        }
    }

    #[test]
    fn keys_made_by_a_clock_that_was_ahead_do_not_stay() {
        let home = tempfile::tempdir().unwrap();
        let tickets = in_directory(home.path());
        let start = 1_800_000_000;
        tickets.renew(start + 365 * SEALS).unwrap();
        let ticket = tickets.encrypt(PLAIN).unwrap();
        tickets.renew(start).unwrap();
        assert_eq!(tickets.decrypt(&ticket), None);
        assert!(tickets.encrypt(PLAIN).is_some());
    }

    #[test]
    fn a_directory_that_cannot_be_written_costs_the_restart_alone() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let tickets = in_directory(&place.path().join("below/a/file"));
        tickets.renew(1_800_000_000).unwrap_err();
        let ticket = tickets.encrypt(PLAIN).unwrap();
        assert_eq!(tickets.decrypt(&ticket).unwrap(), PLAIN);
    }
}
