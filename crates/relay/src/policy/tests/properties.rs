//! Promises of the policy for every address, every spelling of it and every list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::*;
use super::{closed, entry, ip, own};

#[test]
fn the_registry_and_an_independent_reading_agree() {
    let policy = Policy::new(
        Mode::Closed,
        Vec::new(),
        Vec::new(),
        Own {
            listeners: Vec::new(),
            addresses: Vec::new(),
            relays: Vec::new(),
            ..own()
        },
    );
    // Both ends of every /16, of every /24 where the registry has such, and each address where it
    // has single ones.
    let ends = |net: u32, host_bits: u32| [net, net | ((1 << host_bits) - 1)];
    let wide = (0..=0xffff).flat_map(|net| ends(net << 16, 16));
    let narrow = [192, 198, 203]
        .into_iter()
        .flat_map(|first| (0..=0xffff).flat_map(move |net| ends(first << 24 | net << 8, 8)));
    let single = [[192, 0, 0], [192, 88, 99], [255, 255, 255]]
        .into_iter()
        .flat_map(|[a, b, c]| (0..=255).map(move |d| Ipv4Addr::new(a, b, c, d).to_bits()));
    for bits in wide.chain(narrow).chain(single) {
        let ip = Ipv4Addr::from_bits(bits);
        assert_eq!(policy.judge((ip, 80).into()).is_ok(), is_public(ip), "{ip}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn ipv6_is_open_only_in_global_unicast(bits: u128, head in any::<u16>()) {
        let ip = Ipv6Addr::from_bits(bits >> 16 | u128::from(head) << 112);
        let local = ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast();
        if closed(&[], &[]).judge((ip, 80).into()).is_ok() {
            prop_assert!(!local && ip.segments()[0] >> 13 == 0b001, "{}", ip);
        }
    }

    #[test]
    fn no_spelling_of_a_denied_address_passes(ip in denied_ipv4(), noise: u128, port: u16) {
        let policy = closed(&[], &[]);
        for spelling in spellings(ip, noise) {
            prop_assert!(policy.judge((spelling, port).into()).is_err(), "{}", spelling);
            prop_assert!(matches!(policy.judge_ip(spelling.into()), IpRuling::NoPort(_)));
        }
    }

    #[test]
    fn no_spelling_passes_even_where_all_of_ipv6_is_allowed(
        ip in denied_ipv4(), noise: u128, port: u16,
    ) {
        // `::1` is IPv6's own loopback, and a zero field in a local NAT64 address is no address.
        prop_assume!(ip.to_bits() > 1);
        let policy = closed(&FORMS, &[]);
        for spelling in spellings(ip, noise) {
            prop_assert!(policy.judge((spelling, port).into()).is_err(), "{}", spelling);
        }
    }

    #[test]
    fn no_spelling_escapes_the_deny_list(noise: u128, last: u8, port in 1..=u16::MAX) {
        let policy = closed(&FORMS, &["9.9.9.0/24"]);
        for spelling in spellings(Ipv4Addr::new(9, 9, 9, last), noise) {
            prop_assert!(policy.judge((spelling, port).into()).is_err(), "{}", spelling);
        }
    }

    #[test]
    fn a_public_address_may_be_spelled_as_the_operator_allows(
        ip in public_ipv4(), port in 1..3000u16,
    ) {
        let policy = closed(&FORMS, &[]);
        let [mapped, compatible, translated, to4, .., nat64, _, tail, isatap, universal] =
            spellings(ip, 0x2a00 << 112)[..] else { unreachable!() };
        for spelling in [mapped, compatible, translated, to4, nat64, tail, isatap, universal] {
            prop_assert!(policy.judge((spelling, port).into()).is_ok(), "{}", spelling);
        }
    }

    #[test]
    fn the_ruling_for_an_ip_holds_for_its_ports(
        policy in any_policy(), ip in any_ip(), ports in prop::collection::vec(1..=u16::MAX, 20),
    ) {
        let edges = policy.spans(ip).flat_map(|span| [*span.ports.start(), *span.ports.end()]);
        let ports: Vec<u16> = ports.into_iter().chain(edges).collect();
        let rulings = ports.iter().map(|&port| policy.judge((ip, port).into()));
        let rulings: Vec<Ruling> = rulings.collect();
        let plainly = |ruling: &Ruling| ruling.is_ok() && *ruling != Ok(Permit::OwnRelay);
        match policy.judge_ip(ip) {
            IpRuling::EveryPort(_) => prop_assert!(rulings.iter().all(plainly)),
            IpRuling::NoPort(_) => prop_assert!(rulings.iter().all(Ruling::is_err)),
            IpRuling::SomePorts => prop_assert!(
                rulings.iter().any(Ruling::is_ok) && !rulings.iter().all(plainly)
            ),
        }
    }

    #[test]
    fn the_spans_are_whole_and_true(policy in any_policy(), ip in any_ip(), at: Index) {
        let spans: Vec<Span> = policy.spans(ip).collect();
        let mut next = Some(1);
        for span in &spans {
            prop_assert_eq!(next, Some(*span.ports.start()));
            next = span.ports.end().checked_add(1);
            let port = *span.ports.start() + at.index(span.ports.len()) as u16;
            prop_assert_eq!(policy.judge((ip, port).into()), span.ruling);
        }
        prop_assert_eq!(next, None);
        prop_assert!(spans.windows(2).all(|pair| pair[0].ruling != pair[1].ruling));
    }

    #[test]
    fn a_deny_entry_always_wins(policy in any_policy(), ip in any_ip(), port in 1..=u16::MAX) {
        let denied = policy.deny.iter().any(|entry| entry.contains(ip.to_canonical(), port));
        prop_assert!(!denied || policy.judge((ip, port).into()).is_err());
    }
}

/// All of IPv6: the special blocks of formats that hold an IPv4 address, and the rest.
const FORMS: [&str; 6] = [
    "::/96",
    "::ffff:0:0:0/96",
    "2002::/16",
    "2001::/32",
    "64:ff9b:1::/48",
    "::/0",
];

/// Every way to write an IPv4 address as an IPv6 one, with `noise` wherever there is room.
fn spellings(ip: Ipv4Addr, noise: u128) -> Vec<Ipv6Addr> {
    let ip = u128::from(ip.to_bits());
    let low = |bits: u32| noise & ((1 << bits) - 1);
    let (high16, low16) = (ip >> 16, ip & 0xffff);
    let around = high16 << 64 | low16 << 40;
    let around_noise = low(80) & !(0xffff << 64 | 0xffff << 40);
    let interface = |prefix: u128, id: u128| prefix << 64 | id << 32 | ip;
    [
        0xffff << 32 | ip,
        ip,
        0xffff_0000 << 32 | ip,
        0x2002 << 112 | ip << 80 | low(80),
        0x2001_0000 << 96 | ip << 64 | low(64),
        0x2001_0000 << 96 | low(96) & !0xffff_ffff | !ip & 0xffff_ffff,
        0x0064_ff9b << 96 | ip,
        0x0064_ff9b_0001 << 80 | around | around_noise,
        0x0064_ff9b_0001 << 80 | low(80) & !0xffff_ffff | ip,
        interface(noise >> 64, 0x0000_5efe),
        interface(noise >> 64, 0x0200_5efe),
    ]
    .map(Ipv6Addr::from_bits)
    .into()
}

/// Written without the table, from the standard library, and octet by octet where that has no
/// function.
fn is_public(ip: Ipv4Addr) -> bool {
    let local = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_unspecified();
    !local
        && match ip.octets() {
            [0 | 240..=255, ..] => false,
            [100, b, ..] => b >> 6 != 1,
            [192, 0, 0, d] => d == 9 || d == 10,
            [192, 88, 99, _] => false,
            [198, 18 | 19, ..] => false,
            _ => true,
        }
}

/// Addresses at and near the ends of the blocks, and any others.
fn any_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    let first = select(vec![
        0, 10, 100, 127, 169, 172, 192, 198, 203, 223, 224, 239, 240, 255u8,
    ]);
    let second = select(vec![
        0, 15, 16, 18, 19, 20, 31, 32, 51, 63, 64, 88, 127, 128, 168, 254u8,
    ]);
    let third = select(vec![0, 1, 2, 99, 100, 113, 255u8]);
    let near = (
        first,
        prop_oneof![second, any::<u8>()],
        prop_oneof![third, any::<u8>()],
    );
    prop_oneof![
        any::<u32>().prop_map(Ipv4Addr::from_bits),
        (near, any::<u8>()).prop_map(|((a, b, c), d)| Ipv4Addr::new(a, b, c, d)),
    ]
}

fn denied_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    elsewhere().prop_filter("is denied", |&ip| !is_public(ip))
}

fn public_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    elsewhere().prop_filter("is public", |&ip| is_public(ip))
}

/// Addresses of other hosts.
fn elsewhere() -> impl Strategy<Value = Ipv4Addr> {
    any_ipv4().prop_filter("is another host", |&ip| {
        !own().addresses.contains(&IpAddr::from(ip).into())
    })
}

/// A policy of entries that touch and overlap, on a host that some of them name.
fn any_policy() -> impl Strategy<Value = Policy> {
    let net = select(vec![
        "9.9.9.0/24",
        "9.9.9.9",
        "10.0.0.0/8",
        "10.0.0.5",
        "127.0.0.0/8",
        "198.41.0.5",
        "0.0.0.0/0",
        "[64:ff9b::/96]",
        "[2a00::/16]",
        "[::/0]",
    ]);
    let edge = select(vec![1, 2, 3477, 3478, 3479, 50000, 65535]);
    let port = prop_oneof![1..=u16::MAX, edge];
    let ports = prop_oneof![Just((1, u16::MAX)), (port.clone(), port)];
    let entry =
        (net, ports).prop_map(|(net, (a, b))| entry(&format!("{net}:{}-{}", a.min(b), a.max(b))));
    let list = prop::collection::vec(entry, 0..4);
    let mode = select(vec![Mode::Closed, Mode::AllowList]);
    (mode, list.clone(), list).prop_map(|(mode, allow, deny)| Policy::new(mode, allow, deny, own()))
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    let ips = [
        "1.1.1.1",
        "9.9.9.8",
        "9.9.9.9",
        "10.0.0.5",
        "10.0.0.6",
        "127.0.0.1",
        "198.41.0.5",
        "::1",
        "::ffff:10.0.0.5",
        "64:ff9b::9.9.9.9",
        "64:ff9b::198.41.0.5",
        "2002:909:909::1",
        "2a00::5",
        "2a00::6",
    ];
    select(ips.map(ip).to_vec())
}
