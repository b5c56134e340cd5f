//! A Binding over TLS: coturn with a certificate of a test's own authority.

use lab::{
    authority::{Authority, Name, Wish},
    internet::{on_the_internet, server_v4},
    nat::Nat,
    servers::coturn,
};
use tempfile::TempDir;

use crate::{dns::Zone, probe};

#[test]
fn a_server_over_tls_is_believed_if_its_certificate_is() {
    on_the_internet(|internet| {
        let home = internet.home(1, Nat::PortRestricted);
        let authority = Authority::make();
        let files = TempDir::new().expect("a temporary directory");
        let root = authority.root_file();
        let root = root.path().to_str().expect("a path of ASCII");
        let issued = authority.issue(Wish {
            names: &[Name::Host("tls.example")],
            ..Wish::RIGHT
        });
        let [certificate, key] = issued.write(files.path(), "server");
        let _server = coturn(&[21], &["--cert", &certificate, "--pkey", &key]);
        Zone::default()
            .a("tls.example", server_v4(21))
            .a("other.example", server_v4(21))
            .publish();
        let ask =
            |host: &str, options: &[&str]| probe::run(&home, &[format!("stuns:{host}")], options);

        let told = ask("tls.example", &["--ca", root]);
        let stream = &told.report["streams"][0];
        assert_eq!(stream["over"], "tls", "{told:#?}");
        assert_eq!(stream["address"], format!("{}:5349", server_v4(21)));
        let mapped = stream["answer"]["mapped"].as_str().unwrap_or_default();
        assert!(
            mapped.starts_with(&format!("{}:", home.outside)),
            "{told:#?}"
        );
        // No server was asked over UDP.
        assert_eq!(told.report["verdict"], "undecided");
        assert_eq!(told.code, 1);

        for (host, options, why) in [
            // Browsers do not know the authority.
            ("tls.example", &[][..], "UnknownIssuer"),
            ("other.example", &["--ca", root], "not valid for name"),
        ] {
            let told = ask(host, options);
            let error = told.report["streams"][0]["answer"]["error"].as_str();
            let error = error.unwrap_or_else(|| panic!("{host}: {told:#?}"));
            assert!(
                error.starts_with("no TLS: ") && error.contains(why),
                "{error}"
            );
            // The server was reached, so nothing is blocked.
            assert_eq!(
                (&told.report["verdict"], told.code),
                (&"undecided".into(), 1)
            );
        }
    });
}
