//! One order, from the account to the certificate. RFC 8555 §7.4.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::net::TcpListener;

use crate::challenges::{Challenges, Shown};
use crate::failure::{chain, kind, told};
use crate::http::Http;
use crate::http_01::Responder;
use crate::schedule::{SIX_HOURS, next_look};
use crate::store::{Held, Renewal, Store};
use crate::wanted::Ordered;
use crate::{Certificate, Failure, Name, Wanted, account};

/// All that one attempt needs.
pub(crate) struct Attempt {
    pub(crate) wanted: Wanted,
    pub(crate) store: Store,
    /// The certificate that there is.
    pub(crate) held: Option<Held>,
    /// Whether HTTP-01 is tried before TLS-ALPN-01.
    pub(crate) is_by_http: bool,
    pub(crate) show: Arc<dyn Fn(Shown) + Send + Sync>,
}

/// A certificate that came, and what could not be kept.
pub(crate) struct Issued {
    pub(crate) held: Held,
    pub(crate) not_kept: Option<String>,
}

impl Attempt {
    /// Orders a certificate, and keeps it.
    pub(crate) async fn make(self) -> Result<Issued, Failure> {
        let http = Http::new(&self.wanted.roots)?;
        self.order(&http).await.map_err(|failure| Failure {
            not_before: failure.not_before.or(http.not_before()),
            ..failure
        })
    }

    async fn order(&self, http: &Http) -> Result<Issued, Failure> {
        let Self { wanted, store, .. } = self;
        let known = account::known(wanted, store, http).await?;
        let first = match known {
            Some(account) => self.new_order(&account).await.map(|order| (account, order)),
            None => Err(Missing::Account),
        };
        let mut not_kept = None;
        let (account, mut order) = match first {
            Ok(both) => both,
            // The authority has lost it, or it was never opened.
            Err(Missing::Account) => {
                let opened = account::open(wanted, store, http).await?;
                not_kept = opened.not_kept;
                let order = self.new_order(&opened.account).await?;
                (opened.account, order)
            }
            Err(Missing::Else(failure)) => return Err(failure),
        };
        let mut held = self.fulfil(&mut order).await?;
        held.renewal = look(&account, &held.certificate, None).await;
        let kept = store.keep_certificate(held.clone()).await;
        Ok(Issued {
            held,
            not_kept: kept.err().map(|error| error.to_string()).or(not_kept),
        })
    }

    async fn new_order(&self, account: &Account) -> Result<Order, Missing> {
        let wanted = &self.wanted;
        let identifiers: Vec<_> = wanted.names.iter().map(identifier).collect();
        let profile = self.profile(account)?;
        let new = || {
            let new = NewOrder::new(&identifiers);
            match &profile {
                Some(profile) => new.profile(profile),
                None => new,
            }
        };
        // RFC 9773 §5. An authority that does not know what this replaces gets a plain order.
        let replaced = self.held.as_ref().filter(|held| replaces(held, wanted));
        if let Some(replaced) = replaced.and_then(|held| held.certificate.identifier()) {
            match account.new_order(&new().replaces(replaced)).await {
                Ok(order) => return Ok(order),
                Err(error) if is_about_replacing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(account.new_order(&new()).await?)
    }

    fn profile(&self, account: &Account) -> Result<Option<String>, Failure> {
        let mut offered: Vec<&str> = account.profiles().map(|profile| profile.name).collect();
        offered.sort_unstable();
        match &self.wanted.profile {
            Some(profile) if offered.contains(&profile.as_str()) => Ok(Some(profile.clone())),
            Some(profile) if offered.is_empty() => Err(Failure::refused(format!(
                "the directory has no profiles, so not `{profile}` either"
            ))),
            Some(profile) => Err(Failure::refused(format!(
                "the directory has no profile `{profile}`; it has {}",
                offered.join(", ")
            ))),
            None => {
                let is_short = self.wanted.has_address() && offered.contains(&Wanted::SHORT_LIVED);
                Ok(is_short.then(|| Wanted::SHORT_LIVED.to_owned()))
            }
        }
    }

    /// Proves every name, and gets the certificate.
    async fn fulfil(&self, order: &mut Order) -> Result<Held, Failure> {
        let mut challenges = Challenges::new(Arc::clone(&self.show));
        let mut responder = None;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                // Proved for an order before. RFC 8555 §7.1.3 has clients expect it.
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Invalid
                | AuthorizationStatus::Revoked
                | AuthorizationStatus::Expired
                | AuthorizationStatus::Deactivated => {
                    let name = authorization.identifier().to_string();
                    return Err(Failure::refused(format!(
                        "{name} cannot be proved any more"
                    )));
                }
            }
            let name = authorization.identifier().to_string();
            let mut names = self.wanted.names.iter();
            let Some(name) = names.find(|own| own.to_string() == name) else {
                return Err(Failure::refused(format!(
                    "the authority wants a proof of {name}, which was not asked for"
                )));
            };
            let by_tls = (ChallengeType::TlsAlpn01, false);
            let by_http = (ChallengeType::Http01, true);
            let order = match (self.wanted.http_01, self.is_by_http) {
                (None, _) => vec![by_tls],
                (Some(_), true) => vec![by_http, by_tls],
                (Some(_), false) => vec![by_tls, by_http],
            };
            let has = |kind: &ChallengeType| {
                let mut challenges = authorization.challenges.iter();
                challenges.any(|challenge| challenge.r#type == *kind)
            };
            let offered = order.into_iter().find(|(kind, _)| has(kind));
            let (kind, is_http) = offered.ok_or_else(|| not_offered(name, &self.wanted))?;
            if let Some(at) = self
                .wanted
                .http_01
                .filter(|_| is_http && responder.is_none())
            {
                let listener = TcpListener::bind(at).await.map_err(|error| {
                    Failure::unheard(format!("cannot listen at {at} for HTTP-01: {error}"))
                })?;
                responder = Some(Responder::start(listener, challenges.tokens()));
            }
            let Some(mut challenge) = authorization.challenge(kind) else {
                return Err(not_offered(name, &self.wanted));
            };
            let answer = challenge.key_authorization();
            if is_http {
                challenges.prove_by_http(challenge.token.clone(), answer.as_str().to_owned());
            } else {
                challenges.prove_by_tls(name, answer.digest().as_ref())?;
            }
            challenge.set_ready().await?;
        }
        match order.poll_ready(&POLL).await {
            Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
            Ok(_) => return Err(disproved(order).await),
            Err(error @ Error::Api(_)) => {
                let told = disproved(order).await;
                return Err(if told.reason.is_empty() {
                    error.into()
                } else {
                    told
                });
            }
            Err(error) => return Err(late(error)),
        }
        drop((challenges, responder));
        self.finalize(order).await
    }

    async fn finalize(&self, order: &mut Order) -> Result<Held, Failure> {
        let words = |error: rcgen::Error| Failure::unheard(chain(&error));
        let names: Vec<_> = self.wanted.names.iter().map(Name::to_string).collect();
        let mut params = CertificateParams::new(names).map_err(words)?;
        params.distinguished_name = DistinguishedName::new();
        // ECDSA on P-256: every client takes it, and it is the cheapest to sign with.
        let key = KeyPair::generate().map_err(words)?;
        let request = params.serialize_request(&key).map_err(words)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&POLL).await.map_err(late)?;
        let certificate = Certificate::read(chain, key.serialize_pem())
            .and_then(|certificate| {
                certificate.is_for(&self.wanted.names, SystemTime::now())?;
                Ok(certificate)
            })
            .map_err(|unfit| Failure::refused(format!("the certificate that came {unfit}")))?;
        Ok(Held {
            certificate,
            ordered: self.wanted.ordered(),
            renewal: Renewal::default(),
        })
    }
}

/// Asks the authority when to renew; what was known stays if it does not say.
pub(crate) async fn look(
    account: &Account,
    certificate: &Certificate,
    known: Option<&Renewal>,
) -> Renewal {
    let now = SystemTime::now();
    let before = known.and_then(|known| known.window.clone());
    let Some(identifier) = certificate.identifier() else {
        return Renewal {
            window: before,
            look: Some(now + SIX_HOURS),
        };
    };
    match account.renewal_info(&identifier).await {
        Ok((info, after)) => {
            let window = info.suggested_window;
            Renewal {
                window: Some(window.start.into()..window.end.into()),
                look: Some(now + next_look(after)),
            }
        }
        Err(_) => Renewal {
            window: before,
            look: Some(now + SIX_HOURS),
        },
    }
}

/// Asks for the renewal of a certificate with the account that there is.
pub(crate) async fn look_again(wanted: &Wanted, store: &Store, held: &Held) -> Option<Renewal> {
    let http = Http::new(&wanted.roots).ok()?;
    let account = account::known(wanted, store, &http).await.ok()??;
    Some(look(&account, &held.certificate, Some(&held.renewal)).await)
}

/// Why there is no order yet.
enum Missing {
    /// The authority does not know the account.
    Account,
    Else(Failure),
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        match kind(&error) {
            Some("accountDoesNotExist") => Self::Account,
            _ => Self::Else(error.into()),
        }
    }
}

impl From<Failure> for Missing {
    fn from(failure: Failure) -> Self {
        Self::Else(failure)
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Account => Self::refused("the authority does not know the account it opened"),
            Missing::Else(failure) => failure,
        }
    }
}

/// The names whose proof failed, each with what the authority saw.
async fn disproved(order: &mut Order) -> Failure {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let name = state.identifier().to_string();
        let errors = state.challenges.iter().filter_map(|it| it.error.as_ref());
        reasons.extend(errors.map(|error| format!("{name}: {}", told(error))));
    }
    if reasons.is_empty() {
        reasons.push("the authority refuses the order, and does not say why".to_owned());
    }
    Failure::refused(reasons.join("; "))
}

fn not_offered(name: &Name, wanted: &Wanted) -> Failure {
    let way = match wanted.http_01 {
        Some(_) => "neither TLS-ALPN-01 nor HTTP-01",
        None => "no TLS-ALPN-01",
    };
    Failure::refused(format!("{name}: the authority takes {way} as a proof"))
}

/// The authority takes longer than it is waited for.
fn late(error: Error) -> Failure {
    let until = |next: Instant| SystemTime::now() + next.saturating_duration_since(Instant::now());
    let not_before = if let Error::Timeout(next) = &error {
        next.map(until)
    } else {
        None
    };
    Failure {
        not_before,
        ..error.into()
    }
}

/// Whether a new certificate takes the place of this one: same authority, and a name in common.
fn replaces(held: &Held, wanted: &Wanted) -> bool {
    let Ordered {
        directory, names, ..
    } = &held.ordered;
    let shares = wanted
        .names
        .iter()
        .any(|name| names.contains(&name.to_string()));
    *directory == wanted.directory && shares && held.certificate.validity.end > SystemTime::now()
}

fn is_about_replacing(error: &Error) -> bool {
    let is_mismatch = matches!(error, Error::Unsupported(_) | Error::Other(_));
    is_mismatch
        || matches!(
            kind(error),
            Some("alreadyReplaced" | "malformed" | "conflict")
        )
}

fn identifier(name: &Name) -> Identifier {
    match name {
        Name::Host(name) => Identifier::Dns(name.clone()),
        Name::Address(ip) => Identifier::Ip(*ip),
    }
}

/// How long an order is waited for, each time.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));
