//! `[tls]`: certificates in files, and the listeners that show them.

use std::io;
use std::sync::LazyLock;

use net::TlsVersion;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::{Told, config, fault, host, path, read, refused, told, warned};
use crate::config::{Loaded, Machine};

/// A certificate and its key in PEM, good for a name, or what a test makes of it.
fn certificate(name: &str, change: impl FnOnce(&mut CertificateParams)) -> [String; 2] {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "a root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &root).unwrap();
    [leaf.pem() + &root.pem(), key.serialize_pem()]
}

pub(super) fn good() -> [String; 2] {
    certificate("turn.example.org", |_| {})
}

/// The files that `turnserver.toml` names as examples.
pub(super) static FILES: LazyLock<[String; 2]> = LazyLock::new(good);

/// An entry whose files have these texts: the host of these tests takes them from the files' names.
pub(super) fn entry([chain, key]: &[String; 2]) -> String {
    let inline = |text: &str| format!("'''inline:{}'''", text.replace('\n', ";"));
    let (chain, key) = (inline(chain), inline(key));
    format!("[[tls.certificates]]\ncert = {chain}\nkey = {key}\n")
}

const LISTENER: &str = "[[listener]]\ntransport = \"tls\"\nlisten = \"0.0.0.0:5349\"\n";

/// The sentence without the name of the file, which is its text.
fn sentence(told: &Told) -> String {
    let (before, after) = told.sentence.split_once(" names /").unwrap();
    let after = after.rsplit_once("-----;, ").map(|(_, after)| after);
    format!("{before}: {}", after.unwrap_or_default())
}

#[test]
fn certificates_are_read_in_their_order_and_versions_too() {
    let (one, two) = (good(), certificate("192.0.2.7", |_| {}));
    let text = format!(
        "{LISTENER}[tls]\nminimum-version = \"1.3\"\n{}{}",
        entry(&one),
        entry(&two)
    );
    let tls = config(&text).tls;
    let all = tls.certificates.iter();
    let names: Vec<String> = all.map(|it| it.certificate.listed_names()).collect();
    assert_eq!(names, ["turn.example.org", "192.0.2.7"]);
    assert_eq!(tls.minimum, TlsVersion::V1_3);
    assert_eq!(config("").tls.minimum, TlsVersion::V1_2);
    let line = entry(&one).replace("[[tls.certificates]]\n", "");
    let line = line.trim_end().replace('\n', ", ");
    let text = format!("{LISTENER}[tls]\ncertificates = [{{ {line} }}]\n");
    assert_eq!(config(&text).tls.certificates.len(), 1);
}

#[test]
fn over_tls_clients_are_given_a_name_that_a_certificate_is_for() {
    let of = |names: [&str; 2]| {
        let names = names.map(|name| entry(&certificate(name, |_| {})));
        let config = config(&format!("{LISTENER}{}", names.concat()));
        let uris = crate::ice_servers::uris(&config, None);
        uris.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let name = "turns:turn.example.org:5349?transport=tcp";
    assert_eq!(of(["192.0.2.7", "turn.example.org"]), [name]);
    assert_eq!(of(["*.example.net", "turn.example.org"]), [name]);
    let address = "turns:[2001:db8::7]:5349?transport=tcp";
    assert_eq!(of(["*.example.net", "2001:db8::7"]), [address]);
}

#[test]
fn over_tls_the_name_is_the_realm_where_a_wildcard_is_for_it() {
    let entry = entry(&certificate("*.example.net", |_| {}));
    let config = config(&format!("realm = \"turn.example.net\"\n{LISTENER}{entry}"));
    let uris = crate::ice_servers::uris(&config, None);
    let uris: Vec<String> = uris.iter().map(ToString::to_string).collect();
    assert_eq!(uris, ["turns:turn.example.net:5349?transport=tcp"]);
}

#[test]
fn an_advertised_name_that_no_certificate_is_for_is_cautioned() {
    let told = |uri: &str, names: [&str; 2]| {
        let names = names.map(|name| entry(&certificate(name, |_| {})));
        let uris = format!("[advertise]\nuris = [\"{uri}\"]\n");
        let told = warned(&format!("{LISTENER}{uris}{}", names.concat()));
        let mut told = told
            .into_iter()
            .filter(|told| told.sentence.contains("no certificate is for"));
        told.next().map(|told| (told.sentence, told.help))
    };
    let names = ["turn.example.org", "*.example.net"];
    for good in [
        "turns:turn.example.org",
        "turns:TURN.example.org",
        "turns:a.example.net",
        "turn:elsewhere.example",
    ] {
        assert_eq!(told(good, names), None, "{good}");
    }
    for bad in ["example.net", "a.b.example.net", "example.org", "192.0.2.7"] {
        let (sentence, help) = told(&format!("turns:{bad}"), names).unwrap();
        let expected = format!(
            "warning: `[advertise] uris` names turns:{bad}, and no certificate is for {bad}: clients refuse it"
        );
        assert_eq!(sentence, expected);
        assert_eq!(
            help.as_deref(),
            Some("there are certificates for turn.example.org, *.example.net")
        );
    }
}

#[test]
fn a_listener_for_tls_needs_a_certificate_unless_one_is_made_for_trying() {
    for (word, column) in [("tls", 13), ("auto", 13)] {
        let text = LISTENER.replace("tls", word);
        fault(&text).is(
            &format!("error: `[[listener]] transport` is \"{word}\", and there is no certificate for it"),
            &format!("2:{column}"),
            &format!("\"{word}\""),
            "add [[tls.certificates]] with `cert` and `key`, or [tls.acme] with `names`, and one comes by \
             itself; for trying, `hairpin serve --dev` makes one",
        );
    }
    let trying = Machine {
        is_for_trying: true,
        ..host()
    };
    read(LISTENER, path(), &trying).unwrap();
}

#[test]
fn a_certificate_that_no_listener_shows_is_cautioned() {
    let told = warned(&entry(&good())).remove(0);
    assert_eq!(
        told.sentence,
        "warning: no listener takes TLS, so that this certificate is shown to nobody"
    );
}

#[test]
fn a_mistake_is_told_of_the_file_that_has_it() {
    let ([chain, key], [other, _]) = (good(), good());
    let incomplete = chain.split_inclusive("-----END CERTIFICATE-----\n").next();
    let incomplete = incomplete.unwrap().to_owned();
    for (files, expected, place, help) in [
        (
            [incomplete, key.clone()],
            "error: `[[tls.certificates]] cert`: whose chain is incomplete: the certificate of its \
             issuer (CN=a root) is not in it",
            "5:8",
            "use fullchain.pem",
        ),
        (
            [other, key.clone()],
            "error: `[[tls.certificates]] key`: whose key is not that of the certificate",
            "6:7",
            "after a renewal copy both",
        ),
    ] {
        let told = fault(&(LISTENER.to_owned() + &entry(&files)));
        assert_eq!(sentence(&told), expected);
        assert_eq!(told.place, format!("turnserver.toml:{place}"));
        assert!(told.help.as_ref().unwrap().contains(help), "{told:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_the_user_who_must() {
    let files = "[[tls.certificates]]\ncert = \"forbidden\"\nkey = \"nowhere\"\n";
    let told = fault(&(LISTENER.to_owned() + files));
    let sentence = "error: `[[tls.certificates]] cert` names /etc/hairpin/forbidden, which cannot be \
                    read: permission denied";
    assert_eq!(told.sentence, sentence);
    let help = told.help.unwrap();
    assert!(
        help.starts_with("let `root`, as whom this runs, read it"),
        "{help}"
    );
    let files = files.replace("forbidden", "nowhere");
    let told = fault(&(LISTENER.to_owned() + &files));
    assert!(told.sentence.ends_with("entity not found"), "{told:?}");
}

#[test]
fn an_entry_without_its_key_is_refused() {
    let all = refused(&format!(
        "{LISTENER}[[tls.certificates]]\ncert = \"blank\"\n"
    ));
    let told = &all[0].sentence;
    assert_eq!(told, "error: this `[[tls.certificates]]` has no `key`");
}

#[test]
fn one_whose_time_is_over_or_to_come_is_served_with_a_caution() {
    for (from, to, words) in [
        (2020, 2021, "certificate expired on 2021-01-01T00:00:00Z"),
        (
            2090,
            2091,
            "certificate is not good before 2090-01-01T00:00:00Z",
        ),
    ] {
        let files = certificate("turn.example.org", |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        });
        let told = warned(&(LISTENER.to_owned() + &entry(&files)));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].sentence.contains(words), "{told:?}");
    }
}

#[test]
fn names_that_have_nothing_to_do_with_this_server_are_cautioned() {
    let files = entry(&certificate("www.example.com", |_| {}));
    let with = |top: &str| format!("{top}{LISTENER}{files}");
    let told = warned(&with("realm = \"turn.example.org\"\n")).remove(0);
    let words = "names a certificate for www.example.com, and neither a realm nor an address";
    assert!(told.sentence.contains(words), "{told:?}");
    for realm in [
        "",
        "realm = \"turn.example.com\"\n",
        "realm = \"EXAMPLE.com\"\n",
    ] {
        config(&with(realm));
    }
    let address = entry(&certificate("10.0.0.5", |_| {}));
    config(&format!(
        "realm = \"turn.example.org\"\n{LISTENER}{address}"
    ));
}

#[test]
fn one_that_another_hides_is_cautioned_and_one_file_is_named_once() {
    let (one, two) = (entry(&good()), entry(&good()));
    let told = warned(&format!("{LISTENER}{one}{two}")).remove(0);
    assert!(
        told.sentence.contains("shown to nobody: one before it"),
        "{told:?}"
    );
    let told = fault(&format!("{LISTENER}{one}{one}"));
    assert!(told.sentence.contains("twice"), "{told:?}");
}

/// The configuration read again on a host whose files are now these.
fn again(text: &str, files: fn(&std::path::Path) -> io::Result<Vec<u8>>) -> Loaded {
    let certificates = config(text).tls.certificates;
    let later = Machine {
        certificates,
        read_secret: files,
        ..host()
    };
    read(text, path(), &later).unwrap()
}

#[test]
fn while_files_hold_no_good_certificate_the_one_from_before_stays_and_the_rest_holds() {
    let text = LISTENER.to_owned() + &entry(&good());
    let before = config(&text).tls;
    let gone = again(&text, |_| Err(io::ErrorKind::NotFound.into()));
    assert_eq!(gone.config.tls, before);
    let said = told(&gone.stale.to_string()).remove(0);
    assert!(said.sentence.starts_with("warning: "), "{said:?}");
    let words = "the certificate from before stays (turn.example.org ECDSA)";
    assert!(said.sentence.ends_with(words), "{said:?}");
    let wrong = again(&text, |_| Ok(b"half a file".to_vec()));
    assert_eq!(wrong.config.tls, before);
    let said = told(&wrong.stale.to_string()).remove(0);
    assert!(said.sentence.starts_with("error: "), "{said:?}");
    assert!(told(&wrong.remarks.to_string()).is_empty());
}

fn expired() -> [String; 2] {
    certificate("turn.example.org", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    })
}

#[test]
fn a_good_certificate_does_not_give_way_to_one_that_has_expired() {
    fn files(path: &std::path::Path) -> io::Result<Vec<u8>> {
        // Of two entries with one text, whichever is read.
        static EXPIRED: LazyLock<[String; 2]> = LazyLock::new(expired);
        let is_key = path.display().to_string().contains("PRIVATE");
        Ok(EXPIRED[usize::from(is_key)].clone().into_bytes())
    }
    let text = LISTENER.to_owned() + &entry(&good());
    let later = again(&text, files);
    assert_eq!(later.config.tls, config(&text).tls);
    let said = told(&later.stale.to_string()).remove(0);
    assert!(said.sentence.contains("expired on 2021-01-01"), "{said:?}");
}

#[test]
fn nor_does_it_give_way_to_an_expired_one_in_another_file() {
    let (good, other) = (good(), certificate("192.0.2.7", |_| {}));
    let before = format!("{LISTENER}{}{}", entry(&other), entry(&good));
    let certificates = config(&before).tls.certificates;
    let host = Machine {
        certificates: certificates.clone(),
        ..host()
    };
    let now = format!("{LISTENER}{}{}", entry(&expired()), entry(&other));
    let later = read(&now, path(), &host).unwrap();
    let kept = [certificates[1].clone(), certificates[0].clone()];
    assert_eq!(later.config.tls.certificates, kept);
    let said = told(&later.stale.to_string()).remove(0);
    assert!(said.sentence.starts_with("error: "), "{said:?}");
    let words = "the certificate from before stays (turn.example.org ECDSA)";
    assert!(said.sentence.ends_with(words), "{said:?}");
    // Where it stays beside the expired one, nothing has to be kept.
    let both = format!(
        "{LISTENER}{}{}{}",
        entry(&good),
        entry(&other),
        entry(&expired())
    );
    let later = read(&both, path(), &host).unwrap();
    assert_eq!(told(&later.stale.to_string()), []);
}
