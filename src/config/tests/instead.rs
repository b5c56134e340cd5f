//! Suggestions can be written as they are: the next try is not refused again.

use super::{fault, refused};
use crate::config::{Unusable, read};

/// The value that the help says to write.
fn suggested(text: &str) -> String {
    let help = fault(text).help.unwrap_or_default();
    let value = help.strip_prefix("write ");
    value.unwrap_or_else(|| panic!("{text}: {help}")).to_owned()
}

fn is_accepted(text: &str) -> bool {
    read(text, super::path(), &super::host()).is_ok()
}

#[test]
fn a_value_of_another_type_is_suggested_in_a_form_that_is_read() {
    for (table, key, wrong, right) in [
        ("", "threads", "\"4\"", "4"),
        ("", "realm", "7", "\"7\""),
        (
            "[relay]",
            "external",
            "\"9.9.9.9, 2620:fe::9\"",
            "[\"9.9.9.9\", \"2620:fe::9\"]",
        ),
        ("[peers]", "deny", "\"10.0.0.0/8\"", "[\"10.0.0.0/8\"]"),
        ("[allocation]", "max-lifetime", "3600", "\"3600s\""),
        ("[unauthenticated]", "total", "65536", "\"65536B\""),
        ("[allocation]", "mobility", "\"true\"", "true"),
        // Lines that are not TOML for want of quotes.
        ("", "realm", "turn.example.org", "\"turn.example.org\""),
        ("[relay]", "external", "9.9.9.9 # ours", "\"9.9.9.9\""),
        ("[relay]", "ports", "50000-50099", "\"50000-50099\""),
        ("[peers]", "allow", "10.0.0.0/8", "[\"10.0.0.0/8\"]"),
        ("[log]", "level", "debug", "\"debug\""),
        ("[allocation]", "max-lifetime", "2h", "\"2h\""),
    ] {
        let text = |value: &str| format!("{table}\n{key} = {value}\n");
        assert_eq!(suggested(&text(wrong)), right, "{key} = {wrong}");
        assert!(is_accepted(&text(right)), "{key} = {right}");
    }
    let listener = |listen: &str| format!("[[listener]]\ntransport = \"udp\"\nlisten = {listen}\n");
    for (wrong, right) in [
        ("3478", "\"0.0.0.0:3478\""),
        ("0.0.0.0:3478", "\"0.0.0.0:3478\""),
    ] {
        assert_eq!(suggested(&listener(wrong)), right);
        assert!(is_accepted(&listener(right)));
    }
    let key = |expires: &str| {
        format!(
            "[[oauth.key]]\nid = \"north\"\nkey = \"8F1oQO0gkNXyzTqVvrw+bzgjQ9y3yKDmJwN3Dpvq5Hs=\"\n\
             expires = {expires}\n"
        )
    };
    let right = "\"2027-01-01T00:00:00Z\"";
    assert_eq!(suggested(&key("2027-01-01T00:00:00Z")), right);
    assert!(is_accepted(&key(right)));
}

#[test]
fn a_value_that_no_quotes_make_right_is_answered_with_what_is_wanted() {
    for (text, help) in [
        (
            "threads = \"four\"\n",
            "write a whole number from 0 to 1024",
        ),
        (
            "[relay]\nports = 49152\n",
            "write the first and the last port, such as \"49152-65535\"",
        ),
        (
            "[log]\nformat = true\n",
            "one of `auto`, `text`, `json`, `journal`",
        ),
        ("[allocation]\nmobility = \"yes\"\n", "write true or false"),
        (
            "[allocation]\nmax-lifetime = 0\n",
            "write a duration from 1s to 30days, in quotes",
        ),
        (
            "[relay]\naddresses = \"eth0\"\n",
            "write it without port and brackets, such as \"192.0.2.7\" or \"2001:db8::7\"",
        ),
    ] {
        assert_eq!(fault(text).help.as_deref(), Some(help), "{text}");
    }
    // A date alone is no time.
    let date = "[[oauth.key]]\nid = \"north\"\nexpires = 2027-01-01\n";
    let help = "write it in UTC, such as \"2027-01-01T00:00:00Z\"";
    assert_eq!(refused(date)[0].help.as_deref(), Some(help));
}

#[test]
fn a_secret_of_another_type_is_not_shown_in_the_help() {
    for text in [
        "[auth]\nsecrets = \"3vQ0cW1hZ2ljIG51bWJlcnM=\"\n",
        "[auth]\nsecrets = 3vQ0cW1hZ2ljIG51bWJlcnM\n",
        "[auth]\nsecrets = [8877665544332211]\n",
        "[auth.users]\nalice = 3vQ0cW1hZ2ljIG51bWJlcnM\n",
    ] {
        let told = format!("{:?}", fault(text));
        assert!(!told.contains("3vQ0") && !told.contains("8877"), "{told}");
    }
}

#[test]
fn a_configuration_of_coturn_is_called_so_and_its_options_are_shown_ours() {
    let conf = "# my server\nlistening-port=3478\nfingerprint\nuse-auth-secret\n\
                static-auth-secret=3vQ0cW1hZ2ljIG51bWJlcnM\nrealm=turn.example.org\n\
                total-quota=100\nno-multicast-peers\nexternal-ip=9.9.9.9\n";
    let told = fault(conf);
    told.is(
        "error: this is a turnserver.conf of coturn, which Hairpin does not read",
        "2:1",
        "listening-port",
        "`hairpin import-coturn` translates it; here `listening-port` is `[[listener]] listen`, \
         `use-auth-secret` is `[auth] secrets`, `static-auth-secret` is `[auth] secrets`, `total-quota` is \
         `[allocation] total`, `external-ip` is `[relay] external`; `fingerprint`, `no-multicast-peers` are \
         not needed or not there",
    );
    // Also where all of it could be TOML.
    assert_eq!(
        fault("listening-port = 3478\nmin-port = 49152\nmax-port = 65535\n").place,
        "turnserver.toml:1:1"
    );
    // A slip in a file of ours is told as one.
    for ours in [
        "realm = \"turn.example.org\"\nuser-quota = 3\n",
        "[allocation]\nuser-quota = 3\ntotal-quota = 4\n",
    ] {
        let refused = read(ours, super::path(), &super::host());
        let Err(Unusable::Faulty(remarks, _)) = refused else {
            panic!("{refused:?}");
        };
        assert!(
            remarks.to_string().contains("coturn's `user-quota` is"),
            "{remarks}"
        );
    }
}
