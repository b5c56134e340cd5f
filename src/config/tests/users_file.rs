//! Users in files of their own.

use std::time::Duration;

use super::{Told, config, fault, refused, time_on_processors, warned};
use crate::config::{PrecomputedKey, Secret, UserKey};

/// A configuration whose file of users has this text: the host of these tests takes it from the
/// file's name.
fn naming(users: &str) -> String {
    let users = users.replace('\n', ";");
    format!("realm = \"example.org\"\n[auth]\nusers-file = '''inline:{users}'''\n")
}

/// Sentence, line and column, and underlined text of the only thing said.
fn parts(told: Told) -> [String; 3] {
    let mut place = told.place.rsplitn(3, ':');
    let (column, line) = (place.next().unwrap(), place.next().unwrap());
    let place = format!("{line}:{column}");
    [told.sentence, place, told.underlined]
}

#[test]
fn a_file_of_users_holds_passwords_and_keys_beside_the_users_of_the_configuration() {
    let key = "8493fbc53ba582fb4c044c456bdc40eb";
    let users = format!("bob = \"looking-glass\"\ncarol = {{ key = \"{key}\" }}");
    let text = naming(&users) + "[auth.users]\nalice = \"wonderland\"\n";
    let users = config(&text).auth.users;
    let password = |text| UserKey::Password(Secret::new(text));
    let key = UserKey::Precomputed(PrecomputedKey::from_hex(key).unwrap());
    let expected = [
        ("alice", password("wonderland")),
        ("bob", password("looking-glass")),
        ("carol", key),
    ];
    assert_eq!(
        users,
        expected.map(|(name, key)| (name.to_owned(), key)).into()
    );
    let nobody = config("[auth]\nusers-file = \"blank\"\n").auth.users;
    assert!(nobody.is_empty());
    let realm = "[[auth.realm]]\nname = \"example.net\"\nusers-file = \"users.toml\"\n";
    assert_eq!(config(realm).auth.realms[0].users.len(), 1);
}

#[test]
fn a_mistake_in_a_file_of_users_is_told_with_its_line_and_without_a_password() {
    for (users, expected) in [
        (
            "alice = \"wonderland\"\nbob = \"changeme\"",
            [
                "error: `[auth] users-file` is still the example of a guide, which everybody knows",
                "2:7",
                "\"********\"",
            ],
        ),
        (
            "alice = \"wonderland\"\nbob = 7",
            [
                "error: `bob` is a whole number, expected a password in quotes or { key = \"…\" }",
                "2:7",
                "*",
            ],
        ),
        (
            "bob = { key = \"abc\" }",
            [
                "error: `key` must be 32 hexadecimal digits",
                "1:15",
                "\"***\"",
            ],
        ),
        (
            "bob = \"looking-glass\"\n\"bob@example.org\" = \"looking-glass\"",
            [
                "error: `[auth] users-file` has one user twice, with the realm in the name and without, \
                 or in two spellings that RFC 8265 makes one",
                "2:1",
                "\"bob@example.org\"",
            ],
        ),
    ] {
        assert_eq!(parts(fault(&naming(users))), expected);
    }
    let [sentence, place, _] = parts(fault(&naming("alice = \"wonderland\"\nbob: looking-glass")));
    assert!(
        sentence.starts_with("error: this is not TOML"),
        "{sentence}"
    );
    assert_eq!(place, "2:4");
    let all = refused(&naming("alice = \"secret\"\nbob = \"secret\""));
    assert_eq!(all.len(), 2);
    let weak = warned(&naming("alice = \"abc\"")).remove(0);
    assert!(weak.sentence.contains("easy to guess"), "{weak:?}");
}

#[test]
fn a_user_of_the_configuration_is_not_also_one_of_the_file() {
    let text = naming("alice = \"looking-glass\"") + "[auth.users]\nalice = \"wonderland\"\n";
    let [sentence, place, _] = parts(fault(&text));
    assert!(sentence.contains("has one user twice"), "{sentence}");
    assert_eq!(place, "1:1");
}

#[test]
fn a_file_of_users_that_is_not_there_is_named() {
    let told = fault("[auth]\nusers-file = \"nowhere.toml\"\n");
    let sentence = "error: `[auth] users-file` names /etc/hairpin/nowhere.toml, which cannot be \
                    read: entity not found";
    assert_eq!(told.sentence, sentence);
    assert_eq!(told.place, "turnserver.toml:2:14");
}

#[test]
fn the_secret_of_nonces_is_no_password_of_a_file_either() {
    let nonces = "bm9uY2VzIG9mIGFsbCBub2Rlcwo=";
    let text = naming(&format!("alice = \"{nonces}\"")) + "nonce-secret-file = \"nonce.secret\"\n";
    let told = fault(&text);
    assert!(
        told.sentence.contains("holds the same secret as"),
        "{told:?}"
    );
    assert!(told.place.starts_with("turnserver.toml:4:"), "{told:?}");
}

#[test]
fn twenty_thousand_users_are_read_in_seconds() {
    let users = (0..20_000).map(|user| format!("u{user} = \"jabberwocky{user}\"\n"));
    let text = naming(&users.collect::<String>());
    let before = time_on_processors();
    assert_eq!(config(&text).auth.users.len(), 20_000);
    // A debug build takes two seconds. Where each letter is compared with each user, it takes
    // a minute, and a reload runs out of patience.
    let took = time_on_processors() - before;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn of_very_many_remarks_on_a_file_the_first_are_told_and_faults_before_cautions() {
    let mut users: String = (0..500)
        .map(|user| format!("u{user} = \"short\"\n"))
        .collect();
    users.push_str("dave = \"changeme\"");
    let told = refused(&naming(&users));
    assert_eq!(told.len(), 101);
    let sentences = || told.iter().map(|told| &*told.sentence);
    assert!(sentences().any(|it| it.starts_with("error: ") && it.contains("example of a guide")));
    let left_out = "warning: 401 more remarks on this file are left out";
    assert_eq!(sentences().filter(|it| *it == left_out).count(), 1);
}
