//! The quality of a session's legs, as the API tells it: what was not measured is absent.

use std::time::Duration;

use relay::Bad;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The quality of a session's two legs: who is bad is told by the leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// Between the client and this server.
    pub client: Leg,
    /// Between this server and the peers.
    pub peer: Leg,
}

/// The quality of one leg. Loss, jitter and rate are of the data that comes in on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Leg {
    /// From this server to the far end and back, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// The share of RTP packets lost in the last 10 to 20 seconds, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// The jitter of RTP in milliseconds: of the worst stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Bits per second.
    pub bitrate: u64,
    /// Whether a measure is beyond its threshold in `[quality]`.
    pub bad: bool,
    /// Those measures: `loss`, `round-trip`, `jitter`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_measures: Vec<String>,
    /// RTP packets sent since the session began, by their sequence numbers.
    pub expected: u64,
    /// Those of them that did not come.
    pub lost: u64,
    /// Those that came late.
    pub reordered: u64,
    /// RTP streams that came lately.
    pub streams: u32,
    /// Packets by what they are.
    pub contents: Contents,
}

/// Packets of data by what they are. RFC 7983, RFC 9443.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Contents {
    /// Connectivity checks and consent.
    pub stun: u64,
    /// DTLS: handshakes, and data channels.
    pub dtls: u64,
    /// QUIC with a long header.
    pub quic: u64,
    /// RTP, encrypted or not.
    pub rtp: u64,
    /// RTCP, encrypted or not.
    pub rtcp: u64,
    /// ChannelData of another TURN server, or QUIC with a short header.
    pub turn: u64,
    /// Any other data.
    pub other: u64,
}

/// One RTP stream that came lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stream {
    /// The leg that it comes in on: `client` or `peer`.
    pub leg: String,
    /// Its synchronization source.
    pub ssrc: u32,
    /// The rate of its timestamps, in Hz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<u32>,
    /// Packets sent, by their sequence numbers.
    pub expected: u64,
    /// Those of them that did not come.
    pub lost: u64,
    /// Those that came late.
    pub reordered: u64,
    /// Its jitter in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
}

impl From<relay::Quality> for Quality {
    fn from(relay::Quality { client, peer }: relay::Quality) -> Self {
        Self {
            client: client.into(),
            peer: peer.into(),
        }
    }
}

impl From<relay::Leg> for Leg {
    fn from(leg: relay::Leg) -> Self {
        Self {
            round_trip_ms: leg.round_trip.map(milliseconds),
            loss: leg.recent.share().map(|share| rounded(share, 10_000.0)),
            jitter_ms: leg.jitter.map(milliseconds),
            bitrate: leg.bitrate,
            bad: leg.bad.is_any(),
            bad_measures: measures(leg.bad).map(str::to_owned).collect(),
            expected: leg.whole.expected,
            lost: leg.whole.lost,
            reordered: leg.reordered,
            streams: leg.streams,
            contents: leg.contents.into(),
        }
    }
}

impl From<relay::Contents> for Contents {
    fn from(contents: relay::Contents) -> Self {
        let relay::Contents {
            stun,
            dtls,
            quic,
            rtp,
            rtcp,
            turn,
            other,
        } = contents;
        Self {
            stun,
            dtls,
            quic,
            rtp,
            rtcp,
            turn,
            other,
        }
    }
}

impl From<relay::Stream> for Stream {
    fn from(stream: relay::Stream) -> Self {
        let leg = if stream.from_client { "client" } else { "peer" };
        Self {
            leg: leg.to_owned(),
            ssrc: stream.ssrc,
            clock: stream.clock,
            expected: stream.loss.expected,
            lost: stream.loss.lost,
            reordered: stream.reordered,
            jitter_ms: stream.jitter.map(milliseconds),
        }
    }
}

/// The names of the measures that are bad.
fn measures(bad: Bad) -> impl Iterator<Item = &'static str> {
    let Bad {
        loss,
        round_trip,
        jitter,
    } = bad;
    [
        (loss, "loss"),
        (round_trip, "round-trip"),
        (jitter, "jitter"),
    ]
    .into_iter()
    .filter_map(|(is_bad, name)| is_bad.then_some(name))
}

/// To a hundredth.
fn milliseconds(span: Duration) -> f64 {
    rounded(span.as_secs_f64() * 1000.0, 100.0)
}

/// To one part of so many.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
