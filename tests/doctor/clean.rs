//! Servers that work: the doctor finds nothing to change.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::{
    machine::configure,
    program::here,
    server::{PASSWORD, REALM, SECRET, Server, USER, serving},
    setup::Setup,
    world::{CLIENT_V4, PEER_V4, PEER_V6, SERVER_V4, SERVER_V6, World, in_own_world},
};
use tempfile::NamedTempFile;

use crate::examination::{examine, examine_as_user, read};
use crate::script::delayed;

#[test]
fn hairpin_is_found_well_over_udp_and_tcp_with_a_password() {
    serving(Setup::default(), |_, _| {
        for transport in ["udp", "tcp"] {
            let uri = format!("turn:{SERVER_V4}?transport={transport}");
            let bind = PEER_V4.to_string();
            let report = examine_as_user(&uri, &["--realm", REALM, "--bind", &bind]);
            report.assert_clean();
            // Binding, challenge, echo, sizes, IPv6, policy.
            report.assert_has(&["D020", "D023", "D045", "D050", "D054", "D063"]);
            report.assert_has(&["D027", "D055"]);
        }
    });
}

#[test]
fn hairpin_is_found_well_with_a_secret() {
    serving(Setup::default(), |_, _| {
        let uri = format!("turn:{SERVER_V4}");
        let secret = NamedTempFile::new().unwrap();
        fs::write(secret.path(), format!("{SECRET}\n")).unwrap();
        let report = examine(&[&uri, "--secret-file", secret.path().to_str().unwrap()]);
        report.assert_clean();
        // The server does not relay to this host's address.
        report.assert_has(&["D044", "D045"]);
    });
}

#[test]
fn a_bare_host_is_a_turn_server_where_a_secret_is_given_and_else_one_for_stun() {
    serving(Setup::default(), |_, _| {
        let host = SERVER_V4.to_string();
        examine(&[&host, "--secret", SECRET]).assert_has(&["D045"]);
        let report = examine(&[&host]);
        assert_eq!(report.codes("ok"), ["D020", "D059"], "{report}");
    });
}

#[test]
fn what_works_has_a_line_per_transport_and_what_was_not_tested_says_how_to_have_it_tested() {
    serving(Setup::default(), |_, _| {
        let server = format!("{SERVER_V4}:3478");
        let [udp, tcp] = ["", "?transport=tcp"].map(|more| format!("turn:{SERVER_V4}{more}"));
        let bind = PEER_V4.to_string();
        let login = ["--user", USER, "--password", PASSWORD, "--bind", &bind];
        let text = read(&[&[udp.as_str(), &tcp][..], &login].concat());
        let lines = format!(
            "Everything that was tested works.\n  \
             ok         D059  {server} over UDP relays, to peers outside as well\n  \
             ok         D059  {server} over TCP relays, to peers outside as well\n"
        );
        assert!(text.starts_with(&lines), "{text}");
        // Each way is one that a URI of the run names.
        assert!(!text.contains("D083"), "{text}");
        let text = read(&[&[udp.as_str()][..], &login].concat());
        for words in [
            "Everything that was tested works; 1 point was not tested.",
            "not tested D083",
            "-> Name them as well: turn:HOST?transport=tcp",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let report = examine(&[&tcp]);
        assert_eq!(report.codes("not tested"), ["D082"], "{report}");
        report.assert_says("D059", "and asks for credentials");
    });
}

#[test]
fn a_healthy_run_leaves_no_warning_in_the_servers_log() {
    serving(Setup::default(), |_, server| {
        let started = server.log().len();
        for more in ["", "?transport=tcp"] {
            let uri = format!("turn:{SERVER_V4}{more}");
            examine(&[&uri, "--secret", SECRET]).assert_clean();
            server.wait_for_line(&["peer-denied"]);
            let log = server.log();
            assert!(!log[started..].contains("WARN"), "{log}");
        }
    });
}

#[test]
fn hairpin_is_found_well_over_ipv6() {
    serving(Setup::default(), |_, _| {
        let uri = format!("turn:[{SERVER_V6}]");
        examine_as_user(&uri, &[]).assert_clean();
    });
}

#[test]
fn peers_of_the_other_family_than_the_clients_are_tried_as_well() {
    let allow = format!("peers.allow = ['{CLIENT_V4}']");
    serving(Setup::default().with(&allow), |_, _| {
        let report = examine_as_user(&format!("turn:[{SERVER_V6}]"), &[]);
        report.assert_clean();
        report.assert_has(&["D050", "D055"]);
        let v4 = format!("between {CLIENT_V4}");
        assert!(report.text.contains(&v4), "{report}");
    });
}

#[test]
fn of_ipv6_alone_peers_of_ipv6_are_tried() {
    serving(Setup::default(), |_, _| {
        let bind = PEER_V6.to_string();
        let uri = format!("turn:[{SERVER_V6}]");
        let report = examine_as_user(&uri, &["-6", "--bind", &bind]);
        report.assert_clean();
        report.assert_has(&["D050", "D055"]);
    });
}

#[test]
fn a_server_of_ipv6_only_is_not_found_wanting() {
    in_own_world(|world| {
        let _server = serve_at(world, SERVER_V6.into(), "");
        let report = examine_as_user("turn:[2001:db8:51::1]:3480", &[]);
        report.assert_clean();
        report.assert_has(&["D045", "D050", "D057", "D063"]);
    });
}

#[test]
fn a_server_of_a_lab_is_not_reproached_its_private_addresses() {
    in_own_world(|world| {
        give_addresses(world, "10.7.0.1/24", "10.7.0.2/24");
        let allow = "peers.allow = ['10.0.0.0/8', '192.168.0.0/16']";
        let _server = serve_at(world, [10, 7, 0, 1].into(), allow);
        let report = examine_as_user("turn:10.7.0.1:3480", &[]);
        report.assert_clean();
        report.assert_has(&["D055", "D063"]);
    });
}

#[test]
fn a_server_behind_one_to_one_nat_is_found_well_from_outside_and_from_within() {
    in_own_world(|world| {
        give_addresses(world, "10.7.0.1/24", "10.7.0.2/24");
        // The server's public address leads to its private address, and back.
        let external = "203.0.113.80";
        let rules = format!(
            "table ip one {{ \
             chain in {{ type nat hook prerouting priority -100; ip daddr {external} dnat to 10.7.0.1; }}; \
             chain out {{ type nat hook postrouting priority 100; ip saddr 10.7.0.1 ip daddr != 10.7.0.0/24 snat to {external}; }}; }}"
        );
        world.filter_server(&rules);
        let more = format!("relay.external = ['{external}']\npeers.allow = ['{PEER_V4}']");
        let _server = serve_at(world, [10, 7, 0, 1].into(), &more);
        let bind = PEER_V4.to_string();
        let report = examine_as_user("turn:203.0.113.80:3480", &["--bind", &bind]);
        report.assert_clean();
        report.assert_has(&["D045", "D055"]);
        let report = examine_as_user("turn:10.7.0.1:3480", &["--bind", "10.7.0.2"]);
        report.assert_clean();
        report.assert_has(&["D041", "D044"]);
    });
}

#[test]
fn who_asks_for_stun_only_hears_nothing_of_turn() {
    serving(Setup::default(), |_, _| {
        let report = examine(&[&format!("stun:{SERVER_V4}")]);
        report.assert_clean();
        assert_eq!(report.codes("ok"), ["D020", "D059"], "{report}");
        assert_eq!(report.codes("not tested"), [""; 0], "{report}");
        report.assert_says("D020", &CLIENT_V4.to_string());
    });
}

#[test]
fn a_server_that_sends_its_users_on_is_a_warning_that_says_where() {
    in_own_world(|world| {
        // By the first request, or once its user is known.
        for whose in [String::new(), format!("realm = '{REALM}'")] {
            let rule = format!("when = 'always'\n{whose}");
            let setup = Setup::default().redirecting("203.0.113.5:3478", &rule);
            let _server = world.serve(setup.nonce_secret("a secret shared by all nodes"));
            let uri = format!("turn:{SERVER_V4}");
            let report = examine_as_user(&uri, &[]);
            assert_eq!(report.codes("warning"), ["D028"], "{report}");
            report.assert_says("D028", "203.0.113.5:3478");
            assert_eq!(report.codes("error"), [""; 0], "{report}");
        }
    });
}

#[test]
fn a_server_at_the_other_end_of_the_world_is_examined_in_time() {
    serving(Setup::default(), |_, _| {
        // The delay of both directions: 300 ms.
        let server = delayed((SERVER_V4, 3478).into(), Duration::from_millis(150));
        let report = examine(&[&format!("turn:{server}"), "--secret", SECRET]);
        report.assert_clean();
        report.assert_has(&["D045", "D050", "D054", "D063"]);
    });
}

#[test]
fn losses_on_the_way_are_a_warning_and_no_failure() {
    serving(Setup::default(), |world, _| {
        world.drop_incoming("udp sport 3478 numgen inc mod 12 == 5");
        let uri = format!("turn:{SERVER_V4}");
        let report = examine_as_user(&uri, &[]);
        assert_eq!(report.codes("error"), [""; 0], "{report}");
        assert_eq!(report.codes("warning"), ["D046"], "{report}");
        assert_eq!(report.exit, Some(0));
    });
}

/// More addresses for both hosts.
fn give_addresses(world: &World, server: &str, client: &str) {
    configure(
        world.on_server_host("ip"),
        &format!("address add {server} dev server0\n"),
    );
    configure(here("ip"), &format!("address add {client} dev client0\n"));
}

/// A Hairpin on the server's host, at this address and port 3480.
fn serve_at(world: &World, ip: IpAddr, more: &str) -> Server {
    let setup = Setup::at(&[SocketAddr::new(ip, 3480)], &[ip]).with(more);
    Server::start_by(|program| world.on_server_host(program), setup)
}
