//! The meaning of the findings for a WebRTC call, by the rules of ICE. RFC 8445.

use crate::{Behaviour, Findings, Mapping};

/// Whether calls work without a relay, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Direct calls work, whatever the other side has.
    Direct,
    /// Direct calls work unless the other side has a symmetric NAT.
    Mostly,
    /// Too little is known: one ordinary server cannot tell.
    Undecided,
    /// A TURN server is needed for all but the most open peers.
    NeedsTurn,
    /// UDP does not pass: a TURN server over TCP or TLS is needed.
    NeedsTurnOverTcp,
    /// Nothing passes.
    Blocked,
}

impl Verdict {
    /// The verdict on one address family. `is_tcp_open`: a server was reached over TCP or TLS.
    pub fn of(findings: &Findings, is_tcp_open: bool) -> Self {
        use Behaviour::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        if findings.mapped.is_none() {
            return if is_tcp_open {
                Self::NeedsTurnOverTcp
            } else {
                Self::Blocked
            };
        }
        match (findings.mapping, findings.filtering) {
            (Ok(Mapping::Dependent), _)
            | (Ok(Mapping::Nat(AddressDependent | AddressAndPortDependent)), _) => Self::NeedsTurn,
            // A symmetric peer comes from a port that we could not send to before, but from an
            // address that we did send to.
            (
                Ok(Mapping::NoNat | Mapping::Nat(EndpointIndependent)),
                Ok(EndpointIndependent | AddressDependent),
            ) => Self::Direct,
            (Ok(Mapping::NoNat | Mapping::Nat(EndpointIndependent)), _) => Self::Mostly,
            (Err(_), _) => Self::Undecided,
        }
    }

    /// The better of two address families: a call needs only one.
    pub fn better(self, other: Self) -> Self {
        self.min(other)
    }
}
