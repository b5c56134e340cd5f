//! The operator's configuration as plain data, and the way from `turnserver.toml` to it.
//!
//! Each key is a row (`rows`), with a kind (`kind`). By the rows the text becomes values (`read`), each of
//! them possible alone (`form`); then they are reviewed against each other and against this [`Machine`] (`review`). The
//! result is a [`Config`] in which nothing is left to choose, or all mistakes at once.

mod access;
mod changes;
mod clients;
mod coturn;
mod environment;
mod form;
mod instead;
mod kind;
mod listener;
mod load;
mod machine;
mod mask;
mod names;
mod peers;
mod read;
mod relay_pool;
mod remark;
mod review;
mod row;
mod rows;
mod secret;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod values;
mod watched;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use net::proxy::Proxies;
use net::{Offload, ProxyOptions, StreamLimits, TlsVersion, Transports, WebOptions};
use relay::keys::{Keys, NotOpaque, TokenKeys};
use relay::{
    Allowance, Bandwidth, IcmpTold, Limits, NatDiscovery, Realms, Redirect, Sha256, Thresholds,
    Transport,
};

use crate::certificate::Certificate;
pub(crate) use changes::{Change, changes};
pub(crate) use clients::Clients;
pub(crate) use coturn::is_needless;
pub(crate) use form::{realm_flaw, spelled, spelled_bandwidth, spelled_size};
pub(crate) use listener::Listener;
pub(crate) use load::{Loaded, Unusable, load, read};
pub(crate) use machine::Machine;
pub(crate) use peers::Peers;
pub(crate) use relay_pool::{RelayPool, Teller};
pub(crate) use remark::Remarks;
pub(crate) use review::{secret_flaw, unfilled};
pub(crate) use row::{Row, Unwritten};
pub(crate) use rows::ROWS;
pub(crate) use secret::{NoSecret, PrecomputedKey, Secret, TokenSecret};
pub(crate) use values::{Values, keeping};
pub(crate) use watched::Watched;

/// The whole configuration, every choice made.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Config {
    /// The realm of long-term credentials.
    pub(crate) realm: String,
    /// How many shards run.
    pub(crate) threads: usize,
    /// The addresses that clients come to. Never empty.
    pub(crate) listeners: Vec<Listener>,
    /// `[advertise] uris`: none for those of the listeners.
    pub(crate) advertised: Vec<probe::Uri>,
    /// `[tls]`.
    pub(crate) tls: Tls,
    /// `[dtls] enabled`: whether listeners for every transport take DTLS, too.
    pub(crate) dtls: bool,
    /// `[relay]`.
    pub(crate) relay: RelayPool,
    /// `[nat-discovery]`. One of each family at most; every corner has a listener.
    pub(crate) nat_discovery: Vec<NatDiscovery>,
    /// `[auth]`. Without users and secrets the server is a STUN server only.
    pub(crate) auth: Auth,
    /// `[oauth]`.
    pub(crate) oauth: Oauth,
    /// `[allocation]`.
    pub(crate) allocation: Limits,
    /// `[allocation] mobility`.
    pub(crate) mobility: bool,
    /// `[allocation] tcp`.
    pub(crate) tcp_relay: bool,
    /// `[allocation] icmp`.
    pub(crate) icmp: IcmpTold,
    /// `[[redirect]]`, in order.
    pub(crate) redirects: Vec<Redirect>,
    /// `[unauthenticated]`.
    pub(crate) unauthenticated: Allowance,
    /// `[tcp]`.
    pub(crate) tcp: StreamLimits,
    /// `[proxy-protocol]`.
    pub(crate) proxies: ProxyOptions,
    /// `[clients]`.
    pub(crate) clients: Clients,
    /// `[web]`.
    pub(crate) web: WebOptions,
    /// `[http]`.
    pub(crate) http: Http,
    /// `[signal]`.
    pub(crate) signal: Signal,
    /// `[demo] enabled`: whether pages are served.
    pub(crate) demo: bool,
    /// `[admin]`.
    pub(crate) admin: Admin,
    /// `[metrics]`.
    pub(crate) metrics: Metrics,
    /// `[usage]`.
    pub(crate) usage: Usage,
    /// `[[cap]]`.
    pub(crate) caps: Vec<usage::Cap>,
    /// `[quality]`.
    pub(crate) quality: Quality,
    /// `[datapath] offload`.
    pub(crate) offload: Offload,
    /// `[peers]`.
    pub(crate) peers: Peers,
    /// `[log]`.
    pub(crate) log: Log,
    /// `[reload] watch`: whether a change of the file is followed without being asked.
    pub(crate) watch: bool,
    /// `[stop] drain`: how long a server that is to stop waits for its last allocation.
    pub(crate) stop_drain: Duration,
}

/// The side of TLS that clients are shown.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The first is for clients that name nobody.
    pub(crate) certificates: Vec<Filed>,
    /// `[tls.acme]`: one that comes by itself, behind them.
    pub(crate) acme: Option<acme::Wanted>,
    /// The oldest version that is taken.
    pub(crate) minimum: TlsVersion,
}

/// A certificate, and its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filed {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) certificate: Certificate,
}

/// The users who may allocate.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Auth {
    /// Secrets for time-limited credentials, all accepted. The first mints new ones.
    pub(crate) secrets: Vec<Secret>,
    /// Users by name.
    pub(crate) users: BTreeMap<String, UserKey>,
    /// How many failed proofs of one network are answered.
    pub(crate) failures_per_minute: Option<NonZeroU32>,
    /// How long a nonce is accepted.
    pub(crate) nonce_lifetime: Duration,
    /// Seals nonces that other servers with the same secret accept, too.
    pub(crate) nonce_secret: Option<Secret>,
    /// Whether SHA-256 is offered or required.
    pub(crate) sha256: Sha256,
    /// Realms beside the default one.
    pub(crate) realms: Vec<Realm>,
}

/// A realm beside the default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Realm {
    pub(crate) name: String,
    /// The listeners whose clients are challenged with it.
    pub(crate) listeners: Vec<SocketAddr>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) users: BTreeMap<String, UserKey>,
    /// Allocations of one user; `None` is as in `[allocation]`.
    pub(crate) per_user: Option<u32>,
    /// Allocations of all its users; `None` is without limit.
    pub(crate) total: Option<u32>,
    /// How fast data may pass; `None` is as in `[allocation]`.
    pub(crate) bandwidth: Bandwidth,
}

/// The access tokens that are good. RFC 7635.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Oauth {
    /// The name that authorization servers know this server by.
    pub(crate) server_name: String,
    /// The keys shared with them. Without any there are no tokens.
    pub(crate) keys: Vec<OauthKey>,
}

/// A key shared with an authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OauthKey {
    /// The USERNAME of clients with its tokens.
    pub(crate) id: String,
    pub(crate) secret: TokenSecret,
    /// When it is good, since the Unix epoch.
    pub(crate) valid: Range<Duration>,
}

/// The credential of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UserKey {
    Password(Secret),
    /// A key that is bound to the realm that it was computed with.
    Precomputed(PrecomputedKey),
}

/// Where browsers come to for what is no relay.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Http {
    /// The addresses. Without any, and without `tls_listeners`, nothing is served over HTTP.
    pub(crate) listen: Vec<SocketAddr>,
    /// Whether browsers come to the relay's listeners for TLS, too.
    pub(crate) tls_listeners: bool,
    /// Connections in all.
    pub(crate) connections: usize,
    /// Connections of one network, and its requests in a second.
    pub(crate) per_prefix: usize,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) proxies: Proxies,
    /// The pages of other servers that may use this one; `*` is all of them.
    pub(crate) origins: Vec<String>,
    /// The tokens that make credentials.
    pub(crate) tokens: Vec<HttpToken>,
}

/// A bearer token by which credentials are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpToken {
    /// Its name, which is no secret.
    pub(crate) id: String,
    pub(crate) secret: Secret,
    /// The realm of the credentials: one that has a secret, or will have.
    pub(crate) realm: String,
    pub(crate) max_lifetime: Duration,
    /// Credentials in a minute; `None` is without limit.
    pub(crate) per_minute: Option<NonZeroU32>,
    /// The names of users; a `*` stands for any text.
    pub(crate) users: String,
}

impl Http {
    /// Whether there is a server.
    pub(crate) const fn is_served(&self) -> bool {
        self.tls_listeners || !self.listen.is_empty()
    }
}

/// Rooms in which browsers find each other.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) enabled: bool,
    /// Whether everyone may enter who knows the name of a room.
    pub(crate) open: bool,
    /// Secrets of the rooms. If there are any, there are no keys of tokens.
    pub(crate) secrets: Vec<Secret>,
    /// Keys of join tokens.
    pub(crate) token_secrets: Vec<Secret>,
    pub(crate) limits: signal::Limits,
}

/// How the operator reaches the server.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Admin {
    pub(crate) socket: AdminSocket,
    /// The addresses beside it. There are none without a token, and but for loopback none without a certificate.
    pub(crate) listen: Vec<SocketAddr>,
    /// The token that a request there has to show.
    pub(crate) token: Option<Secret>,
}

/// The place of the socket for the operator.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) enum AdminSocket {
    /// In the runtime directory, if there is one.
    #[default]
    Auto,
    At(PathBuf),
    Off,
}

/// Where metrics are scraped.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Metrics {
    /// The addresses. Without any there are none. Beside loopback there are none without a certificate of this server
    /// and without one of the keys below.
    pub(crate) listen: Vec<SocketAddr>,
    /// The token that a scrape has to show.
    pub(crate) token: Option<Secret>,
    /// The authorities of the certificates of scrapers.
    pub(crate) client_ca: Option<httpd::Authorities>,
}

/// Reports on the use of allocations, and their receivers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Usage {
    /// How often an allocation tells.
    pub(crate) every: Duration,
    /// The file of events.
    pub(crate) file: Option<PathBuf>,
    pub(crate) webhook: Option<Webhook>,
    /// The directory of what is kept; `None` is the usual one.
    pub(crate) spool: Option<PathBuf>,
    /// The bytes of events that may wait there.
    pub(crate) spool_size: u64,
    /// Whether events have the addresses of clients.
    pub(crate) addresses: bool,
}

/// Where events are posted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Webhook {
    pub(crate) url: String,
    /// A good one: [`usage::SigningKey`] takes it.
    pub(crate) secret: Secret,
    /// The roots by which it is believed; without any those that browsers have.
    pub(crate) roots: Vec<rustls::pki_types::CertificateDer<'static>>,
}

impl Usage {
    /// Whether events go anywhere.
    pub(crate) const fn is_told(&self) -> bool {
        self.file.is_some() || self.webhook.is_some()
    }
}

/// How the quality of calls is judged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quality {
    /// Whether it is not measured.
    pub(crate) off: bool,
    pub(crate) bad: Thresholds,
}

impl Quality {
    /// From where on a leg is bad, if that is measured.
    pub(crate) fn thresholds(self) -> Option<Thresholds> {
        (!self.off).then_some(self.bad)
    }
}

/// The lines that are logged, and their form.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) level: Level,
    pub(crate) format: Format,
    /// Whether client addresses are logged.
    pub(crate) addresses: bool,
}

/// The least important lines that are logged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// How a log line is written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// As fields of the journal where standard error leads there, else as text.
    #[default]
    Auto,
    Text,
    Json,
    /// As fields of the journal, wherever standard error leads.
    Journal,
}

impl Config {
    /// The configuration of an empty file on this host.
    pub(crate) fn defaults(host: &Machine) -> Self {
        load::defaults(host)
    }

    /// The part that the host decides, before the rows do.
    fn of(host: &Machine) -> Self {
        let mut relay = RelayPool::default();
        relay.follow(host, &[]);
        Self {
            realm: host.name.clone(),
            threads: host.cores,
            listeners: Listener::defaults(host),
            relay,
            ..Self::default()
        }
    }

    /// Whether a listener takes clients over DTLS.
    pub(crate) fn takes_dtls(&self) -> bool {
        self.listeners.iter().any(|listener| {
            let is_on_auto = listener.transports == Transports::Datagrams && self.dtls;
            is_on_auto || listener.transports == Transports::Only(Transport::Dtls)
        })
    }

    /// Whether nobody can allocate.
    pub(crate) fn is_stun_only(&self) -> bool {
        let Auth {
            secrets,
            users,
            realms,
            ..
        } = &self.auth;
        let nobody = |realm: &Realm| realm.secrets.is_empty() && realm.users.is_empty();
        let no_users = secrets.is_empty() && users.is_empty() && realms.iter().all(nobody);
        no_users && self.oauth.keys.is_empty()
    }

    /// The keys of the access tokens that are good.
    pub(crate) fn tokens(&self) -> TokenKeys {
        let mut tokens = TokenKeys::new(self.oauth.server_name.clone());
        for key in &self.oauth.keys {
            tokens.add(&key.id, key.secret.expose().within(key.valid.clone()));
        }
        tokens
    }

    /// The credentials that are good.
    ///
    /// # Errors
    /// Never for a configuration that was read from a file: names and passwords are reviewed there.
    pub(crate) fn realms(&self) -> Result<Realms, NotOpaque> {
        let mut realms = Realms::from(keys(&self.realm, &self.auth.users, &self.auth.secrets)?);
        for realm in &self.auth.realms {
            realms.add(relay::Realm {
                keys: keys(&realm.name, &realm.users, &realm.secrets)?,
                listeners: realm.listeners.clone(),
                total: realm.total,
                per_user: realm.per_user,
                bandwidth: realm.bandwidth,
            });
        }
        Ok(realms)
    }
}

/// The users of a realm.
fn keys(
    realm: &str,
    users: &BTreeMap<String, UserKey>,
    secrets: &[Secret],
) -> Result<Keys, NotOpaque> {
    let mut keys = Keys::new(realm);
    for (name, key) in users {
        match key {
            UserKey::Password(password) => keys.add_user(name, password.expose())?,
            UserKey::Precomputed(key) => keys.add_key(name, *key.expose()),
        }
    }
    for secret in secrets {
        keys.add_secret(secret.expose().as_bytes());
    }
    Ok(keys)
}
