//! The webhook: batches of events, posted one after the other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::usage::{Batch, Event, Pauses, SigningKey, Spool, body};
use http_body_util::Full;
use https::{Client, Schemes};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::config;

/// Posts what waits in a spool.
pub(super) struct Webhook {
    receiver: Receiver,
    /// The post that is under way, or tried again.
    post: Option<Post>,
    under_way: Option<JoinHandle<Result<(), String>>>,
    pauses: Pauses,
    not_before: Instant,
    /// Why the last post failed.
    pub(super) failing: Option<String>,
}

/// A batch, and the request that it is at each try.
struct Post {
    batch: Batch,
    id: String,
    body: Bytes,
}

/// The other side.
#[derive(Clone)]
struct Receiver {
    client: Client<Full<Bytes>>,
    url: Uri,
    key: SigningKey,
}

/// The outcome of a post.
pub(super) enum Outcome {
    /// So many events have come to the webhook.
    Delivered(u64),
    /// It failed, and is tried again after this pause.
    Failed(Duration),
}

impl Webhook {
    /// `None` for what the review of the configuration has refused.
    pub(super) fn new(config: &config::Webhook) -> Option<Self> {
        let receiver = Receiver {
            client: https::client(&config.roots, Schemes::HttpToo).ok()?,
            url: config.url.parse().ok()?,
            key: SigningKey::read(config.secret.expose()).ok()?,
        };
        Some(Self {
            receiver,
            post: None,
            under_way: None,
            pauses: Pauses::default(),
            not_before: Instant::now(),
            failing: None,
        })
    }

    /// Begins a post, if there is none under way, something waits and it is time. `lost` makes the event that
    /// tells of so many lost ones.
    pub(super) fn begin(&mut self, spool: &mut Spool, lost: impl FnOnce(u64) -> Event) {
        if self.under_way.is_some() || Instant::now() < self.not_before {
            return;
        }
        // An event that is lost meanwhile cannot be posted again.
        if self
            .post
            .as_ref()
            .is_some_and(|post| !spool.has(&post.batch))
        {
            self.post = None;
            spool.let_go();
        }
        if self.post.is_none() {
            self.post = spool.batch(MOST_EVENTS, MOST_BYTES).map(|batch| {
                let lost = (batch.dropped > 0).then(|| lost(batch.dropped));
                let text = body(now(), lost.as_ref(), &batch.lines);
                Post {
                    batch,
                    id: format!("msg_{:032x}", rand::random::<u128>()),
                    body: text.into(),
                }
            });
        }
        if let Some(post) = &self.post {
            let receiver = self.receiver.clone();
            let (id, body) = (post.id.clone(), post.body.clone());
            let request = async move { receiver.post(&id, body).await };
            self.under_way = Some(tokio::spawn(request));
        }
    }

    /// Waits for the post that is under way, for ever if there is none.
    pub(super) async fn answered(&mut self) -> Result<(), String> {
        let Some(under_way) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let outcome = under_way.await;
        self.under_way = None;
        outcome.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Takes the answer to a post.
    pub(super) fn take(&mut self, answer: Result<(), String>, spool: &mut Spool) -> Outcome {
        match answer {
            Ok(()) => {
                self.pauses.reset();
                self.failing = None;
                let Some(Post { batch, .. }) = self.post.take() else {
                    return Outcome::Delivered(0);
                };
                // After a restart they are posted once more: at least once is what is promised.
                let _ = spool.delivered(&batch);
                Outcome::Delivered(batch.lines.len() as u64)
            }
            Err(why) => {
                let pause = self.pauses.after_failure(rand::random());
                self.not_before = Instant::now() + pause;
                self.failing = Some(why);
                Outcome::Failed(pause)
            }
        }
    }

    /// Posts at once what waits, until all of it is there, a post fails, or the time is over. The server ends.
    pub(super) async fn finish(
        &mut self,
        spool: &mut Spool,
        mut lost: impl FnMut(u64) -> Event,
    ) -> u64 {
        let mut delivered = 0;
        let posting = async {
            loop {
                self.not_before = Instant::now();
                self.begin(spool, &mut lost);
                if self.under_way.is_none() {
                    return;
                }
                let answer = self.answered().await;
                match self.take(answer, spool) {
                    Outcome::Delivered(events) => delivered += events,
                    Outcome::Failed(_) => return,
                }
            }
        };
        // Events that did not arrive by then wait in the spool.
        let _ = timeout(LAST, posting).await;
        delivered
    }
}

impl Receiver {
    async fn post(&self, id: &str, body: Bytes) -> Result<(), String> {
        let now = now();
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, OURS)
            .header("webhook-id", id)
            .header("webhook-timestamp", now.as_secs())
            .header("webhook-signature", self.key.sign(id, now, &body))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let answer = timeout(PATIENCE, https::exchange(&self.client, request)).await;
        let seconds = PATIENCE.as_secs();
        let answer = answer.map_err(|_| format!("no answer within {seconds} seconds"))??;
        // The body is not read: it closes the connection.
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else if status.is_redirection() {
            Err(format!(
                "it answers {status}, and no redirection is followed"
            ))
        } else if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            Err(format!(
                "it answers {status}: does it know the same secret?"
            ))
        } else {
            Err(format!("it answers {status}"))
        }
    }
}

/// Since the Unix epoch.
pub(super) fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

const OURS: &str = concat!("hairpin/", env!("CARGO_PKG_VERSION"));
/// For one post.
const PATIENCE: Duration = Duration::from_secs(10);
/// For all that is tried when the server ends.
const LAST: Duration = Duration::from_millis(1500);
/// Of one batch.
const MOST_EVENTS: usize = 500;
const MOST_BYTES: usize = 256 * 1024;
