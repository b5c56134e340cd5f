//! `[signal]`.

use super::{config, fault, told};

const HTTP: &str = "[http]\nlisten = \"10.0.0.5:8080\"\n";
const SECRET: &str = "3vQ0cW1hZ2ljIG51bWJlcnM=";

#[test]
fn rooms_are_entered_by_a_secret_by_a_token_or_by_name() {
    let written = |keys: &str| {
        let auth = format!("[auth]\nsecrets = [\"{SECRET}2\"]\n");
        config(&format!("{auth}{HTTP}[signal]\nenabled = true\n{keys}\n")).signal
    };
    let signal = written(&format!("secrets = [\"{SECRET}\"]"));
    assert_eq!(signal.secrets[0].expose(), SECRET);
    let signal = written(&format!("token-secrets = [\"{SECRET}\"]"));
    assert_eq!(signal.token_secrets[0].expose(), SECRET);
    assert!(written("open = true").open);
    assert_eq!(written("open = true\nmembers = 20").limits.members, 20);
}

#[test]
fn rooms_that_nobody_may_enter_are_a_fault() {
    fault(&format!("{HTTP}[signal]\nenabled = true\n")).is(
        "error: `[signal] enabled` is true, and nobody may enter a room",
        "4:11",
        "true",
        "give it `secrets` or `token-secrets`, or write open = true if the name of a room is to be enough",
    );
}

#[test]
fn rooms_need_a_place_to_come_to() {
    fault("[signal]\nenabled = true\nopen = true\n").is(
        "error: `[signal] enabled` is true, and browsers have nowhere to come to",
        "2:11",
        "true",
        "write listen = [\"0.0.0.0:8080\", \"[::]:8080\"] under [http]",
    );
}

#[test]
fn secrets_that_nobody_is_asked_for_are_a_fault() {
    let told = fault(&format!(
        "[signal]\nopen = true\nsecrets = [\"{SECRET}\"]\n"
    ));
    assert_eq!(
        told.sentence,
        "error: `[signal] open` is true, and so nobody is asked for a secret"
    );
    let told = fault(&format!(
        "[signal]\nsecrets = [\"{SECRET}\"]\ntoken-secrets = [\"{SECRET}1\"]\n"
    ));
    assert_eq!(
        told.sentence,
        "error: `[signal]` has both secrets and token secrets"
    );
}

#[test]
fn a_secret_that_can_be_guessed_is_a_fault() {
    let told = fault("[signal]\nsecrets = [\"sesame\"]\n");
    assert!(
        told.sentence
            .contains("`[signal] secrets` is a secret of 6 bytes"),
        "{told:?}"
    );
}

#[test]
fn memory_holds_some_messages_of_the_greatest_size() {
    let told = fault("[signal]\nmemory = 1048576\n");
    assert_eq!(
        told.sentence,
        "error: `[signal] memory` has room for fewer than 32 messages of `message-size`"
    );
}

#[test]
fn secrets_without_rooms_and_rooms_without_credentials_are_cautioned_of() {
    let sentences = |text: &str| -> Vec<String> {
        let loaded = super::read(text, super::path(), &super::host()).unwrap();
        let told = told(&loaded.remarks.to_string());
        told.iter().map(|remark| remark.sentence.clone()).collect()
    };
    let has = |text: &str, words: &str| sentences(text).iter().any(|one| one.contains(words));
    let secrets = format!("secrets = [\"{SECRET}\"]\n");
    let off = "`[signal]` has secrets, and is not enabled";
    assert!(has(&format!("{HTTP}[signal]\n{secrets}"), off));
    assert!(!has(
        &format!("{HTTP}[signal]\nenabled = false\n{secrets}"),
        off
    ));
    let bare = "members get no `iceServers`";
    let rooms = format!("{HTTP}[signal]\nenabled = true\nopen = true\n");
    assert!(has(&rooms, bare));
    assert!(!has(&format!("[auth]\n{secrets}{rooms}"), bare));
}
