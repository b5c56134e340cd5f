//! TLS, as `openssl s_client` and `gnutls-cli` see it.

use std::{fs, io::Write, process::Command};

use lab::{
    PATIENCE,
    authority::{Authority, Key, Name, SERVER_NAME, Wish},
    foreign::assert_says,
    program::{Ended, Program},
    server::{TLS_PORT, serving},
    setup::Setup,
    wait_for,
    world::{SERVER_V4, SERVER_V6},
};
use tempfile::{NamedTempFile, TempDir};

#[test]
fn versions_1_2_and_1_3_are_spoken_and_older_ones_are_refused() {
    serving(Setup::default().with_tls(), |_, _| {
        let tools = Tools::new();
        for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            for server in [format!("{SERVER_V4}"), format!("[{SERVER_V6}]")] {
                let shaken = tools.openssl(&server, &["-brief", version]);
                assert!(shaken.status.success(), "{shaken:?}");
                assert_says(&shaken.output, &format!("Protocol version: {name}"));
                assert_says(&shaken.output, "Verification: OK");
            }
        }
        // This OpenSSL speaks it only when it is told to lower its guard.
        let refused = tools.openssl(
            &SERVER_V4.to_string(),
            &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
        );
        assert!(!refused.status.success(), "{refused:?}");
        assert_says(&refused.output, "SSL alert number");

        for version in ["1.2", "1.3"] {
            let shaken = tools.gnutls(version, &[]);
            assert!(shaken.status.success(), "{shaken:?}");
            assert_says(&shaken.output, &format!("Description: (TLS{version}"));
            assert_says(&shaken.output, "The certificate is trusted");
        }
        let refused = tools.gnutls("1.1", &[]);
        assert!(!refused.status.success(), "{refused:?}");
        assert_says(&refused.output, "A TLS fatal alert has been received");
    });
}

#[test]
fn a_server_of_tls_1_3_alone_refuses_1_2() {
    let setup = Setup::default()
        .with_tls()
        .with("tls.minimum-version = '1.3'");
    serving(setup, |_, _| {
        let tools = Tools::new();
        let server = SERVER_V4.to_string();
        let shaken = tools.openssl(&server, &["-tls1_3"]);
        assert!(shaken.status.success(), "{shaken:?}");
        let refused = tools.openssl(&server, &["-tls1_2"]);
        assert!(!refused.status.success(), "{refused:?}");
        assert_says(&refused.output, "alert protocol version");
    });
}

/// RFC 7443. A client that offers only protocols of others has come to the wrong server, and is told
/// so: RFC 7301 §3.2.
#[test]
fn the_protocols_of_stun_are_offered_and_required_of_nobody() {
    serving(Setup::default().with_tls(), |_, _| {
        let tools = Tools::new();
        let asking = |protocols: &str| tools.openssl(&SERVER_V4.to_string(), &["-alpn", protocols]);
        for (asked, told) in [
            ("stun.turn", "stun.turn"),
            ("stun.nat-discovery", "stun.nat-discovery"),
            ("h2,stun.turn", "stun.turn"),
        ] {
            let shaken = asking(asked);
            assert!(shaken.status.success(), "{shaken:?}");
            assert_says(&shaken.output, &format!("ALPN protocol: {told}\n"));
        }
        let shaken = tools.openssl(&SERVER_V4.to_string(), &[]);
        assert!(shaken.status.success(), "{shaken:?}");
        assert_says(&shaken.output, "No ALPN negotiated");
        for foreign in ["h2,http/1.1", "acme-tls/1"] {
            let refused = asking(foreign);
            assert!(!refused.status.success(), "{refused:?}");
            assert_says(&refused.output, "alert no application protocol");
        }
    });
}

#[test]
fn a_client_is_shown_the_certificate_that_it_asks_for_and_can_verify() {
    let named = |names: &'static [Name<'static>], key| Wish {
        names,
        key,
        ..Wish::RIGHT
    };
    let setup = Setup::default().with_tls().with_certificates(&[
        named(
            &[Name::Host("b.example"), Name::Host("*.c.example")],
            Key::P256,
        ),
        named(
            &[Name::Host(SERVER_NAME), Name::Host("rsa.example")],
            Key::Rsa,
        ),
    ]);
    serving(setup, |_, _| {
        let tools = Tools::new();
        let shown = |asked: &[&str], name: &[&str]| {
            let shaken = tools.openssl(&SERVER_V4.to_string(), &[asked, name].concat());
            assert!(shaken.status.success(), "{asked:?} {name:?}: {shaken:?}");
            shaken.output
        };
        for (asked, verified) in [
            (SERVER_NAME, SERVER_NAME),
            ("b.example", "b.example"),
            ("B.Example", "b.example"),
            ("a.c.example", "a.c.example"),
            ("rsa.example", "rsa.example"),
            // The default one, for names that none is for.
            ("d.example", SERVER_NAME),
            ("c.example", SERVER_NAME),
            ("a.a.c.example", SERVER_NAME),
        ] {
            shown(&["-servername", asked], &["-verify_hostname", verified]);
        }
        let address = SERVER_V4.to_string();
        shown(&["-noservername"], &["-verify_ip", &address]);
        // libwebrtc sends an address as a name, which RFC 6066 forbids.
        shown(&["-servername", &address], &["-verify_ip", &address]);

        // One name with keys of both kinds, for clients of each.
        for (schemes, key) in [
            ("ECDSA+SHA256", "Peer signature type: ECDSA"),
            ("RSA-PSS+SHA256", "Peer signature type: RSA-PSS"),
            ("ECDSA+SHA256:RSA-PSS+SHA256", "Peer signature type: ECDSA"),
        ] {
            let asked = ["-servername", SERVER_NAME, "-sigalgs", schemes];
            // The certificates themselves are signed with ECDSA.
            let output = shown(&asked, &["-verify_hostname", SERVER_NAME]);
            assert_says(&output, key);
        }
    });
}

#[test]
fn sessions_are_resumed_and_no_early_data_is_taken() {
    serving(Setup::default().with_tls(), |_, _| {
        let tools = Tools::new();
        let files = TempDir::new().expect("a temporary directory");
        let file = |name: &str| files.path().join(name).display().to_string();
        let session = file("session");
        fs::write(file("early"), "too early").expect("the directory is ours");
        for version in ["-tls1_2", "-tls1_3"] {
            let first = tools.openssl_until(
                &[version, "-sess_out", &session],
                // With 1.3 the ticket comes after the handshake.
                if version == "-tls1_3" {
                    "Post-Handshake New Session Ticket arrived"
                } else {
                    "Verify return code"
                },
                "",
            );
            assert_says(&first.output, "New, TLSv1");
            let next =
                tools.openssl_until(&[version, "-sess_in", &session], "Verify return code", "");
            assert_says(&next.output, "Reused, TLSv1");
        }
        let early = file("early");
        let told = tools.openssl_until(
            &["-tls1_3", "-sess_in", &session, "-early_data", &early],
            // Of the ticket, which comes after the handshake.
            "Max Early Data: ",
            "",
        );
        assert_says(&told.output, "Early data was not sent");
        assert_says(&told.output, "Max Early Data: 0");
        for version in ["1.2", "1.3"] {
            let shaken = tools.gnutls(version, &["--resume"]);
            assert_says(&shaken.output, "This is a resumed session");
        }
    });
}

#[test]
fn a_client_that_renegotiates_is_refused() {
    serving(Setup::default().with_tls(), |_, _| {
        let told = Tools::new().openssl_until(&["-tls1_2"], "Verify return code", "R\n");
        assert_says(&told.output, "RENEGOTIATING");
        assert_says(&told.output, "no renegotiation");
    });
}

/// The programs, and the root that they trust.
struct Tools {
    root: NamedTempFile,
}

impl Tools {
    fn new() -> Self {
        Self {
            root: Authority::lab().root_file(),
        }
    }

    /// Shakes hands with the world's server at this address, and verifies its certificate.
    #[track_caller]
    fn openssl(&self, server: &str, arguments: &[&str]) -> Ended {
        let mut openssl = self.s_client(server);
        openssl.args(arguments);
        Program::run(openssl, PATIENCE)
    }

    /// The same; says something once the program has written these words, and hangs up then.
    #[track_caller]
    fn openssl_until(&self, arguments: &[&str], words: &str, said: &str) -> Ended {
        let mut openssl = self.s_client(&SERVER_V4.to_string());
        openssl.args(arguments);
        let (mut program, mut input) = Program::start_talking(openssl);
        program.wait_for_words(words);
        input.write_all(said.as_bytes()).expect("it listens");
        if !said.is_empty() {
            // The end of its input would be the end of it.
            wait_for("the end", PATIENCE, || program.ended());
        }
        drop(input);
        program.wait(PATIENCE)
    }

    fn s_client(&self, server: &str) -> Command {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &format!("{server}:{TLS_PORT}")]);
        openssl
            .arg("-verify_return_error")
            .arg("-CAfile")
            .arg(self.root.path());
        openssl
    }

    /// Shakes hands in one version of TLS, and verifies the certificate.
    #[track_caller]
    fn gnutls(&self, version: &str, arguments: &[&str]) -> Ended {
        let mut gnutls = Command::new("gnutls-cli");
        gnutls.arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"));
        gnutls.arg("--x509cafile").arg(self.root.path());
        gnutls
            .args(["--port", &TLS_PORT.to_string()])
            .args(arguments);
        gnutls.arg(SERVER_V4.to_string());
        Program::run(gnutls, PATIENCE)
    }
}
