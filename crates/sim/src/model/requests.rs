//! Requests of a known signer; Allocate has a file of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use relay::{AddressFamily, ClientTuple};
use wire::attributes::{
    ChannelNumberAttribute, Lifetime, MobilityTicket, RequestedAddressFamily, XorPeerAddress,
};
use wire::{Message, Method};

use super::credentials::{Signer, unknown};
use super::expect::{Refusal, Reply, refuse};
use super::{Allocation, Expect, Id, Model};

impl Model {
    /// Binding: open to everyone. RFC 8489 §3, §12.
    pub(super) fn binding(&self, from: ClientTuple, message: &Message<'_>) -> Reply {
        let mut reply = Reply::to(message);
        let mut unknown = unknown(message);
        // There is no second address, and a request without flags needs none. RFC 3489 §11.2.4.
        let mut all = message.attributes();
        let change = all.find(|it| it.kind == CHANGE_REQUEST);
        if let Some(&[_, _, _, flags]) = change.map(|it| it.value)
            && flags & (CHANGE_IP | CHANGE_PORT) == 0
        {
            unknown.retain(|kind| *kind != CHANGE_REQUEST);
        }
        if unknown.is_empty() {
            reply.mapped = Some(from.client);
            return reply;
        }
        // RFC 3489 §11.2.10: a multiple of four bytes.
        if message.transaction().is_rfc3489() && unknown.len() % 2 == 1 {
            unknown.extend(unknown.last().copied());
        }
        reply.refused(Refusal {
            unknown,
            ..refuse(420, "unknown-attributes")
        })
    }

    /// The outcome of a request of a client that has authenticated.
    pub(super) fn granted_to(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
        message: &Message<'_>,
        reply: Reply,
    ) -> Result<Expect, Refusal> {
        match message.method() {
            Method::Allocate => return self.allocate(from, signer, message, reply),
            Method::Refresh => return self.refresh(from, signer, message, reply),
            Method::CreatePermission => self.create_permission(from, signer, message)?,
            Method::ChannelBind => self.channel_bind(from, signer, message)?,
            Method::Connect => return self.connect(from, signer, message, reply),
            Method::ConnectionBind => self.connection_bind(from, signer, message)?,
            Method::Binding
            | Method::Send
            | Method::Data
            | Method::ConnectionAttempt
            | Method::Other(_) => {}
        }
        Ok(Expect::Reply(reply))
    }

    /// RFC 8656 §5: the allocation of the 5-tuple, which only its own user may change.
    pub(super) fn own(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
    ) -> Result<&mut Allocation, Refusal> {
        let allocation = self.of_mut(from);
        let allocation = allocation.filter(|allocation| allocation.is_open());
        let allocation = allocation.ok_or_else(|| refuse(437, "no-allocation"))?;
        if allocation.user == signer.user {
            Ok(allocation)
        } else {
            Err(refuse(441, "wrong-user"))
        }
    }

    /// RFC 8656 §8.2.
    fn refresh(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
        message: &Message<'_>,
        mut reply: Reply,
    ) -> Result<Expect, Refusal> {
        let ticket: Option<MobilityTicket<'_>> = message.get()?;
        if let Some(MobilityTicket(ticket)) = ticket {
            return self.relocate(from, signer, message, ticket, reply);
        }
        self.own(from, signer)?;
        if let Some(id) = self.find(from) {
            reply.lifetime = Some(self.prolong(id, message)?);
        }
        Ok(Expect::Reply(reply))
    }

    /// Gives an allocation the lifetime that is asked for, or ends it; returns the seconds granted.
    pub(super) fn prolong(&mut self, id: Id, message: &Message<'_>) -> Result<u32, Refusal> {
        let (now, max) = (self.now, self.terms.max_lifetime);
        let allocation = &self.allocations[&id];
        let named: Option<RequestedAddressFamily> = message.get()?;
        let named = named.map(|RequestedAddressFamily(family)| family);
        let families: Vec<AddressFamily> = match named {
            None => allocation.relays.keys().copied().collect(),
            Some(Ok(family)) if allocation.relays.contains_key(&family) => vec![family],
            Some(_) => return Err(refuse(443, "family-mismatch")),
        };
        let asked: Option<Lifetime> = message.get()?;
        let asked = asked.map(|Lifetime(seconds)| seconds);
        if asked == Some(0) {
            for family in families {
                self.end_family(id, family, now, "deleted");
            }
            return Ok(0);
        }
        let lifetime = granted_lifetime(asked, max);
        let relays = self.allocations.get_mut(&id).map(|it| &mut it.relays);
        for (family, (_, until)) in relays.into_iter().flatten() {
            if families.contains(family) {
                *until = now + seconds(lifetime);
            }
        }
        Ok(lifetime)
    }

    /// RFC 8656 §10.2: permissions for all of the peers or for none.
    fn create_permission(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
        message: &Message<'_>,
    ) -> Result<(), Refusal> {
        self.own(from, signer)?;
        let peers: Result<Vec<XorPeerAddress>, _> = message.get_all().collect();
        let peers = peers?;
        if peers.is_empty() {
            return Err(refuse(400, "missing-attribute"));
        }
        let mut ips = BTreeSet::new();
        for XorPeerAddress(peer) in peers {
            self.check_peer(from, peer.ip())?;
            ips.insert(peer.ip());
            let own = self.of(from).map_or(0, |it| it.permissions.len());
            if ips.len() > self.terms.permissions.max(own) {
                break;
            }
        }
        self.permit(from, &ips)
    }

    /// RFC 8656 §12.2.
    fn channel_bind(
        &mut self,
        from: ClientTuple,
        signer: &Signer,
        message: &Message<'_>,
    ) -> Result<(), Refusal> {
        let (now, limit) = (self.now, self.terms.channels);
        let allocation = self.own(from, signer)?;
        if allocation.tcp.is_some() {
            return Err(refuse(403, "channel-of-tcp"));
        }
        let missing = || refuse(400, "missing-attribute");
        let ChannelNumberAttribute(number) = message.get()?.ok_or_else(missing)?;
        let XorPeerAddress(peer) = message.get()?.ok_or_else(missing)?;
        // RFC 8656 has clients use 0x4000-0x4FFF; those of RFC 5766 §11, up to 0x7FFF, are served.
        if !(0x4000..=0x7FFF).contains(&number) {
            return Err(refuse(400, "channel-range"));
        }
        let mut channels = allocation.channels.iter();
        if channels.any(|(other, (at, _))| (*other == number) != (*at == peer)) {
            return Err(refuse(400, "channel-conflict"));
        }
        let is_full =
            allocation.channels.len() >= limit && !allocation.channels.contains_key(&number);
        self.check_peer(from, peer.ip())?;
        if !self.terms.allows(peer) {
            return Err(refuse(403, "peer-denied"));
        }
        if is_full {
            return Err(refuse(403, "too-many-channels"));
        }
        let permitted = self.permit(from, &BTreeSet::from([peer.ip()]));
        let lives = self
            .of(from)
            .is_some_and(|it| it.channels.contains_key(&number));
        // A channel that lives is prolonged without a permission.
        permitted.or_else(|refusal| if lives { Ok(()) } else { Err(refusal) })?;
        if let Some(allocation) = self.of_mut(from) {
            let until = now + CHANNEL_LIFETIME;
            allocation.channels.insert(number, (peer, until));
        }
        Ok(())
    }

    /// Checks that a peer is of a family of the allocation's, and that the operator allows it.
    pub(super) fn check_peer(&self, from: ClientTuple, ip: IpAddr) -> Result<(), Refusal> {
        let family = AddressFamily::of(ip);
        let mismatch = || refuse(443, "family-mismatch");
        let allocation = self.of(from);
        if !allocation.is_some_and(|it| it.relays.contains_key(&family)) {
            return Err(mismatch());
        }
        if !self.terms.allows_some_port(ip) {
            return Err(refuse(403, "peer-denied"));
        }
        // An IPv4-mapped address is of neither family.
        if AddressFamily::of(ip.to_canonical()) != family {
            return Err(mismatch());
        }
        if allocation.is_some_and(|it| it.has_moved_to(ip)) {
            return Err(refuse(403, "client-is-peer"));
        }
        Ok(())
    }

    /// Installs or refreshes permissions, if all of them fit. RFC 8656 §9.
    fn permit(&mut self, from: ClientTuple, ips: &BTreeSet<IpAddr>) -> Result<(), Refusal> {
        let (until, limit) = (self.now + PERMISSION_LIFETIME, self.terms.permissions);
        let Some(allocation) = self.of_mut(from) else {
            return Ok(());
        };
        let permissions = &mut allocation.permissions;
        let new = ips.iter().filter(|ip| !permissions.contains_key(ip));
        let new = new.count();
        // Those that are there may be prolonged, also where the limit was lowered.
        if new > 0 && permissions.len() + new > limit {
            return Err(refuse(403, "too-many-permissions"));
        }
        permissions.extend(ips.iter().map(|ip| (*ip, until)));
        Ok(())
    }
}

/// RFC 8656 §7.2: the lifetime asked for, but at most the maximum and at least the default.
pub(super) fn granted_lifetime(asked: Option<u32>, most: u32) -> u32 {
    asked
        .unwrap_or(DEFAULT_LIFETIME)
        .min(most)
        .max(DEFAULT_LIFETIME)
}

pub(super) const fn seconds(count: u32) -> Duration {
    Duration::from_secs(count as u64)
}

/// RFC 3489 §11.2.4.
const CHANGE_REQUEST: u16 = 0x0003;
const CHANGE_IP: u8 = 0x04;
const CHANGE_PORT: u8 = 0x02;
/// RFC 8656 §3.2: 10 minutes.
const DEFAULT_LIFETIME: u32 = 600;
/// RFC 8656 §9.
const PERMISSION_LIFETIME: Duration = seconds(300);
/// RFC 8656 §12.
const CHANNEL_LIFETIME: Duration = seconds(600);
