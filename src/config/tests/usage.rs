//! `[usage]` and `[[cap]]`.

use std::num::NonZeroU64;
use std::time::Duration;

use usage::{Cap, Then};

use super::{config, refused, warned};

const SECRET: &str = "secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"";

#[test]
fn nothing_is_told_and_nothing_capped_unless_it_is_written() {
    let config = config("");
    assert!(!config.usage.is_told());
    assert_eq!(config.usage.every, Duration::from_secs(60));
    assert_eq!(config.usage.spool_size, 64 << 20);
    assert_eq!(config.caps, []);
}

#[test]
fn events_go_to_a_file_and_to_a_webhook_with_its_secret_and_its_root() {
    let config = config(&format!(
        "[usage]\nfile = \"usage.jsonl\"\nwebhook = \"https://b.example:8443/in?a=b\"\n{SECRET}\n\
         ca-file = \"root.pem\"\nspool = \"/var/spool/h\"\nspool-size = \"1 GB\"\naddresses = true",
    ));
    let usage = config.usage;
    assert_eq!(usage.file, Some("/etc/hairpin/usage.jsonl".into()));
    assert_eq!(usage.spool, Some("/var/spool/h".into()));
    assert_eq!((usage.spool_size, usage.addresses), (1_000_000_000, true));
    let webhook = usage.webhook.unwrap();
    assert_eq!(webhook.url, "https://b.example:8443/in?a=b");
    assert_eq!(webhook.roots.len(), 2);
}

#[test]
fn a_cap_is_of_a_user_or_of_a_realm_and_says_what_follows() {
    let config = config(
        "[[cap]]\nmonth = \"1 TB\"\nthen = \"warn\"\n\
         [[cap]]\nrealm = \"host.example.org\"\nuser = \"shop-*\"\nmonth = \"500 GB\"\n\
         then = \"throttle\"\nthrottle = \"2Mbit/s\"\n",
    );
    let warn = Cap {
        realm: None,
        user: None,
        bytes: 1_000_000_000_000,
        then: Then::Warn,
    };
    let throttle = Cap {
        realm: Some("host.example.org".to_owned()),
        user: Some("shop-*".to_owned()),
        bytes: 500_000_000_000,
        then: Then::Throttle(NonZeroU64::new(250_000).unwrap()),
    };
    assert_eq!(config.caps, [warn, throttle]);
}

#[test]
fn what_cannot_be_is_refused_with_what_to_write() {
    let webhook = "[usage]\nwebhook = \"https://b.example/in\"";
    for (text, sentence) in [
        (
            webhook.to_owned(),
            "`[usage] webhook` has no `secret-file`, by which it knows who posts",
        ),
        (
            format!("{webhook}\nsecret = \"no base64, but long enough\""),
            "`[usage] secret` is not base64, behind whsec_ or alone",
        ),
        (
            format!("{webhook}\nsecret = \"whsec_c2hvcnQgb25lcw==\""),
            "`[usage] secret` stands for fewer than 16 bytes",
        ),
        (
            format!("{webhook}\n{SECRET}\nsecret-file = \"webhook.secret\""),
            "`[usage] secret` and `secret-file` exclude each other",
        ),
        (
            format!("{webhook}\n{SECRET}\nca-file = \"secret\""),
            "`[usage] ca-file` names /etc/hairpin/secret",
        ),
        (
            format!("[usage]\nwebhook = \"ftp://b.example/in\"\n{SECRET}"),
            "`[usage] webhook` is not an https:// or http:// URL",
        ),
        (
            format!("[usage]\nwebhook = \"https://me:secret@b.example/in\"\n{SECRET}"),
            "`[usage] webhook` is not an https:// or http:// URL",
        ),
        (
            "[usage]\nspool-size = \"1 kB\"".to_owned(),
            "`[usage] spool-size` must be from 64 KiB to 1 TiB",
        ),
        (
            "[usage]\nevery = \"1s\"".to_owned(),
            "`[usage] every` must be from 5s to 1day",
        ),
        (
            "[[cap]]\nmonth = \"many\"\nthen = \"warn\"".to_owned(),
            "`[[cap]] month` is not a number of bytes",
        ),
        (
            "[[cap]]\nthen = \"warn\"".to_owned(),
            "this `[[cap]]` has no `month`",
        ),
        (
            "[[cap]]\nmonth = \"1 GB\"\nthen = \"throttle\"".to_owned(),
            "`[[cap]]` has no `throttle`",
        ),
        (
            "[[cap]]\nrealm = \"other.example\"\nmonth = \"1 GB\"\nthen = \"warn\"".to_owned(),
            "`[[cap]] realm` is no realm of this file",
        ),
        (
            "[[cap]]\nuser = \"*a*\"\nmonth = \"1 GB\"\nthen = \"warn\"".to_owned(),
            "`[[cap]] user` has more than one *",
        ),
    ] {
        let told = refused(&text);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        let said = &told[0].sentence;
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn what_works_and_is_probably_not_meant_is_said() {
    for (text, sentence) in [
        (
            format!("[usage]\nwebhook = \"http://b.example/in\"\n{SECRET}"),
            "not over TLS",
        ),
        (
            format!("[usage]\n{SECRET}"),
            "means nothing without `webhook`",
        ),
        (
            "[[cap]]\nmonth = \"1 GB\"\nthen = \"warn\"\nthrottle = \"2Mbit/s\"".to_owned(),
            "means nothing where `then` is \"warn\"",
        ),
    ] {
        let told = warned(&text);
        let is_said = told.iter().any(|it| it.sentence.contains(sentence));
        assert!(is_said, "{text}: {told:?}");
    }
    // A receiver on this host reads nothing that it may not.
    assert_eq!(
        config(&format!(
            "[usage]\nwebhook = \"http://127.0.0.1:8080/in\"\n{SECRET}"
        ))
        .caps,
        []
    );
}
