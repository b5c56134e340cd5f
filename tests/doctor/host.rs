//! Findings about the host: the server's own configuration, and where the host differs from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::NamedTempFile;

use crate::coturn::{hairpin, hairpin_with, wait_for_binding};
use crate::lab::PATIENCE;
use crate::lab::program::Program;
use crate::lab::server::{PASSWORD, REALM, USER};
use crate::lab::world::{CLIENT_V4, PEER_V4, SERVER_V4, SERVER_V6, World, in_own_world};
use crate::report::{Report, examine_with};
use crate::script::{bound, on_datagrams_at, resolve_by};

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

/// Runs a server of this configuration and examines it there.
fn serve_and_examine(world: &World, more_of_relay: &str) -> Report {
    let config = configuration(more_of_relay);
    let _server = serve(world, &config);
    examine_there(world, &config)
}

fn serve(world: &World, config: &NamedTempFile) -> Program {
    let server = hairpin_with(world, config.path());
    wait_for_binding((SERVER_V4, 3478).into());
    server
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

/// Examines on the server's host, where no STUN server outside answers.
fn examine_alone(doctor: Command, config: &NamedTempFile) -> Report {
    let config = config.path().to_str().expect("a path of ASCII");
    let outside = format!("stun:{CLIENT_V4}:9");
    let arguments = ["--config", config, "--outside", &outside];
    examine_with(doctor, &arguments)
}

#[test]
fn a_host_that_keeps_to_its_configuration_is_found_well() {
    in_own_world(|world| {
        let report = serve_and_examine(world, "");
        report.assert_clean();
        // Both listeners, with the login of the file.
        let relays = report
            .codes("ok")
            .into_iter()
            .filter(|code| *code == "D045");
        assert_eq!(relays.count(), 2, "{report}");
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
        let report = serve_and_examine(world, &format!("external = [\"{external}\"]"));
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
        let report = serve_and_examine(world, "external = [\"203.0.113.77\"]");
        report.assert_has(&["D073"]);
        report.assert_says("D073", "203.0.113.77 is configured");
        report.assert_says("D073", &SERVER_V4.to_string());
        assert_eq!(report.exit, Some(1), "{report}");
    });
}

#[test]
fn a_server_outside_that_does_not_answer_is_no_error() {
    in_own_world(|world| {
        let config = configuration("");
        let _server = serve(world, &config);
        let report = examine_alone(world.on_server_host(&hairpin()), &config);
        report.assert_has(&["D077"]);
        // An address that the host itself has is nobody's example.
        report.assert_clean();
    });
}

#[test]
fn an_external_address_that_nobody_confirms_and_that_cannot_be_right_is_d078_or_d079() {
    in_own_world(|world| {
        for (external, code) in [("10.7.0.1", "D078"), ("203.0.113.77", "D079")] {
            let config = configuration(&format!("external = [\"{external}\"]"));
            let report = examine_alone(world.on_server_host(&hairpin()), &config);
            assert_eq!(report.codes("warning"), [code], "{report}");
            report.assert_says(code, external);
        }
    });
}

#[test]
fn a_chain_of_nftables_that_drops_by_its_policy_is_d074() {
    in_own_world(|world| {
        world.filter_server(
            "table inet guard { chain first { type filter hook input priority 0; policy drop; \
             iif lo accept; ip saddr 198.51.100.0/24 accept; }; }",
        );
        let config = configuration("");
        let _server = serve(world, &config);
        let report = examine_there(world, &config);
        report.assert_clean();
        report.assert_says("D074", "table inet guard, chain first");
        // Who may not read the rules does not call them good.
        let mut there = world.on_server_host("setpriv");
        there.args(["--reuid=65534", "--clear-groups", &hairpin()]);
        fs::set_permissions(config.path(), fs::Permissions::from_mode(0o644)).unwrap();
        examine_alone(there, &config).assert_has(&["D080"]);
    });
}

#[test]
fn a_listener_of_another_realm_is_told_as_not_tested() {
    in_own_world(|world| {
        let listener = format!("{SERVER_V4}:3479");
        let config = configuration(&format!(
            "[[listener]]\ntransport = \"udp\"\nlisten = \"{listener}\"\n[[auth.realm]]\n\
             name = \"example.net\"\nlisteners = [\"{listener}\"]\nusers = {{ bob = \"a long password\" }}"
        ));
        let report = examine_alone(world.on_server_host(&hairpin()), &config);
        report.assert_says("D084", &listener);
        report.assert_says("D084", "example.net");
    });
}

#[test]
fn a_server_outside_that_dns_is_slow_to_tell_of_does_not_make_a_run_longer() {
    in_own_world(|world| {
        resolve_by(&[CLIENT_V4, PEER_V4], |_, _| vec![]);
        let config = configuration("");
        let toml = fs::read_to_string(config.path()).expect("the file is ours");
        let relay = format!("addresses = [\"{SERVER_V4}\"");
        let toml = toml.replace(&relay, &format!("{relay}, \"{SERVER_V6}\""));
        fs::write(config.path(), toml).expect("the file is ours");
        let config = config.path().to_str().expect("a path of ASCII");
        let arguments = ["--config", config, "--outside", "stun:outside.example"];
        let report = examine_with(world.on_server_host(&hairpin()), &arguments);
        let unknown = report.codes("not tested");
        let unknown = unknown.iter().filter(|code| **code == "D077");
        // One address of each family.
        assert_eq!(unknown.count(), 2, "{report}");
        report.assert_says("D077", "DNS does not answer");
    });
}

#[test]
fn a_low_file_limit_is_d071() {
    in_own_world(|world| {
        let config = configuration("");
        let server = serve(world, &config);
        let mut prlimit = Command::new("prlimit");
        let pid = server.pid().as_raw_nonzero().to_string();
        prlimit.args(["--pid", &pid, "--nofile=64:64"]);
        let ended = Program::run(prlimit, "util-linux", PATIENCE);
        assert!(ended.status.success(), "{}", ended.output);
        let report = examine_there(world, &config);
        report.assert_has(&["D071"]);
        report.assert_says("D071", "64 files");
    });
}

#[test]
fn relay_ports_that_other_programs_hold_are_d070() {
    in_own_world(|world| {
        let config = configuration("");
        let _server = serve(world, &config);
        let mut squatter = world.on_server_host("python3");
        squatter.args(["-c", SQUATTER]);
        let squatter = Program::start(squatter, "python3");
        crate::lab::wait_for("ports to be taken", PATIENCE, || {
            squatter.output().contains("taken").then_some(())
        });
        let report = examine_there(world, &config);
        report.assert_has(&["D070"]);
        report.assert_says("D070", "30 of");
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
