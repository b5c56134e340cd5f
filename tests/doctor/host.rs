//! Findings about the host: the server's own configuration, and where the host differs from it.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use lab::{
    PATIENCE,
    program::Program,
    server::{PASSWORD, REALM, USER},
    world::{CLIENT_V4, PEER_V4, SERVER_V4, SERVER_V6, World, in_own_world},
};
use tempfile::NamedTempFile;

use crate::coturn::{hairpin, hairpin_with, wait_for_binding};
use crate::report::{Report, examine_with};
use crate::script::{bound, on_datagrams_at};

/// A configuration with few relay ports.
fn configuration(more_of_relay: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a temporary file");
    let listeners: String = ["udp", "tcp"]
        .map(|transport| {
            format!("[[listener]]\ntransport = \"{transport}\"\nlisten = \"{SERVER_V4}:3478\"\n")
        })
        .concat();
    let toml = format!(
        "realm = \"{REALM}\"\n{listeners}\
         [relay]\naddresses = [\"{SERVER_V4}\"]\nports = \"49152-49251\"\n{more_of_relay}\n\
         [auth.users]\n{USER} = \"{PASSWORD}\"\n"
    );
    fs::write(file.path(), toml).expect("the file is ours");
    file
}

/// Examines on the server's host, with a STUN server on this world's other host.
fn examine_there(world: &World, config: &NamedTempFile) -> Report {
    let outside = on_datagrams_at(CLIENT_V4, |request, from| {
        bound(request, from).into_iter().collect()
    });
    let config = config.path().to_str().expect("a path of ASCII");
    let outside = format!("stun:{outside}");
    let arguments = ["--config", config, "--outside", &outside];
    examine_with(world.on_server_host(&hairpin()), &arguments)
}

#[test]
fn a_host_that_keeps_to_its_configuration_is_found_well() {
    in_own_world(|world| {
        let config = configuration("");
        let _server = hairpin_with(world, config.path());
        wait_for_binding((SERVER_V4, 3478).into());
        let report = examine_there(world, &config);
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
        let config = configuration(&format!("external = [\"{external}\"]"));
        let _server = hairpin_with(world, config.path());
        wait_for_binding((SERVER_V4, 3478).into());
        let report = examine_there(world, &config);
        report.assert_clean();
        report.assert_has(&["D041", "D044", "D045"]);
    });
}

#[test]
fn a_server_that_does_not_run_is_told_so() {
    in_own_world(|world| {
        let report = examine_there(world, &configuration(""));
        assert_eq!(report.exit, Some(1), "{report}");
        report.assert_has(&["D002", "D003", "D076"]);
    });
}

#[test]
fn an_external_address_that_the_internet_does_not_see_is_d073() {
    in_own_world(|world| {
        let config = configuration("external = [\"203.0.113.77\"]");
        let _server = hairpin_with(world, config.path());
        wait_for_binding((SERVER_V4, 3478).into());
        let report = examine_there(world, &config);
        report.assert_has(&["D073"]);
        let sentence = report.sentence("D073").unwrap();
        assert!(sentence.contains("203.0.113.77"), "{report}");
        assert!(sentence.contains(&SERVER_V4.to_string()), "{report}");
        assert_eq!(report.exit, Some(1), "{report}");
    });
}

#[test]
fn a_server_outside_that_does_not_answer_is_no_error() {
    in_own_world(|world| {
        let config = configuration("");
        let _server = hairpin_with(world, config.path());
        wait_for_binding((SERVER_V4, 3478).into());
        let silent = format!("stun:{CLIENT_V4}:9");
        let arguments = [
            "--config",
            config.path().to_str().unwrap(),
            "--outside",
            &silent,
        ];
        let report = examine_with(world.on_server_host(&hairpin()), &arguments);
        report.assert_has(&["D077"]);
        assert_eq!(report.exit, Some(0), "{report}");
    });
}

#[test]
fn a_server_outside_that_dns_is_slow_to_tell_of_does_not_make_a_run_longer() {
    in_own_world(|world| {
        // Resolvers that read and never answer.
        let silent = [CLIENT_V4, PEER_V4].map(|ip| UdpSocket::bind((ip, 53)).expect("our own"));
        let file = NamedTempFile::new().expect("a temporary file");
        let resolvers = format!("nameserver {CLIENT_V4}\nnameserver {PEER_V4}\n");
        fs::write(file.path(), resolvers).expect("the file is ours");
        // The mounts of the test are its own, too.
        let mut mount = Command::new("mount");
        mount.arg("--bind").arg(file.path()).arg("/etc/resolv.conf");
        assert!(Program::run(mount, "mount", PATIENCE).status.success());
        let config = configuration("");
        let toml = fs::read_to_string(config.path()).expect("the file is ours");
        let relay = format!("addresses = [\"{SERVER_V4}\"");
        let toml = toml.replace(&relay, &format!("{relay}, \"{SERVER_V6}\""));
        fs::write(config.path(), toml).expect("the file is ours");
        let config = config.path().to_str().expect("a path of ASCII");
        let arguments = ["--config", config, "--outside", "stun:outside.example"];
        let report = examine_with(world.on_server_host(&hairpin()), &arguments);
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
        let config = configuration("");
        let server = hairpin_with(world, config.path());
        wait_for_binding((SERVER_V4, 3478).into());
        let mut prlimit = Command::new("prlimit");
        let pid = server.pid().as_raw_nonzero().to_string();
        prlimit.args(["--pid", &pid, "--nofile=64:64"]);
        assert!(
            Program::run(prlimit, "util-linux", PATIENCE)
                .status
                .success()
        );
        let report = examine_there(world, &config);
        report.assert_has(&["D071"]);
        assert!(
            report.sentence("D071").unwrap().contains("64 files"),
            "{report}"
        );
    });
}

#[test]
fn relay_ports_that_other_programs_hold_are_d070() {
    in_own_world(|world| {
        let config = configuration("");
        let _server = hairpin_with(world, config.path());
        wait_for_binding((SERVER_V4, 3478).into());
        let mut squatter = world.on_server_host("python3");
        squatter.args(["-c", SQUATTER]);
        let squatter = Program::start(squatter, "python3");
        lab::wait_for("ports to be taken", PATIENCE, || {
            squatter.output().contains("taken").then_some(())
        });
        let report = examine_there(world, &config);
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
