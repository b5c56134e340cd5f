//! Each mistake: the sentence, the place, the text underlined, and what to write instead.

use super::{config, fault, refused, warned};

#[test]
fn a_report_shows_the_line_underlines_the_fault_and_suggests_the_key() {
    let text =
        "[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:3478\"\n\n[relay]\nport = \"1-2\"\n";
    let report = super::read(text, super::path(), &super::host())
        .unwrap_err()
        .to_string();
    let expected = "\
error: unknown key `port` in `[relay]`
 --> /etc/hairpin/turnserver.toml:6:1
  |
6 | port = \"***\"
  | ^^^^
  |
  = help: did you mean `ports`?
";
    assert_eq!(report, expected);
}

#[test]
fn a_file_that_is_not_toml_is_told_its_first_error() {
    fault("realm = \"a\nthreads = ]\n").is(
        "error: this is not TOML: invalid basic string, expected `\"`",
        "1:11",
        "",
        "",
    );
    fault("[relay]\nports = \"a\"\nports = \"b\"\n").is(
        "error: this is not TOML: duplicate key",
        "3:1",
        "ports",
        "line 2 has this key already: leave one of the two out",
    );
}

#[test]
fn a_table_or_key_that_is_written_twice_is_shown_where_it_stands_already() {
    let keys = "[relay]\nports = \"50000-50009\"\n\n[stop]\ndrain = \"1m\"\n\n";
    let twice = |more: &str| fault(&format!("{keys}{more}")).help.unwrap();
    let table = twice("[relay]\nexternal = \"auto\"\n");
    assert!(table.starts_with("line 1 begins this table"), "{table}");
    let key =
        twice("[[listener]]\nlisten = \"a\"\n\n[[listener]]\nlisten = \"b\"\nlisten = \"c\"\n");
    assert!(key.starts_with("line 11 has this key"), "{key}");
}

#[test]
fn an_error_at_the_end_of_the_file_is_still_shown() {
    let told = fault("[relay]\naddresses = [\"10.0.0.5\"\n\n");
    assert_eq!(
        told.sentence,
        "error: this is not TOML: unclosed array, expected `]`"
    );
    assert_eq!(told.place, "turnserver.toml:2:24");
}

#[test]
fn a_misspelt_key_is_shown_the_right_one() {
    fault("[[listener]]\ntransport = \"udp\"\nlisen = \"[::]:3478\"\n").is(
        "error: unknown key `lisen` in `[[listener]]`",
        "3:1",
        "lisen",
        "did you mean `listen`?",
    );
    fault("[alocation]\ntotal = 1\n").is(
        "error: unknown table `alocation`",
        "1:2",
        "alocation",
        "did you mean `allocation`?",
    );
}

#[test]
fn a_key_in_the_wrong_table_is_shown_the_right_table() {
    fault("[log]\nports = \"50000-50010\"\n").is(
        "error: unknown key `ports` in `[log]`",
        "2:1",
        "ports",
        "`ports` belongs in `[relay]`",
    );
    fault("[log]\nrealm = \"x\"\n").is(
        "error: unknown key `realm` in `[log]`",
        "2:1",
        "realm",
        "`realm` belongs at the top of the file, before the first table or in `[[redirect]]` or in `[[http.token]]` or in `[[cap]]`",
    );
}

#[test]
fn a_key_of_coturn_is_shown_its_name_here() {
    fault("static-auth-secret = \"x\"\n").is(
        "error: unknown key `static-auth-secret`",
        "1:1",
        "static-auth-secret",
        "coturn's `static-auth-secret` is `[auth] secrets` here",
    );
}

#[test]
fn a_key_of_coturn_that_nothing_stands_for_is_called_needless() {
    let told = fault("dh2066 = true\n");
    let help = "coturn's `dh2066` is not needed here, or not there";
    assert_eq!(told.help.as_deref(), Some(help));
}

#[test]
fn a_key_like_no_other_is_shown_what_there_is() {
    fault("[relay]\nflavour = 3\n").is(
        "error: unknown key `flavour` in `[relay]`",
        "2:1",
        "flavour",
        "known here: `addresses`, `external`, `external-from`, `ports`",
    );
}

#[test]
fn a_word_that_is_no_choice_is_shown_the_choices() {
    fault("[[listener]]\ntransport = \"upd\"\nlisten = \"[::]:3478\"\n").is(
        "error: `[[listener]] transport` cannot be `upd`",
        "2:13",
        "\"upd\"",
        "did you mean `udp`? One of `udp`, `tcp`, `tls`, `dtls`, `auto`",
    );
    fault("[peers]\nmode = \"open\"\n").is(
        "error: `[peers] mode` cannot be `open`",
        "2:8",
        "\"open\"",
        "one of `closed`, `allow-list`",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_told_the_right_one() {
    fault("[peers]\ndeny = [\"10.0.0.0/8\", 7]\n").is(
        "error: an entry of `[peers] deny` is a whole number, expected a string",
        "2:23",
        "7",
        "write a network, alone or with ports, in quotes",
    );
    fault("[log]\nlevel = 3\n").is(
        "error: `[log] level` is a whole number, expected a string",
        "2:9",
        "3",
        "one of `error`, `warn`, `info`, `debug`, `trace`",
    );
    fault("[listener]\ntransport = \"udp\"\n").is(
        "error: `listener` is a table, expected an array",
        "1:1",
        "[listener]",
        "write [[listener]] in double brackets, once per entry",
    );
    fault("[oauth.key]\nid = \"north\"\n").is(
        "error: `[oauth] key` is a table, expected an array",
        "1:1",
        "[oauth.key]",
        "write [[oauth.key]] in double brackets, once per entry",
    );
    fault("[oauth]\nkey = \"north\"\n").is(
        "error: `[oauth] key` is a string, expected an array",
        "2:7",
        "\"*****\"",
        "a key has a table of its own, [[oauth.key]], with an `id`",
    );
}

#[test]
fn a_user_is_a_password_or_a_key() {
    fault("[auth.users]\nalice = {}\n").is(
        "error: `[auth.users]` has a user without a password or a key",
        "2:9",
        "{}",
        "write a password in quotes, or { key = \"…\" }",
    );
    fault("[auth.users]\nalice = 3\n").is(
        "error: `[auth.users] alice` is a whole number, expected a password in quotes or { key = \"…\" }",
        "2:9",
        "*",
        "",
    );
    fault("[auth.users]\nalice = { keys = \"x\" }\n").is(
        "error: unknown key `keys` in `[auth.users.alice]`",
        "2:11",
        "keys",
        "did you mean `key`?",
    );
}

#[test]
fn all_wrong_keys_and_types_are_told_at_once() {
    let told =
        refused("reelm = \"x\"\nthreads = true\n[relay]\nport = 3\n[log]\nlevel = \"loud\"\n");
    let places: Vec<&str> = told.iter().map(|told| told.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "turnserver.toml:1:1",
            "turnserver.toml:2:11",
            "turnserver.toml:4:1",
            "turnserver.toml:6:9"
        ]
    );
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let told = refused(
        "realm = \"\"\nthreads = 2000\n[relay]\naddresses = [\"192.0.2.1\"]\nports = \"9-1\"\n\
         [auth]\nsecrets = [\"short\"]\n[allocation]\nmax-lifetime = \"1\"\n[peers]\ndeny = [\"x\", \"y\"]\n",
    );
    assert_eq!(told.len(), 8, "{told:#?}");
}

#[test]
fn a_listener_needs_transport_and_address() {
    fault("[[listener]]\nlisten = \"0.0.0.0:3478\"\n").is(
        "error: this `[[listener]]` has no `transport`",
        "1:1",
        "[[listener]]",
        "add a line such as `transport = \"udp\"`",
    );
    fault("[[listener]]\ntransport = \"tcp\"\n").is(
        "error: this `[[listener]]` has no `listen`",
        "1:1",
        "[[listener]]",
        "add a line such as `listen = \"0.0.0.0:3478\"`",
    );
}

#[test]
fn a_malformed_address_is_shown_the_right_form() {
    fault("[[listener]]\ntransport = \"udp\"\nlisten = \":3478\"\n").is(
        "error: `[[listener]] listen` is not an IP address and a port",
        "3:10",
        "\":3478\"",
        "write \"0.0.0.0:3478\" for every IPv4 address, \"[::]:3478\" for every IPv6 address, or one address and port",
    );
    fault("[relay]\naddresses = [\"eth0\"]\n").is(
        "error: `[relay] addresses` is not an IP address",
        "2:14",
        "\"eth0\"",
        "write it without port and brackets, such as \"192.0.2.7\" or \"2001:db8::7\"",
    );
}

#[test]
fn the_same_listener_twice_is_refused() {
    let twice = "[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:3478\"\n".repeat(2);
    fault(&twice).is(
        "error: `[[listener]] listen` is given twice",
        "6:10",
        "\"0.0.0.0:3478\"",
        "",
    );
}

#[test]
fn one_port_serves_two_transports() {
    let udp = "[[listener]]\ntransport = \"udp\"\nlisten = \"0.0.0.0:3478\"\n";
    assert_eq!(
        config(&format!("{udp}{}", udp.replace("udp", "tcp")))
            .listeners
            .len(),
        2
    );
}

#[test]
fn an_address_that_this_host_does_not_have_is_waited_for_and_those_it_has_are_named() {
    let here = "this host has 127.0.0.1, 10.0.0.5, 10.0.0.6, 2001:db8::5, 2001:db8::6";
    let help = format!(
        "behind 1:1 NAT, `[relay] addresses` holds the local address and `external` the public one; {here}"
    );
    warned("[relay]\naddresses = [\"203.0.113.7\"]\n")[0].is(
        "warning: `[relay] addresses` holds 203.0.113.7, which this host does not have: it is served once the host has it",
        "2:14",
        "\"203.0.113.7\"",
        &help,
    );
    let help = format!(
        "behind 1:1 NAT, `[[listener]] listen` holds the local address, or 0.0.0.0 for all; \
         `[relay] external` holds the public one; {here}"
    );
    warned("[[listener]]\ntransport = \"udp\"\nlisten = \"203.0.113.7:3478\"\n")[0].is(
        "warning: `[[listener]] listen` holds 203.0.113.7, which this host does not have: it is served once the host has it",
        "3:10",
        "\"203.0.113.7:3478\"",
        &help,
    );
}

#[test]
fn external_addresses_are_found_out_or_written_and_never_both() {
    let relay = |keys: &str| format!("[relay]\n{keys}");
    let auto = &warned(&relay("external = \"auto\"\n"))[0];
    assert!(auto.sentence.contains("names nobody to ask"), "{auto:?}");
    let both = fault(&relay(
        "external = [\"auto\", \"203.0.113.7\"]\nexternal-from = \"metadata\"\n",
    ));
    assert!(both.sentence.contains("names addresses, too"), "{both:?}");
    let useless = fault(&relay("external-from = \"stun:stun.example.org\"\n"));
    assert!(useless.sentence.contains("means nothing"), "{useless:?}");
    for wrong in [
        "turn:turn.example.org",
        "stuns:a.example.org",
        "http://a",
        "interface",
    ] {
        let keys = format!("external = \"auto\"\nexternal-from = \"{wrong}\"\n");
        let told = &refused(&relay(&keys))[0];
        assert!(
            told.sentence.contains("is not \"metadata\" or the URI"),
            "{told:?}"
        );
    }
}

#[test]
fn an_address_that_is_no_hosts_is_refused() {
    fault("[relay]\naddresses = [\"0.0.0.0\"]\n").is(
        "error: `[relay] addresses` cannot be 0.0.0.0: that is the unspecified address",
        "2:14",
        "\"0.0.0.0\"",
        "",
    );
    let told = fault("[relay]\nexternal = [\"ff02::1\"]\n");
    assert_eq!(
        told.sentence,
        "error: `[relay] external` cannot be ff02::1: that is a multicast address"
    );
}

#[test]
fn a_family_has_one_relay_address() {
    fault("[relay]\naddresses = [\"10.0.0.5\", \"127.0.0.1\"]\n").is(
        "error: `[relay] addresses` names a second IPv4 address: one of each family is used",
        "2:26",
        "\"127.0.0.1\"",
        "",
    );
    fault("[relay]\naddresses = [\"10.0.0.5\", \"::ffff:10.0.0.5\"]\n").is(
        "error: `[relay] addresses` is given twice",
        "2:26",
        "\"::ffff:10.0.0.5\"",
        "",
    );
}

#[test]
fn external_addresses_pair_with_addresses() {
    fault("[relay]\naddresses = [\"10.0.0.5\", \"2001:db8::5\"]\nexternal = [\"203.0.113.7\"]\n").is(
        "error: `[relay] external` has 1 address and `[relay] addresses` has 2 addresses",
        "3:12",
        "[\"203.0.113.7\"]",
        "give one external address per relay address, in the same order; repeat an address that needs no mapping",
    );
    fault("[relay]\naddresses = [\"10.0.0.5\"]\nexternal = [\"2001:db8::7\"]\n").is(
        "error: `[relay] external` 2001:db8::7 cannot stand for 10.0.0.5: the families differ",
        "3:13",
        "\"2001:db8::7\"",
        "pair IPv4 with IPv4 and IPv6 with IPv6, in the same order",
    );
}

#[test]
fn a_port_range_runs_upwards_from_a_port_that_exists() {
    fault("[relay]\nports = \"60000-50000\"\n").is(
        "error: `[relay] ports` starts at 60000 and ends at 50000",
        "2:9",
        "\"60000-50000\"",
        "write \"50000-60000\"",
    );
    fault("[relay]\nports = \"0-100\"\n").is(
        "error: `[relay] ports` contains port 0, which no peer can send to",
        "2:9",
        "\"0-100\"",
        "start at 1024 or above, such as \"49152-65535\"",
    );
    for malformed in ["49152", "49152-70000", "a-b", "1-2-3", ""] {
        fault(&format!("[relay]\nports = \"{malformed}\"\n")).is(
            "error: `[relay] ports` is not a port range",
            "2:9",
            &format!("\"{malformed}\""),
            "write the first and the last port, such as \"49152-65535\"",
        );
    }
}

#[test]
fn a_malformed_duration_is_shown_the_right_form() {
    for malformed in ["10", "ten minutes", "", "1500ms", "-1s"] {
        fault(&format!("[auth]\nnonce-lifetime = \"{malformed}\"\n")).is(
            "error: `[auth] nonce-lifetime` is not a duration",
            "2:18",
            &format!("\"{malformed}\""),
            "write a number and a unit, such as \"90s\", \"10m\" or \"1h 30m\"",
        );
    }
}

#[test]
fn a_value_out_of_range_is_told_the_range() {
    fault("threads = 1025\n").is(
        "error: `threads` must be from 0 to 1024",
        "1:11",
        "1025",
        "",
    );
    fault("threads = -1\n").is("error: `threads` must be from 0 to 1024", "1:11", "-1", "");
    fault("[allocation]\nchannels = 4097\n").is(
        "error: `[allocation] channels` must be from 1 to 4096",
        "2:12",
        "4097",
        "",
    );
    fault("[allocation]\nmax-lifetime = \"1year\"\n").is(
        "error: `[allocation] max-lifetime` must be from 1s to 30days",
        "2:16",
        "\"1year\"",
        "",
    );
    fault("[auth]\nnonce-lifetime = \"61m\"\n").is(
        "error: `[auth] nonce-lifetime` must be from 1s to 1h",
        "2:18",
        "\"61m\"",
        "",
    );
}

#[test]
fn the_default_lifetime_is_at_most_the_maximum() {
    fault("[allocation]\ndefault-lifetime = \"2h\"\nmax-lifetime = \"1h\"\n").is(
        "error: `[allocation] default-lifetime` is longer than `max-lifetime`",
        "2:20",
        "\"2h\"",
        "lower `default-lifetime` or raise `max-lifetime`",
    );
    fault("[allocation]\nmax-lifetime = \"5m\"\n").is(
        "error: `[allocation] default-lifetime` is longer than `max-lifetime`",
        "2:16",
        "\"5m\"",
        "lower `default-lifetime` or raise `max-lifetime`",
    );
}

#[test]
fn quotas_fit_into_each_other_and_into_the_ports() {
    fault("[allocation]\nper-user = 10\ntotal = 5\n").is(
        "error: `[allocation] per-user` is 10, more than `total` with 5",
        "2:12",
        "10",
        "lower `per-user` or raise `total` (0 = no limit)",
    );
    fault(
        "[relay]\naddresses = [\"10.0.0.5\"]\nports = \"50000-50009\"\n[allocation]\ntotal = 11\n",
    )
    .is(
        "error: `[allocation] total` is 11, but `[relay] ports` has room for 10 allocations",
        "5:9",
        "11",
        "lower the quota, widen `[relay] ports`, or write 0 for no limit",
    );
}

#[test]
fn a_realm_is_what_a_client_can_send_back() {
    let help = "the domain of the service does well, such as \"turn.example.org\"";
    fault("realm = \"\"\n").is("error: `realm` is empty", "1:9", "\"\"", help);
    fault("realm = 'a\"b'\n").is(
        "error: `realm` holds a quote or a backslash",
        "1:9",
        "'a\"b'",
        help,
    );
    fault("realm = \"a\\tb\"\n").is(
        "error: `realm` holds a control character",
        "1:9",
        "\"a\\tb\"",
        help,
    );
    fault("realm = '\u{212B}ngstrom'\n").is(
        "error: `realm` has characters that RFC 8265 writes otherwise or forbids",
        "1:9",
        "'\u{212B}ngstrom'",
        help,
    );
    let told = fault(&format!("realm = \"{}\"\n", "é".repeat(128)));
    assert_eq!(told.sentence, "error: `realm` has more than 127 characters");
}

#[test]
fn a_peer_entry_that_is_no_network_says_why() {
    let told = fault("[peers]\nallow = [\"10.0.0.0/33\"]\n");
    assert!(
        told.sentence
            .starts_with("error: `[peers] allow` holds an entry that is not a network: "),
        "{told:?}"
    );
    assert_eq!(
        (told.place.as_str(), told.underlined.as_str()),
        ("turnserver.toml:2:10", "\"10.0.0.0/33\"")
    );
}

#[test]
fn a_setting_that_works_but_may_not_be_meant_is_a_warning() {
    let told = warned(
        "[relay]\nports = \"1000-2000\"\n[allocation]\ndefault-lifetime = \"1m\"\nmax-lifetime = \"2m\"\n",
    );
    assert_eq!(told.len(), 3);
    told[0].is(
        "warning: `[relay] ports` reaches below 1024, where other services of this host live",
        "2:9",
        "\"1000-2000\"",
        "49152-65535 is the range meant for this",
    );
    for (told, key, place, written) in [
        (&told[1], "default-lifetime", "4:20", "\"1m\""),
        (&told[2], "max-lifetime", "5:16", "\"2m\""),
    ] {
        told.is(
            &format!("warning: `[allocation] {key}` is below 10m, the lifetime RFC 8656 lets clients count on"),
            place,
            written,
            "the calls of libjuice (OBS, libdatachannel), rice and werift end: they refresh after nine \
             minutes or more, whatever they were granted",
        );
    }
    assert_eq!(
        warned("[allocation]\ndefault-lifetime = \"599s\"\n").len(),
        1
    );
    assert_eq!(warned("[allocation]\nmax-lifetime = \"10m\"\n"), []);
}

#[test]
fn a_realm_that_some_clients_have_no_room_for_is_a_warning() {
    let (most, more) = ("r".repeat(63), "r".repeat(64));
    assert_eq!(warned(&format!("realm = \"{most}\"\n")), []);
    let help = "shorten it: libpeer writes past its buffer at 64 bytes; mediastreamer2 (Linphone) and \
                the KVS SDK have room for 127";
    warned(&format!("realm = \"{more}\"\n"))[0].is(
        "warning: `realm` has 64 bytes, and some clients have room for 63",
        "1:9",
        &format!("\"{more}\""),
        help,
    );
    // Bytes, not characters.
    let accents = "\u{e9}".repeat(32);
    warned(&format!(
        "[[auth.realm]]\nname = \"{accents}\"\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n"
    ))[0]
        .is(
            "warning: `[[auth.realm]] name` has 64 bytes, and some clients have room for 63",
            "2:8",
            &format!("\"{accents}\""),
            help,
        );
}

#[test]
fn opening_loopback_to_clients_is_a_warning() {
    for entry in ["127.0.0.1", "127.0.0.0/8:80", "::1"] {
        let told = warned(&format!("[peers]\nallow = [\"{entry}\"]\n"));
        assert_eq!(told.len(), 1, "{entry}");
        assert!(
            told[0]
                .sentence
                .starts_with("warning: `[peers] allow` opens loopback"),
            "{told:?}"
        );
    }
}

#[test]
fn an_entry_that_opens_nothing_of_the_special_ranges_in_it_is_a_warning() {
    let text = "[peers]\nallow = [\"0.0.0.0/0\", \"10.0.0.0/8\", \"8.0.0.0/5:80\"]\n";
    let told = warned(text);
    assert_eq!(told.len(), 2, "{told:#?}");
    for (told, network, block, column) in [
        (
            &told[0],
            "0.0.0.0/0",
            "0.0.0.0/8, This network (RFC 791)",
            10,
        ),
        (
            &told[1],
            "8.0.0.0/5:80",
            "10.0.0.0/8, Private-Use (RFC 1918)",
            37,
        ),
    ] {
        told.is(
            &format!(
                "warning: `[peers] allow` names {network}, which opens public addresses only: {block} \
                 and other special ranges stay denied"
            ),
            &format!("2:{column}"),
            &format!("\"{network}\""),
            "an entry opens a special range where it lies wholly inside: name the network that is \
             meant, such as \"10.1.2.0/24\"",
        );
    }
}

#[test]
fn an_allow_list_without_entries_and_a_listener_without_a_port_are_warnings() {
    let told = warned(
        "[[listener]]\ntransport = \"udp\"\nlisten = \"127.0.0.1:0\"\n[peers]\nmode = \"allow-list\"\n",
    );
    assert!(told[0].sentence.contains("has port 0"), "{told:?}");
    assert!(
        told[1].sentence.contains("no peer can be reached"),
        "{told:?}"
    );
}

#[test]
fn limits_of_tcp_clients_are_held_to_what_can_be() {
    for (line, range) in [
        ("per-prefix = 0", "from 1 to 1000000"),
        ("send-queue = 1000", "from 131072 to 134217728"),
        ("first-frame = \"0s\"", "from 1s to 1h"),
        ("stranger-lifetime = \"2d\"", "from 1s to 1day"),
    ] {
        let told = fault(&format!("[tcp]\n{line}\n"));
        assert!(told.sentence.ends_with(range), "{told:?}");
    }
}

#[test]
fn two_spellings_of_one_name_are_one_user() {
    let told =
        fault("[auth.users]\n\"Zo\u{eb}\" = \"wonderland\"\n\"Zoe\u{308}\" = \"looking-glass\"\n");
    let sentence = "error: `[auth.users]` has one user twice";
    assert!(told.sentence.starts_with(sentence), "{told:?}");
}

#[test]
fn sha256_cannot_be_required_of_a_user_with_an_md5_key() {
    let key = "0123456789abcdef0123456789abcdef";
    fault(&format!(
        "[auth]\nsha256 = \"require\"\n[auth.users]\nalice = {{ key = \"{key}\" }}\n"
    ))
    .is(
        "error: `[auth] sha256` is \"require\", but a user is given by an MD5 key",
        "2:10",
        "\"require\"",
        "give the password instead, or write \"offer\"",
    );
}

#[test]
fn a_lifetime_of_strangers_that_leaves_another_bound_nothing_to_do_is_a_warning() {
    let told = warned("[tcp]\nstranger-lifetime = \"30s\"\n");
    assert_eq!(told.len(), 1, "{told:#?}");
    told[0].is(
        "warning: `[tcp] stranger-lifetime` is shorter than `idle`, 1m, which then ends no connection",
        "2:21",
        "\"30s\"",
        "lengthen it, or shorten `idle`",
    );
    let told = warned("[tcp]\nstranger-lifetime = \"5s\"\nidle = \"5s\"\n");
    assert_eq!(told.len(), 1, "{told:#?}");
    let sentence = "warning: `[tcp] stranger-lifetime` is shorter than `first-frame`, 10s, which \
                    then ends no connection";
    assert_eq!(told[0].sentence, sentence);
    assert_eq!(warned("[tcp]\nstranger-lifetime = \"9s\"\n").len(), 2);
    config("[tcp]\nstranger-lifetime = \"1m\"\n");
}

#[test]
fn what_strangers_hear_is_held_to_what_can_be() {
    for (line, sentence) in [
        ("total = \"many\"", "is not a number of bytes"),
        ("total = \"16\"", "is not a number of bytes"),
        ("total = \"16 apples\"", "is not a number of bytes"),
        ("total = \"99999999999GiB\"", "is not a number of bytes"),
        (
            "total = \"0B\"",
            "must be from 1KiB to 1GiB, or \"unlimited\"",
        ),
        (
            "total = \"2GiB\"",
            "must be from 1KiB to 1GiB, or \"unlimited\"",
        ),
        (
            "per-prefix = \"1MiB\"",
            "`[unauthenticated] per-prefix` is more than `total`",
        ),
        (
            "per-prefix = \"2KiB\"\ntotal = \"1KiB\"",
            "is more than `total`",
        ),
    ] {
        let told = fault(&format!("[unauthenticated]\n{line}\n"));
        assert!(told.sentence.ends_with(sentence), "{told:?}");
    }
}

#[test]
fn a_bandwidth_without_a_clear_unit_is_refused_whatever_it_may_have_meant() {
    let help = "write a number and a unit in quotes, such as \"10Mbit/s\" or, the same, \
                \"1250kB/s\", or \"unlimited\"";
    for written in [
        "\"10Mbps\"",
        "\"10Mb/s\"",
        "\"1250000\"",
        "\"10 Mbit\"",
        "\"1.5Mbit/s\"",
        "\"\"",
    ] {
        fault(&format!("[allocation]\nbandwidth = {written}\n")).is(
            "error: `[allocation] bandwidth` is not a number of bits or bytes per second",
            "2:13",
            written,
            help,
        );
    }
    fault("[allocation]\nbandwidth = 1250000\n").is(
        "error: `[allocation] bandwidth` is a whole number, expected a string",
        "2:13",
        "1250000",
        help,
    );
    for written in ["\"999B/s\"", "\"101Gbit/s\"", "\"0kbit/s\""] {
        fault(&format!("[allocation]\nper-user-bandwidth = {written}\n")).is(
            "error: `[allocation] per-user-bandwidth` must be from 8kbit/s to 100Gbit/s, or \"unlimited\"",
            "2:22",
            written,
            "",
        );
    }
}

#[test]
fn more_secrets_than_a_rotation_needs_are_refused() {
    let secrets = |count: usize| {
        let secrets: Vec<String> = (0..count)
            .map(|it| format!("\"3vQ0cW1hZ2ljIG51bWJlcnM{it}\""))
            .collect();
        format!("[auth]\nsecrets = [{}]\n", secrets.join(","))
    };
    fault(&secrets(9)).is(
        "error: `[auth]` has more than 8 secrets, and with a wrong password each is tried",
        "2:228",
        "\"************************\"",
        "remove those whose last credential has expired; services of their own have `[[auth.realm]]`",
    );
    assert_eq!(config(&secrets(8)).auth.secrets.len(), 8);
}

#[test]
fn a_threshold_of_quality_is_a_share_in_percent_or_milliseconds() {
    for (key, written, said) in [
        ("bad-loss", "\"3\"", "is not a share in percent"),
        ("bad-loss", "\"0.05%\"", "is not a share in percent"),
        ("bad-loss", "\"-1%\"", "is not a share in percent"),
        ("bad-loss", "\"0%\"", "must be from 0.1% to 100%"),
        ("bad-loss", "\"101%\"", "must be from 0.1% to 100%"),
        ("bad-round-trip", "\"300\"", "is not a duration"),
        ("bad-round-trip", "\"2m\"", "must be from 1ms to 1m"),
        (
            "bad-jitter",
            "\"10us\"",
            "is not a duration in milliseconds",
        ),
    ] {
        let told = fault(&format!("[quality]\n{key} = {written}\n"));
        let sentence = format!("error: `[quality] {key}` {said}");
        assert_eq!(told.sentence, sentence, "{written}");
    }
}
