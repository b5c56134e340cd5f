//! Settings that need a thought, and their keys. The corpus of tests/coturn is compared with coturn
//! itself, by tests/black_box; here it has to pass the checks.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::super::{Database, Import, Source, import};
use super::*;
use crate::config::Machine;
use crate::config::tests::time_on_processors;

fn imported_with(conf: &str, database: Option<&Database>) -> Import {
    let file = File::read(conf.as_bytes());
    let source = Source {
        file: &file,
        name: "turnserver.conf",
        directory: Path::new(""),
        database,
        host: &Machine::anywhere(),
    };
    import(&source, Path::new("turnserver.toml"))
}

fn imported(conf: &str) -> Import {
    imported_with(conf, None)
}

fn toml(conf: &str) -> toml::Table {
    let import = imported(conf);
    assert!(
        import.faults.is_none(),
        "{:?}\n{}",
        import.faults,
        import.toml
    );
    import.toml.parse().unwrap()
}

/// The outcome of the last line, and its words.
#[track_caller]
fn verdict(conf: &str) -> (Outcome, String) {
    let import = imported(conf);
    let (outcome, words) = import.account.outcomes().last().expect("a line");
    (outcome, words.to_owned())
}

const SECRET: &str =
    "use-auth-secret\nstatic-auth-secret=5e8a1c0d9f2b47a6b3c4d5e6\nrealm=example.org\n";

#[test]
fn every_file_of_the_corpus_passes_the_checks_and_shows_no_secret() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/coturn/corpus");
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let conf = fs::read_to_string(&path).unwrap();
        let import = imported(&conf);
        let name = path.display();
        assert!(
            import.faults.is_none(),
            "{name}: {:?}\n{}",
            import.faults,
            import.masked
        );
        let file = File::read(conf.as_bytes());
        let shown = import.account.report("x", &file) + &import.masked;
        for secret in [
            "5e8a1c0d9f2b47a6b3c4d5e6f7a80912",
            "oYs7Lk0vQw2e",
            "Tn4uXb8rJz1m",
            "of-telnet",
            "another-secret",
        ] {
            assert!(!shown.contains(secret), "{name} shows {secret}:\n{shown}");
        }
        assert_eq!(
            import.account.outcomes().count(),
            file.lines.len(),
            "{name}"
        );
        count += 1;
    }
    assert!(count >= 40);
}

#[test]
fn an_empty_file_opens_nothing() {
    let import = imported("");
    assert_eq!(
        import.account.decisions().len(),
        1,
        "{:?}",
        import.account.decisions()
    );
    assert_eq!(toml("").get("auth"), Some(&toml::Table::new().into()));
}

#[test]
fn an_exception_is_cut_out_of_what_is_denied() {
    let conf = format!("{SECRET}denied-peer-ip=8.8.8.0-8.8.8.3\nallowed-peer-ip=8.8.8.1\n");
    let peers = &toml(&conf)["peers"];
    assert_eq!(peers["deny"], vec!["8.8.8.0", "8.8.8.2/31"].into());
    assert_eq!(peers["allow"], vec!["8.8.8.1"].into());
}

#[test]
fn where_a_family_is_closed_only_what_is_allowed_is_open() {
    let conf =
        format!("{SECRET}denied-peer-ip=0.0.0.0-255.255.255.255\nallowed-peer-ip=10.0.0.5\n");
    let peers = &toml(&conf)["peers"];
    assert_eq!(peers["mode"].as_str(), Some("allow-list"));
    assert_eq!(peers["allow"], vec!["10.0.0.5", "::/0"].into());
    assert!(peers.get("deny").is_none());
}

#[test]
fn private_networks_are_denied_without_a_key() {
    let conf = format!("{SECRET}denied-peer-ip=10.0.0.0-10.255.255.255");
    assert_eq!(verdict(&conf).0, Outcome::Default);
    assert!(toml(&conf).get("peers").is_none());
}

#[test]
fn what_would_open_something_is_named_and_not_carried_over() {
    for line in [
        "no-auth",
        "allow-loopback-peers",
        "server-relay",
        "allowed-peer-ip=127.0.0.1",
        "allowed-peer-ip=0.0.0.0-255.255.255.255",
    ] {
        let conf = format!("{SECRET}{line}");
        assert_eq!(verdict(&conf).0, Outcome::Unsafe, "{line}");
        assert!(!imported(&conf).account.decisions().is_empty());
        assert!(toml(&conf).get("peers").is_none(), "{line}");
    }
}

#[test]
fn where_coturn_asks_for_no_password_no_line_about_one_is_mapped() {
    let import = imported(&format!("no-auth\nlt-cred-mech\n{SECRET}"));
    let outcomes: Vec<_> = import
        .account
        .outcomes()
        .map(|(outcome, _)| outcome)
        .collect();
    let dropped = Outcome::Dropped;
    assert_eq!(
        outcomes,
        [Outcome::Unsafe, dropped, dropped, dropped, Outcome::Mapped],
        "the last is the realm"
    );
}

#[test]
fn a_certificate_that_cannot_be_read_needs_no_more_than_its_lines_without_the_number_sign() {
    let port = "tls-listening-port=443";
    let conf = format!("{SECRET}cert=/nowhere/cert.pem\npkey=/nowhere/key.pem\n{port}");
    let import = imported(&conf);
    assert_eq!(verdict(&conf).0, Outcome::Dropped);
    assert_eq!(
        verdict(&format!("no-tls\nno-dtls\n{conf}")).0,
        Outcome::Default
    );
    let decisions = import.account.decisions().join("\n");
    assert!(decisions.contains("import the file again"), "{decisions}");
    let commented = |line: &str| {
        ["[[tls", "cert = ", "key = "]
            .iter()
            .any(|it| line.starts_with(it))
    };
    let lines = import.toml.lines().map(|line| {
        let plain = line.strip_prefix("# ").filter(|plain| commented(plain));
        plain.unwrap_or(line)
    });
    let toml: toml::Table = lines.collect::<Vec<_>>().join("\n").parse().unwrap();
    let certificate = &toml["tls"]["certificates"][0];
    assert_eq!(certificate["cert"].as_str(), Some("/nowhere/cert.pem"));
}

#[test]
fn a_secret_that_everybody_knows_is_not_carried_over() {
    for secret in ["north", "t1ny", "YOUR_SECRET_GOES_HERE_PLEASE"] {
        let import = imported(&format!("static-auth-secret={secret}"));
        assert!(import.faults.is_none());
        assert_eq!(import.account.decisions().len(), 2, "{secret}");
        assert!(!import.toml.contains(secret), "{}", import.toml);
    }
}

#[test]
fn of_two_public_addresses_the_first_counts_and_of_ports_the_last() {
    let conf = format!(
        "{SECRET}external-ip=192.0.2.1\nexternal-ip=192.0.2.2\nmin-port=1000\nmin-port=50000\nmax-port=50009"
    );
    let relay = &toml(&conf)["relay"];
    assert_eq!(relay["external"], vec!["192.0.2.1"].into());
    assert_eq!(relay["ports"].as_str(), Some("50000-50009"));
}

#[test]
fn a_pair_of_addresses_is_the_public_one_and_that_of_this_host() {
    let conf = format!("{SECRET}external-ip=192.0.2.1/198.51.100.7");
    let relay = &toml(&conf)["relay"];
    assert_eq!(relay["external"], vec!["192.0.2.1"].into());
    assert_eq!(relay["addresses"], vec!["198.51.100.7"].into());
}

#[test]
fn a_quota_of_more_allocations_than_ports_is_no_limit() {
    // Synapse's guide, with fewer ports.
    let conf = format!("{SECRET}user-quota=12\ntotal-quota=1200\nmin-port=49160\nmax-port=49200\n");
    let allocation = &toml(&conf)["allocation"];
    assert!(allocation.get("total").is_none());
    assert_eq!(allocation["per-user"].as_integer(), Some(12));
    assert!(imported(&conf).account.decisions().is_empty());
    let allocation = &toml(&format!("{SECRET}user-quota=12\ntotal-quota=10"))["allocation"];
    assert_eq!(allocation["per-user"].as_integer(), Some(0));
    assert_eq!(allocation["total"].as_integer(), Some(10));
}

#[test]
fn what_the_checks_refuse_is_to_be_decided() {
    let import = imported(&format!(
        "{SECRET}listening-ip=127.0.0.1\nlistening-port=3478\naux-server=127.0.0.1:3478\nserver-name=\nrelay-ip=203.0.113.77\nexternal-ip=0.0.0.0"
    ));
    let faults = import.faults.as_ref().map_or(0, |it| it.lines().count());
    assert!(faults > 0, "{}", import.toml);
    let decisions = import.account.decisions().iter();
    let refused: Vec<_> = decisions
        .filter(|it| it.contains("refuses the file"))
        .collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|it| import.toml.contains(it.as_str())));
}

#[test]
fn a_certificate_that_cannot_be_read_is_told_with_its_name_and_the_reason() {
    let (_, words) = verdict(&format!("{SECRET}pkey=/dev/null\ncert=/nowhere/cert.pem"));
    assert!(words.contains("cannot read /nowhere/cert.pem: "), "{words}");
    let import = imported(&format!("{SECRET}cert=/dev/zero\npkey=/dev/zero"));
    let words: Vec<_> = import.account.outcomes().map(|(_, words)| words).collect();
    assert!(
        words[3].contains("cannot read /dev/zero: it is no regular file"),
        "{words:?}"
    );
}

#[test]
fn of_a_pair_of_files_each_line_tells_of_its_own() {
    let words = |conf: &str| {
        let import = imported(&format!("{SECRET}{conf}"));
        let told = import.account.outcomes().skip(3);
        let told: Vec<_> = told.map(|(_, words)| words.to_owned()).collect();
        (told, import.account.decisions().len())
    };
    let (told, decisions) = words("cert=/nowhere/cert.pem\npkey=/dev/null");
    assert!(told[0].contains("No such file"), "{told:?}");
    assert!(told[1].contains("cannot read /dev/null: "), "{told:?}");
    assert_eq!(decisions, 2);
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let (told, decisions) = words(&format!("cert=/nowhere/cert.pem\npkey={key}"));
    assert!(told[1].contains("the other file"), "{told:?}");
    assert_eq!(decisions, 1);
    // Nobody is shown a certificate.
    let (told, decisions) = words("cert=/nowhere/cert.pem\npkey=/nowhere/key.pem\nno-tls\nno-dtls");
    assert!(
        told[..2]
            .iter()
            .all(|it| it.contains("no-tls and no-dtls are set")),
        "{told:?}"
    );
    assert_eq!(told[2..], ["[[listener]] transport"; 2]);
    assert_eq!(decisions, 0);
}

#[test]
fn a_configuration_of_this_server_is_told_from_one_of_coturn() {
    use super::super::is_ours;
    assert!(is_ours(b"realm = \"example.org\"\n[auth]\nsecrets = []\n"));
    for theirs in [SECRET, "min-port=49152\n", ""] {
        assert!(!is_ours(theirs.as_bytes()), "{theirs}");
    }
}

#[test]
fn bytes_stay_bytes() {
    let conf = format!("{SECRET}max-bps=64000\nuser-quota=12");
    let allocation = &toml(&conf)["allocation"];
    assert_eq!(allocation["bandwidth"].as_str(), Some("64000B/s"));
    assert_eq!(allocation["per-user"].as_integer(), Some(12));
}

#[test]
fn a_slip_is_a_decision_and_what_nobody_knows_is_none() {
    let slip = format!("{SECRET}external_ip=192.0.2.1");
    assert_eq!(
        verdict(&slip),
        (
            Outcome::Unknown,
            "coturn ignores this line; perhaps `external-ip` is meant".to_owned()
        )
    );
    assert_eq!(imported(&slip).account.decisions().len(), 1);
    let unknown = format!("{SECRET}what-nobody-knows");
    assert_eq!(verdict(&unknown).0, Outcome::Unknown);
    assert!(imported(&unknown).account.decisions().is_empty());
}

#[test]
fn a_flag_that_is_neither_yes_nor_no_stops_coturn() {
    let (outcome, words) = verdict(&format!("{SECRET}no-tcp=maybe"));
    assert_eq!(outcome, Outcome::Dropped);
    assert!(words.contains("does not start"), "{words}");
}

#[test]
fn a_flag_that_coturn_does_not_know_stops_nothing_whatever_stands_after_it() {
    // A line of the guide of Nextcloud.
    let conf = format!("{SECRET}no-loopback-peers # Only on coturn below v4.5.1.0!");
    let (outcome, words) = verdict(&conf);
    assert_eq!(outcome, Outcome::Default);
    assert!(words.contains("loopback is no peer"), "{words}");
    assert!(words.contains("count as a value"), "{words}");
    assert!(imported(&conf).account.decisions().is_empty());
}

#[test]
fn users_and_keys_of_a_database_come_along_by_realm() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/coturn/turndb");
    let database = Database::open(Path::new(path)).ok();
    let conf = "lt-cred-mech\nrealm=example.org\noauth\nserver-name=turn.example.org";
    let import = imported_with(conf, database.as_ref());
    assert!(import.faults.is_none(), "{:?}", import.faults);
    let toml: toml::Table = import.toml.parse().unwrap();
    assert_eq!(
        toml["auth"]["users"].as_table().map(toml::Table::len),
        Some(40)
    );
    // A user of another realm has a key of zeros, which is a key.
    assert_eq!(
        toml["auth"]["realm"][0]["name"].as_str(),
        Some("example.net")
    );
    assert!(!import.masked.contains("00000000"));
    // The key of the samples of coturn is left out.
    assert!(toml["oauth"].get("key").is_none());
}

#[test]
fn a_guide_is_recognised_by_its_settings() {
    use super::super::shapes::Shape;
    for (more, shape) in [
        (
            "total-quota=100\nbps-capacity=0\nstale-nonce",
            Shape::Nextcloud,
        ),
        ("user-quota=12\ntotal-quota=1200", Shape::Matrix),
        ("keep-address-family\nno-tcp", Shape::Jitsi),
        (
            "keep-address-family\nallowed-peer-ip=10.0.0.1",
            Shape::BigBlueButton,
        ),
        ("# for LiveKit", Shape::LiveKit),
    ] {
        let import = imported(&format!("{SECRET}{more}"));
        assert_eq!(import.account.shapes, [shape], "{more}");
    }
    assert_eq!(imported(SECRET).account.shapes, []);
}

#[test]
fn eight_times_the_addresses_take_about_eight_times_the_time() {
    for option in ["listening-ip", "aux-server", "alternate-server"] {
        let time = |count: u32| {
            let addresses = (1..=count).map(|it| Ipv4Addr::from_bits(0x0a00_0000 + it));
            let port = if option == "listening-ip" {
                ""
            } else {
                ":3479"
            };
            let lines = addresses.map(|ip| format!("{option}={ip}{port}\n"));
            let conf = SECRET.to_owned() + &lines.collect::<String>();
            let before = time_on_processors();
            let import = imported(&conf);
            let took = time_on_processors() - before;
            assert!(import.toml.matches(".").count() > 3 * count as usize);
            took
        };
        let (few, many) = (time(2_000), time(16_000));
        // Where each is compared with all before it, it is 40 times the time.
        assert!(many < few * 20, "{option}: {few:?}, {many:?}");
    }
}
