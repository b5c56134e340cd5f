//! Findings about the host: the server's own configuration, and where the host differs from it.

use std::net::UdpSocket;
use std::process::Command;

use lab::{
    machine::resolve_by,
    program::Program,
    server::{PORT, Server},
    setup::Setup,
    world::{CLIENT_V4, PEER_V4, SERVER_V4, SERVER_V6, World, in_own_world},
};
use tempfile::TempDir;

use crate::examination::{Examination, examine_by};
use crate::script::{bound, on_datagrams_at};

/// A server with few relay ports.
fn setup() -> Setup {
    let setup = Setup::at(&[(SERVER_V4, PORT).into()], &[SERVER_V4.into()]);
    setup.with("relay.ports = '49152-49251'")
}

/// Starts it on the server's host.
fn start(world: &World, setup: Setup) -> Server {
    Server::start_by(|program| world.on_server_host(program), setup)
}

/// Examines the server's host by the server's configuration.
fn examine_host(world: &World, config: &str, outside: &str) -> Examination {
    let arguments = ["--config", config, "--outside", outside];
    examine_by(|program| world.on_server_host(program), &arguments)
}

/// The same with a STUN server on this world's other host.
fn examine_there(world: &World, config: &str) -> Examination {
    let outside = on_datagrams_at(CLIENT_V4, |request, from| {
        bound(request, from).into_iter().collect()
    });
    examine_host(world, config, &format!("stun:{outside}"))
}

#[test]
fn a_host_that_keeps_to_its_configuration_is_found_well() {
    in_own_world(|world| {
        let server = start(world, setup());
        let report = examine_there(world, &server.config());
        report.assert_clean();
        // Both listeners, with the login of the file.
        let relays = report
            .codes("note")
            .iter()
            .filter(|code| **code == "D045")
            .count();
        assert_eq!(relays, 2, "{report}");
        // The test has no unit around it, and the file no address of IPv6.
        report.assert_has(&["D051", "D075"]);
    });
}

#[test]
fn a_host_behind_one_to_one_nat_is_found_well() {
    in_own_world(|world| {
        let external = "203.0.113.80";
        world.filter_server(&format!(
            "table ip one {{ chain out {{ type nat hook postrouting priority 100; \
             ip daddr {CLIENT_V4} snat to {external}; }}; }}"
        ));
        let external = setup().with(&format!("relay.external = ['{external}']"));
        let server = start(world, external);
        let report = examine_there(world, &server.config());
        report.assert_clean();
        report.assert_has(&["D041", "D044", "D045"]);
    });
}

#[test]
fn a_server_that_does_not_run_is_told_so() {
    in_own_world(|world| {
        let files = TempDir::new().expect("a temporary directory");
        let config = setup().write(files.path()).display().to_string();
        let report = examine_there(world, &config);
        assert_eq!(report.exit, Some(1), "{report}");
        report.assert_has(&["D002", "D003", "D076"]);
    });
}

#[test]
fn an_external_address_that_the_internet_does_not_see_is_d073() {
    in_own_world(|world| {
        let server = start(world, setup().with("relay.external = ['203.0.113.77']"));
        let report = examine_there(world, &server.config());
        report.assert_has(&["D073"]);
        report.assert_says("D073", "203.0.113.77");
        report.assert_says("D073", &SERVER_V4.to_string());
        assert_eq!(report.exit, Some(1), "{report}");
    });
}

#[test]
fn a_server_outside_that_does_not_answer_is_no_error() {
    in_own_world(|world| {
        let server = start(world, setup());
        let silent = format!("stun:{CLIENT_V4}:9");
        let report = examine_host(world, &server.config(), &silent);
        report.assert_has(&["D077"]);
        assert_eq!(report.exit, Some(0), "{report}");
    });
}

#[test]
fn a_server_outside_that_dns_is_slow_to_tell_of_does_not_make_a_run_longer() {
    in_own_world(|world| {
        // Resolvers that read and never answer.
        let silent = [CLIENT_V4, PEER_V4].map(|ip| UdpSocket::bind((ip, 53)).expect("our own"));
        resolve_by(&[CLIENT_V4, PEER_V4]);
        let both = format!("relay.addresses = ['{SERVER_V4}', '{SERVER_V6}']");
        let files = TempDir::new().expect("a temporary directory");
        let config = setup()
            .with(&both)
            .write(files.path())
            .display()
            .to_string();
        let report = examine_host(world, &config, "stun:outside.example");
        let unknown = report.codes("note");
        let unknown = unknown.iter().filter(|code| **code == "D077");
        // One address of each family.
        assert_eq!(unknown.count(), 2, "{report}");
        drop(silent);
    });
}

#[test]
fn a_low_file_limit_is_d071() {
    in_own_world(|world| {
        let server = start(world, setup());
        let mut prlimit = Command::new("prlimit");
        let pid = server.program.pid().as_raw_nonzero().to_string();
        prlimit.args(["--pid", &pid, "--nofile=64:64"]);
        Program::succeed(prlimit);
        let report = examine_there(world, &server.config());
        report.assert_has(&["D071"]);
        report.assert_says("D071", "64 files");
    });
}

#[test]
fn relay_ports_that_other_programs_hold_are_d070() {
    in_own_world(|world| {
        let server = start(world, setup());
        let mut squatter = world.on_server_host("python3");
        squatter.args(["-c", SQUATTER]);
        let mut squatter = Program::start(squatter);
        squatter.wait_for_words("taken");
        let report = examine_there(world, &server.config());
        report.assert_has(&["D070"]);
        assert!(
            report.sentence("D070").unwrap().starts_with("30 of"),
            "{report}"
        );
        assert_eq!(report.exit, Some(1), "{report}");
    });
}

/// Holds thirty ports of the range, as another user.
const SQUATTER: &str = "
import os, socket, time
os.setuid(65534)
held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(30)]
for number, one in enumerate(held): one.bind(('0.0.0.0', 49160 + number))
print('taken', flush=True)
time.sleep(100)
";
