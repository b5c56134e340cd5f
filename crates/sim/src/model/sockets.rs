//! Ports and sockets: the requests that the server may make to the machine, and the answers.
//! RFC 8656 §7.2.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use relay::{AddressFamily, ClientTuple, OpenError};

use super::allocate::Wanted;
use super::requests::seconds;
use super::{Id, Model, Token};
use crate::machine::Socket;

/// Which ports fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parity {
    Any,
    /// EVEN-PORT.
    Even,
    /// EVEN-PORT with the R bit: the next port must be free too, and is kept.
    Pair,
    /// The port that was reserved.
    This(SocketAddr),
}

impl Model {
    /// Whether some port fits.
    pub(super) fn has_port(&self, family: AddressFamily, parity: Parity) -> bool {
        if let Parity::This(_) = parity {
            return true;
        }
        let Some((local, _)) = self.terms.relays.get(&family) else {
            return false;
        };
        let mut ports = self.terms.ports.clone();
        ports.any(|port| self.will_do(*local, port, parity))
    }

    fn will_do(&self, ip: IpAddr, port: u16, parity: Parity) -> bool {
        let local = SocketAddr::new(ip, port);
        let is_even = port.is_multiple_of(2);
        match parity {
            Parity::Any => self.is_free(local),
            Parity::Even => is_even && self.is_free(local),
            Parity::Pair => {
                let next = SocketAddr::new(ip, port + 1);
                is_even && self.is_free(local) && self.is_free(next)
            }
            Parity::This(this) => local == this,
        }
    }

    /// Whether a port is neither taken nor reserved.
    fn is_free(&self, local: SocketAddr) -> bool {
        let is_asked_for = self.sockets.values().any(|(_, at)| *at == local);
        self.terms.ports.contains(&local.port())
            && !is_asked_for
            && !self.is_next(local)
            && !self.reserved.values().any(|kept| kept.local == local)
            && !self.avoided.contains_key(&local)
    }

    /// Whether a port is the second of a pair that is being opened, or was just reserved.
    fn is_next(&self, local: SocketAddr) -> bool {
        let follows =
            |first: SocketAddr| first.ip() == local.ip() && first.port() + 1 == local.port();
        self.allocations.values().any(|it| {
            let mut opening = it.opening.values();
            let promised = it.token == Token::New;
            opening.any(|wanted| match wanted {
                Wanted::Asked(Parity::Pair, at) | Wanted::Bound(Parity::Pair, at) => follows(*at),
                Wanted::Asked(..) | Wanted::Bound(..) | Wanted::ToAsk(_) | Wanted::Refused(..) => {
                    false
                }
            }) || promised && it.relays.values().any(|(at, _)| follows(*at))
        })
    }

    /// The allocation whose open socket is bound to a port.
    pub(super) fn holder(&self, local: SocketAddr) -> Option<Id> {
        let mut all = self.allocations.iter();
        let holds = |(_, it): &(&Id, &super::Allocation)| {
            let mut opening = it.opening.values();
            it.relays.values().any(|(at, _)| *at == local)
                || opening.any(|wanted| matches!(wanted, Wanted::Bound(_, at) if *at == local))
        };
        all.find(holds).map(|(id, _)| *id)
    }

    /// The same, if the socket is one for UDP.
    pub(super) fn udp_holder(&self, local: SocketAddr) -> Option<Id> {
        let holder = self.holder(local)?;
        self.allocations[&holder].tcp.is_none().then_some(holder)
    }

    /// All ports that sockets are bound to.
    pub(crate) fn bound(&self) -> Vec<SocketAddr> {
        let asked = self.sockets.values().map(|(_, at)| *at);
        let mut bound: Vec<_> = asked.filter(|at| self.holder(*at).is_some()).collect();
        bound.sort();
        bound
    }

    /// The server asked the machine for a socket: for `sender`'s allocation, unless the socket is
    /// known.
    ///
    /// # Errors
    /// If the server should not have asked for it.
    pub(crate) fn asked(
        &mut self,
        socket: Socket,
        local: SocketAddr,
        sender: Option<ClientTuple>,
    ) -> Result<(), String> {
        let known = self.sockets.get(&socket).map(|(owner, _)| *owner);
        let sender = sender.and_then(|client| self.find(client));
        let owner = known.or(sender).ok_or("nobody needs a socket")?;
        let family = AddressFamily::of(local.ip());
        let allocation = self.allocations.get(&owner);
        let wanted = allocation.and_then(|it| it.opening.get(&family));
        let Some(&Wanted::ToAsk(parity)) = wanted else {
            return Err(format!("no socket of this family is wanted: {wanted:?}"));
        };
        let ours = self
            .terms
            .relays
            .get(&family)
            .is_some_and(|(ip, _)| *ip == local.ip());
        if !ours || !self.will_do(local.ip(), local.port(), parity) {
            return Err(format!("this port will not do for {parity:?}"));
        }
        self.sockets.insert(socket, (owner, local));
        self.decide(owner, family, Wanted::Asked(parity, local));
        Ok(())
    }

    /// The machine answered a request for a socket.
    pub(crate) fn opened(&mut self, socket: Socket, outcome: Result<(), OpenError>) {
        let Some(&(owner, local)) = self.sockets.get(&socket) else {
            return;
        };
        let family = AddressFamily::of(local.ip());
        let allocation = &self.allocations[&owner];
        let Some(&Wanted::Asked(parity, _)) = allocation.opening.get(&family) else {
            return;
        };
        match outcome {
            Ok(()) => self.decide(owner, family, Wanted::Bound(parity, local)),
            Err(OpenError::InUse) => {
                self.avoided.insert(local, self.now + AVOIDED);
                // The id of the socket stays, the port is given up.
                self.sockets.insert(socket, (owner, NOWHERE));
                self.decide(owner, family, Wanted::ToAsk(parity));
                let is_fixed = matches!(parity, Parity::This(_));
                if is_fixed || !self.has_port(family, parity) {
                    self.decide(owner, family, Wanted::Refused(508, "no-port"));
                }
            }
            Err(OpenError::Exhausted | OpenError::NotLocal | OpenError::System) => {
                self.decide(owner, family, Wanted::Refused(508, "cannot-open"));
            }
        }
        let allocation = &self.allocations[&owner];
        if let Some(Wanted::Refused(..)) = allocation.opening.get(&family) {
            self.sockets.remove(&socket);
        }
        self.answer_when_decided(owner);
    }

    fn decide(&mut self, owner: Id, family: AddressFamily, wanted: Wanted) {
        if let Some(allocation) = self.allocations.get_mut(&owner) {
            allocation.opening.insert(family, wanted);
        }
    }

    /// Whether a socket is wanted that the machine was not asked for.
    pub(crate) fn is_waiting_in_vain(&self) -> bool {
        let mut wanted = self.allocations.values().flat_map(|it| it.opening.values());
        wanted.any(|wanted| matches!(wanted, Wanted::ToAsk(_)))
    }
}

/// A port that another program has is left alone for a minute, as the server's manual says.
const AVOIDED: Duration = seconds(60);
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
