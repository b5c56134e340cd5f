//! Findings about the host: the server's own configuration, and where the host differs from it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lab::{
    authority::{Authority, Name, Wish},
    program::Program,
    server::{PORT, Server},
    setup::Setup,
    world::{CLIENT_V4, PEER_V4, SERVER_V4, SERVER_V6, World, in_own_world},
};
use tempfile::TempDir;

use crate::examination::{Examination, examine_by};
use crate::script::{bound, on_datagrams_at, resolve_by};

/// A server with few relay ports.
fn setup() -> Setup {
    let setup = Setup::at(&[(SERVER_V4, PORT).into()], &[SERVER_V4.into()]);
    setup.with("relay.ports = '49152-49251'")
}

/// Starts it on the server's host.
fn start(world: &World, setup: Setup) -> Server {
    Server::start_by(|program| world.on_server_host(program), setup)
}

/// Starts it and examines it there.
fn serve_and_examine(world: &World, setup: Setup) -> Examination {
    let server = start(world, setup);
    examine_there(world, &server.config())
}

/// The configuration of a server that does not run, in a directory that goes with the first value.
fn written(setup: &Setup) -> (TempDir, String) {
    let files = TempDir::new().expect("a temporary directory");
    let config = setup.write(files.path()).display().to_string();
    (files, config)
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

/// A STUN server outside that does not answer: `CLIENT_V4`.
const NOBODY: &str = "stun:198.51.100.2:9";

#[test]
fn a_host_that_keeps_to_its_configuration_is_found_well() {
    in_own_world(|world| {
        let report = serve_and_examine(world, setup());
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
fn a_listener_for_tls_is_examined_by_the_name_of_its_certificate() {
    in_own_world(|world| {
        // No resolver knows it, and the address is none of the certificate's names.
        let wish = Wish {
            names: &[Name::Host("turn.example.org")],
            ..Wish::RIGHT
        };
        let secure = format!("[[listener]]\ntransport = 'auto'\nlisten = '{SERVER_V4}:443'");
        let server = start(world, setup().with_certificates(&[wish]).with(&secure));
        let root = Authority::lab().root_file();
        let root = root.path().to_str().expect("a path of ASCII");
        let config = server.config();
        let arguments = ["--config", &config, "--outside", NOBODY, "--ca", root];
        let report = examine_by(|program| world.on_server_host(program), &arguments);
        report.assert_clean();
        report.assert_has(&["D016"]);
        assert!(
            report
                .text
                .contains("\"turns:turn.example.org:443?transport=tcp\""),
            "{report}"
        );
        // DTLS is off.
        assert!(
            !report
                .text
                .contains("\"turns:turn.example.org:443?transport=udp\""),
            "{report}"
        );
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
        let report = serve_and_examine(world, external);
        report.assert_clean();
        report.assert_has(&["D041", "D044", "D045"]);
    });
}

#[test]
fn a_server_that_does_not_run_is_told_so() {
    in_own_world(|world| {
        let (_files, config) = written(&setup());
        let report = examine_there(world, &config);
        assert_eq!(report.exit, Some(1), "{report}");
        report.assert_has(&["D002", "D003", "D076"]);
    });
}

#[test]
fn an_external_address_that_the_internet_does_not_see_is_d073() {
    in_own_world(|world| {
        let external = setup().with("relay.external = ['203.0.113.77']");
        let report = serve_and_examine(world, external);
        report.assert_has(&["D073"]);
        report.assert_says("D073", "203.0.113.77 is configured");
        report.assert_says("D073", &SERVER_V4.to_string());
        assert_eq!(report.exit, Some(1), "{report}");
    });
}

#[test]
fn a_server_outside_that_does_not_answer_is_no_error() {
    in_own_world(|world| {
        let server = start(world, setup());
        let report = examine_host(world, &server.config(), NOBODY);
        report.assert_has(&["D077"]);
        // An address that the host itself has is nobody's example.
        report.assert_clean();
    });
}

#[test]
fn an_external_address_that_nobody_confirms_and_that_cannot_be_right_is_d078_or_d079() {
    in_own_world(|world| {
        for (external, code) in [("10.7.0.1", "D078"), ("203.0.113.77", "D079")] {
            let setup = setup().with(&format!("relay.external = ['{external}']"));
            let (_files, config) = written(&setup);
            let report = examine_host(world, &config, NOBODY);
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
        let server = start(world, setup());
        let config = server.config();
        let report = examine_there(world, &config);
        report.assert_clean();
        report.assert_says("D074", "table inet guard, chain first");
        // A user who may not read the rules does not call them good.
        let path = Path::new(&config);
        for (path, mode) in [(path.parent().unwrap(), 0o755), (path, 0o644)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let as_nobody = |program: &str| {
            let mut there = world.on_server_host("setpriv");
            there.args(["--reuid=65534", "--clear-groups", program]);
            there
        };
        let arguments = ["--config", &config, "--outside", NOBODY];
        examine_by(as_nobody, &arguments).assert_has(&["D080"]);
    });
}

#[test]
fn a_listener_of_another_realm_is_told_as_not_tested() {
    in_own_world(|world| {
        let listener = format!("{SERVER_V4}:3479");
        let (_files, config) = written(&setup().with(&format!(
            "[[listener]]\ntransport = 'udp'\nlisten = '{listener}'\n[[auth.realm]]\n\
             name = 'example.net'\nlisteners = ['{listener}']\nusers = {{ bob = 'a long password' }}"
        )));
        let report = examine_host(world, &config, NOBODY);
        report.assert_says("D084", &listener);
        report.assert_says("D084", "example.net");
    });
}

#[test]
fn a_server_outside_that_dns_is_slow_to_tell_of_does_not_make_a_run_longer() {
    in_own_world(|world| {
        resolve_by(&[CLIENT_V4, PEER_V4], |_, _| vec![]);
        let both = format!("relay.addresses = ['{SERVER_V4}', '{SERVER_V6}']");
        let (_files, config) = written(&setup().with(&both));
        let report = examine_host(world, &config, "stun:outside.example");
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
fn little_memory_for_udp_is_d086() {
    in_own_world(|world| {
        world.show_udp_memory(16 << 20);
        let report = serve_and_examine(world, setup());
        report.assert_has(&["D086"]);
        report.assert_says("D086", "may hold 16 MiB together (net.ipv4.udp_mem)");
        report.assert_says("D086", "for 100 allocations");
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
