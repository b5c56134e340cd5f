//! The written policy beside coturn's own decision.

use std::net::{IpAddr, SocketAddr};

use relay::policy::{Mode, Own, Policy, blocks};

use super::*;

/// The lists of these texts, which are denied and allowed.
fn lists(denied: &[Range], allowed: &[Range]) -> Lists<'static> {
    Lists {
        denied: denied.to_vec(),
        allowed: allowed.iter().flat_map(|range| opened(*range).0).collect(),
        ..Lists::default()
    }
}

fn policy(lists: &Lists<'_>) -> Policy {
    let (deny, allow, is_allow_list) = written(lists);
    let read = |texts: Vec<String>| texts.iter().map(|text| text.parse().unwrap()).collect();
    let mode = if is_allow_list {
        Mode::AllowList
    } else {
        Mode::default()
    };
    let own = Own {
        listeners: Vec::new(),
        addresses: Vec::new(),
        relays: Vec::new(),
        relay_ports: 49152..=65535,
    };
    Policy::new(mode, read(allow), read(deny), own)
}

fn range(text: &str) -> Range {
    Range::read(text).unwrap()
}

/// Whether coturn lets clients reach it: `good_peer_addr` of turn_server.c.
fn coturn_allows(ip: IpAddr, denied: &[Range], allowed: &[Range]) -> bool {
    let is_in = |ranges: &[Range]| meets_any(&merged(ranges), range(&ip.to_string()));
    let is_this_host = THIS_HOST.iter().any(|text| is_in(&[range(text)]));
    !is_this_host && (is_in(allowed) || !is_in(denied))
}

/// The first and last addresses of the special blocks, and their neighbours outside.
fn edges(is_ipv4: bool) -> Vec<IpAddr> {
    let blocks = blocks(is_ipv4)
        .iter()
        .filter(|it| it.network.prefix_len() > 0);
    let ends = blocks.flat_map(|it| [it.network.network(), it.network.broadcast()]);
    let near = ends.flat_map(|ip| match ip {
        IpAddr::V4(ip) => [-1, 0, 1].map(|step: i32| {
            IpAddr::from(std::net::Ipv4Addr::from_bits(
                ip.to_bits().saturating_add_signed(step),
            ))
        }),
        IpAddr::V6(ip) => [-1, 0, 1].map(|step: i128| {
            IpAddr::from(std::net::Ipv6Addr::from_bits(
                ip.to_bits().saturating_add_signed(step),
            ))
        }),
    });
    near.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn nothing_is_open_here_that_coturn_has_closed_or_that_the_report_calls_closed() {
    for is_ipv4 in [true, false] {
        let edges = edges(is_ipv4);
        let starts = edges.iter().enumerate();
        let spans = starts.flat_map(|(at, first)| {
            let lasts = edges[at..].iter().step_by(17);
            lasts.map(move |last| range(&format!("{first}-{last}")))
        });
        for allowed in spans {
            for denied in [vec![], vec![Range::all(is_ipv4)]] {
                let policy = policy(&lists(&denied, &[allowed]));
                let may_be_special = allowed.is_special() || allowed.single().is_some();
                for ip in &edges {
                    if policy.judge(SocketAddr::new(*ip, 53)).is_err() {
                        continue;
                    }
                    assert!(
                        coturn_allows(*ip, &denied, &[allowed]),
                        "{ip} by {allowed:?} in {denied:?}"
                    );
                    let is_public = relay::policy::block(*ip).is_none();
                    assert!(is_public || may_be_special, "{ip} by {allowed:?}");
                }
            }
        }
    }
}

#[test]
fn a_range_over_the_edge_of_a_private_network_opens_none_of_it() {
    for (text, peer) in [
        ("126.255.255.255-127.255.255.255", "127.0.0.1"),
        ("169.253.255.255-169.254.255.255", "169.254.169.254"),
        ("9.0.0.0-10.255.255.255", "10.0.0.7"),
        ("::-::ffff:ffff", "::1"),
        ("fbff::-fdff:ffff::", "fd00::1"),
    ] {
        let (_, kept) = opened(range(text));
        assert!(kept.is_some(), "{text}");
        for denied in [vec![], vec![Range::all(true), Range::all(false)]] {
            let policy = policy(&lists(&denied, &[range(text)]));
            let peer = SocketAddr::new(peer.parse().unwrap(), 80);
            assert!(policy.judge(peer).is_err(), "{peer} by {text}");
        }
    }
    let inside = lists(&[Range::all(true)], &[range("10.0.0.0-10.0.0.255")]);
    assert!(
        policy(&inside)
            .judge("10.0.0.7:80".parse().unwrap())
            .is_ok()
    );
}

#[test]
fn a_rule_of_the_database_opens_no_more_than_a_line() {
    use super::super::super::{Database, File, Source, import};
    use crate::config::Machine;
    let database = Database {
        allowed: vec![(String::new(), "127.0.0.0-127.255.255.255".to_owned())],
        ..Database::default()
    };
    let source = Source {
        file: &File::read(b"static-auth-secret=5e8a1c0d9f2b47a6b3c4d5e6\n"),
        name: "turnserver.conf",
        directory: std::path::Path::new(""),
        database: Some(&database),
        host: &Machine::anywhere(),
    };
    let import = import(&source, std::path::Path::new("turnserver.toml"));
    let toml: toml::Table = import.toml.parse().unwrap();
    assert!(toml.get("peers").is_none(), "{}", import.toml);
    let asked = import.account.decisions().iter();
    assert_eq!(asked.filter(|it| it.contains("loopback")).count(), 1);
}
