//! Access to the listeners that are not for everybody, `[admin]` and `[metrics]`: a client shows the token, or its
//! certificate where that is wanted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use admin::api::Refusal;
use admin::bearer::shows;
use arc_swap::ArcSwapOption;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use httpd::{Encrypted, Rates, Running};
use tokio::time::sleep;
use tracing::info;

use crate::config::{Config, Secret};
use crate::log::Thinned;

/// The listeners that a token is shown at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Admin,
    Metrics,
}

/// The token, and what became of those who showed others.
pub(super) struct Access {
    door: Door,
    /// Whether a client shows a certificate, which it does over TLS only: it had no connection without one.
    wants_certificate: bool,
    /// Whether it shows the token.
    wants_token: bool,
    token: ArcSwapOption<Secret>,
    /// Wrong tokens, by the network that they come from.
    failures: Rates,
    lines: Thinned,
    shows_addresses: bool,
}

impl Access {
    /// The operator always shows a token.
    pub(super) fn of_operator(config: &Config) -> Self {
        Self::new(Door::Admin, config.admin.token.as_ref(), config)
    }

    /// A scrape shows what the configuration asks for; `None` if it asks for nothing.
    pub(super) fn of_scrapes(config: &Config) -> Option<Self> {
        let metrics = &config.metrics;
        let access = Self {
            wants_certificate: metrics.client_ca.is_some(),
            wants_token: metrics.token.is_some(),
            ..Self::new(Door::Metrics, metrics.token.as_ref(), config)
        };
        (access.wants_certificate || access.wants_token).then_some(access)
    }

    fn new(door: Door, token: Option<&Secret>, config: &Config) -> Self {
        Self {
            door,
            wants_certificate: false,
            wants_token: true,
            token: ArcSwapOption::from_pointee(token.cloned()),
            failures: Rates::new(FAILURES, MINUTE),
            lines: Thinned::new(LINES, PERIOD),
            shows_addresses: config.log.addresses,
        }
    }

    /// Takes the operator's token of this configuration from now on; without one nobody is let in.
    pub(super) fn follow(&self, config: &Config) {
        let token = config.admin.token.clone();
        self.token.store(token.map(Arc::new));
    }

    /// A request with the token is let in however often neighbours came without it.
    fn judge(&self, request: &Request, from: IpAddr) -> Result<(), NotLetIn> {
        let is_encrypted = request.extensions().get::<Encrypted>().is_some();
        if !is_encrypted && (self.wants_certificate || !from.to_canonical().is_loopback()) {
            return Err(NotLetIn::InTheClear);
        }
        if !self.wants_token {
            return Ok(());
        }
        let token = self.token.load();
        let is_shown = |token: &Arc<Secret>| shows(request.headers(), token.expose().as_bytes());
        if token.as_ref().is_some_and(is_shown) {
            return Ok(());
        }
        Err(match self.failures.take(from, 1) {
            Ok(()) => NotLetIn::Wrong,
            Err(wait) => NotLetIn::TooOften(wait),
        })
    }

    /// Strangers cause these lines, so there are few of each reason.
    fn say(&self, reason: &'static str, from: IpAddr) {
        if let Some(silent) = self.lines.may_log(reason, Instant::now()) {
            let silent = (silent > 0).then_some(silent);
            let client = self.shows_addresses.then(|| tracing::field::display(from));
            match self.door {
                Door::Admin => info!(reason, client, silent, "admin.refused"),
                Door::Metrics => info!(reason, client, silent, "metrics.refused"),
            }
        }
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotLetIn {
    /// Others could read what it shows, or it shows no certificate.
    InTheClear,
    /// It shows no token, or another.
    Wrong,
    /// The same, once too often from its network.
    TooOften(Duration),
}

/// Lets a request pass that shows what is wanted, and those of the operator's health checks, which tell a stranger
/// that there is a server.
pub(super) async fn let_in(
    State(access): State<Arc<Access>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if access.door == Door::Admin && ["/live", "/ready"].contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Err(why) = access.judge(&request, from.ip()) else {
        return next.run(request).await;
    };
    let (reason, status, sentence) = match (why, access.door) {
        (NotLetIn::InTheClear, Door::Admin) => {
            ("in-the-clear", StatusCode::FORBIDDEN, IN_THE_CLEAR)
        }
        (NotLetIn::InTheClear, Door::Metrics) => {
            ("in-the-clear", StatusCode::FORBIDDEN, SCRAPED_IN_THE_CLEAR)
        }
        (NotLetIn::Wrong, Door::Admin) => ("wrong-token", StatusCode::UNAUTHORIZED, WRONG),
        (NotLetIn::Wrong, Door::Metrics) => {
            ("wrong-token", StatusCode::UNAUTHORIZED, SCRAPED_WITHOUT)
        }
        (NotLetIn::TooOften(_), _) => ("too-often", StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN),
    };
    access.say(reason, from.ip());
    let mut answer = Refusal(status, sentence.to_owned()).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    match why {
        NotLetIn::Wrong => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            // It holds its place meanwhile, of which its network has few.
            sleep(PAUSE).await;
        }
        NotLetIn::TooOften(wait) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        NotLetIn::InTheClear => {}
    }
    answer
}

/// Says what such a server refuses before any route sees it: each reason once in a while, with its number since.
pub(super) async fn say_refusals(running: Option<Running>, door: Door) {
    let Some(running) = running else {
        return std::future::pending().await;
    };
    let mut before = running.snapshot();
    loop {
        sleep(PERIOD).await;
        let now = running.snapshot();
        for ((reason, count), (_, last)) in now.named().zip(before.named()) {
            if count > last && REFUSALS.contains(&reason) {
                let count = count - last;
                match door {
                    Door::Admin => info!(reason, count, "admin.refused"),
                    Door::Metrics => info!(reason, count, "metrics.refused"),
                }
            }
        }
        before = now;
    }
}

/// The names of what is refused, among those of [`httpd::Snapshot`].
const REFUSALS: [&str; 12] = [
    "refused-full",
    "refused-prefix",
    "refused-rate",
    "silent",
    "handshakes-failed",
    "malformed",
    "http2",
    "head-too-large",
    "head-late",
    "body-too-large",
    "body-late",
    "slow-reader",
];
const WRONG: &str = "this is for those who show the token, in a header: Authorization: Bearer TOKEN (keys `token`, \
                     `token-file` in [admin])";
const SCRAPED_WITHOUT: &str = "metrics are for those who show the token, in a header: Authorization: Bearer TOKEN (keys \
                               `token`, `token-file` in [metrics])";
const TOO_OFTEN: &str = "wrong tokens came of this network too often: try again later";
const IN_THE_CLEAR: &str = "a token is not shown in the clear: ask over https";
const SCRAPED_IN_THE_CLEAR: &str = "what lets a scrape in, a token or a certificate (key `client-ca` in [metrics]), is not \
                                    shown in the clear: ask over https";
/// How many wrong tokens a network may show in a minute before it is told to wait.
const FAILURES: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a wrong token waits for its answer.
const PAUSE: Duration = Duration::from_secs(1);
/// So many lines of a reason at once, and one more in each period; and how often it is looked at what no route sees.
const LINES: u32 = 3;
const PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const TOKEN: &str = "b25lIHdobyBvcGVyYXRlcw==";

    fn access() -> Access {
        let mut config = Config::default();
        config.admin.token = Some(Secret::new(TOKEN));
        Access::of_operator(&config)
    }

    fn request(shown: &str, is_encrypted: bool) -> Request {
        let request = Request::builder().uri("/v1/status");
        let request = request.header(header::AUTHORIZATION, shown);
        let mut request = request.body(Body::empty()).unwrap();
        if is_encrypted {
            request.extensions_mut().insert(Encrypted);
        }
        request
    }

    #[test]
    fn a_token_is_taken_over_tls_and_on_this_host_and_nowhere_in_the_clear() {
        let access = access();
        let right = format!("Bearer {TOKEN}");
        let judge = |is_encrypted, from: &str| {
            access.judge(&request(&right, is_encrypted), from.parse().unwrap())
        };
        assert_eq!(judge(true, "192.0.2.1"), Ok(()));
        assert_eq!(judge(false, "127.0.0.1"), Ok(()));
        assert_eq!(judge(false, "::ffff:127.0.0.1"), Ok(()));
        assert_eq!(judge(false, "192.0.2.1"), Err(NotLetIn::InTheClear));
        access.follow(&Config::default());
        assert_eq!(judge(true, "192.0.2.1"), Err(NotLetIn::Wrong));
    }

    #[test]
    fn a_scrape_shows_what_is_asked_for_and_a_certificate_nowhere_in_the_clear() {
        let mut config = Config::default();
        assert!(Access::of_scrapes(&config).is_none());
        let judge = |config: &Config, shown: &str, is_encrypted| {
            let access = Access::of_scrapes(config).unwrap();
            access.judge(&request(shown, is_encrypted), [127, 0, 0, 1].into())
        };
        let right = format!("Bearer {TOKEN}");
        config.metrics.client_ca = Some(authority());
        assert_eq!(judge(&config, "", true), Ok(()));
        assert_eq!(judge(&config, "", false), Err(NotLetIn::InTheClear));
        // Where both are asked for, one of them is not enough.
        config.metrics.token = Some(Secret::new(TOKEN));
        assert_eq!(judge(&config, "", true), Err(NotLetIn::Wrong));
        assert_eq!(judge(&config, &right, false), Err(NotLetIn::InTheClear));
        assert_eq!(judge(&config, &right, true), Ok(()));
        config.metrics.client_ca = None;
        assert_eq!(judge(&config, &right, false), Ok(()));
        assert_eq!(judge(&config, "", false), Err(NotLetIn::Wrong));
    }

    fn authority() -> httpd::Authorities {
        let own = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        httpd::Authorities::new(vec![own.cert.der().clone()]).unwrap()
    }

    #[test]
    fn a_network_that_guesses_is_told_to_wait_and_who_knows_the_token_is_let_in_all_the_same() {
        let access = access();
        let judge = |shown: &str| {
            let request = request(&format!("Bearer {shown}"), true);
            access.judge(&request, "192.0.2.1".parse().unwrap())
        };
        for _ in 0..FAILURES {
            assert_eq!(judge("another"), Err(NotLetIn::Wrong));
        }
        assert!(matches!(judge("another"), Err(NotLetIn::TooOften(_))));
        assert_eq!(judge(TOKEN), Ok(()));
    }
}
