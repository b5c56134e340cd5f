//! Addresses that a server can have, and that its clients or peers cannot reach it by.

use super::{Told, addresses, all_told, config, host, path, read};
use crate::config::{Machine, load};

/// All that is said of a file on a host.
fn said(text: &str, host: &Machine) -> Vec<Told> {
    all_told(&read(text, path(), host).unwrap().remarks.to_string())
}

/// A host that the internet reaches.
fn public() -> Machine {
    Machine {
        routed: addresses(&["9.9.9.9", "2620:fe::9"]),
        ..host()
    }
}

const AUTH: &str = "[auth]\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n";

#[test]
fn a_private_relay_address_without_an_external_one_is_a_warning() {
    let help = |ip: &str, family: &str| {
        format!(
            "behind 1:1 NAT `[relay] external` holds the public {family} address; where everybody is in \
             that network, write {ip} there"
        )
    };
    let told = said(AUTH, &host());
    let sentence = "peers are told the relay address 10.0.0.5, which only its own network reaches";
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].sentence, format!("warning: {sentence}"));
    assert_eq!(told[0].place, "turnserver.toml");
    assert_eq!(told[0].help, Some(help("10.0.0.5", "IPv4")));
    let told = said(
        &format!("{AUTH}[relay]\naddresses = [\"10.0.0.5\"]\n"),
        &host(),
    );
    told[0].is(
        &format!("warning: {sentence}"),
        "4:14",
        "\"10.0.0.5\"",
        &help("10.0.0.5", "IPv4"),
    );
    let local = Machine {
        routed: addresses(&["fd00::5"]),
        ..host()
    };
    assert_eq!(said(AUTH, &local)[0].help, Some(help("fd00::5", "IPv6")));
}

#[test]
fn a_private_relay_address_is_none_where_it_is_meant_mapped_or_unused() {
    assert_eq!(said(AUTH, &public()), []);
    // Without users nothing is relayed.
    assert_eq!(said("", &host()), []);
    for external in ["9.9.9.9", "10.0.0.5"] {
        let text = format!("{AUTH}[relay]\nexternal = [\"{external}\"]\n");
        assert_eq!(said(&text, &host()), [], "{external}");
    }
    // Without a file the server says it where it says all else.
    assert!(load(None, &host()).unwrap().remarks.is_empty());
}

#[test]
fn a_private_second_address_of_nat_discovery_is_a_warning() {
    let text = "[nat-discovery]\nalternate = \"10.0.0.6:3479\"\n";
    let told = said(text, &host());
    let sentence = "warning: clients are told the second address 10.0.0.6, which only its own \
                    network reaches";
    assert_eq!((told.len(), &*told[0].sentence), (1, sentence));
    let with = format!("{text}external = [\"9.9.9.10\"]\n");
    assert_eq!(said(&with, &host()), []);
}

#[test]
fn an_address_copied_from_a_document_is_a_warning_under_every_key() {
    for (before, value, block) in [
        (
            "[relay]\nexternal = ",
            "[\"203.0.113.7\"]",
            "203.0.113.0/24",
        ),
        ("[relay]\nexternal = ", "[\"2001:db8::7\"]", "2001:db8::/32"),
        ("[peers]\nallow = ", "[\"192.0.2.0/25:80\"]", "192.0.2.0/24"),
        ("[peers]\ndeny = ", "[\"3fff::7\"]", "3fff::/20"),
        (
            "[nat-discovery]\nsecret = \"3vQ0cW1hZ2ljIG51bWJlcnM=\"\npartner = ",
            "\"198.51.100.7:3479\"",
            "198.51.100.0/24",
        ),
        (
            "[[redirect]]\nwhen = \"always\"\nto = ",
            "[\"203.0.113.9:443/tcp\", \"9.9.9.9:3478\"]",
            "203.0.113.0/24",
        ),
    ] {
        let told = said(&format!("{before}{value}\n"), &public());
        let words = format!(", an example of documents: {block}, Documentation");
        let examples = told.iter().filter(|told| told.sentence.contains(&words));
        assert_eq!(examples.count(), 1, "{before}{value}: {told:?}");
    }
    // An address that the host has was not copied from an example.
    let listener = "[[listener]]\ntransport = \"udp\"\nlisten = \"[2001:db8::5]:3478\"\n";
    assert_eq!(said(listener, &public()), []);
    // One mistake is told once: the host does not have this one.
    let copied = "[relay]\naddresses = [\"203.0.113.7\"]\n";
    assert_eq!(said(copied, &host()).len(), 1);
}

#[test]
fn every_ipv6_address_without_every_ipv4_address_is_a_warning() {
    let listener = |transport: &str, listen: &str| {
        format!("[[listener]]\ntransport = \"{transport}\"\nlisten = \"{listen}\"\n")
    };
    let six = listener("udp", "[::]:3478");
    let told = said(&six, &public());
    assert_eq!(told.len(), 1);
    told[0].is(
        "warning: [::]:3478 takes no IPv4, and no other `[[listener]]` does over udp: IPv4 is not served",
        "3:10",
        "\"[::]:3478\"",
        "add a `[[listener]]` with listen = \"0.0.0.0:3478\"",
    );
    // Each transport for itself.
    let tcp = listener("tcp", "0.0.0.0:3478");
    assert_eq!(said(&(six.clone() + &tcp), &public()).len(), 1);
    for four in ["0.0.0.0:3478", "10.0.0.5:3479", "[::ffff:10.0.0.5]:3478"] {
        assert_eq!(said(&(six.clone() + &listener("udp", four)), &public()), []);
    }
}

#[test]
fn an_ipv4_address_in_the_form_of_ipv6_is_listened_on_as_ipv4() {
    let text = "[[listener]]\ntransport = \"udp\"\nlisten = \"[::ffff:10.0.0.5]:3478\"\n";
    assert_eq!(
        config(text).listeners[0].listen,
        "10.0.0.5:3478".parse().unwrap()
    );
}

#[test]
fn a_file_with_secrets_that_others_read_or_the_service_cannot_is_a_warning() {
    let of = |name: &str, text: &str| {
        let path = std::path::Path::new("/etc/hairpin").join(name);
        all_told(&read(text, &path, &public()).unwrap().remarks.to_string())
    };
    assert_eq!(of("turnserver.toml", AUTH), []);
    assert_eq!(
        of(
            "public",
            "realm = \"example.org\"\n[nat-discovery]\nsecret = \"\"\n"
        ),
        []
    );
    let told = of("public", AUTH);
    let sentence = "warning: every user of this host may read this file, which holds secrets";
    assert_eq!((told.len(), &*told[0].sentence), (1, sentence));
    assert!(!told[0].underlined.contains("3vQ0"), "{told:?}");
    assert_eq!(
        told[0].help.as_deref(),
        Some("chmod 640 /etc/hairpin/public")
    );
    let told = of("shut", AUTH);
    let sentence = "warning: the user `hairpin`, as whom the service runs, cannot read this file";
    assert_eq!((told.len(), &*told[0].sentence), (1, sentence));
    let told = of("turnserver.toml", "[auth]\nsecret-files = [\"shut\"]\n");
    let sentence = "warning: the user `hairpin`, as whom the service runs, cannot read \
                    /etc/hairpin/shut, which `[auth] secret-files` names";
    assert_eq!((told.len(), &*told[0].sentence), (1, sentence));
    assert_eq!(told[0].underlined, "\"shut\"");
}

#[test]
fn listeners_without_ipv6_are_a_warning_where_the_host_has_a_public_address_of_it() {
    let four = "[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:3478\"\n";
    let told = said(four, &public());
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].is(
        "warning: no `[[listener]]` takes IPv6, and this host has the address 2620:fe::9: IPv6 is not served",
        "3:10",
        "\"0.0.0.0:3478\"",
        "add a `[[listener]]` with listen = \"[::]:3478\"",
    );
    let six = four.replace("0.0.0.0", "[::]");
    assert_eq!(said(&format!("{four}{six}"), &public()), []);
    // One of private networks, or of documents, is no way for clients.
    assert_eq!(said(four, &host()), []);
}
