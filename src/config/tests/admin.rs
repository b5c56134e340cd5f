//! `[admin]` and `[metrics]`, and that the one secret of a table is chosen alike everywhere.

use super::{config, fault, host, path, read, told as told_of};

const TOKEN: &str = "token = \"b25lIHdobyBvcGVyYXRlcw==\"\n";
const CERTIFICATE: &str = "[[tls.certificates]]\ncert = \"fullchain.pem\"\nkey = \"privkey.pem\"\n";

fn admin(keys: &str) -> String {
    format!("[admin]\n{keys}")
}

#[test]
fn the_operator_comes_over_the_network_with_a_token_and_from_elsewhere_over_tls() {
    let here = "listen = \"127.0.0.1:9640\"\n";
    let elsewhere = "listen = [\"10.0.0.5:9640\", \"127.0.0.1:9640\"]\n";
    let told = fault(&admin(here));
    assert!(
        told.sentence.contains("`[admin] listen` lets everybody"),
        "{told:?}"
    );
    assert!(told.help.expect("help").contains("token-file"));
    assert_eq!(
        config(&admin(&format!("{here}{TOKEN}"))).admin.listen.len(),
        1
    );
    let told = fault(&admin(&format!("{elsewhere}{TOKEN}")));
    let sentence =
        "error: `[admin] listen` needs TLS at 10.0.0.5:9640, and there is no certificate";
    assert_eq!(told.sentence, sentence);
    assert!(told.help.expect("help").contains("under [tls]"));
    let secure = format!("{CERTIFICATE}{}", admin(&format!("{elsewhere}{TOKEN}")));
    assert_eq!(config(&secure).admin.listen.len(), 2);
}

#[test]
fn every_address_is_no_loopback_and_a_port_of_others_is_none_of_the_operators() {
    for listen in ["0.0.0.0:9640", "[::]:9640"] {
        let keys = format!("listen = \"{listen}\"\n{TOKEN}");
        let told = fault(&admin(&keys));
        assert!(told.sentence.contains("needs TLS"), "{told:?}");
    }
    let told = fault(&admin(&format!("listen = \"127.0.0.1:3478\"\n{TOKEN}")));
    assert!(
        told.sentence.contains("is a listener of the relay"),
        "{told:?}"
    );
    let metrics = "[metrics]\nlisten = \"127.0.0.1:9640\"\n";
    let both = format!(
        "{}{metrics}",
        admin(&format!("listen = \"127.0.0.1:9640\"\n{TOKEN}"))
    );
    let told = fault(&both);
    assert!(
        told.sentence.contains("of [http] or of [admin]"),
        "{told:?}"
    );
}

#[test]
fn a_token_that_nothing_asks_for_is_a_caution() {
    let loaded = read(&admin(TOKEN), path(), &host()).unwrap();
    let told = told_of(&loaded.remarks.to_string());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0]
            .sentence
            .contains("`[admin] token` means nothing without `listen`"),
        "{told:?}"
    );
}

#[test]
fn of_a_secret_and_a_file_with_it_one_is_wanted_in_every_table() {
    let secret = "\"b25lIHdobyBvcGVyYXRlcw==\"";
    for (head, [here, in_file]) in [
        (
            "[admin]\nlisten = \"127.0.0.1:9640\"\n",
            ["token", "token-file"],
        ),
        (
            "[metrics]\nlisten = \"127.0.0.1:9641\"\n",
            ["token", "token-file"],
        ),
        ("[[http.token]]\nid = \"web\"\n", ["secret", "secret-file"]),
        (
            "[nat-discovery]\npartner = \"10.0.0.9:3479\"\n",
            ["secret", "secret-file"],
        ),
    ] {
        let table = head.lines().next().expect("a header");
        let text = format!("{head}{here} = {secret}\n{in_file} = \"web.token\"\n");
        let told = fault(&text);
        let expected = format!("error: `{table} {in_file}`");
        assert!(told.sentence.starts_with(&expected), "{told:?}");
        let rest = format!(" and `{here}` exclude each other");
        assert!(told.sentence.ends_with(&rest), "{told:?}");
        assert_eq!(told.help.as_deref(), Some("keep the file"));
    }
}
