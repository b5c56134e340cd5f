//! Settings that work, but that the operator may not have meant.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::key_name::KeyName;

/// A setting that works but deserves a word.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Caution {
    /// The kernel picks another port at each start.
    #[error("`[[listener]] listen` has port 0: the kernel picks another port at each start")]
    AnyPort,
    /// Relay ports that may belong to other services.
    #[error("`[relay] ports` reaches below 1024, where other services of this host live")]
    PrivilegedPorts,
    /// A password that can be guessed.
    #[error("{key} has a password that is easy to guess")]
    WeakPassword {
        /// The table.
        key: KeyName,
    },
    /// A lifetime below what the RFC assumes.
    #[error("{key} is below 10m, the lifetime RFC 8656 lets clients count on")]
    ShortLifetime {
        /// The key.
        key: KeyName,
    },
    /// A lifetime that leaves another bound nothing to do.
    #[error(
        "`[tcp] stranger-lifetime` is shorter than `{other}`, {}, which then ends no connection",
        humantime::format_duration(*bound)
    )]
    ShortStranger {
        /// The other key, of the same table.
        other: &'static str,
        /// The value of the other key, or its default.
        bound: Duration,
    },
    /// A realm that some clients have no room for.
    #[error("{key} has {length} bytes, and some clients have room for 63")]
    LongRealm {
        /// The key.
        key: KeyName,
        /// Bytes.
        length: usize,
    },
    /// The server's own loopback services are open to whoever may allocate.
    #[error(
        "`[peers] allow` opens loopback: clients reach the services that listen only on this host"
    )]
    LoopbackPeers,
    /// An allow list that allows nobody.
    #[error("`[peers] mode` is \"allow-list\" and `allow` is empty: no peer can be reached")]
    NoPeers,
    /// A realm that nobody is in.
    #[error("{key} has neither secrets nor users: nobody can authenticate in it")]
    EmptyRealm {
        /// The table.
        key: KeyName,
    },
    /// A load that the quotas keep from being reached.
    #[error(
        "`[[redirect]] when` waits for {limit} allocations, but there are never more than {total}"
    )]
    IdleRedirect {
        /// As written.
        limit: u32,
        /// The quota.
        total: u32,
    },
    /// A rule for clients that come in a way in which none does.
    #[error("no client of this server can go to what this `[[redirect]] to` names")]
    PlacelessRedirect {
        /// How clients come, in words.
        clients: String,
    },
    /// A rule behind others that hold whenever it does.
    #[error("this `[[redirect]]` never decides: another before it always holds when it does")]
    PassedRedirect,
    /// An address of one host or one link.
    #[error("`[[redirect]] to` names {address}, which leads clients to no other server")]
    LocalTarget {
        /// As written.
        address: IpAddr,
        /// Why not.
        reason: &'static str,
    },
    /// A port that most people's clients do not go to.
    #[error("`[[redirect]] to` has port {port}, which Chromium sends nothing to")]
    BlockedPort {
        /// As written.
        port: u16,
    },
    /// A name for authorization servers, and none of them.
    #[error("`[oauth] server-name` does nothing without an `[[oauth.key]]`")]
    IdleServerName,
    /// A key that others have, too.
    #[error("{key} is a sample that everybody knows")]
    SampleKey {
        /// The key.
        key: KeyName,
    },
    /// A secret file that other users of the host can read.
    #[error("{key} names {path}, which every user of this host may read")]
    ReadableSecret {
        /// The key.
        key: KeyName,
        /// As resolved.
        path: PathBuf,
    },
}

impl Caution {
    /// What to do about it.
    pub(crate) fn help(&self) -> Cow<'static, str> {
        match self {
            Self::AnyPort => "clients expect 3478".into(),
            Self::PrivilegedPorts => "49152-65535 is the range meant for this".into(),
            Self::WeakPassword { .. } => "make one with `openssl rand -base64 12`".into(),
            Self::ShortLifetime { .. } => {
                "the calls of libjuice (OBS, libdatachannel), rice and werift end: they refresh \
                 after nine minutes or more, whatever they were granted"
                    .into()
            }
            Self::ShortStranger { other, .. } => format!("lengthen it, or shorten `{other}`").into(),
            Self::LongRealm { .. } => {
                "shorten it: libpeer writes past its buffer at 64 bytes; mediastreamer2 \
                 (Linphone) and the KVS SDK have room for 127"
                    .into()
            }
            Self::LoopbackPeers => {
                "name the networks that are meant; this is right only for trying on one machine"
                    .into()
            }
            Self::NoPeers => {
                "name the networks of the peers, such as allow = [\"203.0.113.0/24\"]".into()
            }
            Self::EmptyRealm { .. } => {
                "give it `secrets`, `secret-files` or `[auth.realm.users]`".into()
            }
            Self::IdleRedirect { .. } => {
                "lower it, or raise `total` in [allocation] or in the realm".into()
            }
            Self::PlacelessRedirect { clients } => format!(
                "a client keeps its transport and the family of its address: here clients come \
                 over {clients}"
            )
            .into(),
            Self::PassedRedirect => "put it before the other, or remove it".into(),
            Self::LocalTarget { reason, .. } => (*reason).into(),
            Self::BlockedPort { port: ..1024 } => {
                "its users would get no relay: below 1024 it goes to 80 and 443 only".into()
            }
            Self::BlockedPort { .. } => {
                "its users would get no relay: the port belongs to another protocol; take 3478, 443 \
                 or 80"
                    .into()
            }
            Self::IdleServerName => "add one, or remove the name".into(),
            Self::SampleKey { .. } => {
                "use it for tests only: with it anybody can make tokens for this server".into()
            }
            Self::ReadableSecret { path, .. } => format!("chmod 600 {}", path.display()).into(),
        }
    }
}
