//! Ten deliberate faults of coturn, and more: the doctor names each.

use lab::{
    authority::{Authority, Name, Wish},
    credentials::password_of,
    machine::{name_hosts, replace},
    program::{Program, here},
    server::{SECRET, Server, serving},
    setup::Setup,
    world::{CLIENT_V4, PEER_V4, SERVER_V4, SERVER_V6, World, in_own_world},
};
use tempfile::{NamedTempFile, TempDir};

use crate::coturn;
use crate::examination::{Examination, examine, examine_as_user};
use crate::script::resolve_by;

/// Coturn relays to anybody by default, so the doctor runs where peers are.
fn examine_with_user(uri: &str, more: &[&str]) -> Examination {
    let bind = PEER_V4.to_string();
    examine_as_user(uri, &[&["--bind", &bind], more].concat())
}

fn uri() -> String {
    format!("turn:{SERVER_V4}")
}

#[test]
fn coturn_as_it_comes_works_but_relays_to_private_networks() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, &[]);
        for transport in ["udp", "tcp"] {
            let report = examine_with_user(&format!("{}?transport={transport}", uri()), &[]);
            assert_eq!(report.codes("error"), ["D061"], "{report}");
            assert_eq!(report.codes("warning"), ["D062"], "{report}");
            report.assert_has(&["D020", "D023", "D045", "D054", "D055"]);
            // This server knows only MD5.
            assert_eq!(report.sentence("D027"), None, "{report}");
        }
    });
}

#[test]
fn a_name_that_dns_denies_is_d001() {
    in_own_world(|_| {
        resolve_by(&[CLIENT_V4], |query, _| {
            let mut answer = query.to_vec();
            // An answer, and NXDOMAIN. RFC 1035 §4.1.1.
            answer[2..4].copy_from_slice(&[0x81, 0x83]);
            vec![answer]
        });
        examine(&["turn:nowhere.invalid", "--secret", SECRET]).assert_errors(&["D001"]);
    });
}

#[test]
fn dns_that_is_dead_or_out_of_reach_is_d008() {
    in_own_world(|_| {
        // A world of its own has no way to the resolvers of this host.
        examine(&["turn:turn.example", "--secret", SECRET]).assert_errors(&["D008"]);
        resolve_by(&[CLIENT_V4, PEER_V4], |_, _| vec![]);
        let report = examine(&["turn:turn.example", "--secret", SECRET]);
        report.assert_errors(&["D008"]);
        report.assert_says("D008", "DNS");
    });
}

#[test]
fn a_name_in_the_hosts_file_is_taken_from_there_where_dns_is_silent() {
    serving(Setup::default(), |_, _| {
        resolve_by(&[CLIENT_V4, PEER_V4], |_, _| vec![]);
        name_hosts(&[(SERVER_V4.into(), "turn.example.org")]);
        for uri in ["turn:turn.example.org", "stun:turn.example.org"] {
            let report = examine(&[uri]);
            report.assert_clean();
            report.assert_says("D020", &SERVER_V4.to_string());
        }
    });
}

#[test]
fn a_server_that_this_host_cannot_send_to_is_d009_over_each_transport() {
    serving(Setup::default(), |_, _| {
        let no_such_address = ["--bind", "192.0.2.99"];
        for (server, more) in [("192.0.2.1", &[][..]), ("198.51.100.1", &no_such_address)] {
            if more.is_empty() {
                delete_default_route("-4");
            }
            for (scheme, transport) in [("turn", "udp"), ("turn", "tcp"), ("turns", "udp")] {
                let uri = format!("{scheme}:{server}?transport={transport}");
                examine(&[&[uri.as_str()][..], more].concat()).assert_errors(&["D009"]);
            }
        }
    });
}

#[test]
fn a_wrong_secret_is_d031() {
    in_own_world(|world| {
        let _coturn = coturn::with_secret(world, "another secret");
        examine(&[&uri(), "--secret", SECRET]).assert_errors(&["D031"]);
    });
}

#[test]
fn an_expired_credential_is_d032() {
    in_own_world(|world| {
        let _coturn = coturn::with_secret(world, SECRET);
        let user = "1600000000:doctor";
        let password = password_of(SECRET, user);
        let report = examine(&[&uri(), "--user", user, "--password", &password]);
        report.assert_errors(&["D032"]);
    });
}

#[test]
fn an_external_address_that_is_private_is_d040() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, &["--external-ip", "10.99.0.1"]);
        let report = examine_with_user(&uri(), &["--realm", "hairpin.test"]);
        report.assert_has(&["D040"]);
        assert_eq!(report.exit, Some(1), "{report}");
    });
}

#[test]
fn an_external_address_of_somebody_else_is_d043() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, &["--external-ip", "203.0.113.77"]);
        let report = examine_with_user(&uri(), &[]);
        report.assert_has(&["D041", "D043"]);
        assert_eq!(report.exit, Some(1), "{report}");
    });
}

#[test]
fn relay_ports_closed_by_a_firewall_are_d043() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, &[]);
        world.filter_server(
            "table inet closed { chain in { type filter hook input priority 0; \
             iifname \"server0\" udp dport 49152-65535 drop; }; }",
        );
        examine_with_user(&uri(), &[]).assert_has(&["D043", "D045"]);
    });
}

#[test]
fn a_server_that_cannot_reach_its_own_relay_addresses_is_d042() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, &[]);
        world.filter_server(
            "table inet closed { chain in { type filter hook input priority 0; \
             udp dport 49152-65535 drop; }; }",
        );
        examine_with_user(&uri(), &[]).assert_has(&["D042", "D043"]);
    });
}

#[test]
fn a_firewall_that_lets_in_and_not_out_is_d056() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, DENY_PRIVATE);
        // Dropped on the way. Where its own host refuses to send, coturn ends the allocation, some time later.
        world.drop_incoming(&format!("ip daddr {PEER_V4} udp sport 49152-65535"));
        examine_with_user(&uri(), &[]).assert_errors(&["D056"]);
    });
}

#[test]
fn channel_data_that_is_lost_on_the_way_is_d049() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, DENY_PRIVATE);
        // ChannelData begins with the bits 01, messages with 00.
        world.filter_server(
            "table inet closed { chain in { type filter hook input priority 0; \
             udp dport 3478 @th,64,2 1 drop; }; }",
        );
        let report = examine_with_user(&uri(), &[]);
        report.assert_errors(&["D049", "D049"]);
    });
}

#[test]
fn a_way_that_large_datagrams_do_not_pass_is_d047() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, DENY_PRIVATE);
        world.drop_incoming("udp sport 3478 udp length > 900");
        let report = examine_with_user(&uri(), &[]);
        assert_eq!(report.codes("warning"), ["D047"], "{report}");
        report.assert_says("D047", "500 bytes pass");
    });
}

#[test]
fn an_expired_certificate_is_d011() {
    in_own_world(|world| {
        let wish = Wish {
            days: -3,
            ..Wish::RIGHT
        };
        assert_certificate(world, wish, "D011", "days ago");
    });
}

#[test]
fn a_missing_intermediate_certificate_is_d012() {
    in_own_world(|world| {
        let wish = Wish {
            is_complete: false,
            ..Wish::RIGHT
        };
        assert_certificate(world, wish, "D012", "an intermediate of this test");
    });
}

#[test]
fn a_certificate_for_another_name_is_d013() {
    in_own_world(|world| {
        let wish = Wish {
            names: &[Name::Host("turn.example.org")],
            ..Wish::RIGHT
        };
        assert_certificate(world, wish, "D013", "for turn.example.org");
    });
}

#[test]
fn a_certificate_that_is_right_is_d016_over_tls_and_dtls() {
    in_own_world(|world| {
        let coturn = with_certificate(world, Wish::RIGHT);
        for transport in ["tcp", "udp"] {
            let uri = format!("turns:{SERVER_V4}?transport={transport}");
            let report = examine_with_user(&uri, &["--ca", coturn.root()]);
            report.assert_clean();
            report.assert_has(&["D016", "D020", "D045", "D054", "D055"]);
        }
    });
}

#[test]
fn dtls_with_an_rsa_certificate_is_not_examined_and_no_fault() {
    in_own_world(|world| {
        let files = tempfile::tempdir().unwrap();
        let [certificate, key] =
            ["chain.pem", "key.pem"].map(|name| files.path().join(name).display().to_string());
        let mut openssl = here("openssl");
        openssl.args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=rsa",
        ]);
        openssl.args(["-out", &certificate, "-keyout", &key]);
        Program::succeed(openssl);
        let _coturn = coturn::with_user(world, &["--cert", &certificate, "--pkey", &key]);
        let report = examine_with_user(&format!("turns:{SERVER_V4}?transport=udp"), &[]);
        assert_eq!(report.codes("not tested"), ["D018"], "{report}");
        assert_eq!(report.exit, Some(0), "{report}");
        // Over TLS it is examined, and it signed its certificate itself.
        let report = examine_with_user(&format!("turns:{SERVER_V4}"), &[]);
        report.assert_has(&["D014", "D045"]);
    });
}

#[test]
fn no_certificate_at_all_is_d010() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, &["--no-tls", "--no-dtls"]);
        examine_with_user(&format!("turns:{SERVER_V4}:3478"), &[]).assert_errors(&["D010"]);
    });
}

#[test]
fn an_open_relay_to_loopback_is_d060() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, &["--allow-loopback-peers"]);
        let report = examine_with_user(&uri(), &[]);
        report.assert_errors(&["D060", "D061"]);
    });
}

#[test]
fn tcp_closed_is_d003() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, &["--no-tcp"]);
        let tcp = format!("{}?transport=tcp", uri());
        examine_with_user(&tcp, &[]).assert_errors(&["D003"]);
    });
}

#[test]
fn another_realm_is_d025() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, DENY_PRIVATE);
        let report = examine_with_user(&uri(), &["--realm", "example.org"]);
        report.assert_errors(&["D025"]);
    });
}

#[test]
fn a_relay_without_authentication_is_d022() {
    in_own_world(|world| {
        let _coturn = coturn::bare(world, &["--no-auth"]);
        examine(&[&uri()]).assert_errors(&["D022"]);
    });
}

#[test]
fn a_server_of_stun_alone_is_d029_for_who_asks_for_turn() {
    in_own_world(|world| {
        let _coturn = coturn::bare(world, &["--stun-only"]);
        examine(&[&uri()]).assert_errors(&["D029"]);
        examine(&[&format!("stun:{SERVER_V4}")]).assert_clean();
    });
}

#[test]
fn a_private_network_that_only_the_host_knows_is_no_fault() {
    in_own_world(|world| {
        let _coturn = coturn::with_user(world, DENY_PRIVATE);
        let bind = CLIENT_V4.to_string();
        examine_as_user(&uri(), &["--bind", &bind]).assert_clean();
    });
}

#[test]
fn an_address_that_this_host_cannot_send_to_is_passed_over_as_clients_do() {
    serving(Setup::default(), |_, _| {
        let names = format!("{SERVER_V4} a\n2001:db8:99::1 a\n192.0.2.1 b\n{SERVER_V6} b\n");
        replace("/etc/hosts", &names);
        delete_default_route("-4");
        delete_default_route("-6");
        for (name, seen) in [("a", "198.51.100.1:3478"), ("b", "[2001:db8:51::1]:3478")] {
            let report = examine(&[&format!("turn:{name}:3478")]);
            report.assert_clean();
            report.assert_says("D020", seen);
        }
    });
}

fn delete_default_route(family: &str) {
    let mut ip = here("ip");
    ip.args([family, "route", "delete", "default"]);
    Program::succeed(ip);
}

/// The peers that an operator of coturn has to deny.
const DENY_PRIVATE: &[&str] = &[
    "--denied-peer-ip=10.0.0.0-10.255.255.255",
    "--denied-peer-ip=172.16.0.0-172.31.255.255",
    "--denied-peer-ip=192.168.0.0-192.168.255.255",
    "--denied-peer-ip=100.64.0.0-100.127.255.255",
    "--denied-peer-ip=169.254.0.0-169.254.255.255",
    "--denied-peer-ip=127.0.0.0-127.255.255.255",
    "--denied-peer-ip=0.0.0.0-0.255.255.255",
];

fn assert_certificate(world: &World, wish: Wish<'_>, code: &str, words: &str) {
    let coturn = with_certificate(world, wish);
    let uri = format!("turns:{SERVER_V4}");
    let report = examine_with_user(&uri, &["--ca", coturn.root()]);
    assert_eq!(report.exit, Some(1), "{report}");
    report.assert_says("D045", "and back");
    report.assert_says(code, words);
}

/// Coturn with such a certificate of a new authority.
fn with_certificate(world: &World, wish: Wish<'_>) -> Certified {
    let files = TempDir::new().expect("a temporary directory");
    let authority = Authority::make();
    let [chain, key] = authority.issue(wish).write(files.path(), "server");
    let options = ["--cert", &chain, "--pkey", &key];
    Certified {
        _coturn: coturn::with_user(world, &[&options, DENY_PRIVATE].concat()),
        root: authority.root_file(),
        _files: files,
    }
}

/// A server, and the file of the root of its certificate.
struct Certified {
    _coturn: Server,
    root: NamedTempFile,
    _files: TempDir,
}

impl Certified {
    fn root(&self) -> &str {
        self.root.path().to_str().expect("a path of ASCII")
    }
}
