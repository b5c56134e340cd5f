//! `[metrics]`: who may scrape, and where.

use super::{config, fault};

const TOKEN: &str = "token-file = \"web.token\"\n";
const CLIENT_CA: &str = "client-ca = \"root.pem\"\n";
const CERTIFICATE: &str = "[[tls.certificates]]\ncert = \"fullchain.pem\"\nkey = \"privkey.pem\"\n";
const HERE: &str = "listen = \"127.0.0.1:9641\"\n";
const ELSEWHERE: &str = "listen = [\"10.0.0.5:9641\", \"127.0.0.1:9641\"]\n";

fn metrics(keys: &str) -> String {
    format!("[metrics]\n{keys}")
}

#[test]
fn nobody_scrapes_unless_a_place_is_written_and_on_this_host_nothing_is_shown() {
    let metrics_of = |text: &str| config(text).metrics;
    let off = metrics_of("");
    assert!(off.listen.is_empty() && off.token.is_none() && off.client_ca.is_none());
    let here = metrics_of(&metrics(HERE));
    assert!(here.listen.len() == 1 && here.token.is_none());
}

#[test]
fn an_address_that_others_reach_needs_tls_and_a_token_or_certificates_of_clients() {
    let secure = |keys: &str| format!("{CERTIFICATE}{}", metrics(&format!("{ELSEWHERE}{keys}")));
    for listen in ["10.0.0.5:9641", "0.0.0.0:9641", "[::]:9641"] {
        let told = fault(&metrics(&format!("listen = \"{listen}\"\n")));
        let sentence =
            format!("error: `[metrics] listen` tells everybody who reaches {listen} of the server");
        assert_eq!(told.sentence, sentence);
        let help = told.help.expect("help");
        assert!(
            help.contains("token-file") && help.contains("client-ca"),
            "{help}"
        );
    }
    let told = fault(&secure(""));
    assert!(
        told.sentence
            .contains("tells everybody who reaches 10.0.0.5:9641"),
        "{told:?}"
    );
    for keys in [TOKEN, CLIENT_CA] {
        let told = fault(&metrics(&format!("listen = \"10.0.0.5:9641\"\n{keys}")));
        let sentence =
            "error: `[metrics] listen` needs TLS at 10.0.0.5:9641, and there is no certificate";
        assert_eq!(told.sentence, sentence);
        assert_eq!(config(&secure(keys)).metrics.listen.len(), 2);
    }
    let both = config(&secure(&format!("{TOKEN}{CLIENT_CA}"))).metrics;
    assert!(both.token.is_some() && both.client_ca.is_some());
}

#[test]
fn a_certificate_is_shown_over_https_only_on_this_host_too() {
    assert_eq!(
        config(&metrics(&format!("{HERE}{TOKEN}")))
            .metrics
            .listen
            .len(),
        1
    );
    let told = fault(&metrics(&format!("{HERE}{CLIENT_CA}")));
    assert!(
        told.sentence.contains("needs TLS at 127.0.0.1:9641"),
        "{told:?}"
    );
    let told = told.help.expect("help");
    assert!(told.contains("over HTTPS only"), "{told}");
}

#[test]
fn a_file_without_authorities_is_told_with_its_flaw() {
    for (file, flaw) in [
        ("gone.pem", "which cannot be read"),
        ("inline:Good morning", "in which there is no certificate"),
        ("privkey.pem", "which holds a key and no certificate"),
        (
            "inline:-----BEGIN CERTIFICATE-----;MAA=;-----END CERTIFICATE-----;",
            "whose certificate number 1 cannot be read",
        ),
    ] {
        let keys = format!("{ELSEWHERE}client-ca = \"{file}\"\n");
        // It is one fault: what the address needs is not told beside it.
        let told = fault(&metrics(&keys));
        let start = format!("error: `[metrics] client-ca` names /etc/hairpin/{file}, {flaw}");
        assert!(told.sentence.starts_with(&start), "{told:?}");
        assert!(told.help.expect("help").contains("authority"));
    }
}
