//! The steps of a run. Each holds all its details, so that a run is a list of steps.

use std::time::Duration;

use relay::{Icmp, OpenError};
use wire::attributes::PasswordAlgorithm;
use wire::{AddressFamily, Method};

use super::scene::Change;
use crate::network::Fate;

/// One transition of the world.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A client writes a message and sends it.
    Tell {
        who: usize,
        ask: Box<Ask>,
        fate: Fate,
    },
    /// A client sends its last packet again, as after no answer. RFC 8489 §6.2.1.
    Again { who: usize, fate: Fate },
    /// A client's last packet arrives damaged.
    Damage {
        who: usize,
        at: u16,
        bits: u8,
        fate: Fate,
    },
    /// A client sends ChannelData that announces so many bytes more or less than it holds.
    ChannelData {
        who: usize,
        channel: u16,
        length: u16,
        lie: i8,
        fate: Fate,
    },
    /// A client sends any bytes.
    Garbage {
        who: usize,
        bytes: Vec<u8>,
        fate: Fate,
    },
    /// A peer sends a datagram.
    PeerSends {
        from: Place,
        to: Place,
        length: u16,
        fate: Fate,
    },
    /// An ICMP error comes back for a datagram from a relayed transport address to a peer.
    Icmp {
        from: Place,
        peer: Place,
        icmp: Icmp,
        fate: Fate,
    },
    /// The peer that was called first answers, or refuses.
    PeerAnswers { is_there: bool },
    /// A peer connects to a relayed transport address.
    PeerConnects { from: Place, to: Place },
    /// The connection that carries a peer's data ends.
    EndSplice { who: usize },
    /// Time passes.
    Wait(Duration),
    /// A client's connection ends.
    Disconnect { who: usize },
    /// Something happens to the machine.
    Machine(MachineStep),
    /// Another process takes over, and the cores go on from snapshots after this time.
    Upgrade(Duration),
    /// The operator changes a rule.
    Rules(Change),
}

/// An event on the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MachineStep {
    /// Another program takes a port, if it is free.
    Occupy { port: u8, v6: bool },
    /// Other programs give all ports back.
    Vacate,
    /// The machine treats requests for sockets like this from now on.
    Treat(Manner),
    /// The socket that waits longest is opened.
    OpenOne,
}

/// How the machine treats requests for sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Willing,
    Slow,
    Refusing(OpenError),
}

/// A transport address, by its meaning to the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// A public peer; two of a kind share an address.
    V4(u8),
    V6(u8),
    /// A peer that the policy denies.
    Private,
    /// The server's listener.
    Listener,
    /// A public peer's port 0.
    PortZero,
    /// A public IPv4 peer in IPv4-mapped form.
    Mapped,
    /// A relayed transport address that this client was told of.
    Relayed {
        who: usize,
        v6: bool,
    },
    /// A port of the range, at the local address of the relay or at the external one.
    Port {
        port: u8,
        v6: bool,
        local: bool,
    },
}

/// A message of a client, right or wrong in every detail.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) indication: bool,
    /// Whether it is a response, which only a server sends.
    pub(crate) is_response: bool,
    pub(crate) transport: Option<u8>,
    pub(crate) lifetime: Option<u32>,
    pub(crate) family: Option<Result<AddressFamily, u8>>,
    pub(crate) additional: Option<Result<AddressFamily, u8>>,
    pub(crate) even_port: Option<bool>,
    pub(crate) token: Option<Shown>,
    /// MOBILITY-TICKET: absent, empty to ask for one, or a ticket.
    pub(crate) mobility: Option<Option<Shown>>,
    /// CONNECTION-ID.
    pub(crate) connection: Option<Shown>,
    pub(crate) channel: Option<u16>,
    pub(crate) peers: Vec<Place>,
    /// The length of DATA.
    pub(crate) data: Option<u16>,
    /// One more attribute of any kind, signed or not.
    pub(crate) odd: Option<(u16, Vec<u8>)>,
    pub(crate) unsigned_odd: Option<(u16, Vec<u8>)>,
    pub(crate) signing: Signing,
    pub(crate) algorithm: Option<PasswordAlgorithm>,
    pub(crate) transaction: Transaction,
    pub(crate) fingerprint: bool,
}

impl Ask {
    /// A message without attributes besides those that sign it.
    pub(crate) const fn new(
        method: Method,
        algorithm: Option<PasswordAlgorithm>,
        fingerprint: bool,
    ) -> Self {
        Self {
            method,
            indication: matches!(method, Method::Send | Method::Data),
            is_response: false,
            transport: None,
            lifetime: None,
            family: None,
            additional: None,
            even_port: None,
            token: None,
            mobility: None,
            connection: None,
            channel: None,
            peers: Vec::new(),
            data: None,
            odd: None,
            unsigned_odd: None,
            signing: Signing::Own,
            algorithm,
            transaction: Transaction::Next,
            fingerprint,
        }
    }
}

/// Which RESERVATION-TOKEN, or which MOBILITY-TICKET.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// The last one that any client has had, or an earlier one.
    Heard(u8),
    Invented,
}

/// Which transaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transaction {
    Next,
    /// That of the client's last message.
    Last,
    /// One without the magic cookie.
    Rfc3489,
}

/// The signer, and how it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    Unsigned,
    Own,
    /// Named by USERHASH.
    Hashed,
    Bob,
    WrongPassword,
    InventedNonce,
    /// The nonce of another client.
    NonceOf(usize),
    /// Without this one of the attributes that belong to it.
    Without(u16),
}

impl Step {
    /// The name of its kind.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Tell { .. } => "tell",
            Self::Again { .. } => "again",
            Self::Damage { .. } => "damage",
            Self::ChannelData { .. } => "channel-data",
            Self::Garbage { .. } => "garbage",
            Self::PeerSends { .. } => "peer-sends",
            Self::Icmp { .. } => "icmp",
            Self::PeerAnswers { .. } => "peer-answers",
            Self::PeerConnects { .. } => "peer-connects",
            Self::EndSplice { .. } => "end-splice",
            Self::Wait(_) => "wait",
            Self::Disconnect { .. } => "disconnect",
            Self::Upgrade(_) => "upgrade",
            Self::Rules(change) => change.name(),
            Self::Machine(MachineStep::Occupy { .. }) => "occupy",
            Self::Machine(MachineStep::Vacate) => "vacate",
            Self::Machine(MachineStep::Treat(Manner::Willing)) => "machine-willing",
            Self::Machine(MachineStep::Treat(Manner::Slow)) => "machine-slow",
            Self::Machine(MachineStep::Treat(Manner::Refusing(_))) => "machine-refusing",
            Self::Machine(MachineStep::OpenOne) => "open-one",
        }
    }
}
