//! `[[auth.realm]]`: what it means, and what is refused.

use super::{config, fault, warned};
use crate::config::{Secret, UserKey};

const NET: &str = "[[auth.realm]]\nname = \"example.net\"\n";
const SECRET: &str = "secrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n";

#[test]
fn a_realm_says_what_it_says() {
    let config = config(&format!(
        "realm = \"example.org\"\n[auth.users]\nalice = \"wonderland\"\n\
         {NET}listeners = [\"10.0.0.5:3478\", \"[::]:3478\"]\nper-user = 2\ntotal = 10\n{SECRET}\
         secret-files = [\"secret\"]\n[auth.realm.users]\nalice = \"looking-glass\"\n\
         [[auth.realm]]\nname = \"example.com\"\n[auth.realm.users]\nbob = \"through-the-glass\"\n"
    ));
    let [net, com] = &config.auth.realms[..] else {
        panic!("{:?}", config.auth.realms);
    };
    assert_eq!((&*net.name, &*com.name), ("example.net", "example.com"));
    assert_eq!((net.per_user, net.total), (Some(2), Some(10)));
    assert_eq!((com.per_user, com.total), (None, None));
    let listeners = ["10.0.0.5:3478", "[::]:3478"].map(|text| text.parse().unwrap());
    assert_eq!(net.listeners, listeners);
    assert_eq!(net.secrets.len(), 2);
    let password = UserKey::Password(Secret::new("looking-glass"));
    assert_eq!(net.users["alice"], password);
    assert!(com.users.contains_key("bob") && com.secrets.is_empty());
    assert!(!config.realms().unwrap().is_empty());
}

#[test]
fn a_server_with_users_of_another_realm_only_is_no_stun_server() {
    assert!(!config(&format!("{NET}{SECRET}")).is_stun_only());
}

#[test]
fn a_realm_needs_a_name_of_its_own() {
    fault(&format!("[[auth.realm]]\n{SECRET}")).is(
        "error: this `[[auth.realm]]` has no `name`",
        "1:1",
        "[[auth.realm]]",
        "add a line such as `name = \"example.net\"`",
    );
    fault(&format!("[[auth.realm]]\nname = \"a\\\"b\"\n{SECRET}")).is(
        "error: `[[auth.realm]] name` holds a quote or a backslash",
        "2:8",
        "\"a\\\"b\"",
        "the domain of the service does well, such as \"turn.example.org\"",
    );
    fault(&format!("realm = \"example.net\"\n{NET}{SECRET}")).is(
        "error: `[[auth.realm]] name` of `example.net` is given twice",
        "3:8",
        "\"example.net\"",
        "",
    );
    let told = fault(&format!("{NET}{SECRET}{NET}{SECRET}"));
    assert_eq!(told.place, "turnserver.toml:5:8");
}

#[test]
fn a_realm_is_not_written_like_the_default_one() {
    fault("[[realm]]\nname = \"example.net\"\n").is(
        "error: `realm` is an array, expected a string",
        "1:1",
        "[[realm]]",
        "the default realm is `realm` at the top of the file, others are [[auth.realm]]",
    );
    fault("[auth]\nrealm = \"example.net\"\n").is(
        "error: `[auth] realm` is a string, expected an array",
        "2:9",
        "\"***********\"",
        "the default realm is `realm` at the top of the file, others are [[auth.realm]]",
    );
}

#[test]
fn a_realm_is_asked_for_where_clients_are_heard_and_nowhere_twice() {
    fault(&format!("{NET}{SECRET}listeners = [\"10.0.0.5:3479\"]\n")).is(
        "error: `[[auth.realm]] listeners` of `example.net` names 10.0.0.5:3479, where no `[[listener]]` listens",
        "4:14",
        "\"10.0.0.5:3479\"",
        "repeat the `listen` of a `[[listener]]`, or name one address of a \"0.0.0.0\" or \"[::]\" listener",
    );
    let told = fault(&format!("{NET}{SECRET}listeners = [\"3478\"]\n"));
    let sentence =
        "error: `[[auth.realm]] listeners` of `example.net` is not an IP address and a port";
    assert_eq!(told.sentence, sentence);
    let two = format!(
        "{NET}{SECRET}listeners = [\"10.0.0.5:3478\"]\n\
         [[auth.realm]]\nname = \"example.com\"\n{SECRET}listeners = [\"10.0.0.5:3478\"]\n"
    );
    let told = fault(&two);
    let sentence = "error: `[[auth.realm]] listeners` of `example.com` is given twice";
    assert_eq!(told.sentence, sentence);
}

#[test]
fn a_faulty_credential_is_told_with_its_realm() {
    let told = fault(&format!("{NET}secrets = [\"changeme\"]\n"));
    let sentence = "error: `[[auth.realm]] secrets` of `example.net` is still the example of a guide, which everybody knows";
    assert_eq!(
        (&*told.sentence, &*told.underlined),
        (sentence, "\"********\"")
    );
    let told = fault(&format!(
        "{NET}[auth.realm.users]\nbob = {{ key = \"8493\" }}\n"
    ));
    assert_eq!(told.underlined, "\"****\"");
    let told = fault(&format!("{NET}[auth.realm.users]\n\"\" = \"wonderland\"\n"));
    let sentence = "error: `[auth.realm.users]` of `example.net`: the user name is empty or has characters that RFC 8265 forbids";
    assert_eq!(told.sentence, sentence);
    let told = fault(&format!("{NET}{SECRET}total = 1000000\n"));
    let sentence = "error: `[[auth.realm]] total` of `example.net` is 1000000, but `[relay] ports` has room for 32768 allocations";
    assert_eq!(told.sentence, sentence);
}

#[test]
fn one_user_of_a_realm_has_no_more_than_all_of_them() {
    fault(&format!("{NET}{SECRET}per-user = 10\ntotal = 5\n")).is(
        "error: `[[auth.realm]] per-user` of `example.net` is 10, more than `total` with 5",
        "4:12",
        "10",
        "lower `per-user` or raise `total` (0 = no limit)",
    );
}

#[test]
fn a_user_with_and_without_the_realm_is_one_user() {
    let users = "alice = \"wonderland\"\n\"alice@example.net\" = \"looking-glass\"\n";
    fault(&format!("{NET}[auth.realm.users]\n{users}")).is(
        "error: `[auth.realm.users]` of `example.net` has one user twice, with the realm in the name and without, or in two spellings that RFC 8265 makes one",
        "5:1",
        "\"alice@example.net\"",
        "",
    );
    let told = fault(&format!("realm = \"example.net\"\n[auth.users]\n{users}"));
    assert!(
        told.sentence
            .starts_with("error: `[auth.users]` has one user twice")
    );
    assert_eq!(
        config(&format!("[auth.users]\n{users}")).auth.users.len(),
        2
    );
}

#[test]
fn a_user_whose_name_ends_in_another_realm_is_refused() {
    let told = fault(&format!(
        "[auth.users]\n\"alice@example.net\" = \"wonderland\"\n{NET}{SECRET}"
    ));
    told.is(
        "error: `[auth.users]` has a user whose name ends in the realm `example.net`, where such clients are looked for",
        "2:1",
        "\"alice@example.net\"",
        "move the user to the table of `example.net`",
    );
    let told = fault(&format!(
        "realm = \"example.org\"\n{NET}[auth.realm.users]\n\"bob@example.org\" = \"wonderland\"\n"
    ));
    assert!(
        told.sentence
            .starts_with("error: `[auth.realm.users]` of `example.net` has a user")
    );
}

#[test]
fn a_key_in_any_realm_forbids_to_require_sha256() {
    let told = fault(&format!(
        "[auth]\nsha256 = \"require\"\n{NET}[auth.realm.users]\n\
         bob = {{ key = \"8493fbc53ba582fb4c044c456bdc40eb\" }}\n"
    ));
    let sentence = "error: `[auth] sha256` is \"require\", but a user is given by an MD5 key";
    assert_eq!(told.sentence, sentence);
}

#[test]
fn a_realm_of_nobody_is_a_warning() {
    let told = warned(NET);
    assert_eq!(told.len(), 1);
    let sentence = "warning: `[[auth.realm]]` of `example.net` has neither secrets nor users: nobody can authenticate in it";
    assert_eq!(told[0].sentence, sentence);
}

#[test]
fn no_report_shows_a_secret_of_a_realm() {
    for text in [
        "secrets = [\"Tr0ub4dor&3\"]\n",
        "secrets = [\"Tr0ub4dor&3]\n",
        "secret = [\"Tr0ub4dor&3\"]\n",
        "[auth.realm.users]\nalice = 3\nbob = \"Tr0ub4dor&3\"\n",
        "[auth.realm.users]\nname = \"Tr0ub4dor&3\nbob = 3\n",
        "[auth.realm.users]\n\"alice\" \"Tr0ub4dor&3\"\n",
    ] {
        let text = format!("{NET}{text}");
        let refused = super::read(&text, super::path(), &super::host()).unwrap_err();
        assert!(!refused.to_string().contains("Tr0ub4dor"), "{refused}");
    }
}
