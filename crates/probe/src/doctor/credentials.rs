//! Whether the server accepts the login.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{AllocateOptions, Credentials, Event, Failure};
use wire::AddressFamily;

use super::connect::Connector;
use super::link::Link;
use super::{Code, PATIENCE, Patient, Stopped};

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
    pub(super) link: Link,
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
            self.find(
                Code::CredentialsRefused,
                format!("no server can accept them: {why}"),
            );
            Stopped
        })
    }

    /// Opens the allocation that all other tests need.
    pub(super) async fn allocate(
        &mut self,
        connector: &Connector,
        login: &Login,
        credentials: &Credentials,
    ) -> Result<Allocation, Stopped> {
        let user = credentials.username();
        let expired = expired_since(user, now());
        let mut outcome = self.try_allocate(connector, credentials, None).await?;
        if let Err(Failure::Refused { code: 440, .. }) = outcome {
            // Without a family the request means IPv4, whatever the server has. RFC 8656 §7.1.
            self.find(Code::NoIpv4, "asked for an IPv4 address: 440");
            let family = Some(AddressFamily::V6);
            outcome = self.try_allocate(connector, credentials, family).await?;
        }
        let failure = match (outcome, expired) {
            (Ok(allocation), None) => return Ok(allocation),
            (Ok(allocation), Some(ago)) => {
                let sentence = format!("user \"{user}\" expired {ago} seconds ago and is accepted");
                self.find(Code::ExpiryIgnored, sentence);
                return Ok(allocation);
            }
            (Err(failure), _) => failure,
        };
        if let Failure::Refused { code: 300, .. } = failure {
            return Err(self.redirected_user(connector, credentials).await);
        }
        let (code, sentence) = refusal(&failure, login, user, expired);
        self.find(code, sentence);
        Err(Stopped)
    }

    /// An allocation on a new 5-tuple, or why there is none.
    pub(super) async fn try_allocate(
        &mut self,
        connector: &Connector,
        credentials: &Credentials,
        family: Option<AddressFamily>,
    ) -> Result<Result<Allocation, Failure>, Stopped> {
        let mut link = self.connect(connector, Some(credentials.clone())).await?;
        let asked = Instant::now();
        let options = AllocateOptions {
            family,
            ..AllocateOptions::default()
        };
        link.client.allocate(asked, options);
        // A 401 and a 438 may each take a round of their own.
        let outcome = match link.next(asked + PATIENCE * 2).await {
            Ok(Event::Allocated { relayed, .. }) => Ok(Allocation {
                link,
                relayed,
                family,
            }),
            Ok(Event::Failed { failure, .. }) => Err(failure),
            Ok(_) | Err(_) => Err(Failure::Timeout),
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
                let relayed = allocation.relayed;
                self.find(
                    Code::RelaysIpv6,
                    format!("an IPv6 address is relayed: {relayed}"),
                );
                allocation.end().await;
            }
            Err(failure) => self.find(
                Code::NoIpv6,
                format!("asked for an IPv6 address: {failure}"),
            ),
        }
    }

    /// Checks whether the server's clock agrees with ours, as far as credentials show it.
    pub(super) async fn clock(&mut self, connector: &Connector, login: &Login) {
        let Login::Secret(_) = login else {
            return;
        };
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
        match self
            .try_allocate(connector, &credentials, None)
            .await
            .ok()?
        {
            Ok(mut allocation) => {
                allocation.end().await;
                Some(true)
            }
            Err(Failure::Refused { code: 401, .. }) => Some(false),
            Err(_) => None,
        }
    }
}

impl Allocation {
    /// Deletes it, without waiting for the answer.
    pub(super) async fn end(&mut self) {
        self.link.client.refresh(Instant::now(), Duration::ZERO);
        // If the request is lost the allocation ends by itself.
        let _ = self.link.flush().await;
    }
}

/// The finding if a user gets no allocation.
fn refusal(failure: &Failure, login: &Login, user: &str, expired: Option<u64>) -> (Code, String) {
    match (failure, login) {
        (Failure::Refused { code: 401, .. }, _) if let Some(ago) = expired => (
            Code::CredentialExpired,
            format!("user \"{user}\" expired {ago} seconds ago"),
        ),
        (Failure::Refused { code: 401, .. }, Login::Password { .. }) => (
            Code::CredentialsRefused,
            format!("the server answers 401 to user \"{user}\" with this password"),
        ),
        (Failure::Refused { code: 401, .. }, Login::Secret(_)) => (
            Code::SecretRefused,
            "the server answers 401 to a credential made from this secret".to_owned(),
        ),
        (Failure::Refused { code: 438, .. }, _) => (
            Code::NonceRefused,
            "the server answers 438 to its own fresh nonce".to_owned(),
        ),
        (Failure::Refused { code, reason }, _) => (
            Code::AllocationRefused,
            format!("the server answers {code} {reason}"),
        ),
        (failure, _) => (
            Code::AllocationRefused,
            format!("a signed Allocate: {failure}"),
        ),
    }
}

/// Seconds since a time-limited user name expired, if it has by `now`. The TURN REST convention.
fn expired_since(user: &str, now: u64) -> Option<u64> {
    let expiry: u64 = user.split(':').next()?.parse().ok()?;
    // A number that was a time in this millennium; others are names.
    let is_time = expiry > 1_000_000_000;
    now.checked_sub(expiry).filter(|_| is_time)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_before_the_name_expires() {
        let now = 1_800_000_000;
        assert_eq!(expired_since("1799999990:alice", now), Some(10));
        assert_eq!(expired_since("1799999990", now), Some(10));
        assert_eq!(expired_since("1800000000:alice", now), Some(0));
        assert_eq!(expired_since("1800000001:alice", now), None);
        // Names that begin with a number are names.
        assert_eq!(expired_since("4711", now), None);
        assert_eq!(expired_since("007:bond", now), None);
        assert_eq!(expired_since("alice:1799999990", now), None);
        assert_eq!(expired_since("99999999999999999999999:alice", now), None);
        assert_eq!(expired_since("", now), None);
    }
}
