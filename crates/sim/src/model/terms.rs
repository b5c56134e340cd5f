//! Terms: the decisions that the RFCs leave to the operator.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use relay::AddressFamily;
use relay::policy::{IpRuling, Permit, Policy};
use wire::attributes::PasswordAlgorithm;

/// The operator's decisions, as far as the model needs them.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) realm: String,
    /// Names and passwords.
    pub(crate) users: BTreeMap<String, String>,
    /// Whether the users are in a store outside the server: what it has of a user is not known
    /// beforehand.
    pub(crate) remote: bool,
    pub(crate) sha256: Sha256,
    /// The lifetime of a nonce, in seconds.
    pub(crate) nonce_lifetime: u64,
    /// Relay addresses: the local one that sockets are bound to, and the one that the world knows.
    pub(crate) relays: BTreeMap<AddressFamily, (IpAddr, IpAddr)>,
    pub(crate) ports: RangeInclusive<u16>,
    /// The longest lifetime of an allocation, in seconds.
    pub(crate) max_lifetime: u32,
    pub(crate) per_user: usize,
    pub(crate) total: usize,
    pub(crate) failures_per_minute: u32,
    /// Bytes per second of an allocation and of a user, each way.
    pub(crate) bandwidth: Option<u64>,
    pub(crate) user_bandwidth: Option<u64>,
    pub(crate) permissions: usize,
    pub(crate) channels: usize,
    pub(crate) connections: usize,
    /// Whether TCP is relayed. RFC 6062.
    pub(crate) tcp: bool,
    /// Whether tickets are given and taken. RFC 8016.
    pub(crate) mobility: bool,
    /// Whether old clients, too, are told of ICMP errors.
    pub(crate) icmp_for_all: bool,
    /// The RFCs do not say which peers the operator allows, so the model asks the server's policy.
    pub(crate) policy: Policy,
}

/// Whether the newer authentication of RFC 8489 is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sha256 {
    Off,
    Offer,
    Require,
}

impl Terms {
    /// Whether a request may name its user by USERHASH: all hashes must be known beforehand.
    pub(super) fn hides_users(&self) -> bool {
        self.sha256 != Sha256::Off && !self.remote
    }

    /// Whether nonces begin like this one now: with the cookie and the features that are on, bit 0
    /// for algorithms and bit 1 for USERHASH, in base64. RFC 8489 §9.2, §18.1.
    pub(super) fn begins_so(&self, nonce: &str) -> bool {
        let features = nonce.strip_prefix(wire::NONCE_COOKIE);
        match self.sha256 {
            Sha256::Off => features.is_none(),
            Sha256::Offer | Sha256::Require => features.is_some_and(|features| {
                features.starts_with(if self.hides_users() { "wAAA" } else { "gAAA" })
            }),
        }
    }

    /// The algorithms in PASSWORD-ALGORITHMS, the best first. RFC 8489 §9.2.1.
    pub(super) const fn algorithms(&self) -> &'static [PasswordAlgorithm] {
        match self.sha256 {
            Sha256::Off => &[],
            Sha256::Offer if self.remote => &[PasswordAlgorithm::MD5],
            Sha256::Offer => &[PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5],
            Sha256::Require => &[PasswordAlgorithm::SHA256],
        }
    }

    /// Whether the operator allows this peer.
    pub(super) fn allows(&self, peer: SocketAddr) -> bool {
        self.policy.judge(peer).is_ok()
    }

    /// Whether the operator allows any port of this peer.
    pub(super) fn allows_some_port(&self, ip: IpAddr) -> bool {
        !matches!(self.policy.judge_ip(ip), IpRuling::NoPort(_))
    }

    /// Whether the operator allows this peer as a relayed transport address and nothing else.
    pub(super) fn allows_as_relay_only(&self, peer: SocketAddr) -> bool {
        self.policy.judge(peer) == Ok(Permit::OwnRelay)
    }

    /// The local address of a relay address of ours, given by either address.
    pub(super) fn inward(&self, address: SocketAddr) -> Option<SocketAddr> {
        let mut all = self.relays.values();
        let is_it =
            |(local, external): &&(IpAddr, IpAddr)| [*local, *external].contains(&address.ip());
        let (local, _) = all.find(is_it)?;
        Some(SocketAddr::new(*local, address.port()))
    }

    /// The external address of an address.
    pub(super) fn outward(&self, address: SocketAddr) -> SocketAddr {
        let mut all = self.relays.values();
        let external = all.find(|(local, _)| *local == address.ip());
        let ip = external.map_or(address.ip(), |(_, external)| *external);
        SocketAddr::new(ip, address.port())
    }
}
