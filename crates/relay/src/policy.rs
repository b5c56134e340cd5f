//! Which peers an allocation may exchange data with. Closed by default.
//!
//! A TURN server sits where its users do not: inside the operator's network. A client that may
//! allocate can ask it to send to 127.0.0.1, to a database behind it, or to a cloud's metadata
//! service, and lists of forbidden networks kept by hand have failed again and again. coturn
//! forbade loopback and was led there through `0.0.0.0`, `[::]` and `[::1]` (CVE-2020-26262), and
//! after the fix through `::ffff:127.0.0.1` (CVE-2026-27624). Here nobody has to think of every
//! spelling:
//!
//! 1. The addresses inside the address are found. An IPv4-mapped address is the IPv4 address;
//!    every IPv4 address that a tunnel or a translator would read out of an IPv6 one is judged
//!    beside it, with the same port. All of these *faces* must pass.
//! 2. A face passes if the IANA registries call it globally reachable and it is not this host.
//!    Everything else an operator allows by name, and what the operator denies stays denied. An
//!    entry that reaches over the edge of a special block, such as 0.0.0.0/0, does not name it.
//!
//! The only addresses of this host open without a name are its relayed transport addresses, where
//! two clients of one server meet; see [`Permit::OwnRelay`].
//!
//! The policy sees only the address: where the network translates by a NAT64 prefix of its own, or
//! leads public addresses inside, the operator denies these by name.
//!
//! Nothing here allocates memory. Lists are searched from front to back, at one to two nanoseconds
//! an entry.
//!
//! ```
//! use relay::policy::{Mode, Own, Policy};
//!
//! let own = Own {
//!     listeners: vec!["0.0.0.0:3478".parse()?],
//!     addresses: vec!["198.41.0.5/32".parse()?],
//!     relays: vec!["198.41.0.5".parse()?],
//!     relay_ports: 49152..=65535,
//! };
//! let policy = Policy::new(Mode::Closed, vec!["10.1.2.0/24:5000-6000".parse()?], vec![], own);
//!
//! assert!(policy.judge("9.9.9.9:5000".parse()?).is_ok());
//! assert!(policy.judge("10.1.2.3:5000".parse()?).is_ok());
//! let denial = policy.judge("[64:ff9b::10.1.2.4]:80".parse()?).unwrap_err();
//! assert_eq!(
//!     format!("{denial:#}"),
//!     "denied: 10.1.2.4, inside the address (NAT64, RFC 6052), lies in 10.0.0.0/8, \
//!      Private-Use (RFC 1918); only an entry of [peers] allow inside this network opens it",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod face;
mod network;
mod own;
mod ruling;
mod special;
#[cfg(test)]
mod tests;

use std::iter;
use std::net::{IpAddr, SocketAddr};

use wire::NotOneHost;

pub(crate) use face::is_tunnelled;
pub use face::{Face, Form};
pub use network::{MalformedNetwork, Network};
pub use own::Own;
pub use ruling::{Denial, IpRuling, Permit, Rule, Ruling, Span};
pub use special::{Block, block, blocks};

/// The rules of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    mode: Mode,
    allow: Vec<Network>,
    deny: Vec<Network>,
    own: Own,
}

/// The ruling on a public peer that no list names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is allowed.
    #[default]
    Closed,
    /// It is denied: only the allow list is reached, such as the operator's own SFU.
    AllowList,
}

impl Policy {
    /// A policy of these lists, on this host.
    pub fn new(mode: Mode, allow: Vec<Network>, deny: Vec<Network>, own: Own) -> Self {
        Self {
            mode,
            allow,
            deny,
            own: own.normalised(),
        }
    }

    /// Whether data may pass to and from `peer`: for ChannelBind, Connect and each datagram.
    pub fn judge(&self, peer: SocketAddr) -> Ruling {
        self.judge_faces(Face::outer(peer.ip()), peer.port())
    }

    /// Whether a permission may be installed for `ip`: for CreatePermission, which names no port.
    pub fn judge_ip(&self, ip: IpAddr) -> IpRuling {
        let first = IpRuling::from(self.judge_faces(Face::outer(ip), 1));
        self.spans(ip)
            .fold(first, |so_far, span| so_far.and(span.ruling.into()))
    }

    /// Whether this server listens there.
    pub(crate) fn is_listener(&self, address: SocketAddr) -> bool {
        self.own
            .listens_on(address.ip().to_canonical(), address.port())
    }

    /// The ruling for every port of `ip`, from 1 to 65535.
    pub fn spans(&self, ip: IpAddr) -> impl Iterator<Item = Span> {
        let outer = Face::outer(ip);
        let mut next = Some(1);
        iter::from_fn(move || {
            let first = next?;
            let ruling = self.judge_faces(outer, first);
            let after = |port| self.boundary_after(outer, port);
            let mut boundaries = iter::successors(after(first), |&port| after(port));
            next = boundaries.find(|&port| self.judge_faces(outer, port) != ruling);
            let last = next.map_or(u16::MAX, |next| next - 1);
            Some(Span {
                ports: first..=last,
                ruling,
            })
        })
    }

    fn judge_faces(&self, outer: Face, port: u16) -> Ruling {
        let permit = self.judge_face(outer, port)?;
        for face in outer.embedded() {
            self.judge_face(face, port)?;
        }
        Ok(permit)
    }

    fn judge_face(&self, face: Face, port: u16) -> Ruling {
        let outcome = self.apply_rules(face, port);
        outcome.map_err(|rule| Denial { face, rule })
    }

    /// Applies the rules in their order: those on addresses of no one host, the server's own
    /// listeners, the operator's lists, this host's addresses, and the IANA registries.
    fn apply_rules(&self, face: Face, port: u16) -> Result<Permit, Rule> {
        let ip = face.ip;
        require_one_host(ip, port)?;
        if self.own.listens_on(ip, port) {
            return Err(Rule::OwnListener);
        }
        if let Some(entry) = named_by(&self.deny, ip, port) {
            return Err(Rule::DenyList(entry));
        }
        let listed = || self.allow.iter().filter(|entry| entry.contains(ip, port));
        if self.mode == Mode::AllowList && listed().next().is_none() {
            return Err(Rule::NotListed);
        }
        // Only the address itself leads to the server's own table. An embedded one leaves the
        // host and comes back from a translator, where no table keeps it off other sockets.
        if face.is_outer() && self.own.relays_at(ip, port) {
            return Ok(Permit::OwnRelay);
        }
        // All of loopback is this host, so that its network names it as well as each address does.
        let is_own = self.own.has(ip) && !ip.is_loopback();
        let means = |entry: &&Network| {
            if is_own {
                entry.is_one_host()
            } else {
                entry.means(ip)
            }
        };
        if let Some(entry) = listed().find(means) {
            return Ok(Permit::Listed(*entry));
        }
        if self.own.has(ip) {
            return Err(Rule::OwnAddress);
        }
        match block(ip) {
            Some(block) => Err(Rule::SpecialPurpose(block)),
            None => Ok(Permit::Public),
        }
    }

    /// The next port where the ruling for `outer` may change.
    fn boundary_after(&self, outer: Face, port: u16) -> Option<u16> {
        let faces = iter::once(outer).chain(outer.embedded());
        let boundaries = faces.flat_map(|face| self.boundaries(face.ip));
        boundaries.filter(|&boundary| boundary > port).min()
    }

    /// Where a range of ports that some rule gives `ip` begins, and where it has ended.
    fn boundaries(&self, ip: IpAddr) -> impl Iterator<Item = u16> {
        let entries = self.deny.iter().chain(&self.allow);
        let named = entries
            .filter(move |entry| entry.contains_ip(ip))
            .map(Network::ports);
        let listening = self.own.listener_ports(ip).map(|port| port..=port);
        let relaying = self.own.is_relay(ip).then(|| self.own.relay_ports.clone());
        let ranges = named.chain(listening).chain(relaying);
        ranges.flat_map(|ports| iter::once(*ports.start()).chain(ports.end().checked_add(1)))
    }
}

/// Refuses an address that no entry can allow, because it is not the address of one host.
fn require_one_host(ip: IpAddr, port: u16) -> Result<(), Rule> {
    if port == 0 {
        return Err(Rule::PortZero);
    }
    match NotOneHost::of(ip) {
        None => Ok(()),
        Some(NotOneHost::Unspecified) => Err(Rule::Unspecified),
        Some(NotOneHost::Multicast) => Err(Rule::Multicast),
        Some(NotOneHost::Broadcast) => Err(Rule::Broadcast),
    }
}

/// The first entry that names the transport address.
fn named_by(entries: &[Network], ip: IpAddr, port: u16) -> Option<Network> {
    entries
        .iter()
        .find(|entry| entry.contains(ip, port))
        .copied()
}
