//! `[oauth]`: what it means, and what is refused.

use std::time::Duration;

use relay::keys::Encryption;

use super::{config, fault, host, path, read, warned};
use crate::config::TokenSecret;

const KEY: &str = "ccQYbo3PSwCWXWzxvBBRhZqgsuOErrPAXcQgdJ5tC8g=";
const NORTH: &str = "[[oauth.key]]\nid = \"north\"\n";
const MAKE_32: &str = "make one with `openssl rand -base64 32`; of a longer one coturn uses the first 32 bytes, so give these: `… | base64 -d | head -c 32 | base64`";

#[test]
fn a_key_says_what_it_says() {
    let config = config(&format!(
        "realm = \"example.org\"\n[oauth]\nserver-name = \"turn.example.org\"\n\
         {NORTH}key = \"{KEY}\"\nnot-before = \"2026-01-01 00:00:00\"\nexpires = \"2027-01-01T00:00:00Z\"\n\
         [[oauth.key]]\nid = \"south\"\nalgorithm = \"A128GCM\"\nkey = \"i1lS7dGBqJ5Fd2-Ue3XOyw\"\n"
    ));
    assert_eq!(config.oauth.server_name, "turn.example.org");
    let [north, south] = &config.oauth.keys[..] else {
        panic!("{:?}", config.oauth.keys);
    };
    assert_eq!((&*north.id, &*south.id), ("north", "south"));
    let bytes = TokenSecret::bytes(KEY).unwrap();
    let secret = TokenSecret::new(Encryption::A256Gcm, bytes).unwrap();
    assert_eq!(north.secret, secret);
    let seconds = |year: &str| {
        let time = humantime::parse_rfc3339(&format!("{year}-01-01T00:00:00Z")).unwrap();
        time.duration_since(std::time::UNIX_EPOCH).unwrap()
    };
    assert_eq!(north.valid, seconds("2026")..seconds("2027"));
    assert_eq!(south.valid, Duration::ZERO..Duration::MAX);
    assert!(!config.tokens().is_empty());
}

#[test]
fn the_server_is_known_by_its_realm_unless_it_has_another_name() {
    let config = config(&format!(
        "realm = \"example.org\"\n{NORTH}key = \"{KEY}\"\n"
    ));
    assert_eq!(config.oauth.server_name, "example.org");
}

#[test]
fn a_server_with_token_keys_only_is_no_stun_server() {
    assert!(!config(&format!("{NORTH}key-file = \"north.key\"\n")).is_stun_only());
}

#[test]
fn a_key_needs_an_id_of_its_own() {
    fault(&format!("[[oauth.key]]\nkey = \"{KEY}\"\n")).is(
        "error: this `[[oauth.key]]` has no `id`",
        "1:1",
        "[[oauth.key]]",
        "add a line such as `id = \"north\"`",
    );
    fault(&format!("[[oauth.key]]\nid = \"\"\nkey = \"{KEY}\"\n")).is(
        "error: `[[oauth.key]] id` is empty",
        "2:6",
        "\"\"",
        "",
    );
    let twice = format!("{NORTH}key = \"{KEY}\"\n{NORTH}key-file = \"north.key\"\n");
    fault(&twice).is(
        "error: `[[oauth.key]] id` of `north` is given twice",
        "5:6",
        "\"north\"",
        "",
    );
    let long = "n".repeat(509);
    let told = fault(&format!(
        "[[oauth.key]]\nid = \"{long}\"\nkey = \"{KEY}\"\n"
    ));
    assert_eq!(
        told.sentence,
        "error: `[[oauth.key]] id` has more than 508 bytes"
    );
}

#[test]
fn a_key_stands_in_one_place() {
    fault(NORTH).is(
        "error: this `[[oauth.key]]` has no `key`",
        "1:1",
        "[[oauth.key]]",
        "add a line such as `key-file = \"north.key\"`",
    );
    fault(&format!(
        "{NORTH}key = \"{KEY}\"\nkey-file = \"north.key\"\n"
    ))
    .is(
        "error: `[[oauth.key]] key-file` of `north` stands beside `key`, which says it already",
        "4:12",
        "\"north.key\"",
        "remove one of them",
    );
    let told = fault(&format!("{NORTH}key-file = \"nothing\"\n"));
    assert_eq!(
        told.sentence,
        "error: `[[oauth.key]] key-file` of `north` names /etc/hairpin/nothing, which cannot be read: entity not found"
    );
}

#[test]
fn a_key_of_another_length_or_form_is_refused_unseen() {
    fault(&format!("{NORTH}key = \"not base64\"\n")).is(
        "error: `[[oauth.key]] key` of `north` is not base64",
        "3:7",
        "\"**********\"",
        "make one with `openssl rand -base64 32`",
    );
    fault(&format!("{NORTH}key = \"i1lS7dGBqJ5Fd2+Ue3XOyw==\"\n")).is(
        "error: `[[oauth.key]] key` of `north` has 16 bytes, but A256GCM has keys of 32",
        "3:7",
        "\"************************\"",
        MAKE_32,
    );
    let told = fault(&format!(
        "{NORTH}algorithm = \"A128GCM\"\nkey = \"{KEY}\"\n"
    ));
    assert!(
        told.sentence
            .ends_with("has 32 bytes, but A128GCM has keys of 16"),
        "{told:?}"
    );
}

#[test]
fn an_algorithm_that_is_none_of_ours_is_refused() {
    fault(&format!(
        "{NORTH}key = \"{KEY}\"\nalgorithm = \"A256CBC-HS512\"\n"
    ))
    .is(
        "error: `[[oauth.key]] algorithm` cannot be `A256CBC-HS512`",
        "4:13",
        "\"A256CBC-HS512\"",
        "one of `A256GCM`, `A128GCM`",
    );
}

#[test]
fn a_time_is_one_and_comes_after_the_other() {
    let key = format!("{NORTH}key = \"{KEY}\"\n");
    fault(&format!("{key}expires = \"soon\"\n")).is(
        "error: `[[oauth.key]] expires` of `north` is not a time",
        "4:11",
        "\"soon\"",
        "write it in UTC, such as \"2027-01-01T00:00:00Z\"",
    );
    let times = "not-before = \"2027-01-01T00:00:00Z\"\nexpires = \"2027-01-01T00:00:00Z\"\n";
    fault(&format!("{key}{times}")).is(
        "error: `[[oauth.key]] expires` of `north` is not after `not-before`, so the key is never good",
        "5:11",
        "\"2027-01-01T00:00:00Z\"",
        "",
    );
}

#[test]
fn a_server_name_that_cannot_be_announced_is_refused() {
    let long = "s".repeat(256);
    for (name, flaw) in [
        ("", "is empty"),
        (&*long, "has more than 255 bytes"),
        ("a\\nb", "holds a control character"),
    ] {
        let told = fault(&format!(
            "[oauth]\nserver-name = \"{name}\"\n{NORTH}key = \"{KEY}\"\n"
        ));
        assert_eq!(
            told.sentence,
            format!("error: `[oauth] server-name` {flaw}")
        );
    }
}

#[test]
fn a_name_without_a_key_and_a_key_that_everybody_knows_are_warnings() {
    let told = warned("[oauth]\nserver-name = \"turn.example.org\"\n");
    assert_eq!(told.len(), 1);
    told[0].is(
        "warning: `[oauth] server-name` does nothing without an `[[oauth.key]]`",
        "2:15",
        "\"turn.example.org\"",
        "add one, or remove the name",
    );
    // coturn's `north`, without the line end.
    let sample = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let told = warned(&format!("{NORTH}key = \"{sample}\"\n"));
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].sentence,
        "warning: `[[oauth.key]] key` of `north` is a sample that everybody knows"
    );
}

#[test]
fn no_report_shows_a_key() {
    for text in [
        format!("{NORTH}key = \"{KEY}\"\nx = 1\n"),
        format!("{NORTH}key = \"{KEY}\n"),
        format!("{NORTH}key = [\"{KEY}\"]\n"),
        format!("{NORTH}kee = \"{KEY}\"\n"),
        format!("[oauth]\nkey = \"{KEY}\"\n"),
        format!("[oauth]\nkey = [{{ id = \"north\", key = \"{KEY}\", x = 1 }}]\n"),
        format!("oauth.key = \"{KEY}\"\n"),
    ] {
        let refused = read(&text, path(), &host()).unwrap_err();
        for shown in [refused.to_string(), format!("{refused:?}")] {
            assert!(!shown.contains(&KEY[..8]), "{text}{shown}");
        }
    }
    let config = config(&format!("{NORTH}key = \"{KEY}\"\n"));
    assert!(!format!("{config:?}").contains(&KEY[..8]));
}
