//! The lab's NATs are what they are called: tools that were not written here recognise them.
//! `turnutils_natdiscovery` of coturn asks by RFC 5780, Debian's `stun` by RFC 3489.

use lab::{
    PATIENCE,
    internet::{Home, INSIDE_V6, on_the_internet, server_v4, server_v6},
    nat::Nat,
    program::Program,
    servers::Kind,
};
use std::net::IpAddr;

#[test]
fn others_find_no_nat_where_there_is_none() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::None);
        assert_eq!(home.inside, home.outside);
        others_find(
            &home,
            "Open",
            "Endpoint Independent",
            "Endpoint Independent",
        );
    });
}

#[test]
fn others_find_the_full_cone() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::FullCone);
        let name = "Independent Mapping, Independent Filter";
        others_find(&home, name, "Endpoint Independent", "Endpoint Independent");
    });
}

#[test]
fn others_find_the_restricted_cone() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Restricted);
        let name = "Independent Mapping, Address Dependent Filter";
        others_find(&home, name, "Endpoint Independent", "Address Dependent");
    });
}

#[test]
fn others_find_the_port_restricted_cone() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        let name = "Independent Mapping, Port Dependent Filter";
        others_find(
            &home,
            name,
            "Endpoint Independent",
            "Address and Port Dependent",
        );
    });
}

#[test]
fn others_find_the_symmetric_nat() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Symmetric);
        others_find(
            &home,
            "Dependent Mapping",
            "Address and Port Dependent",
            "Address and Port Dependent",
        );
    });
}

#[test]
fn others_find_a_home_behind_a_carriers_nat_to_be_port_restricted() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Carrier);
        let name = "Independent Mapping, Port Dependent Filter";
        others_find(
            &home,
            name,
            "Endpoint Independent",
            "Address and Port Dependent",
        );
    });
}

#[test]
fn others_find_the_firewall_of_ipv6() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::Ipv6Firewall);
        let _server = Kind::Coturn.start();
        let found = natdiscovery(&home, INSIDE_V6.into(), server_v6(21).into())
            .wait(2 * PATIENCE)
            .output;
        assert_says(&found, &format!("UDP reflexive addr: {INSIDE_V6}:"));
        assert_says(&found, "Endpoint Independent Mapping!");
        assert_says(&found, "Address and Port Dependent Filtering!");
    });
}

#[test]
fn others_find_udp_blocked_where_it_is() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::UdpBlocked);
        let _server = Kind::Coturn.start();
        let found = stun(&home).wait(2 * PATIENCE).output;
        assert_says(&found, "Primary: Blocked");
    });
}

/// The name that `stun` gives it, and the behaviours that `turnutils_natdiscovery` reports.
#[track_caller]
fn others_find(home: &Home, name: &str, mapping: &str, filtering: &str) {
    let _server = Kind::Coturn.start();
    let mut natdiscovery = natdiscovery(home, home.inside.into(), server_v4(21).into());
    let mut stun = stun(home);
    let found = stun.wait(2 * PATIENCE).output;
    assert_says(&found, &format!("Primary: {name}"));
    let found = natdiscovery.wait(2 * PATIENCE).output;
    assert_says(&found, &format!("{mapping} Mapping!"));
    assert_says(&found, &format!("{filtering} Filtering!"));
    let outside = home.outside;
    assert_says(&found, &format!("UDP reflexive addr: {outside}:"));
}

/// Coturn's client.
fn natdiscovery(home: &Home, local: IpAddr, server: IpAddr) -> Program {
    let mut command = home.host.command("turnutils_natdiscovery");
    command.args(["-m", "-f", "-L", &local.to_string()]);
    command.arg(server.to_string());
    Program::start(command)
}

/// Debian's client.
fn stun(home: &Home) -> Program {
    let mut command = home.host.command("stun");
    command.arg(server_v4(21).to_string()).arg("-v");
    Program::start(command)
}

#[track_caller]
fn assert_says(found: &str, words: &str) {
    assert!(found.contains(words), "not found: {words}\n{found}");
}
