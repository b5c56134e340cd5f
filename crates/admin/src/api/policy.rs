//! Whether clients may reach a peer, and why.

#![allow(unused_qualifications, reason = "what utoipa makes of a query has one")]

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use relay::policy::{IpRuling, Policy};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Error, Refusal, queried, refuse};

/// A peer, with its port if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address: what CreatePermission names.
    Host(IpAddr),
    /// An address and port: what ChannelBind and Send name.
    Socket(SocketAddr),
}

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ip = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = ip.parse() {
            return Ok(Self::Host(ip));
        }
        let socket = text.parse().map(Self::Socket);
        socket.map_err(|_| {
            "write an IP address, or an IP address and a port, such as 192.0.2.7:3478 or \
             [2001:db8::7]:3478"
        })
    }
}

/// Whether clients may reach a peer, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// The peer.
    pub peer: String,
    /// Whether they may; of an address without a port, whether on any port.
    pub allowed: bool,
    /// Why, with the rule that says so.
    pub reason: String,
    /// The rulings on each range of ports, where they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Ports>,
}

/// The ruling on a range of ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ports {
    /// The first port.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// Whether clients may reach them.
    pub allowed: bool,
    /// Why.
    pub reason: String,
}

impl Explained {
    /// The ruling of a policy on a peer.
    pub fn of(policy: &Policy, peer: Peer) -> Self {
        let mut ports = Vec::new();
        let (peer, (allowed, reason)) = match peer {
            Peer::Socket(peer) => (peer.to_string(), worded(policy.judge(peer))),
            Peer::Host(ip) => (
                ip.to_string(),
                match policy.judge_ip(ip) {
                    IpRuling::EveryPort(permit) => (true, permit.to_string()),
                    IpRuling::SomePorts => {
                        ports = by_port(policy, ip);
                        (true, "allowed on some ports".to_owned())
                    }
                    IpRuling::NoPort(denial) => (false, format!("{denial:#}")),
                },
            ),
        };
        Self {
            peer,
            allowed,
            reason,
            ports,
        }
    }

    /// The same as lines for people: one, or one more for each range of ports.
    pub fn words(&self) -> String {
        if self.ports.is_empty() {
            return format!("{}\n", self.reason);
        }
        let mut lines = format!("{}:\n", self.reason);
        for Ports {
            first,
            last,
            allowed: _,
            reason,
        } in &self.ports
        {
            let ports = if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            };
            let _ = writeln!(lines, "  {ports:<11}  {reason}");
        }
        lines
    }
}

fn by_port(policy: &Policy, ip: IpAddr) -> Vec<Ports> {
    let spans = policy.spans(ip).map(|span| {
        let (allowed, reason) = worded(span.ruling);
        Ports {
            first: *span.ports.start(),
            last: *span.ports.end(),
            allowed,
            reason,
        }
    });
    spans.collect()
}

fn worded(ruling: relay::policy::Ruling) -> (bool, String) {
    match ruling {
        Ok(permit) => (true, permit.to_string()),
        Err(denial) => (false, format!("{denial:#}")),
    }
}

/// Says the policy in force.
pub type InForce = Arc<dyn Fn() -> Arc<Policy> + Send + Sync>;

/// `/v1/policy`.
pub fn router(policy: InForce) -> Router {
    Router::new()
        .route("/v1/policy", get(explain))
        .with_state(policy)
}

/// The query of an explanation.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// An address, or an address and port.
    #[param(example = "192.0.2.7:3478")]
    peer: String,
}

/// Whether clients may reach a peer, and why.
#[utoipa::path(get, operation_id = "explain_policy", path = "/v1/policy", tag = "configuration", params(Asked), responses((status = 200, body = Explained), (status = 400, description = "A parameter is none.", body = Error)))]
pub(super) async fn explain(
    State(policy): State<InForce>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Explained>, Refusal> {
    let asked = queried(asked)?;
    let peer = asked.peer.parse();
    let peer = peer.or_else(|help| refuse(StatusCode::BAD_REQUEST, format!("`peer`: {help}")))?;
    Ok(Json(Explained::of(&policy(), peer)))
}
