//! `[http]`, `[[http.token]]` and `[demo]`.

use std::time::Duration;

use super::{config, fault, told};

const SECRETS: &str = "[auth]\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n";
const TOKEN: &str = "[[http.token]]\nid = \"web\"\nsecret = \"b25lIHdobyBhc2tzIGZvciBpdA==\"\n";
const LISTEN: &str = "[http]\nlisten = \"10.0.0.5:8080\"\n";

#[test]
fn a_token_is_for_a_day_and_everybody_unless_it_says_otherwise() {
    let http = config(&format!("{SECRETS}{LISTEN}{TOKEN}")).http;
    let [token] = &http.tokens[..] else {
        panic!("{http:?}");
    };
    assert_eq!((&*token.id, &*token.users), ("web", "*"));
    assert_eq!(token.realm, "host.example.org");
    assert_eq!(token.max_lifetime, Duration::from_secs(86_400));
    assert_eq!(token.per_minute.map(u32::from), Some(6000));
    let more = "max-lifetime = \"1h\"\nper-minute = 0\nusers = \"shop-*\"\n";
    let http = config(&format!("{SECRETS}{LISTEN}{TOKEN}{more}")).http;
    let token = &http.tokens[0];
    assert_eq!(token.max_lifetime, Duration::from_secs(3600));
    assert_eq!((token.per_minute, &*token.users), (None, "shop-*"));
}

#[track_caller]
fn refused(text: &str, sentence: &str) {
    let told = fault(&format!("{SECRETS}{LISTEN}{text}"));
    assert!(told.sentence.contains(sentence), "{told:?}");
}

#[test]
fn a_token_that_cannot_work_or_is_not_safe_is_a_fault() {
    let of = |keys: &str| format!("[[http.token]]\n{keys}\n");
    let secret = "secret = \"b25lIHdobyBhc2tzIGZvciBpdA==\"";
    refused(&of("id = \"a\""), "has no `secret`");
    refused(
        &of("id = \"a\"\nsecret = \"sesame\""),
        "a secret of 6 bytes",
    );
    refused(
        &of("id = \"a\"\nsecret = \"one with spaces in it\""),
        "characters that no bearer token has",
    );
    refused(
        &of("id = \"a\"\nsecret = \"3vQ0cW1hZ2ljIG51bWJlcnM=\""),
        "is a secret of [auth] as well",
    );
    refused(&of(&format!("id = \"a/b\"\n{secret}")), "more than letters");
    refused(
        &of(&format!("id = \"a\"\n{secret}\nusers = \"*-*\"")),
        "more than one *",
    );
    refused(
        &of(&format!("id = \"a\"\n{secret}\nrealm = \"example.net\"")),
        "is no realm of this file",
    );
    refused(&format!("{TOKEN}{TOKEN}"), "`[[http.token]] id`");
    refused(
        &format!("{TOKEN}{}", TOKEN.replace("web", "shop")),
        "have the same secret",
    );
    let told = fault(&format!("{LISTEN}{TOKEN}"));
    assert!(told.sentence.contains("there is no secret"), "{told:?}");
}

#[test]
fn an_address_of_the_relay_or_one_that_stands_twice_is_a_fault() {
    let told = fault("[http]\nlisten = \"0.0.0.0:3478\"\n");
    assert!(told.sentence.contains("of the relay"), "{told:?}");
    fault("[http]\nlisten = [\"10.0.0.5:80\", \"10.0.0.5:80\"]\n");
    let told = fault("[http]\ntls-listeners = true\n");
    assert!(
        told.sentence.contains("no `[[listener]]` takes TLS"),
        "{told:?}"
    );
}

#[test]
fn everybody_is_no_proxy() {
    let told = fault(&format!("{LISTEN}forwarded-from = [\"0.0.0.0/0\"]\n"));
    assert!(told.sentence.contains("every host is believed"), "{told:?}");
}

#[test]
fn a_demo_is_cautioned_of_and_has_to_be_somewhere() {
    let demo = "[demo]\nenabled = true\n";
    let told_of = |text: &str| {
        let loaded = super::read(text, super::path(), &super::host()).unwrap();
        told(&loaded.remarks.to_string())
    };
    let remarks = told_of(&format!("{SECRETS}{LISTEN}{demo}"));
    assert!(
        remarks
            .iter()
            .any(|it| it.sentence.contains("everybody who opens the pages")),
        "{remarks:?}"
    );
    let remarks = told_of(&format!("{LISTEN}{demo}"));
    assert!(
        remarks
            .iter()
            .any(|it| it.sentence.contains("get no credential")),
        "{remarks:?}"
    );
    assert!(fault(demo).sentence.contains("serves pages nowhere"));
    let remarks = told_of("[http]\nlisten = \"10.0.0.5:6000\"\n");
    assert!(
        remarks[0]
            .sentence
            .contains("has port 6000, at which browsers open nothing"),
        "{remarks:?}"
    );
}

#[test]
fn a_port_on_every_address_and_the_same_one_on_one_are_a_fault_before_the_start() {
    let http = |listen: &str| format!("[http]\nlisten = [{listen}]\n");
    let told = fault(&http("\"0.0.0.0:8080\", \"127.0.0.1:8080\""));
    assert!(told.sentence.contains("is given twice"), "{told:?}");
    let metrics = "[metrics]\nlisten = \"127.0.0.1:8080\"\n";
    let told = fault(&format!("{}{metrics}", http("\"0.0.0.0:8080\"")));
    assert!(
        told.sentence
            .contains("is a listener of the relay, of [http] or of [admin]"),
        "{told:?}"
    );
    let loaded = config(&format!(
        "{}{metrics}",
        http("\"10.0.0.5:8080\", \"[::]:8080\"")
    ));
    assert_eq!(loaded.metrics.listen.len(), 1);
}
