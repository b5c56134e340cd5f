//! Secrets and passwords: which are refused, and that no report shows one.

use super::{config, fault, host, path, read, refused, warned};
use crate::config::{PrecomputedKey, Secret, UserKey};

const GOOD: &str = "3vQ0cW1hZ2ljIG51bWJlcnM=";
const MAKE_ONE: &str = "make one with `openssl rand -base64 32`";

#[test]
fn a_placeholder_is_refused_in_every_spelling() {
    for placeholder in [
        "changeme",
        "CHANGE-ME",
        "change_me",
        "secret",
        "Password",
        "north",
        "***",
        "<your-secret-here-32-bytes-or-more>",
        "REPLACE_ME_WITH_A_LONG_RANDOM_STRING",
    ] {
        fault(&format!("[auth]\nsecrets = [\"{placeholder}\"]\n")).is(
            "error: `[auth] secrets` is still the example of a guide, which everybody knows",
            "2:12",
            &format!("\"{}\"", "*".repeat(placeholder.len())),
            MAKE_ONE,
        );
    }
}

#[test]
fn a_template_that_nothing_has_filled_in_is_refused_and_a_secret_one_is_hidden() {
    let help = "nothing is put in its place here: write the value itself, or let the tool that writes \
                this file do so";
    let templates = [
        "${HAIRPIN_SECRET}",
        "{{ turn_secret }}",
        "$(cat /run/secrets/turn)",
        "%HAIRPIN_SECRET%",
        "$TURN_SECRET",
        "<turn-shared-secret>",
    ];
    for template in templates {
        for (key, before, is_secret) in [
            ("[auth] secrets", "[auth]\nsecrets = ", true),
            ("[auth.users]", "[auth.users]\nalice = ", true),
            ("realm", "realm = ", false),
            ("[relay] addresses", "[relay]\naddresses = ", false),
        ] {
            let value = match key {
                "realm" | "[auth.users]" => format!("'{template}'"),
                _ => format!("['{template}']"),
            };
            let told = fault(&format!("{before}{value}\n"));
            // The last is of a guide for people.
            if is_secret && template == templates[5] {
                assert!(told.sentence.contains("still the example of a guide"));
            } else {
                let sentence = format!("error: `{key}` is a template that nothing has filled in");
                assert_eq!(told.sentence, sentence);
                assert_eq!(told.help.as_deref(), Some(help));
            }
            assert_eq!(told.underlined.contains(template), !is_secret, "{told:?}");
        }
    }
    // In part, where a value could not be such by chance.
    let told = fault("[[listener]]\ntransport = \"udp\"\nlisten = \"${ADDRESS}:3478\"\n");
    assert_eq!(told.help.as_deref(), Some(help));
    config(
        "[auth]\nsecrets = ['9f${c}0Qd8(kz$(v)<x>%a%']\n[auth.users]\nalice = '<&}$7{{gH}'\nbob = '$9AB_CDEFG'\ncarol = '$ABCDEFg-H'\n",
    );
}

#[test]
fn a_secret_that_is_to_be_generated_is_no_fault_before_the_first_start() {
    let text = |name: &str| format!("[auth]\ngenerated-secret-file = \"{name}\"\n");
    let there = config(&text("/var/lib/hairpin/secret"));
    let secret = Secret::new("Z2VuZXJhdGVkIGF0IHRoZSBzdGFydA==");
    assert_eq!(there.auth.secrets, [secret]);

    let loaded = read(&text("not-there"), path(), &host()).unwrap();
    assert_eq!(loaded.config.auth.secrets, []);
    assert_eq!(
        loaded.ungenerated.as_deref(),
        Some(path().with_file_name("not-there").as_path())
    );
    let told = &warned(&text("not-there"))[0];
    assert!(told.sentence.contains("which is not there yet"), "{told:?}");
    let help = "the server generates a secret in it when it starts";
    assert_eq!(told.help.as_deref(), Some(help));

    // One that is there and weak is not replaced.
    let told = fault(&text("weak"));
    assert!(told.sentence.contains("the example of a guide"), "{told:?}");
}

#[test]
fn an_empty_secret_is_called_so() {
    for empty in ["", " ", "\t"] {
        let told = fault(&format!("[auth]\nsecrets = ['{empty}']\n"));
        let sentence = "error: `[auth] secrets` has a secret that is empty";
        assert_eq!(told.sentence, sentence);
        assert_eq!(told.help.as_deref(), Some(MAKE_ONE));
    }
}

#[test]
fn a_secret_file_that_is_blank_or_no_text_is_called_so_under_every_key() {
    let partner = "[nat-discovery]\npartner = \"203.0.113.8:3479\"\nsecret-file = ";
    for (key, before, after) in [
        ("[auth] secret-files", "[auth]\nsecret-files = [", "]"),
        (
            "[auth] nonce-secret-file",
            "[auth]\nnonce-secret-file = ",
            "",
        ),
        (
            "[[auth.realm]] secret-files` of `example.net",
            "[[auth.realm]]\nname = \"example.net\"\nsecret-files = [",
            "]",
        ),
        ("[nat-discovery] secret-file", partner, ""),
        (
            "[[oauth.key]] key-file` of `north",
            "[[oauth.key]]\nid = \"north\"\nkey-file = ",
            "",
        ),
    ] {
        let base64 = "base64 is wanted: make one with `openssl rand -base64 32`";
        for (file, why, help) in [
            ("blank", "is empty", MAKE_ONE),
            ("binary", "has bytes that are no UTF-8", base64),
        ] {
            let told = fault(&format!("{before}\"{file}\"{after}\n"));
            let sentence = format!("error: `{key}` names /etc/hairpin/{file}, which {why}");
            assert_eq!(told.sentence, sentence);
            assert_eq!(told.underlined, format!("\"{file}\""));
            assert_eq!(told.help.as_deref(), Some(help));
        }
    }
}

#[test]
fn a_short_secret_is_refused() {
    fault("[auth]\nsecrets = [\"correct horse\"]\n").is(
        "error: `[auth] secrets` is a secret of 13 bytes, too short to resist guessing: 16 are the least",
        "2:12",
        "\"*************\"",
        MAKE_ONE,
    );
}

#[test]
fn the_same_secret_twice_is_refused() {
    let told = fault(&format!("[auth]\nsecrets = [\"{GOOD}\", \"{GOOD}\"]\n"));
    assert_eq!(told.sentence, "error: `[auth] secrets` is given twice");
}

#[test]
fn secrets_come_from_the_file_and_from_files_beside_it() {
    let auth = config(&format!(
        "[auth]\nsecrets = [\"{GOOD}\"]\nsecret-files = [\"secret\"]\n"
    ))
    .auth;
    assert_eq!(
        auth.secrets,
        [Secret::new(GOOD), Secret::new("Zm9yIG9uZSBmaWxlIG9ubHkK")]
    );
}

#[test]
fn a_secret_file_that_is_missing_or_weak_is_refused() {
    let told = fault("[auth]\nsecret-files = [\"/run/nothing\"]\n");
    assert_eq!(
        told.sentence,
        "error: `[auth] secret-files` names /run/nothing, which cannot be read: entity not found"
    );
    assert_eq!(
        (told.place.as_str(), told.underlined.as_str()),
        ("turnserver.toml:2:17", "\"/run/nothing\"")
    );
    fault("[auth]\nsecret-files = [\"weak\"]\n").is(
        "error: `[auth] secret-files` is still the example of a guide, which everybody knows",
        "2:17",
        "\"weak\"",
        MAKE_ONE,
    );
}

#[test]
fn a_secret_file_that_everybody_can_read_is_a_warning() {
    let told = warned("[auth]\nsecret-files = [\"public\"]\n");
    assert_eq!(told.len(), 1);
    told[0].is(
        "warning: `[auth] secret-files` names /etc/hairpin/public, which every user of this host may read",
        "2:17",
        "\"public\"",
        "chmod 600 /etc/hairpin/public",
    );
}

#[test]
fn servers_may_share_the_secret_of_their_nonces() {
    let auth = |text: &str| config(&format!("[auth]\n{text}")).auth;
    assert_eq!(auth("").nonce_secret, None);
    let expected = Some(Secret::new("bm9uY2VzIG9mIGFsbCBub2Rlcwo="));
    let auth = auth("nonce-secret-file = \"nonce.secret\"\n");
    assert_eq!(auth.nonce_secret, expected);
    // It mints no credentials.
    assert_eq!(auth.secrets, []);
}

#[test]
fn the_file_of_the_nonce_secret_is_judged_like_those_of_other_secrets() {
    let told = fault("[auth]\nnonce-secret-file = \"nothing\"\n");
    assert_eq!(
        told.sentence,
        "error: `[auth] nonce-secret-file` names /etc/hairpin/nothing, which cannot be read: entity not found"
    );
    fault("[auth]\nnonce-secret-file = \"short\"\n").is(
        "error: `[auth] nonce-secret-file` is a secret of 15 bytes, too short to resist guessing: 16 are the least",
        "2:21",
        "\"short\"",
        MAKE_ONE,
    );
    let told = warned("[auth]\nnonce-secret-file = \"public\"\n");
    assert_eq!(
        told[0].sentence,
        "warning: `[auth] nonce-secret-file` names /etc/hairpin/public, which every user of this host may read"
    );
}

/// Every stranger hears MACs made with it.
#[test]
fn the_secret_of_nonces_is_no_other_secret() {
    const SAME: &str = "bm9uY2VzIG9mIGFsbCBub2Rlcwo=";
    let realm = "[[auth.realm]]\nname = \"example.net\"\n";
    let partner = "[nat-discovery]\npartner = \"203.0.113.8:3479\"\n";
    let oauth = "[[oauth.key]]\nid = \"north\"\nalgorithm = \"A128GCM\"\n";
    let sixteen = "c2l4dGVlbiBieXRlcyE_IQ";
    for (other, text) in [
        ("[auth] secrets", format!("secrets = [\"{SAME}\"]\n")),
        ("[auth] secrets", format!("secrets = [\"{SAME} \"]\n")),
        (
            "[auth] secret-files",
            "secret-files = [\"nonce.secret\"]\n".into(),
        ),
        (
            "[auth.users]",
            format!("[auth.users]\nalice = \"{SAME}\"\n"),
        ),
        (
            "[[auth.realm]] secrets",
            format!("{realm}secrets = [\"{SAME}\"]\n"),
        ),
        (
            "[[auth.realm]] secret-files",
            format!("{realm}secret-files = [\"nonce.secret\"]\n"),
        ),
        (
            "[auth.realm.users]",
            format!("{realm}[auth.realm.users]\nalice = \"{SAME}\"\n"),
        ),
        (
            "[nat-discovery] secret",
            format!("{partner}secret = \"{SAME}\"\n"),
        ),
        (
            "[nat-discovery] secret-file",
            format!("{partner}secret-file = \"nonce.secret\"\n"),
        ),
    ] {
        let told = fault(&format!(
            "[auth]\nnonce-secret-file = \"nonce.secret\"\n{text}"
        ));
        let whose = if other.contains("auth.realm") {
            " of `example.net`"
        } else {
            ""
        };
        told.is(
            &format!(
                "error: `[auth] nonce-secret-file` holds the same secret as `{other}`{whose}: every \
                 stranger hears nonces made with it, and can check guesses at it offline"
            ),
            "2:21",
            "\"nonce.secret\"",
            "make one for nonces alone: `openssl rand -base64 32`",
        );
    }
    // The key of an authorization server is bytes, in either alphabet and padded or not.
    let north = format!("{oauth}key = \"{sixteen}\"\n");
    let told = fault(&format!("[auth]\nnonce-secret-file = \"sixteen\"\n{north}"));
    let sentence = "holds the same secret as `[[oauth.key]] key` of `north`";
    assert!(told.sentence.contains(sentence), "{told:?}");
    // With the file refused for something else, too.
    let told = refused(&format!(
        "threads = -1\n[auth]\nnonce-secret-file = \"nonce.secret\"\nsecrets = [\"{SAME}\", \"x\"]\n"
    ));
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[test]
fn the_report_of_a_secret_of_nonces_points_at_the_other_secret_and_shows_neither() {
    let text = "[auth]\nnonce-secret-file = \"nonce.secret\"\n\
                secrets = [\"bm9uY2VzIG9mIGFsbCBub2Rlcwo=\"]\n";
    let report = read(text, path(), &host()).unwrap_err().to_string();
    assert!(report.contains("----- the same"), "{report}");
    assert!(!report.contains("bm9u"), "{report}");
}

#[test]
fn users_have_passwords_or_keys() {
    let users = config(
        "[auth.users]\nalice = \"wonderland\"\nbob = { key = \"8493fbc53ba582fb4c044c456bdc40eb\" }\n",
    )
    .auth
    .users;
    assert_eq!(users["alice"], UserKey::Password(Secret::new("wonderland")));
    let key = PrecomputedKey::from_hex("8493fbc53ba582fb4c044c456bdc40eb").unwrap();
    assert_eq!(users["bob"], UserKey::Precomputed(key));
}

#[test]
fn a_malformed_key_is_refused_unseen() {
    fault("[auth.users]\nbob = { key = \"8493\" }\n").is(
        "error: `key` must be 32 hexadecimal digits",
        "2:15",
        "\"****\"",
        "make one with `printf 'USER:REALM:PASSWORD' | md5sum`",
    );
}

#[test]
fn a_user_that_no_client_could_be_is_refused() {
    fault("[auth.users]\n\"\" = \"wonderland\"\n").is(
        "error: `[auth.users]`: the user name is empty or has characters that RFC 8265 forbids",
        "2:1",
        "\"\"",
        "",
    );
    fault("[auth.users]\n\"a\\nb\" = { key = \"8493fbc53ba582fb4c044c456bdc40eb\" }\n").is(
        "error: `[auth.users]`: the user name is empty or has characters that RFC 8265 forbids",
        "2:1",
        "\"a\\nb\"",
        "",
    );
    fault("[auth.users]\nalice = \"\"\n").is(
        "error: `[auth.users]`: the password is empty or has characters that RFC 8265 forbids",
        "2:9",
        "\"\"",
        "",
    );
    let told = fault(&format!(
        "[auth.users]\n{} = \"wonderland\"\n",
        "a".repeat(509)
    ));
    assert_eq!(
        told.sentence,
        "error: `[auth.users]` has a user name of more than 508 bytes"
    );
}

#[test]
fn a_password_that_is_easy_to_guess_is_a_warning_and_a_placeholder_is_refused() {
    let told = warned("[auth.users]\nrabbit = \"late\"\ntweedledee = \"tweedledee\"\n");
    assert_eq!(told.len(), 2);
    told[0].is(
        "warning: `[auth.users]` has a password that is easy to guess",
        "2:10",
        "\"****\"",
        "make one with `openssl rand -base64 12`",
    );
    let told = fault("[auth.users]\nalice = \"password\"\n");
    assert_eq!(
        told.sentence,
        "error: `[auth.users]` is still the example of a guide, which everybody knows"
    );
}

#[test]
fn no_report_shows_a_secret_or_a_password() {
    const HIDDEN: &str = "Tr0ub4dor&3";
    let texts = [
        "[auth]\nsecrets = [\"Tr0ub4dor&3\"]\n",
        "[auth]\nsecrets = \"Tr0ub4dor&3\"\n",
        "[auth]\nsecrets = [\"Tr0ub4dor&3\", 3]\n",
        "[auth]\nsecret = [\"Tr0ub4dor&3\"]\n",
        "[auth]\nsecrets = [\"Tr0ub4dor&3]\n",
        "[auth]\nsecrets = [Tr0ub4dor&3]\n",
        "[auth]\nsecrets = [\n  \"Tr0ub4dor&3\n]\n",
        "[auth]\nsecrets = [\"\"\"\nTr0ub4dor&3\"\"\"]\n",
        "auth = { secrets = [\"Tr0ub4dor&3\"] }\n",
        "auth = { secrets = [\"Tr0ub4dor&3\" }\n",
        "auth.secrets = [\"Tr0ub4dor&3\"]\n",
        "auth.secrets = [\"Tr0ub4dor&3]\n",
        "auth = \"Tr0ub4dor&3\"\n",
        "static-auth-secret = \"Tr0ub4dor&3\"\n",
        "static-auth-secret = \"Tr0ub4dor&3\n",
        "static-auth-secret = Tr0ub4dor&3\n",
        "[auth.users]\nalice = \"Tr0ub4dor&3\nbob = 3\n",
        "[auth.users]\nalice = Tr0ub4dor&3\n",
        "[auth.users]\nalice = [\"Tr0ub4dor&3\"]\n",
        "[auth.users]\nalice = { password = \"Tr0ub4dor&3\" }\n",
        "[auth.users]\nalice = { key = \"Tr0ub4dor&3\" }\n",
        "[auth.users]\nalice = \"Tr0ub4dor&3\"\nalice = \"Tr0ub4dor&3\"\n",
        "[auth.users]\nrealm = \"Tr0ub4dor&3\nbob = 3\n",
        "[auth.users]\n\"alice\" \"Tr0ub4dor&3\"\n",
        "[users]\nalice = \"Tr0ub4dor&3\"\n",
        "[[users]]\nalice = \"Tr0ub4dor&3\"\n",
        "[auth.users]\n\"\" = \"Tr0ub4dor&3\"\n",
    ];
    for text in texts {
        let refused = read(text, path(), &host()).unwrap_err();
        assert!(!refused.to_string().contains(HIDDEN), "{text}{refused}");
        assert!(!format!("{refused:#}").contains(HIDDEN), "{text}{refused}");
        assert!(
            !format!("{refused:?}").contains(HIDDEN),
            "{text}{refused:?}"
        );
    }
}

#[test]
fn what_is_no_secret_is_still_shown() {
    let told = refused("[auth]\nnonce-lifetime = \"soon\"\nsecret-files = [\"there\"]\n");
    assert_eq!(told[0].underlined, "\"soon\"");
    assert_eq!(told[1].underlined, "\"there\"");
    let told = fault("[relay]\nports = [\"49152\n");
    assert!(
        told.sentence.starts_with("error: this is not TOML"),
        "{told:?}"
    );
}

#[test]
fn debug_of_a_configuration_shows_no_secret() {
    let config = config(&format!(
        "[auth]\nsecrets = [\"{GOOD}\"]\n[auth.users]\nalice = \"wonderland\"\n"
    ));
    let debug = format!("{config:?}");
    assert!(
        !debug.contains(GOOD) && !debug.contains("wonderland"),
        "{debug}"
    );
}
