//! `[tls.acme]`: what it means, and its mistakes.

use ::acme::{Name, PRODUCTION, STAGING, Wanted};

use super::{config, fault, refused, warned};

const LISTENER: &str = "[[listener]]\ntransport = \"auto\"\nlisten = \"0.0.0.0:443\"\n";

fn file(keys: &str) -> String {
    format!("{LISTENER}[tls.acme]\n{keys}\n")
}

fn wanted(keys: &str) -> Wanted {
    config(&file(keys)).tls.acme.unwrap()
}

#[test]
fn names_and_addresses_stand_in_one_certificate_of_lets_encrypt() {
    let wanted = wanted("names = [\"TURN.example.org\", \"8.8.4.4\", \"2606:4700::1\"]");
    let names = ["turn.example.org", "8.8.4.4", "2606:4700::1"];
    assert_eq!(
        wanted.names,
        names.map(|name| name.parse::<Name>().unwrap())
    );
    assert_eq!(wanted.directory, PRODUCTION);
    assert_eq!(
        (wanted.contact, wanted.profile, wanted.http_01),
        (vec![], None, None)
    );
    assert_eq!(config(LISTENER_WITHOUT_TLS).tls.acme, None);
}

const LISTENER_WITHOUT_TLS: &str = "[[listener]]\ntransport = \"tcp\"\nlisten = \"0.0.0.0:443\"\n";

#[test]
fn it_may_be_written_in_one_line() {
    let text = format!(
        "{LISTENER}[tls]\nacme = {{ names = [\"turn.example.org\"], contact = \"mailto:a@example.org\" }}\n"
    );
    let wanted = config(&text).tls.acme.unwrap();
    assert_eq!(wanted.contact, ["mailto:a@example.org"]);
}

#[test]
fn another_authority_has_a_url_a_root_a_profile_and_an_account() {
    let wanted = wanted(
        "names = [\"turn.example.org\"]\ndirectory = \"https://acme.example.org/dir\"\n\
         ca-file = \"fullchain.pem\"\nprofile = \"tlsserver\"\naccount-id = \"kid-1\"\n\
         account-key-file = \"north.key\"\nhttp-01 = \"0.0.0.0:80\"",
    );
    assert_eq!(wanted.directory, "https://acme.example.org/dir");
    assert!(!wanted.roots.is_empty());
    assert_eq!(wanted.profile.as_deref(), Some("tlsserver"));
    let account = wanted.external_account.unwrap();
    assert_eq!((account.id.as_str(), account.key.len()), ("kid-1", 32));
    assert_eq!(wanted.http_01.unwrap().port(), 80);
    let staging = self::wanted("names = [\"turn.example.org\"]\ndirectory = \"staging\"");
    assert_eq!(staging.directory, STAGING);
}

#[test]
fn a_mistake_is_told_with_its_key() {
    const NAMES: &str = "names = [\"turn.example.org\"]";
    for (keys, expected) in [
        ("contact = \"mailto:a@example.org\"", "has no `names`"),
        (
            "names = [\"*.example.org\"]",
            "is a wildcard, which needs DNS-01",
        ),
        ("names = [\"localhost\"]", "has no dot"),
        (
            "names = [\"turn.example.org:443\"]",
            "is neither a name of DNS nor an IP address",
        ),
        (
            "names = [\"10.0.0.5\"]",
            "`[tls.acme] names` has 10.0.0.5, which is no public address",
        ),
        ("names = [\"0.0.0.0\"]", "that is the unspecified address"),
        (
            "names = [\"a.example.org\", \"A.example.org\"]",
            "`[tls.acme] names` is given twice",
        ),
        (
            &format!("{NAMES}\ncontact = \"admin@example.org\""),
            "is not the URL of one mailbox",
        ),
        (
            &format!("{NAMES}\ncontact = \"mailto:a@b.org,c@d.org\""),
            "is not the URL of one mailbox",
        ),
        (
            &format!("{NAMES}\ndirectory = \"http://acme.example.org\""),
            "is not \"letsencrypt\"",
        ),
        (
            &format!("{NAMES}\ndirectory = \"lets-encrypt\""),
            "is not \"letsencrypt\"",
        ),
        (
            &format!("{NAMES}\nca-file = \"missing\""),
            "`[tls.acme] ca-file` names /etc/hairpin/missing",
        ),
        (
            &format!("{NAMES}\nca-file = \"secret\""),
            "which has no certificate",
        ),
        (
            &format!("{NAMES}\naccount-id = \"kid-1\""),
            "belong together",
        ),
        (
            &format!("{NAMES}\naccount-id = \"kid-1\"\naccount-key-file = \"short\""),
            "names a file without base64",
        ),
        (
            &format!("{NAMES}\nhttp-01 = \"0.0.0.0:443\""),
            "is where a `[[listener]]` is",
        ),
    ] {
        let told = fault(&file(keys));
        assert!(told.sentence.contains(expected), "{keys}: {told:#?}");
    }
}

#[test]
fn a_certificate_that_nobody_would_prove_or_see_is_cautioned() {
    let names = "[tls.acme]\nnames = [\"turn.example.org\"]\n";
    let elsewhere = "[[listener]]\ntransport = \"tls\"\nlisten = \"0.0.0.0:5349\"\n";
    let told = warned(&format!("{elsewhere}{names}"));
    assert!(
        told[0].sentence.contains("the authority comes to port 443"),
        "{told:#?}"
    );
    let by_http = format!("{elsewhere}{names}http-01 = \"0.0.0.0:80\"\n");
    assert_eq!(warned(&by_http), []);
    let told = warned(&format!("{LISTENER_WITHOUT_TLS}{names}"));
    assert!(told[0].sentence.contains("shown to nobody"), "{told:#?}");
}

#[test]
fn a_listener_for_tls_needs_no_file_where_a_certificate_comes_by_itself() {
    let told = refused(LISTENER);
    assert!(
        told[0].sentence.contains("there is no certificate for it"),
        "{told:#?}"
    );
    wanted("names = [\"turn.example.org\"]");
}

#[test]
fn who_writes_another_name_of_staging_is_told_ours() {
    for (directory, help) in [
        ("letsencrypt-staging", "did you mean \"staging\"?"),
        (
            "http://acme.example.org",
            "write the URL with https://, as the authority tells it",
        ),
    ] {
        let told = fault(&file(&format!(
            "names = [\"turn.example.org\"]\ndirectory = \"{directory}\""
        )));
        assert_eq!(told.help.as_deref(), Some(help), "{directory}");
        assert!(told.sentence.contains("an https:// URL"), "{told:?}");
    }
}
