//! Credentials for browsers, minted now by the configuration that is in effect.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use probe::Uri;
use relay::keys::{Credential, Mint, mint};

use crate::config::{Config, Secret};
use crate::ice_servers::{IceServer, uris};

/// The means to mint. They follow the configuration at a reload, and the addresses of the host.
#[derive(Debug)]
pub(in crate::serve) struct Minting {
    offer: ArcSwap<Offer>,
}

/// Why a user has no credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoCredential {
    /// The realm has no secret.
    NoSecret,
    /// The user's name ends in another realm, of which the relay would take it to be.
    OtherRealm,
}

impl Minting {
    pub(in crate::serve) fn new(config: &Config) -> Self {
        Self {
            offer: ArcSwap::from_pointee(Offer::of(config)),
        }
    }

    /// Mints by this configuration from now on. Earlier credentials are good until they expire, if
    /// their secret is still there.
    pub(in crate::serve) fn follow(&self, config: &Config) {
        self.offer.store(Offer::of(config).into());
    }

    /// This server with a credential for a user of the default realm.
    ///
    /// # Errors
    /// If that realm has no secret, or the user is of another one.
    pub(super) fn ice_server(
        &self,
        user: &str,
        lifetime: Duration,
    ) -> Result<IceServer, NoCredential> {
        let offer = self.offer.load();
        let credential = offer.credential(&offer.realm, user, lifetime)?;
        Ok(IceServer::new(&offer.uris, credential))
    }

    /// The offer that is in effect.
    pub(super) fn offer(&self) -> Arc<Offer> {
        self.offer.load_full()
    }
}

/// The part of a configuration that browsers are given.
pub(super) struct Offer {
    pub(super) uris: Vec<Uri>,
    /// The default one.
    realm: String,
    /// The others.
    realms: BTreeSet<String>,
    /// The first of each realm that has any.
    secrets: BTreeMap<String, Secret>,
}

impl Offer {
    fn of(config: &Config) -> Self {
        let realms = config.auth.realms.iter();
        let realms = realms.map(|realm| (&realm.name, &realm.secrets));
        let all = realms.chain([(&config.realm, &config.auth.secrets)]);
        let first = |(name, secrets): (&String, &Vec<Secret>)| {
            let secret = secrets.first()?;
            Some((name.clone(), secret.clone()))
        };
        Self {
            uris: uris(config, None),
            realm: config.realm.clone(),
            realms: config
                .auth
                .realms
                .iter()
                .map(|realm| realm.name.clone())
                .collect(),
            secrets: all.filter_map(first).collect(),
        }
    }

    /// A credential for a user of a realm, by HMAC-SHA1, which servers of every make take.
    ///
    /// # Errors
    /// If the realm has no secret, or the user's name ends in another realm.
    pub(super) fn credential(
        &self,
        realm: &str,
        user: &str,
        lifetime: Duration,
    ) -> Result<Credential, NoCredential> {
        let secret = self.secrets.get(realm).ok_or(NoCredential::NoSecret)?;
        // Of a user of another realm than the default one the name ends in that realm in any case.
        let ends_in = user.rsplit_once('@').map(|(_, realm)| realm);
        if realm == self.realm && ends_in.is_some_and(|realm| self.realms.contains(realm)) {
            return Err(NoCredential::OtherRealm);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let expiry = now.unwrap_or_default().saturating_add(lifetime).as_secs();
        let secret = secret.expose().as_bytes();
        let user = if realm == self.realm {
            user.to_owned()
        } else {
            format!("{user}@{realm}")
        };
        Ok(mint(Mint::Sha1, secret, Some(&user), expiry))
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("uris", &self.uris)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Machine;

    fn config(secrets: &[&str]) -> Config {
        let mut config = Config::defaults(&Machine::anywhere());
        config.auth.secrets = secrets.iter().map(|text| Secret::new(*text)).collect();
        config
    }

    #[test]
    fn a_credential_is_of_the_first_secret_in_effect_and_of_no_earlier_one() {
        let minting = Minting::new(&config(&["first of many bytes", "second of many bytes"]));
        let password = |minting: &Minting| {
            let server = minting.ice_server("a", Duration::from_secs(60)).unwrap();
            let value = serde_json::to_value(server).unwrap();
            let [name, password] = ["username", "credential"].map(|key| {
                let text = value[key].as_str().unwrap();
                text.to_owned()
            });
            let expiry = name.strip_suffix(":a").unwrap().parse().unwrap();
            (password, expiry)
        };
        for secret in ["first of many bytes", "third of many bytes"] {
            minting.follow(&config(&[secret, "another of many bytes"]));
            let (password, expiry) = password(&minting);
            let expected = mint(Mint::Sha1, secret.as_bytes(), Some("a"), expiry);
            assert_eq!(password, expected.password);
        }
        minting.follow(&config(&[]));
        let refused = minting.ice_server("a", Duration::from_secs(60));
        assert_eq!(refused, Err(NoCredential::NoSecret));
    }
}
