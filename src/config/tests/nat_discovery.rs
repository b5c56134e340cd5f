//! `[nat-discovery]`: what it means, and what is said of its mistakes.

use net::Transports;
use relay::{NatDiscovery, Partner, PartnerSecret, SecondAddress, Transport};

use super::tls::{entry, good};
use super::{config, fault, warned};
use crate::config::{Config, Listener};

const BOTH: &str = "[[listener]]\ntransport = \"udp\"\nlisten = \"10.0.0.5:3478\"\n\
                    [[listener]]\ntransport = \"tcp\"\nlisten = \"10.0.0.5:3478\"\n";
const EVERY: &str = "[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:3478\"\n";

fn of(listeners: &str, table: &str) -> Config {
    config(&format!("{listeners}[nat-discovery]\n{table}\n"))
}

fn corner(transport: Transport, listen: &str) -> Listener {
    Listener {
        transports: transport.into(),
        listen: listen.parse().unwrap(),
    }
}

/// Where an address is bound and what clients see of it.
fn faces(discovery: &NatDiscovery) -> [String; 4] {
    let SecondAddress::Here(alternate) = discovery.alternate else {
        panic!("{discovery:?}");
    };
    let primary = discovery.primary;
    [
        primary.local,
        primary.external,
        alternate.local,
        alternate.external,
    ]
    .map(|it| it.to_string())
}

#[test]
fn without_it_clients_see_one_address() {
    assert_eq!(config("").nat_discovery, []);
    assert_eq!(of(BOTH, "alternate = []").nat_discovery, []);
    assert_eq!(of(BOTH, "").listeners.len(), 2);
}

#[test]
fn every_corner_gets_the_listener_that_it_has_not() {
    let config = of(BOTH, "alternate = \"10.0.0.6:3479\"");
    let [discovery] = &config.nat_discovery[..] else {
        panic!("{:?}", config.nat_discovery);
    };
    assert_eq!(
        faces(discovery),
        ["10.0.0.5", "10.0.0.5", "10.0.0.6", "10.0.0.6"]
    );
    assert_eq!((discovery.ports, discovery.tcp), ([3478, 3479], true));
    let (udp, tcp) = (Transport::Udp, Transport::Tcp);
    let expected = [
        corner(udp, "10.0.0.5:3478"),
        corner(tcp, "10.0.0.5:3478"),
        corner(udp, "10.0.0.6:3478"),
        corner(udp, "10.0.0.5:3479"),
        corner(udp, "10.0.0.6:3479"),
        corner(tcp, "10.0.0.6:3478"),
        corner(tcp, "10.0.0.5:3479"),
        corner(tcp, "10.0.0.6:3479"),
    ];
    assert_eq!(config.listeners, expected);
}

#[test]
fn tls_has_the_corners_that_auto_gives_it() {
    let auto = "[[listener]]\ntransport = \"auto\"\nlisten = \"10.0.0.5:3478\"\n";
    let auto = auto.to_owned() + &entry(&good());
    let config = of(&auto, "alternate = \"10.0.0.6:3479\"");
    let discovery = &config.nat_discovery[0];
    assert!(discovery.tcp && discovery.tls);
    let streams = |listener: &&Listener| listener.transports == Transports::Streams;
    assert_eq!(config.listeners.iter().filter(streams).count(), 4);
    // A corner that was written for TCP alone has no TLS, so that TLS has no corners.
    let tcp = "[[listener]]\ntransport = \"tcp\"\nlisten = \"10.0.0.6:3479\"\n";
    let config = of(&(auto + tcp), "alternate = \"10.0.0.6:3479\"");
    let discovery = &config.nat_discovery[0];
    assert!(discovery.tcp && !discovery.tls);
}

#[test]
fn a_listener_on_every_address_is_one_at_both() {
    let config = of(EVERY, "alternate = [\"10.0.0.6:3479\"]");
    assert!(!config.nat_discovery[0].tcp);
    let udp = Transport::Udp;
    let expected = [
        corner(udp, "0.0.0.0:3478"),
        corner(udp, "10.0.0.5:3479"),
        corner(udp, "10.0.0.6:3479"),
    ];
    assert_eq!(config.listeners, expected);
}

#[test]
fn each_family_has_its_own_and_the_listeners_may_be_the_default_ones() {
    let config = of(
        "",
        "alternate = [\"10.0.0.6:3479\", \"[2001:db8::6]:3480\"]",
    );
    let ports: Vec<_> = config.nat_discovery.iter().map(|it| it.ports).collect();
    assert_eq!(ports, [[3478, 3479], [3478, 3480]]);
    assert_eq!(faces(&config.nat_discovery[1])[0], "2001:db8::5");
    // 4 by default, and 2 ports x 2 families x 2 transports.
    assert_eq!(config.listeners.len(), 4 + 8);
}

#[test]
fn behind_1_1_nat_clients_are_told_the_external_addresses() {
    let config = config(
        "[relay]\nexternal = [\"203.0.113.7\"]\n\
         [nat-discovery]\nalternate = \"10.0.0.6:3479\"\nexternal = [\"203.0.113.8\"]\n",
    );
    let expected = ["10.0.0.5", "203.0.113.7", "10.0.0.6", "203.0.113.8"];
    assert_eq!(faces(&config.nat_discovery[0]), expected);
}

#[test]
fn clients_reach_no_corner_through_the_relay() {
    let config = config(
        "[peers]\nallow = [\"10.0.0.0/24\", \"10.0.0.5\", \"10.0.0.6\"]\n[nat-discovery]\nalternate = \"10.0.0.6:3479\"\n",
    );
    let policy = config.policy(&super::host());
    for corner in [
        "10.0.0.5:3478",
        "10.0.0.5:3479",
        "10.0.0.6:3478",
        "10.0.0.6:3479",
    ] {
        assert!(policy.judge(corner.parse().unwrap()).is_err(), "{corner}");
    }
    assert!(policy.judge("10.0.0.7:3479".parse().unwrap()).is_ok());
}

/// The sentence, the text underlined and the help for a table behind two listeners.
#[track_caller]
fn said(listeners: &str, table: &str, sentence: &str, underlined: &str, help: &str) {
    let told = fault(&format!("{listeners}[nat-discovery]\n{table}\n"));
    assert_eq!(told.sentence, format!("error: {sentence}"));
    assert_eq!(told.underlined, underlined);
    assert_eq!(told.help.as_deref(), Some(help));
}

#[test]
fn an_alternate_differs_in_both_address_and_port() {
    let help = "clients compare two addresses and two ports (RFC 5780): both must differ";
    said(
        BOTH,
        "alternate = \"10.0.0.5:3479\"",
        "`[nat-discovery] alternate` has the same address as the listener 10.0.0.5:3478",
        "\"10.0.0.5:3479\"",
        help,
    );
    said(
        EVERY,
        "alternate = [\"10.0.0.6:3478\"]",
        "`[nat-discovery] alternate` has the same port as the listener 10.0.0.5:3478",
        "\"10.0.0.6:3478\"",
        help,
    );
}

#[test]
fn an_alternate_is_an_address_of_this_host_and_a_port() {
    let form = "write one address and port, such as \"203.0.113.8:3479\" or \"[2001:db8::8]:3479\"";
    for (table, underlined) in [
        ("alternate = \"10.0.0.6\"", "\"10.0.0.6\""),
        ("alternate = [\"2001:db8::6:3479\"]", "\"2001:db8::6:3479\""),
    ] {
        let sentence = "`[nat-discovery] alternate` is not an IP address and a port";
        said(BOTH, table, sentence, underlined, form);
    }
    said(
        BOTH,
        "alternate = \"10.0.0.6:0\"",
        "`[nat-discovery] alternate` has port 0, which no client can send to",
        "\"10.0.0.6:0\"",
        "3479 is usual beside 3478",
    );
    let told = warned(&format!(
        "{BOTH}[nat-discovery]\nalternate = \"10.0.0.7:3479\"\n"
    ));
    assert!(
        told[0]
            .sentence
            .contains("holds 10.0.0.7, which this host does not have")
    );
    let help = told[0].help.clone().unwrap_or_default();
    assert!(
        help.contains("`alternate` holds the local address"),
        "{help}"
    );
    let told = fault(&format!(
        "{BOTH}[nat-discovery]\nalternate = \"0.0.0.0:3479\"\n"
    ));
    assert!(told.sentence.contains("that is the unspecified address"));
}

#[test]
fn an_alternate_needs_a_first_address_of_its_family() {
    said(
        BOTH,
        "alternate = \"[2001:db8::6]:3479\"",
        "`[nat-discovery] alternate` needs a `[[listener]]` for UDP over IPv6, and there is none",
        "\"[2001:db8::6]:3479\"",
        "add one; its address and port are the first, those of `[nat-discovery]` the second",
    );
    said(
        "[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:3478\"\n\
         [relay]\naddresses = [\"2001:db8::5\"]\n",
        "alternate = \"10.0.0.6:3479\"",
        "`[nat-discovery] alternate` needs to know the first address, but the listener \
         0.0.0.0:3478 is on every one",
        "\"10.0.0.6:3479\"",
        "name one address in its `listen`, or in `[relay] addresses`",
    );
}

#[test]
fn a_family_has_one_alternate() {
    let table = "alternate = [\"10.0.0.6:3479\", \"10.0.0.6:3480\"]";
    let told = fault(&format!("{BOTH}[nat-discovery]\n{table}\n"));
    assert_eq!(
        told.sentence,
        "error: `[nat-discovery] alternate` names a second IPv4 address: one of each family is used"
    );
}

#[test]
fn external_addresses_pair_with_alternates() {
    let help = "give one external address per alternate, in the same order; repeat an address \
                that needs no mapping";
    said(
        BOTH,
        "alternate = \"10.0.0.6:3479\"\nexternal = [\"203.0.113.8\", \"203.0.113.9\"]",
        "`[nat-discovery] external` has 2 addresses and `alternate` has 1 address",
        "[\"203.0.113.8\", \"203.0.113.9\"]",
        help,
    );
    said(
        BOTH,
        "alternate = \"10.0.0.6:3479\"\nexternal = [\"2001:db8::8\"]",
        "`[nat-discovery] external` 2001:db8::8 cannot stand for 10.0.0.6: the families differ",
        "\"2001:db8::8\"",
        help,
    );
    let told = fault(&format!(
        "{BOTH}[nat-discovery]\nexternal = [\"203.0.113.8\"]\n"
    ));
    assert!(
        told.sentence
            .contains("has 1 address and `alternate` has 0 addresses")
    );
}

#[test]
fn a_wrong_type_is_told_both_right_ones() {
    let told = fault("[nat-discovery]\nalternate = 3479\n");
    assert_eq!(
        told.sentence,
        "error: `[nat-discovery] alternate` is a whole number, expected a string or an array"
    );
}

const PARTNER: &str = "partner = \"203.0.113.8:3479\"\n";
const SECRET: &str = "secret = \"3vQ0cW1hZ2ljIG51bWJlcnM=\"\n";

#[test]
fn a_partner_is_another_host_with_the_same_ports() {
    let config = of(BOTH, &format!("{PARTNER}{SECRET}"));
    let [discovery] = &config.nat_discovery[..] else {
        panic!("{:?}", config.nat_discovery);
    };
    let partner = Partner {
        address: "203.0.113.8".parse().unwrap(),
        port: 3480,
        secret: PartnerSecret::new(b"3vQ0cW1hZ2ljIG51bWJlcnM="),
    };
    assert_eq!(discovery.alternate, SecondAddress::Partner(partner));
    assert_eq!((discovery.ports, discovery.tcp), ([3478, 3479], false));
    // The second port of the one address, over UDP.
    let added = corner(Transport::Udp, "10.0.0.5:3479");
    assert_eq!(config.listeners[2..], [added]);
}

#[test]
fn a_partners_secret_may_have_a_file_of_its_own_and_is_never_shown() {
    let file = "secret-file = \"secret\"\nport = 4000\n";
    let config = of(BOTH, &format!("{PARTNER}{file}"));
    let partner = Partner {
        address: "203.0.113.8".parse().unwrap(),
        port: 4000,
        secret: PartnerSecret::new(b"Zm9yIG9uZSBmaWxlIG9ubHkK"),
    };
    let expected = SecondAddress::Partner(partner);
    assert_eq!(config.nat_discovery[0].alternate, expected);
    assert!(!format!("{config:?}").contains("Zm9y"));
    let report = super::read(
        &format!("{BOTH}[nat-discovery]\n{PARTNER}{SECRET}ports = 3\n"),
        super::path(),
        &super::host(),
    );
    assert!(!report.unwrap_err().to_string().contains("3vQ0"));
}

#[test]
fn clients_do_not_reach_the_port_for_the_partner_through_the_relay() {
    let config = config(&format!(
        "[peers]\nallow = [\"10.0.0.5\"]\n[nat-discovery]\n{PARTNER}{SECRET}"
    ));
    let policy = config.policy(&super::host());
    assert!(policy.judge("10.0.0.5:3480".parse().unwrap()).is_err());
    assert!(policy.judge("10.0.0.5:3481".parse().unwrap()).is_ok());
}

#[test]
fn a_partner_and_an_alternate_exclude_each_other() {
    said(
        BOTH,
        &format!("alternate = \"10.0.0.6:3479\"\n{PARTNER}{SECRET}"),
        "`[nat-discovery] partner` and `alternate` exclude each other",
        "\"203.0.113.8:3479\"",
        "name a second address of this host, or another host that has one of its own",
    );
}

#[test]
fn a_partner_is_not_this_host_and_has_two_other_ports() {
    let itself = format!("partner = \"10.0.0.6:3479\"\n{SECRET}");
    said(
        BOTH,
        &itself,
        "`[nat-discovery] partner` 10.0.0.6 is this host itself",
        "\"10.0.0.6:3479\"",
        "name the other host; a second address of this one is an `alternate`",
    );
    let same_port = format!("partner = \"203.0.113.8:3478\"\n{SECRET}");
    let told = fault(&format!("{BOTH}[nat-discovery]\n{same_port}"));
    assert!(
        told.sentence
            .contains("has the same port as the listener 10.0.0.5:3478")
    );
    said(
        BOTH,
        &format!("{PARTNER}{SECRET}port = 3479"),
        "`[nat-discovery] port` is 3479, where clients are heard",
        "\"203.0.113.8:3479\"",
        "partners write to a port of their own, the same on both hosts",
    );
    let third = format!("{BOTH}[[listener]]\ntransport = \"udp\"\nlisten = \"10.0.0.5:3480\"\n");
    let told = fault(&format!("{third}[nat-discovery]\n{PARTNER}{SECRET}"));
    assert!(told.sentence.contains("`[nat-discovery] port` is 3480"));
}

#[test]
fn partners_share_one_secret_that_cannot_be_guessed() {
    said(
        BOTH,
        PARTNER,
        "`[nat-discovery] partner` needs a secret that both hosts know",
        "\"203.0.113.8:3479\"",
        "make one with `openssl rand -base64 32` and write it as `secret` on both hosts",
    );
    let told = fault(&format!(
        "{BOTH}[nat-discovery]\n{PARTNER}secret = \"short\"\n"
    ));
    assert!(
        told.sentence
            .starts_with("error: `[nat-discovery] secret` is a secret of 5 bytes")
    );
    let both = format!("{BOTH}[nat-discovery]\n{PARTNER}{SECRET}secret-file = \"secret\"\n");
    let told = fault(&both);
    assert_eq!(
        told.sentence,
        "error: `[nat-discovery] secret-file` and `secret` exclude each other"
    );
    let told = fault(&format!("{BOTH}[nat-discovery]\n{SECRET}"));
    assert_eq!(
        told.sentence,
        "error: `[nat-discovery] secret` means nothing without `partner`"
    );
}
