//! The policy's promises, one by one. Those for all addresses are in `properties`.

mod properties;

use ipnet::IpNet;

use super::*;

/// A host behind a 1:1 NAT, with a public IPv6 address.
fn own() -> Own {
    let ips = || ["10.0.0.5", "198.41.0.5", "2a00::5"].into_iter().map(ip);
    Own {
        listeners: vec![
            peer("0.0.0.0:3478"),
            peer("[::]:3478"),
            peer("10.0.0.5:5349"),
        ],
        addresses: ips().map(IpNet::from).collect(),
        relays: ips().collect(),
        relay_ports: 50000..=60000,
    }
}

fn closed(allow: &[&str], deny: &[&str]) -> Policy {
    Policy::new(Mode::Closed, entries(allow), entries(deny), own())
}

fn allow_list(allow: &[&str]) -> Policy {
    Policy::new(Mode::AllowList, entries(allow), Vec::new(), own())
}

fn entries(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| entry(text)).collect()
}

fn entry(text: &str) -> Network {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn peer(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Policy {
    /// The rule that denies `text`.
    #[track_caller]
    fn denies(&self, text: &str) -> Rule {
        self.judge(peer(text)).expect_err("must be denied").rule
    }

    /// Why `text` is allowed.
    #[track_caller]
    fn allows(&self, text: &str) -> Permit {
        self.judge(peer(text)).expect("must be allowed")
    }

    /// The block that denies `text`.
    #[track_caller]
    fn denies_by_block(&self, text: &str) -> &'static str {
        match self.judge(peer(text)) {
            Err(Denial {
                rule: Rule::SpecialPurpose(block),
                ..
            }) => block.name,
            ruling => panic!("{text}: {ruling:?}"),
        }
    }
}

#[test]
fn a_public_peer_is_allowed() {
    let policy = closed(&[], &[]);
    for text in [
        "9.9.9.9:1",
        "198.41.0.4:65535",
        "[2620:fe::fe]:443",
        "[::ffff:9.9.9.9]:1",
    ] {
        assert_eq!(policy.allows(text), Permit::Public, "{text}");
    }
}

#[test]
fn the_ways_into_coturn_are_closed() {
    let policy = closed(&[], &[]);
    for ip in [
        "0.0.0.0",
        "127.0.0.1",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:0.0.0.0]",
    ] {
        policy.denies(&format!("{ip}:80"));
    }
}

#[test]
fn the_inside_of_the_network_is_closed() {
    let policy = closed(&[], &[]);
    for (text, block) in [
        ("10.1.2.3:80", "Private-Use"),
        ("172.31.255.255:80", "Private-Use"),
        ("192.168.1.1:80", "Private-Use"),
        ("100.64.0.1:80", "Shared Address Space"),
        ("127.255.255.254:80", "Loopback"),
        ("169.254.169.254:80", "Link Local"),
        ("[::1]:80", "Loopback Address"),
        ("[fd00:ec2::254]:80", "Unique-Local"),
        ("[fe80::1%3]:80", "Link-Local Unicast"),
        ("[2001:db8::1]:80", "Documentation"),
    ] {
        assert_eq!(policy.denies_by_block(text), block, "{text}");
    }
}

#[test]
fn a_tunnel_is_closed_whatever_it_carries() {
    let policy = closed(&[], &[]);
    assert_eq!(policy.denies_by_block("[2002:909:909::1]:80"), "6to4");
    assert_eq!(
        policy.denies_by_block("[2001:0:909:909:0:0:f6f6:f6f6]:80"),
        "TEREDO"
    );
    assert_eq!(
        policy.denies_by_block("[::9.9.9.9]:80"),
        "IPv4-Compatible (deprecated)"
    );
}

#[test]
fn the_public_nat64_prefix_is_open_to_public_ipv4_only() {
    let policy = closed(&[], &[]);
    assert_eq!(policy.allows("[64:ff9b::9.9.9.9]:80"), Permit::Public);
    assert_eq!(
        policy.denies_by_block("[64:ff9b::10.0.0.1]:80"),
        "Private-Use"
    );
    assert_eq!(
        policy.denies_by_block("[64:ff9b:1::9.9.9.9]:80"),
        "IPv4-IPv6 Translation"
    );
}

#[test]
fn an_allow_entry_opens_what_it_names_and_no_more() {
    let policy = closed(&["10.1.2.0/24:100-200"], &[]);
    let named = Permit::Listed(entry("10.1.2.0/24:100-200"));
    assert_eq!(policy.allows("10.1.2.3:100"), named);
    assert_eq!(policy.allows("[::ffff:10.1.2.3]:200"), named);
    assert_eq!(policy.denies_by_block("10.1.2.3:99"), "Private-Use");
    assert_eq!(policy.denies_by_block("10.1.3.3:100"), "Private-Use");
    assert_eq!(policy.allows("9.9.9.9:100"), Permit::Public);
}

#[test]
fn an_allow_entry_for_everything_opens_no_special_block() {
    let wide = ["0.0.0.0/0", "8.0.0.0/5", "::/0", "8000::/1", "2001::/16"];
    let policies = [closed(&wide, &[]), allow_list(&wide)];
    for policy in policies {
        for (text, block) in [
            ("127.0.0.1:80", "Loopback"),
            ("169.254.169.254:80", "Link Local"),
            ("10.1.2.3:80", "Private-Use"),
            ("192.0.2.1:80", "Documentation (TEST-NET-1)"),
            ("240.0.0.1:80", "Reserved"),
            ("[::1]:80", "Loopback Address"),
            ("[fe80::1]:80", "Link-Local Unicast"),
            ("[fd00:ec2::254]:80", "Unique-Local"),
            ("[2001:db8::1]:80", "Documentation"),
            ("[4000::1]:80", "Reserved by IETF"),
            ("[64:ff9b::10.0.0.1]:80", "Private-Use"),
        ] {
            assert_eq!(policy.denies_by_block(text), block, "{text}");
        }
        assert_eq!(policy.denies("198.41.0.5:80"), Rule::OwnAddress);
        assert!(matches!(policy.allows("9.9.9.9:80"), Permit::Listed(_)));
    }
}

#[test]
fn an_allow_entry_within_a_special_block_opens_its_part_of_it() {
    for (network, text) in [
        ("127.0.0.0/8", "127.0.0.1:80"),
        ("169.254.0.0/16", "169.254.169.254:80"),
        ("10.0.0.0/8", "10.1.2.3:80"),
        // A block inside another is part of it.
        ("192.0.0.0/24", "192.0.0.1:80"),
        ("::1", "[::1]:80"),
        ("fc00::/7", "[fd00:ec2::254]:80"),
        ("4000::/3", "[4000::1]:80"),
        // This host is where it is named alone.
        ("10.0.0.5", "10.0.0.5:80"),
        ("198.41.0.5", "198.41.0.5:80"),
    ] {
        let listed = Permit::Listed(entry(network));
        // A wide entry before it does not hide it.
        for allow in [&[network][..], &["0.0.0.0/0", "::/0", network]] {
            assert_eq!(closed(allow, &[]).allows(text), listed, "{allow:?}");
        }
    }
    let policy = closed(&["10.0.0.0/8", "198.41.0.0/24"], &[]);
    assert_eq!(policy.denies("10.0.0.5:80"), Rule::OwnAddress);
    assert_eq!(policy.denies("198.41.0.5:80"), Rule::OwnAddress);
}

#[test]
fn an_entry_knows_what_it_reaches_over_and_leaves_closed() {
    for (network, block) in [
        ("0.0.0.0/0", Some("This network")),
        ("8.0.0.0/5", Some("Private-Use")),
        ("2001::/16", Some("IETF Protocol Assignments")),
        ("10.0.0.0/8", None),
        ("10.1.2.0/24:80", None),
        ("9.9.9.0/24", None),
        ("127.0.0.0/8", None),
    ] {
        let name = entry(network).leaves_closed().map(|block| block.name);
        assert_eq!(name, block, "{network}");
    }
}

#[test]
fn an_allow_entry_for_a_tunnel_does_not_open_what_it_carries() {
    let policy = closed(&["2002::/16", "2001::/32", "64:ff9b:1::/48", "::/96"], &[]);
    for text in [
        "[2002:a00:1::1]:80",
        "[2001:0:a00:1:0:0:f6f6:f6f6]:80",
        "[2001:0:909:909:0:0:f5ff:fffe]:80",
        "[64:ff9b:1::10.0.0.1]:80",
        "[64:ff9b:1:a00:0:100::]:80",
        "[::10.0.0.1]:80",
    ] {
        assert_eq!(policy.denies_by_block(text), "Private-Use", "{text}");
    }
    for text in [
        "[2002:909:909::1]:80",
        "[64:ff9b:1::9.9.9.9]:80",
        "[64:ff9b:1:909:9:900::]:80",
    ] {
        assert!(matches!(policy.allows(text), Permit::Listed(_)), "{text}");
    }
}

#[test]
fn deny_beats_allow() {
    let policy = closed(&["10.0.0.0/8", "9.9.9.9"], &["10.1.0.0/16", "9.9.9.9:53"]);
    assert_eq!(
        policy.denies("10.1.2.3:80"),
        Rule::DenyList(entry("10.1.0.0/16"))
    );
    assert_eq!(
        policy.denies("9.9.9.9:53"),
        Rule::DenyList(entry("9.9.9.9:53"))
    );
    assert_eq!(
        policy.allows("10.2.2.3:80"),
        Permit::Listed(entry("10.0.0.0/8"))
    );
}

#[test]
fn a_deny_entry_reaches_the_address_inside_another() {
    let policy = closed(&[], &["9.9.9.0/24"]);
    assert_eq!(
        policy.denies("[64:ff9b::9.9.9.9]:80"),
        Rule::DenyList(entry("9.9.9.0/24"))
    );
    assert_eq!(
        policy.denies("[::ffff:9.9.9.9]:80"),
        Rule::DenyList(entry("9.9.9.0/24"))
    );
}

#[test]
fn no_entry_makes_a_peer_of_what_is_no_single_host() {
    let policy = closed(&["0.0.0.0/0", "::/0"], &[]);
    assert_eq!(policy.denies("9.9.9.9:0"), Rule::PortZero);
    assert_eq!(policy.denies("0.0.0.0:80"), Rule::Unspecified);
    assert_eq!(policy.denies("[::]:80"), Rule::Unspecified);
    assert_eq!(policy.denies("224.0.0.251:80"), Rule::Multicast);
    assert_eq!(policy.denies("[ff02::1]:80"), Rule::Multicast);
    assert_eq!(policy.denies("255.255.255.255:80"), Rule::Broadcast);
    assert_eq!(policy.denies("[64:ff9b::224.0.0.1]:80"), Rule::Multicast);
}

#[test]
fn no_entry_opens_the_servers_own_listeners() {
    let policy = closed(&["0.0.0.0/0", "::/0"], &[]);
    for text in [
        "10.0.0.5:3478",
        "198.41.0.5:3478",
        "[2a00::5]:3478",
        "10.0.0.5:5349",
    ] {
        assert_eq!(policy.denies(text), Rule::OwnListener, "{text}");
    }
    assert_eq!(
        policy.denies("127.8.8.8:3478"),
        Rule::OwnListener,
        "all of 127/8 is this host"
    );
    assert_eq!(policy.denies("[::1]:3478"), Rule::OwnListener);
    assert_eq!(policy.denies("[::ffff:10.0.0.5]:3478"), Rule::OwnListener);
    assert_eq!(policy.denies("[64:ff9b::10.0.0.5]:3478"), Rule::OwnListener);
    assert_eq!(
        policy.denies_by_block("10.0.0.6:3478"),
        "Private-Use",
        "another host's"
    );
    let own = closed(&["198.41.0.5"], &[]);
    assert!(
        matches!(own.allows("198.41.0.5:5349"), Permit::Listed(_)),
        "bound elsewhere"
    );
}

#[test]
fn this_host_is_closed_unless_named() {
    let policy = closed(&["198.41.0.5:8080"], &[]);
    assert_eq!(policy.denies("198.41.0.5:80"), Rule::OwnAddress);
    assert_eq!(policy.denies("[2a00::5]:80"), Rule::OwnAddress);
    assert_eq!(
        policy.allows("198.41.0.5:8080"),
        Permit::Listed(entry("198.41.0.5:8080"))
    );
}

#[test]
fn a_listeners_or_relays_address_is_this_host_even_if_not_said_twice() {
    let own = Own {
        listeners: vec![peer("9.9.9.9:3478")],
        addresses: Vec::new(),
        relays: vec![ip("1.1.1.1")],
        relay_ports: 50000..=60000,
    };
    let policy = Policy::new(Mode::Closed, Vec::new(), Vec::new(), own);
    assert_eq!(policy.denies("9.9.9.9:80"), Rule::OwnAddress);
    assert_eq!(policy.denies("1.1.1.1:80"), Rule::OwnAddress);
}

#[test]
fn own_addresses_may_be_given_as_ipv4_mapped() {
    let own = Own {
        listeners: vec![peer("[::ffff:9.9.9.9]:3478")],
        addresses: vec![ip("::ffff:8.8.8.8").into()],
        relays: vec![ip("::ffff:1.1.1.1")],
        relay_ports: 50000..=60000,
    };
    let policy = Policy::new(Mode::Closed, Vec::new(), Vec::new(), own);
    assert_eq!(policy.denies("9.9.9.9:3478"), Rule::OwnListener);
    assert_eq!(policy.denies("8.8.8.8:80"), Rule::OwnAddress);
    assert_eq!(policy.allows("1.1.1.1:50000"), Permit::OwnRelay);
}

#[test]
fn two_clients_of_one_server_meet_at_its_relayed_addresses() {
    let policy = closed(&[], &[]);
    for text in [
        "198.41.0.5:50000",
        "10.0.0.5:60000",
        "[2a00::5]:55555",
        "[::ffff:10.0.0.5]:50000",
    ] {
        assert_eq!(policy.allows(text), Permit::OwnRelay, "{text}");
    }
    for text in ["198.41.0.5:49999", "10.0.0.5:60001"] {
        assert_eq!(policy.denies(text), Rule::OwnAddress, "{text}");
    }
}

#[test]
fn an_allow_entry_does_not_hide_that_a_relayed_address_is_the_servers_own() {
    let policy = closed(&["198.41.0.5"], &[]);
    assert_eq!(policy.allows("198.41.0.5:50000"), Permit::OwnRelay);
}

#[test]
fn the_operator_can_keep_the_clients_of_one_server_apart() {
    let deny = "198.41.0.5:50000-60000";
    assert_eq!(
        closed(&[], &[deny]).denies("198.41.0.5:50000"),
        Rule::DenyList(entry(deny))
    );
    assert_eq!(
        allow_list(&["9.9.9.9"]).denies("198.41.0.5:50000"),
        Rule::NotListed
    );
    assert_eq!(
        allow_list(&["198.41.0.5"]).allows("198.41.0.5:50000"),
        Permit::OwnRelay
    );
}

#[test]
fn a_relayed_address_inside_another_address_is_only_this_host() {
    let policy = closed(&[], &[]);
    assert_eq!(
        policy.denies("[64:ff9b::198.41.0.5]:50000"),
        Rule::OwnAddress
    );
}

#[test]
fn an_allow_list_is_all_there_is() {
    let policy = allow_list(&["203.0.113.0/24", "64:ff9b::/96"]);
    assert_eq!(
        policy.allows("203.0.113.9:80"),
        Permit::Listed(entry("203.0.113.0/24"))
    );
    assert_eq!(policy.denies("9.9.9.9:80"), Rule::NotListed);
    assert_eq!(policy.denies("[64:ff9b::9.9.9.9]:80"), Rule::NotListed);
    assert_eq!(policy.denies("224.0.0.1:80"), Rule::Multicast);
    policy.allows("[64:ff9b::203.0.113.9]:80");
}

#[test]
fn without_a_port_the_ruling_says_whether_ports_matter() {
    let policy = closed(
        &["10.1.2.0/24:100-200", "10.9.0.0/16"],
        &["9.9.9.9:53", "8.8.8.8"],
    );
    let every = |permit| IpRuling::EveryPort(permit);
    assert_eq!(policy.judge_ip(ip("1.1.1.1")), every(Permit::Public));
    assert_eq!(
        policy.judge_ip(ip("10.9.9.9")),
        every(Permit::Listed(entry("10.9.0.0/16")))
    );
    assert!(matches!(
        policy.judge_ip(ip("10.1.3.3")),
        IpRuling::NoPort(_)
    ));
    assert!(matches!(
        policy.judge_ip(ip("8.8.8.8")),
        IpRuling::NoPort(_)
    ));
    assert!(matches!(
        policy.judge_ip(ip("127.0.0.1")),
        IpRuling::NoPort(_)
    ));
    for some in [
        "10.1.2.3",
        "9.9.9.9",
        "64:ff9b::9.9.9.9",
        "198.41.0.5",
        "2a00::5",
    ] {
        assert_eq!(policy.judge_ip(ip(some)), IpRuling::SomePorts, "{some}");
    }
}

#[test]
fn a_relayed_address_is_judged_by_port_even_if_all_its_ports_are_relayed() {
    let own = Own {
        relay_ports: 1..=u16::MAX,
        listeners: Vec::new(),
        ..own()
    };
    let policy = Policy::new(Mode::Closed, Vec::new(), Vec::new(), own);
    assert_eq!(policy.judge_ip(ip("198.41.0.5")), IpRuling::SomePorts);
}

#[test]
fn ports_that_no_entry_leaves_over_are_no_ports() {
    let policy = closed(
        &["10.1.2.3:100-200"],
        &["10.1.2.0/24:1-150", "10.1.2.3:151-300"],
    );
    assert!(matches!(
        policy.judge_ip(ip("10.1.2.3")),
        IpRuling::NoPort(_)
    ));
}

#[test]
fn the_spans_of_an_address_name_every_port_once() {
    let policy = closed(&["198.41.0.5:8000-8010"], &[]);
    let spans: Vec<_> = policy
        .spans(ip("198.41.0.5"))
        .map(|span| span.ports)
        .collect();
    let upper = [8011..=49999, 50000..=60000, 60001..=65535];
    assert_eq!(
        spans,
        [
            [1..=3477, 3478..=3478, 3479..=7999, 8000..=8010].as_slice(),
            &upper
        ]
        .concat()
    );
}

#[test]
fn a_ruling_reads_as_a_sentence() {
    let policy = closed(&["10.9.0.0/16"], &["8.8.8.0/24"]);
    for (text, sentence) in [
        ("9.9.9.9:80", "allowed: a public address that no list names"),
        (
            "10.9.9.9:80",
            "allowed: named by the allow entry 10.9.0.0/16",
        ),
        (
            "8.8.8.8:80",
            "denied: 8.8.8.8 is named by the deny entry 8.8.8.0/24",
        ),
        (
            "[64:ff9b::10.0.0.1]:80",
            "denied: 10.0.0.1, inside the address (NAT64, RFC 6052), lies in 10.0.0.0/8, \
             Private-Use (RFC 1918); only an entry of [peers] allow inside this network opens it",
        ),
        (
            "[::ffff:10.0.0.5]:3478",
            "denied: 10.0.0.5, inside the address (IPv4-mapped, RFC 4291), is where this server \
             listens; no entry opens it",
        ),
    ] {
        let ruling = policy.judge(peer(text));
        let said = ruling.map_or_else(|denial| format!("{denial:#}"), |permit| permit.to_string());
        assert_eq!(said, sentence);
    }
}

#[test]
fn a_denial_for_the_log_keeps_the_peers_address_to_itself() {
    let policy = closed(&[], &[]);
    for (text, sentence) in [
        (
            "224.1.2.3:80",
            "denied: the address is a multicast group, which is no peer",
        ),
        (
            "[64:ff9b::10.1.2.3]:80",
            "denied: the IPv4 address inside it (NAT64, RFC 6052) lies in 10.0.0.0/8, \
             Private-Use (RFC 1918); only an entry of [peers] allow inside this network opens it",
        ),
    ] {
        assert_eq!(policy.judge(peer(text)).unwrap_err().to_string(), sentence);
    }
}
