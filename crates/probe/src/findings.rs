//! The conclusions from the answers. RFC 4787 names the behaviours, RFC 3489 the older ones.

mod conclude;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(crate) use conclude::is_behind_nat;

/// The findings about the way to the servers, for one address family.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The host's own address, as it is without a NAT.
    pub local: SocketAddr,
    /// How each server answered, in the order of the configuration.
    pub servers: Vec<Outcome>,
    /// The reflexive address that the first server to answer saw.
    pub mapped: Option<SocketAddr>,
    /// Whether one mapping serves all destinations. RFC 4787 §4.1.
    pub mapping: Result<Mapping, Unknown>,
    /// Which senders may answer through a mapping. RFC 4787 §5.
    pub filtering: Result<Behaviour, Unknown>,
    /// Whether two hosts behind the NAT reach each other by their mapped addresses. RFC 4787 §6.
    pub hairpinning: Result<bool, Unknown>,
    /// Whether the NAT keeps port numbers. RFC 4787 §4.2.
    pub ports: Result<Ports, Unknown>,
    /// Whether datagrams pass that are longer than the link takes unfragmented. RFC 4787 §11.
    pub fragments: Result<bool, Unknown>,
    /// The largest UDP payload, of those tried, that passed.
    pub largest_payload: Result<usize, Unknown>,
    /// How long a silent mapping lives. RFC 4787 §4.3.
    pub lifetime: Result<Lifetime, Unknown>,
    /// The evidence for a second NAT on the way, if there is any.
    pub double_nat: Option<DoubleNat>,
    /// The routers on the way that reported themselves: distance and address.
    pub hops: Vec<(u8, IpAddr)>,
    /// Answers that came from a wrong address: how many, and the first sender.
    pub strays: Option<(u32, SocketAddr)>,
}

/// How a server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answered {
        /// The address that it saw.
        mapped: SocketAddr,
        /// The time from the first request to the answer.
        round_trip: Duration,
        /// Whether it announces a second address: RFC 5780.
        behaviour_discovery: bool,
    },
    /// It answered with this error code.
    Refused(u16),
    /// It answered with a success that names no address.
    Senseless,
    /// It did not answer.
    Silent,
}

/// The part of the destination that a NAT's behaviour depends on. RFC 4787 §4.1, §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// None of it.
    EndpointIndependent,
    /// Its address.
    AddressDependent,
    /// Its address and its port.
    AddressAndPortDependent,
}

/// The mapping behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// There are none: the servers see our own address.
    NoNat,
    /// Known in full.
    Nat(Behaviour),
    /// It depends on the destination; whether on its address alone only RFC 5780 can show.
    Dependent,
}

/// Whether the NAT keeps port numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Ports that were looked at.
    pub seen: usize,
    /// Ports that the NAT did not change.
    pub preserved: usize,
    /// Ports that stayed even or odd.
    pub parity_kept: usize,
}

/// How long a silent mapping lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The longest silence that a mapping survived.
    pub at_least: Duration,
    /// The shortest silence that a mapping did not survive, if any.
    pub below: Option<Duration>,
}

/// The evidence for a second NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubleNat {
    /// A router beyond our own net has an address that only carriers' NATs use. RFC 6598.
    CarrierRouter {
        /// How many routers away.
        distance: u8,
        /// Its address.
        address: IpAddr,
    },
    /// The server sees an address that is itself behind a NAT.
    PrivateMapping(SocketAddr),
}

/// The name that RFC 3489 §5 has for a pair of behaviours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassicName {
    /// No NAT and no firewall.
    OpenInternet,
    /// No NAT; hosts that were not asked may not answer.
    SymmetricFirewall,
    /// Anyone may answer.
    FullCone,
    /// Addresses that were asked may answer.
    RestrictedCone,
    /// Address and port that were asked may answer.
    PortRestrictedCone,
    /// Another mapping for another destination.
    Symmetric,
}

/// Why a behaviour is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No server answered.
    #[error("no server answered")]
    NoAnswer,
    /// One address alone shows nothing.
    #[error("it takes two servers at different addresses, or one that speaks RFC 5780")]
    OneServer,
    /// Ordinary servers cannot help with this.
    #[error("no server that answered speaks RFC 5780")]
    NoDiscovery,
    /// The server refused the request.
    #[error("the server refused the question with code {0}")]
    Refused(u16),
    /// The server announced addresses that do not work.
    #[error("the server's other address or port answers nobody")]
    DeadAlternate,
    /// The server answered from the address that was asked, although the request named another.
    #[error("the server does not answer from its other address")]
    SameSource,
    /// The answer was of no use.
    #[error("the server's answer makes no sense")]
    Senseless,
    /// Padded questions were not answered, or their answers are longer than the way lets pass: a
    /// server may pad them up to the size of its own link.
    #[error("no padded answer arrived: none was given, or it was too long for the way back")]
    NoPaddedAnswer,
    /// The NAT has several addresses and changes between them.
    #[error("the mapped address changes")]
    SeveralAddresses,
    /// There is no NAT.
    #[error("there is no NAT")]
    NoNat,
    /// It was not asked for.
    #[error("not asked for")]
    NotAsked,
}

impl Findings {
    /// The name of RFC 3489 for the behaviours found, if it has one.
    pub fn classic_name(&self) -> Option<ClassicName> {
        use Behaviour::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        match (self.mapping.ok()?, self.filtering.ok()) {
            (Mapping::NoNat, Some(EndpointIndependent)) => Some(ClassicName::OpenInternet),
            (Mapping::NoNat, Some(AddressDependent | AddressAndPortDependent)) => {
                Some(ClassicName::SymmetricFirewall)
            }
            (Mapping::Nat(EndpointIndependent), Some(EndpointIndependent)) => {
                Some(ClassicName::FullCone)
            }
            (Mapping::Nat(EndpointIndependent), Some(AddressDependent)) => {
                Some(ClassicName::RestrictedCone)
            }
            (Mapping::Nat(EndpointIndependent), Some(AddressAndPortDependent)) => {
                Some(ClassicName::PortRestrictedCone)
            }
            (Mapping::Nat(AddressDependent | AddressAndPortDependent) | Mapping::Dependent, _) => {
                Some(ClassicName::Symmetric)
            }
            (Mapping::NoNat | Mapping::Nat(EndpointIndependent), None) => None,
        }
    }
}

impl fmt::Display for Behaviour {
    /// The term of RFC 4787.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
        })
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNat => f.write_str("none"),
            Self::Nat(behaviour) => behaviour.fmt(f),
            Self::Dependent => f.write_str("destination-dependent"),
        }
    }
}

impl fmt::Display for ClassicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenInternet => "open Internet",
            Self::SymmetricFirewall => "symmetric UDP firewall",
            Self::FullCone => "full cone NAT",
            Self::RestrictedCone => "restricted cone NAT",
            Self::PortRestrictedCone => "port-restricted cone NAT",
            Self::Symmetric => "symmetric NAT",
        })
    }
}
