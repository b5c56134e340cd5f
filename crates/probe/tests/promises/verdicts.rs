//! The verdict over both address families, UDP and TCP: an unknown behaviour does not count against
//! UDP.

use std::net::SocketAddr;
use std::time::Duration;

use probe::{Family, Results, Stream, StreamAnswer, Verdict};
use webrtc_util::vnet::nat::NatType;

use crate::servers::{FIRST, Manner};
use crate::world::{PUBLIC, discover};

#[tokio::test(start_paused = true)]
async fn one_ordinary_server_that_answers_over_tcp_too_does_not_make_udp_blocked() {
    let report = report(probed(Manner::Ordinary).await);
    assert_eq!(report.verdict(), Verdict::Undecided);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_over_tcp_alone_makes_udp_blocked() {
    let report = report(probed(Manner::Refusing(500)).await);
    assert_eq!(report.verdict(), Verdict::NeedsTurnOverTcp);
}

#[test]
fn a_server_over_tls_alone_tells_nothing_of_udp() {
    let report = report(Family::NoServer);
    assert_eq!(report.verdict(), Verdict::Undecided);
    assert!(!report.is_udp_asked());
}

async fn probed(manner: Manner) -> Family {
    let server = format!("{FIRST}:3478");
    let findings = discover(Some(NatType::default()), manner, &[&server]).await;
    let uri = "stun:stun.example".parse().unwrap();
    Family::Probed {
        servers: vec![(uri, server.parse().unwrap())],
        findings: Box::new(findings),
    }
}

/// With an answer over a stream.
fn report(v4: Family) -> Results {
    let mapped = SocketAddr::new(PUBLIC.parse().unwrap(), 50_000);
    Results {
        servers: vec![],
        v4: Some(v4),
        v6: None,
        streams: vec![Stream {
            uri: "stuns:stun.example".parse().unwrap(),
            address: SocketAddr::new(FIRST.parse().unwrap(), 5349),
            outcome: Ok(StreamAnswer {
                mapped,
                round_trip: Duration::from_millis(20),
            }),
        }],
    }
}
