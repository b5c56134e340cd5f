//! The task that keeps a certificate.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::challenges::Shown;
use crate::keeper::{Keeper, Step};
use crate::order::{Attempt, Issued, look_again};
use crate::store::{Held, Renewal, Store};
use crate::{Certificate, Failure, Name, Wanted};

/// The functions that are called with certificates and with news of orders. None may block.
#[derive(Clone)]
pub struct Duties {
    /// Shows these certificates, by server name, to a hello that asks for the protocol `acme-tls/1`,
    /// in place of those before. RFC 8737.
    pub show: Arc<dyn Fn(Shown) + Send + Sync>,
    /// Serves this certificate in place of the one before, or none.
    pub serve: Arc<dyn Fn(Option<Certificate>) + Send + Sync>,
    /// Hears what an operator should know.
    pub tell: Arc<dyn Fn(Event) + Send + Sync>,
}

/// An event that an operator should know of.
#[derive(Clone, Debug)]
pub enum Event {
    /// A certificate is in the state directory.
    Found {
        /// The names that it is for.
        names: Vec<Name>,
        /// When it expires.
        expires: SystemTime,
    },
    /// A certificate came.
    Issued {
        /// The names that it is for.
        names: Vec<Name>,
        /// When it expires.
        expires: SystemTime,
        /// When the next one is ordered, unless the authority suggests something else meanwhile.
        renewal: SystemTime,
    },
    /// None came.
    Failed {
        /// Why.
        failure: Failure,
        /// When the next attempt is.
        again: Duration,
        /// When the certificate that is served expires, if there is one.
        expires: Option<SystemTime>,
    },
    /// The state directory cannot be used, in these words: the next start has to order again.
    NotKept(String),
}

/// The certificate of the last run, if there is one that can be read, for use before [`keep()`] runs.
#[must_use]
pub fn held(state: &Path) -> Option<Certificate> {
    Some(kept(state)?.certificate)
}

/// Whether the certificate that is kept in a state directory came by an order like this one.
pub fn is_held(wanted: &Wanted, state: &Path) -> bool {
    kept(state).is_some_and(|held| wanted.is_same_order(&held.ordered))
}

fn kept(state: &Path) -> Option<Held> {
    Store::new(state).certificate().ok().flatten()
}

/// Keeps the certificate that is wanted at the time, with its state in a directory. Never returns.
pub async fn keep(mut wanted: Receiver<Option<Wanted>>, state: PathBuf, duties: Duties) {
    let store = Store::new(&state);
    loop {
        let now_wanted = wanted.borrow_and_update().clone();
        match now_wanted {
            Some(first) => {
                keep_some(first, &mut wanted, &store, &duties).await;
                (duties.serve)(None);
            }
            None => changed(&mut wanted).await,
        }
    }
}

/// Keeps certificates until none is wanted.
async fn keep_some(
    mut want: Wanted,
    wanted: &mut Receiver<Option<Wanted>>,
    store: &Store,
    duties: &Duties,
) {
    let mut keeper = Keeper::new(find(store, duties).await);
    loop {
        let step = keeper.step(&want, SystemTime::now());
        let next = {
            let mut taken = pin!(take(step, &want, &mut keeper, store, duties));
            loop {
                tokio::select! {
                    () = changed(wanted) => {
                        let next = wanted.borrow_and_update().clone();
                        // An order under way is given up for another wish only.
                        if matches!(step, Step::Wait(_)) || next.as_ref() != Some(&want) {
                            break Some(next);
                        }
                    }
                    () = &mut taken => break None,
                }
            }
        };
        match next {
            Some(Some(next)) => {
                keeper.hurry(next.directory == want.directory);
                want = next;
            }
            Some(None) => return,
            None => {}
        }
    }
}

/// The certificate of the last run, which is served from now on.
async fn find(store: &Store, duties: &Duties) -> Option<Held> {
    let tell = &duties.tell;
    match store.find().await {
        Ok(held) => {
            let held = held?;
            tell(Event::Found {
                names: held.certificate.names.clone(),
                expires: held.certificate.validity.end,
            });
            (duties.serve)(Some(held.certificate.clone()));
            Some(held)
        }
        Err(error) => {
            tell(Event::NotKept(error.to_string()));
            None
        }
    }
}

/// Does one step. It may be given up at any time.
async fn take(step: Step, want: &Wanted, keeper: &mut Keeper, store: &Store, duties: &Duties) {
    match step {
        Step::Wait(until) => {
            let ahead = until.duration_since(SystemTime::now()).unwrap_or_default();
            // The clock may be set meanwhile, and a host may sleep.
            sleep(ahead.min(GLANCE)).await;
        }
        Step::Look => {
            let Some(held) = &mut keeper.held else {
                return;
            };
            let renewal = look_again(want, store, held).await;
            held.renewal = renewal.unwrap_or_else(|| Renewal {
                look: Some(SystemTime::now() + crate::schedule::SIX_HOURS),
                ..held.renewal.clone()
            });
            if let Err(error) = store.keep_certificate(held.clone()).await {
                (duties.tell)(Event::NotKept(error.to_string()));
            }
        }
        Step::Order => {
            let attempt = Attempt {
                wanted: want.clone(),
                store: store.clone(),
                held: keeper.held.clone(),
                is_by_http: !keeper.is_odd(),
                show: Arc::clone(&duties.show),
            };
            match attempt_apart(attempt).await {
                Ok(issued) => take_in(issued, keeper, duties),
                Err(failure) => {
                    let chance = rand::random();
                    let again = keeper.failed(&failure, SystemTime::now(), chance);
                    let held = keeper.held.as_ref();
                    (duties.tell)(Event::Failed {
                        failure,
                        again,
                        expires: held.map(|held| held.certificate.validity.end),
                    });
                }
            }
        }
    }
}

fn take_in(Issued { held, not_kept }: Issued, keeper: &mut Keeper, duties: &Duties) {
    (duties.serve)(Some(held.certificate.clone()));
    (duties.tell)(Event::Issued {
        names: held.certificate.names.clone(),
        expires: held.certificate.validity.end,
        renewal: held.due(),
    });
    if let Some(why) = not_kept {
        (duties.tell)(Event::NotKept(why));
    }
    keeper.issued(held, SystemTime::now());
}

/// An attempt in a task of its own: what an authority sends makes no more of this server fail than
/// the attempt. It ends with the future that waits for it.
async fn attempt_apart(attempt: Attempt) -> Result<Issued, Failure> {
    let mut task = JoinSet::new();
    task.spawn(attempt.make());
    match task.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) | None => Err(Failure::refused(
            "a fault in this program: please report it with what the authority is",
        )),
    }
}

/// Waits for another wish; for ever if there can be none.
async fn changed(wanted: &mut Receiver<Option<Wanted>>) {
    if wanted.changed().await.is_err() {
        std::future::pending().await
    }
}

/// The clock is looked at so often.
const GLANCE: Duration = Duration::from_secs(30);
