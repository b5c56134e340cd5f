//! `[dtls]`, and what it asks of certificates.

use super::tls::{entry, good};
use super::{Told, config, refused, warned};

fn listener(transport: &str) -> String {
    format!("[[listener]]\ntransport = \"{transport}\"\nlisten = \"0.0.0.0:5349\"\n")
}

/// A certificate with an RSA key.
fn with_rsa() -> [String; 2] {
    let both = include_str!("../../certificate/tests/rsa-2048.pem");
    [both, both].map(str::to_owned)
}

fn told_of<'t>(told: &'t [Told], sentence: &str) -> &'t Told {
    let mut all = told.iter();
    let found = all.find(|told| told.sentence.contains(sentence));
    found.unwrap_or_else(|| panic!("{told:?}"))
}

#[test]
fn dtls_is_off_unless_it_is_asked_for() {
    assert!(!config("").dtls);
    let on = format!(
        "{}{}[dtls]\nenabled = true\n",
        listener("auto"),
        entry(&good())
    );
    assert!(config(&on).dtls);
}

#[test]
fn a_listener_for_dtls_alone_needs_an_ecdsa_key() {
    let text = format!("{}{}", listener("dtls"), entry(&with_rsa()));
    let told = refused(&text);
    let told = told_of(
        &told,
        "error: DTLS needs a certificate with an ECDSA key, and [[tls.certificates]] has none",
    );
    assert_eq!(told.underlined, "\"dtls\"");
    let both = format!("{text}{}", entry(&good()));
    let told = warned(&both);
    assert!(
        told.iter().all(|told| !told.sentence.contains("DTLS")),
        "{told:?}"
    );
}

#[test]
fn dtls_on_auto_without_an_ecdsa_key_is_warned_of() {
    let on = "[dtls]\nenabled = true\n";
    let text = format!("{}{}{on}", listener("auto"), entry(&with_rsa()));
    let told = warned(&text);
    let sentence = "warning: DTLS needs a certificate with an ECDSA key, and [[tls.certificates]] has none: it is \
                    not served";
    told_of(&told, sentence);
}

#[test]
fn dtls_where_no_listener_takes_it_is_warned_of() {
    let told = warned("[dtls]\nenabled = true\n");
    let sentence = "warning: `[dtls] enabled` does nothing: no listener has transport = \"auto\"";
    told_of(&told, sentence);
}
