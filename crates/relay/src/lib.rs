//! The STUN and TURN server as a value. RFC 8489, RFC 8656, RFC 6062,
//! RFC 5780.
//!
//! [`Server`] owns no socket, clock, thread or random source. Bytes, addresses and the time go in;
//! verdicts and effects come out. The caller's rules:
//!
//! 1. Call one `handle_*` for each packet of a turn. It returns a [`Verdict`] on *this packet*: an
//!    answer is the server's until the next call, application data is the packet's.
//! 2. Send what the verdicts say, in their order. Then drain [`Server::poll_effect`], and perform
//!    each [`Effect`] before asking for the next.
//! 3. Ask [`Server::poll_timeout`] when to call [`Server::handle_timeout`].
//!
//! A datagram walks: `handle_client` -> `Verdict::Relay` to a [`Destination::Peer`], and back:
//! `handle_peer` -> `Verdict::Relay` to a [`Destination::Client`]. Between two clients of this server
//! it goes from client to client, by way of [`Destination::Relayed`] and `handle_crossing` if they are
//! in two shards. None of it allocates memory.

mod acquaintances;
mod address;
mod allocation;
mod allocations;
mod auth;
mod bandwidth;
mod bans;
mod budget;
mod caps;
mod channels;
mod clients;
mod command;
mod config;
mod counters;
mod data;
mod drop_reason;
mod effects;
mod endings;
mod failures;
mod keyring;
pub mod keys;
mod lately;
mod mobility;
mod nat_discovery;
mod nonce;
mod outgoing;
mod permissions;
pub mod policy;
mod ports;
mod quality;
mod quotas;
mod rate;
mod realms;
mod redirect;
mod reject;
mod report;
mod request;
mod reservations;
mod routes;
mod rules;
mod secret;
mod server;
mod sha256;
mod shared;
mod snapshot;
mod source_prefix;
mod story;
mod survey;
mod tcp;
mod timers;
mod traces;
mod verdict;
mod waiting;

pub use address::{AllocationId, ClientTuple, NotAnId, PeerAddr, RelayId};
pub use allocation::Traffic;
pub use bandwidth::{Bandwidth, Way};
pub use bans::{Ban, Bans};
pub use budget::{Allowance, Budget};
pub use caps::{Capped, Caps};
pub use clients::{BanRule, Clients, Networks};
pub use command::{Answer, Command, Listed, Places, Selection, Shown};
pub use config::{Config, IcmpTold, Limits, PortRange, RelayAddress, Rules};
pub use counters::{Counters, Families};
pub use drop_reason::DropReason;
pub use keyring::{NoKey, UserName};
pub use keys::{Keys, is_opaque};
pub use lately::{Failed, Happened, Standing};
pub use mobility::{Arrival, Mail, ShardId, Whereabouts};
pub use nat_discovery::{
    HostAddress, NatDiscovery, Partner, PartnerFlaw, PartnerSecret, SecondAddress,
};
pub use nonce::NonceSecret;
pub use outgoing::{Crossing, Destination, Hop, Outgoing};
pub use ports::Ports;
pub use quality::{Bad, Contents, Leg, Loss, Quality, Stream, Thresholds};
pub use quotas::Quotas;
pub use realms::{Realm, RealmLoad, Realms};
pub use redirect::{Alternate, Redirect, Target, When};
pub use reject::{Refusal, Reject};
pub use report::{EndCause, PartnerNews, Report};
pub use reservations::Reservations;
pub use routes::Route;
pub use secret::ProcessSecret;
pub use server::Server;
pub use sha256::Sha256;
pub use shared::Shared;
pub use snapshot::{Snapshot, Unreadable};
pub use source_prefix::SourcePrefix;
pub use story::Event;
pub use survey::Survey;
pub use tcp::{ConnectError, Passage, Register};
pub use traces::{Seen, Trace, TraceId, Traced};
pub use verdict::{Effect, OpenError, Verdict};
pub use wire::attributes::{ConnectionId, Icmp};
pub use wire::{AddressFamily, ChannelNumber, Key, Method, RelayHeader, Transport};

/// One instant on two clocks: timers run on `mono`, credentials and nonces expire on `unix`.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub mono: std::time::Instant,
    /// Time since the Unix epoch.
    pub unix: std::time::Duration,
}
