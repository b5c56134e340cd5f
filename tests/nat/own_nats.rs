//! The lab's NATs are what they are called: tools that were not written here recognise them.
//! `turnutils_natdiscovery` of coturn asks by RFC 5780, Debian's `stun` by RFC 3489.

use std::net::IpAddr;

use lab::{
    PATIENCE,
    foreign::{assert_says, natdiscovery_by, stun_by},
    internet::{Home, INSIDE_V6, on_the_internet, server_v4, server_v6},
    nat::Nat,
    program::Program,
    servers::Kind,
};

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
        let found = ask(&home, INSIDE_V6, server_v6(21))
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
        let found = stun_by(|program| home.host.command(program), server_v4(21).into())
            .wait(2 * PATIENCE)
            .output;
        assert_says(&found, "Primary: Blocked");
    });
}

/// The name that `stun` gives it, and the behaviours that `turnutils_natdiscovery` reports.
#[track_caller]
fn others_find(home: &Home, name: &str, mapping: &str, filtering: &str) {
    let _server = Kind::Coturn.start();
    let mut natdiscovery = ask(home, home.inside, server_v4(21));
    let mut stun = stun_by(|program| home.host.command(program), server_v4(21).into());
    let found = stun.wait(2 * PATIENCE).output;
    assert_says(&found, &format!("Primary: {name}"));
    let found = natdiscovery.wait(2 * PATIENCE).output;
    assert_says(&found, &format!("{mapping} Mapping!"));
    assert_says(&found, &format!("{filtering} Filtering!"));
    let outside = home.outside;
    assert_says(&found, &format!("UDP reflexive addr: {outside}:"));
}

/// Coturn's client.
fn ask(home: &Home, local: impl Into<IpAddr>, server: impl Into<IpAddr>) -> Program {
    let how = |program: &str| home.host.command(program);
    natdiscovery_by(
        how,
        server.into(),
        &["-m", "-f", "-L", &local.into().to_string()],
    )
}
