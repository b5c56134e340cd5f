//! Whether the server accepts the login.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{AllocateOptions, Credentials, Event, Failure};
use wire::AddressFamily;

use super::connect::Connector;
use super::dialogue::Dialogue;
use super::{Code, Finding, PATIENCE, Patient, Stopped};

/// How to authenticate.
#[derive(Clone)]
pub enum Login {
    /// A user name and a password.
    Password {
        /// USERNAME.
        user: String,
        /// The password.
        password: String,
    },
    /// Time-limited credentials: user name and password for an expiry in seconds since 1970.
    Secret(Arc<dyn Fn(u64) -> (String, String) + Send + Sync>),
}

/// An allocation, and the 5-tuple that it belongs to.
pub(super) struct Allocation {
    pub(super) dialogue: Dialogue,
    pub(super) relayed: SocketAddr,
    /// The family that was asked for.
    pub(super) family: Option<AddressFamily>,
}

impl Patient {
    /// Credentials to go on with.
    pub(super) fn credentials(&mut self, login: &Login) -> Result<Credentials, Stopped> {
        self.credentials_until(login, now() + DAY)
    }

    fn credentials_until(&mut self, login: &Login, expiry: u64) -> Result<Credentials, Stopped> {
        let (user, password) = match login {
            Login::Password { user, password } => (user.clone(), password.clone()),
            Login::Secret(mint) => mint(expiry),
        };
        Credentials::new(&user, &password).map_err(|why| {
            let sentence = format!("no server can accept them: {why}");
            self.find(Code::CredentialsRefused, sentence);
            Stopped
        })
    }

    /// Opens the allocation that all other tests need; returns it with the credentials that the
    /// server accepts.
    pub(super) async fn allocate(
        &mut self,
        connector: &Connector,
        login: &Login,
        credentials: Credentials,
    ) -> Result<(Allocation, Credentials), Stopped> {
        let user = credentials.username();
        let left = time_left(user, now());
        let mut outcome = self.try_allocate(connector, &credentials, None).await?;
        if let Err(none) = &outcome
            && none.code() == Some(440)
        {
            // Without a family the request means IPv4, whatever the server has. RFC 8656 §7.1.
            self.find(Code::NoIpv4, "asked for an IPv4 address: 440");
            let family = Some(AddressFamily::V6);
            outcome = self.try_allocate(connector, &credentials, family).await?;
        }
        let none = match outcome {
            Ok(allocation) => {
                if let Some(ago @ ..=0) = left {
                    let ago = ago.abs();
                    let sentence =
                        format!("user \"{user}\", expired {ago} seconds ago, is accepted");
                    self.find(Code::ExpiryIgnored, sentence);
                }
                return Ok((allocation, credentials));
            }
            Err(none) => none,
        };
        match none.code() {
            Some(300) => return Err(self.redirected_user(connector, &credentials).await),
            Some(401) if let Login::Secret(_) = login => {
                if let Some(accepted) = self.far_ahead(connector, login).await? {
                    return Ok(accepted);
                }
            }
            Some(_) | None => {}
        }
        let (code, sentence) = refusal(&none, login, user, left);
        self.find(code, sentence);
        Err(Stopped)
    }

    /// An allocation with credentials that are good for longer than a day: if there is one, the
    /// secret is right, and the server's clock is what refuses the others.
    async fn far_ahead(
        &mut self,
        connector: &Connector,
        login: &Login,
    ) -> Result<Option<(Allocation, Credentials)>, Stopped> {
        for (days, ahead) in [(2, "by one to two days"), (3_650, "by more than two days")] {
            let credentials = self.credentials_until(login, now() + days * DAY)?;
            let outcome = self.try_allocate(connector, &credentials, None).await?;
            if let Ok(allocation) = outcome {
                let sentence = format!("the server's clock is ahead of this host's {ahead}");
                self.find(Code::ClockFarAhead, sentence);
                return Ok(Some((allocation, credentials)));
            }
        }
        Ok(None)
    }

    /// An allocation on a new 5-tuple, or why there is none.
    pub(super) async fn try_allocate(
        &mut self,
        connector: &Connector,
        credentials: &Credentials,
        family: Option<AddressFamily>,
    ) -> Result<Result<Allocation, NoAllocation>, Stopped> {
        let mut dialogue = self.connect(connector, Some(credentials.clone())).await?;
        let asked = Instant::now();
        let options = AllocateOptions {
            family,
            ..AllocateOptions::default()
        };
        dialogue.client.allocate(asked, options);
        // A 401 and a 438 may each take a round of their own.
        let outcome = match dialogue.next(asked + PATIENCE * 2).await {
            Ok(Event::Allocated { relayed, .. }) => Ok(Allocation {
                dialogue,
                relayed,
                family,
            }),
            Ok(Event::Failed { failure, .. }) => Err(failure.into()),
            Ok(_) => Err(Failure::Timeout.into()),
            Err(why) if why.kind() == io::ErrorKind::TimedOut => Err(Failure::Timeout.into()),
            Err(why) => Err(NoAllocation::Ended(why)),
        };
        Ok(outcome)
    }

    /// Checks that peers of the other family can be reached, where the usual one is relayed.
    pub(super) async fn other_family(
        &mut self,
        connector: &Connector,
        credentials: &Credentials,
        relayed: SocketAddr,
    ) {
        if relayed.is_ipv6() {
            return self.find(Code::RelaysIpv6, format!("{relayed} is relayed"));
        }
        let family = Some(AddressFamily::V6);
        let Ok(outcome) = self.try_allocate(connector, credentials, family).await else {
            return;
        };
        match outcome {
            Ok(mut allocation) => {
                let sentence = format!("an IPv6 address is relayed: {}", allocation.relayed);
                self.find(Code::RelaysIpv6, sentence);
                if connector.target.address.is_ipv6() {
                    self.outside(connector, &mut allocation).await;
                }
                allocation.end().await;
            }
            Err(none) => self.find(Code::NoIpv6, format!("asked for an IPv6 address: {none}")),
        }
    }

    /// Checks whether the server's clock agrees with ours, as far as credentials show it.
    pub(super) async fn clock(&mut self, connector: &Connector, login: &Login) {
        let is_known = |finding: &Finding| finding.code == Code::ClockFarAhead;
        if matches!(login, Login::Password { .. }) || self.findings.iter().any(is_known) {
            return;
        }
        if let Some(false) = self.accepts(connector, login, now() + MINUTE).await {
            let sentence = "a credential that is good for another minute is refused";
            self.find(Code::ClockAhead, sentence);
        }
        if let Some(true) = self.accepts(connector, login, now() - HOUR).await {
            let sentence = "a credential that expired an hour ago is accepted";
            self.find(Code::ExpiryIgnored, sentence);
        } else if let Some(true) = self.accepts(connector, login, now() - GRACE).await {
            let sentence =
                "a credential that expired two minutes ago is accepted, one of an hour ago is not";
            self.find(Code::ClockBehind, sentence);
        }
    }

    /// Whether a credential with this expiry is accepted; `None` if that cannot be told.
    async fn accepts(&mut self, connector: &Connector, login: &Login, expiry: u64) -> Option<bool> {
        let credentials = self.credentials_until(login, expiry).ok()?;
        let outcome = self.try_allocate(connector, &credentials, None).await;
        match outcome.ok()? {
            Ok(mut allocation) => {
                allocation.end().await;
                Some(true)
            }
            Err(none) => (none.code() == Some(401)).then_some(false),
        }
    }
}

impl Allocation {
    /// Deletes it, without waiting for the answer.
    pub(super) async fn end(&mut self) {
        self.dialogue.client.refresh(Instant::now(), Duration::ZERO);
        // If the request is lost the allocation ends by itself.
        let _ = self.dialogue.flush().await;
    }
}

/// Why there is no allocation.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAllocation {
    #[error(transparent)]
    Failed(#[from] Failure),
    #[error("the connection ended: {0}")]
    Ended(io::Error),
}

impl NoAllocation {
    /// The code of a refusal.
    const fn code(&self) -> Option<u16> {
        match self {
            Self::Failed(Failure::Refused { code, .. }) => Some(*code),
            Self::Failed(_) | Self::Ended(_) => None,
        }
    }

    const fn is_silence(&self) -> bool {
        matches!(self, Self::Failed(Failure::Timeout) | Self::Ended(_))
    }
}

/// The finding if a user gets no allocation.
fn refusal(none: &NoAllocation, login: &Login, user: &str, left: Option<i64>) -> (Code, String) {
    let code = match (none.code(), login, left) {
        (Some(401), Login::Secret(_), _) => Code::SecretRefused,
        (Some(401), Login::Password { .. }, Some(..=0)) => Code::CredentialExpired,
        (Some(401), Login::Password { .. }, _) => Code::CredentialsRefused,
        (Some(438), ..) => Code::NonceRefused,
        (None, ..) if none.is_silence() => Code::UserUnanswered,
        (Some(_) | None, ..) => Code::AllocationRefused,
    };
    let life = match left {
        None if code == Code::CredentialsRefused => {
            "; there is no time in front of the name: one that `hairpin credentials` made begins with a \
             number and a colon, and is given whole"
                .to_owned()
        }
        None => String::new(),
        Some(ago @ ..=0) => format!("; the name expired {} seconds ago", ago.abs()),
        Some(left @ CENTURY..) => format!(
            "; the name is good for {} years: its expiry may be in milliseconds, where seconds are meant",
            left / (CENTURY / 100)
        ),
        Some(left) => format!("; by this host's clock the name is good for {left} seconds more"),
    };
    (
        code,
        format!("a signed Allocate as \"{user}\": {none}{life}"),
    )
}

/// Seconds until a time-limited user name expires, below 0 if it has by `now`; `None` for other
/// names. The TURN REST convention.
fn time_left(user: &str, now: u64) -> Option<i64> {
    let expiry: i64 = user.split(':').next()?.parse().ok()?;
    // A number that was a time in this millennium; others are names.
    let is_time = expiry > 1_000_000_000;
    expiry.checked_sub_unsigned(now).filter(|_| is_time)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// In seconds.
const MINUTE: u64 = 60;
const GRACE: u64 = 120;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// No credential is meant to be good for as long.
const CENTURY: i64 = 100 * 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_in_milliseconds_is_called_one() {
        let login = Login::Password {
            user: "alice".to_owned(),
            password: "pw".to_owned(),
        };
        let said = |left| refusal(&Failure::Timeout.into(), &login, "alice", Some(left)).1;
        let milliseconds = said(1_794_231_688_887);
        assert!(milliseconds.contains("in milliseconds"), "{milliseconds}");
        assert!(said(86_400).ends_with("for 86400 seconds more"));
    }

    #[test]
    fn a_name_that_may_have_lost_its_number_is_told_of_it() {
        let login = Login::Password {
            user: "alice".to_owned(),
            password: "pw".to_owned(),
        };
        let refused = NoAllocation::Failed(Failure::Refused {
            code: 401,
            reason: String::new(),
        });
        let (code, sentence) = refusal(&refused, &login, "alice", None);
        assert_eq!(code, Code::CredentialsRefused);
        assert!(sentence.contains("is given whole"), "{sentence}");
        let (_, sentence) = refusal(&refused, &login, "1796144501:alice", Some(60));
        assert!(!sentence.contains("is given whole"), "{sentence}");
        let (_, sentence) = refusal(&Failure::Timeout.into(), &login, "alice", None);
        assert!(!sentence.contains("is given whole"), "{sentence}");
    }

    #[test]
    fn only_a_time_before_the_name_expires() {
        let now = 1_800_000_000;
        assert_eq!(time_left("1799999990:alice", now), Some(-10));
        assert_eq!(time_left("1799999990", now), Some(-10));
        assert_eq!(time_left("1800000000:alice", now), Some(0));
        assert_eq!(time_left("1800000001:alice", now), Some(1));
        // Names that begin with a number are names.
        assert_eq!(time_left("4711", now), None);
        assert_eq!(time_left("007:bond", now), None);
        assert_eq!(time_left("alice:1799999990", now), None);
        assert_eq!(time_left("99999999999999999999999:alice", now), None);
        assert_eq!(time_left("", now), None);
    }
}
