//! `[[redirect]]`: what it means, and what is refused.

use std::net::SocketAddr;

use relay::{Redirect, Target, Transport, When};

use super::tls::{entry, good};
use super::{config, fault, warned};

const DRAINING: &str = "when = \"draining\"\n";
/// The secret of nonces that a rule for one realm needs.
const SHARED: &str = "[auth]\nnonce-secret-file = \"nonce.secret\"\n";

fn to(addresses: &str) -> String {
    format!("[[redirect]]\n{DRAINING}to = [{addresses}]\n")
}

fn target(address: &str, transport: Option<Transport>) -> Target {
    Target {
        transport,
        ..address.parse::<SocketAddr>().unwrap().into()
    }
}

#[test]
fn a_redirect_says_what_it_says() {
    let config = config(
        "realm = \"example.org\"\n\
         [[redirect]]\nto = [\"203.0.113.9:3478\", \"[2001:db8::9]:3478\"]\nwhen = \"draining\"\n\
         [[redirect]]\nto = [\"203.0.113.9:3479\"]\nwhen = { allocations = 90 }\nrealm = \"example.org\"\n\
         [[redirect]]\nto = [\"[2001:db8::9]:3478\"]\nwhen = \"always\"\n\
         [auth]\nnonce-secret-file = \"nonce.secret\"\n",
    );
    let redirect = |to: &[&str], when, realm: Option<&str>| Redirect {
        to: to.iter().map(|to| target(to, None)).collect(),
        when,
        realm: realm.map(Into::into),
        domain: None,
    };
    let both = ["203.0.113.9:3478", "[2001:db8::9]:3478"];
    let expected = [
        redirect(&both, When::Draining, None),
        redirect(
            &["203.0.113.9:3479"],
            When::Allocations(90),
            Some("example.org"),
        ),
        redirect(&both[1..], When::Always, None),
    ];
    assert_eq!(config.redirects, expected);
}

#[test]
fn clients_over_tls_are_sent_where_both_port_and_name_are_written() {
    let rule = |to, rest: &str| format!("[[redirect]]\nto = [\"{to}\"]\n{DRAINING}{rest}");
    let domain = "domain = \"b.example.org\"\n";
    let secure = "203.0.113.9:5349/tls";
    let listener = "[[listener]]\ntransport = \"tls\"\nlisten = \"0.0.0.0:5349\"\n";
    let certificate = entry(&good());
    let rules = config(&format!("{listener}{certificate}{}", rule(secure, domain))).redirects;
    let target = target("203.0.113.9:5349", Some(Transport::Tls));
    assert_eq!(rules[0].to, [target]);
    assert_eq!(rules[0].domain.as_deref(), Some("b.example.org"));
    let told = fault(&rule(secure, ""));
    assert!(
        told.sentence.contains("the rule has no `domain`"),
        "{told:?}"
    );
    assert_eq!(told.underlined, format!("\"{secure}\""));
    let told = warned(&rule("203.0.113.9:5349", domain));
    assert!(
        told[0].sentence.contains("`to` has no server for them"),
        "{told:?}"
    );
    for wrong in [
        "",
        "b..example",
        "-b.example",
        "203.0.113.9",
        "b.example.",
        "b_c.example",
        "bücher.example",
    ] {
        let told = fault(&rule(secure, &format!("domain = \"{wrong}\"\n")));
        assert_eq!(
            told.sentence, "error: `[[redirect]] domain` is not a name of DNS",
            "{wrong}"
        );
    }
}

#[test]
fn a_redirect_needs_a_place_and_a_time() {
    fault(&format!("[[redirect]]\n{DRAINING}")).is(
        "error: this `[[redirect]]` has no `to`",
        "1:1",
        "[[redirect]]",
        "add a line such as `to = [\"203.0.113.9:3478\"]`",
    );
    let told = fault("[[redirect]]\nto = [\"203.0.113.9:3478\"]\n");
    assert_eq!(told.sentence, "error: this `[[redirect]]` has no `when`");
    fault("[[redirect]]\nto = [\"203.0.113.9:3478\"]\nwhen = \"drianing\"\n").is(
        "error: `[[redirect]] when` cannot be `drianing`",
        "3:8",
        "\"drianing\"",
        "did you mean `draining`? One of `always`, `draining`, `{ allocations = 1000 }`",
    );
    let load = |load: &str| {
        fault(&format!(
            "[[redirect]]\nto = [\"203.0.113.9:3478\"]\nwhen = {load}\n"
        ))
    };
    load("{ allocation = 90 }").is(
        "error: unknown key `allocation` in `[[redirect]] when`",
        "3:10",
        "allocation",
        "did you mean `allocations`?",
    );
    load("{ allocations = \"90\" }").is(
        "error: `[[redirect]] when.allocations` is a string, expected a whole number",
        "3:24",
        "\"90\"",
        "write 90",
    );
    let told = load("{}");
    let sentence = "error: this `[[redirect]] when` has no `allocations`";
    assert_eq!(told.sentence, sentence);
    let told = fault("[[redirect]]\nto = [\"203.0.113.9:3478\"]\nwhen = { allocations = 0 }\n");
    let sentence = "error: `[[redirect]] when.allocations` must be from 1 to 4294967295";
    assert_eq!(told.sentence, sentence);
    let told = fault("[[redirect]]\nto = [\"203.0.113.9:3478\"]\nwhen = { allocations = 99999 }\n");
    assert!(told.sentence.contains("has room for 32768 allocations"));
}

#[test]
fn a_redirect_over_a_load_that_is_never_reached_is_a_warning() {
    let rule = "[[redirect]]\nto = [\"203.0.113.9:3478\"]\nwhen = { allocations = 90 }\n";
    let realm =
        "[[auth.realm]]\nname = \"example.net\"\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n";
    let of_realm = format!("{rule}realm = \"example.net\"\n{SHARED}{realm}");
    for text in [
        format!("{rule}[allocation]\ntotal = 89\n"),
        format!("{of_realm}total = 89\n"),
        format!("{of_realm}total = 200\n[allocation]\ntotal = 89\n"),
    ] {
        let told = warned(&text);
        let sentence = "warning: `[[redirect]] when` waits for 90 allocations, but there are never more than 89";
        assert_eq!((told.len(), &*told[0].sentence), (1, sentence));
        assert_eq!(told[0].underlined, "{ allocations = 90 }");
    }
    for text in [
        rule.to_owned(),
        format!("{rule}[allocation]\ntotal = 90\n"),
        format!("{rule}{realm}total = 89\n"),
    ] {
        assert_eq!(config(&text).redirects.len(), 1);
    }
}

#[test]
fn clients_are_not_sent_back_to_where_they_are() {
    for own in ["10.0.0.5:3478", "127.0.0.1:3478", "[2001:db8::5]:3478"] {
        fault(&to(&format!("\"{own}\""))).is(
            &format!("error: `[[redirect]] to` names {own}, where this server listens itself"),
            "3:7",
            &format!("\"{own}\""),
            "name another server, as its clients reach it",
        );
    }
    // By the address that clients know, too.
    let behind_nat = format!(
        "{}[[listener]]\ntransport = \"udp\"\nlisten = \"10.0.0.5:3479\"\n\
         [relay]\naddresses = [\"10.0.0.5\"]\nexternal = [\"203.0.113.7\"]\n",
        to("\"203.0.113.7:3479\"")
    );
    let told = fault(&behind_nat);
    assert!(told.sentence.contains("listens itself"), "{told:?}");
    // Another port of this host is another server.
    assert_eq!(config(&to("\"10.0.0.5:3479\"")).redirects.len(), 1);
}

#[test]
fn clients_are_sent_to_an_address_that_can_be() {
    let told = fault(&to("\"0.0.0.0:3478\""));
    let sentence = "error: `[[redirect]] to` cannot be 0.0.0.0: that is the unspecified address";
    assert_eq!(told.sentence, sentence);
    for wrong in [
        "turn.example.net:3478",
        "203.0.113.9",
        "203.0.113.9:3478/sctp",
        "203.0.113.9:3478/UDP",
        "203.0.113.9:3478/",
        "203.0.113.9/udp",
        "203.0.113.9:3478/udp/tcp",
    ] {
        fault(&to(&format!("\"{wrong}\""))).is(
            "error: `[[redirect]] to` is not an IP address and a port, alone or with /udp, /tcp, /tls or /dtls",
            "3:7",
            &format!("\"{wrong}\""),
            "write \"203.0.113.9:3478\" for clients over UDP and TCP, \"203.0.113.9:3478/udp\", \
             \"203.0.113.9:443/tcp\" or \"203.0.113.9:443/tls\" for those of one",
        );
    }
    let told = fault(&to("\"203.0.113.9:0\""));
    assert!(told.sentence.contains("has port 0"), "{told:?}");
    let told = fault(&to("\"203.0.113.9:3478\", \"203.0.113.9:3478\""));
    assert_eq!(told.sentence, "error: `[[redirect]] to` is given twice");
}

#[test]
fn each_transport_may_have_a_port_of_its_own() {
    let both = config(&to(
        "\"203.0.113.9:3478/udp\", \"203.0.113.9:443/tcp\", \"203.0.113.9:3478/tcp\"",
    ));
    let expected = [
        target("203.0.113.9:3478", Some(Transport::Udp)),
        target("203.0.113.9:443", Some(Transport::Tcp)),
        target("203.0.113.9:3478", Some(Transport::Tcp)),
    ];
    assert_eq!(both.redirects[0].to, expected);
    // A port for both transports is one for each.
    for twice in [["", "/udp"], ["/tcp", ""], ["/tcp", "/tcp"]] {
        let [one, other] = twice.map(|suffix| format!("\"203.0.113.9:3478{suffix}\""));
        let told = fault(&to(&format!("{one}, {other}")));
        assert_eq!(told.sentence, "error: `[[redirect]] to` is given twice");
        assert_eq!(told.underlined, other);
    }
}

#[test]
fn a_port_of_this_server_is_its_own_for_the_transport_that_it_listens_to_only() {
    let listener = "[[listener]]\ntransport = \"udp\"\nlisten = \"10.0.0.5:3478\"\n\
                    [[listener]]\ntransport = \"tcp\"\nlisten = \"10.0.0.5:443\"\n";
    for (suffix, is_own) in [("", true), ("/udp", true), ("/tcp", false)] {
        let text = to(&format!("\"10.0.0.5:3478{suffix}\"")) + listener;
        if is_own {
            let told = fault(&text);
            let sentence = format!(
                "error: `[[redirect]] to` names 10.0.0.5:3478{suffix}, where this server listens itself"
            );
            assert_eq!(told.sentence, sentence);
        } else {
            assert_eq!(config(&text).redirects.len(), 1);
        }
    }
}

#[test]
fn a_port_that_browsers_refuse_is_a_warning() {
    let low = "its users would get no relay: below 1024 it goes to 80 and 443 only";
    let other = "its users would get no relay: the port belongs to another protocol; take 3478, \
                 443 or 80";
    let (chromium, both) = ("Chromium refuses", "Chromium and Firefox refuse");
    for (port, who, help) in [
        (53, chromium, low),
        (444, chromium, low),
        (1023, chromium, low),
        (4190, "Firefox refuses", other),
        (5060, both, other),
        (10080, both, other),
    ] {
        let target = format!("\"203.0.113.9:{port}/udp\"");
        let told = warned(&to(&target));
        assert_eq!(told.len(), 1);
        told[0].is(
            &format!("warning: `[[redirect]] to` has port {port}, which {who}"),
            "3:7",
            &target,
            help,
        );
    }
    for port in [80, 443, 1024, 3478, 5349, 65535] {
        config(&to(&format!("\"203.0.113.9:{port}\"")));
    }
}

/// libwebrtc refuses loopback, nICEr link-local addresses, too.
#[test]
fn a_redirect_to_an_address_that_browsers_refuse_is_a_warning() {
    let loopback =
        "Chromium and Firefox refuse it, and to any other client it is the client's own host";
    let link = "Firefox refuses it, and other clients reach it on one link only";
    let none = "it stands for no host that could be sent to";
    for (address, shown, help) in [
        ("127.0.0.1:3479", "127.0.0.1", loopback),
        ("127.8.0.1:3479", "127.8.0.1", loopback),
        ("[::1]:3479", "::1", loopback),
        ("[::ffff:127.0.0.1]:3479", "127.0.0.1", loopback),
        ("169.254.0.9:3479", "169.254.0.9", link),
        ("[fe80::9]:3479", "fe80::9", link),
        ("0.0.0.9:3479", "0.0.0.9", none),
    ] {
        let target = format!("\"{address}\"");
        let told = warned(&to(&target));
        assert_eq!(told.len(), 1, "{told:#?}");
        let sentence = format!(
            "warning: `[[redirect]] to` names {shown}, which leads clients to no other server"
        );
        told[0].is(&sentence, "3:7", &target, help);
    }
}

#[test]
fn a_redirect_that_no_client_of_any_listener_can_follow_is_a_warning() {
    let listener = |transport, listen| {
        format!("[[listener]]\ntransport = \"{transport}\"\nlisten = \"{listen}\"\n")
    };
    let udp = listener("udp", "0.0.0.0:3478");
    let tcp = listener("tcp", "0.0.0.0:3478");
    let six = listener("udp", "[2001:db8::5]:3478");
    let over_udp = "\"203.0.113.9:3478/udp\"";
    let over_tcp = "\"203.0.113.9:443/tcp\"";
    let to_six = "\"[2001:db8::9]:3478\"";
    for (target, listeners, clients) in [
        (over_tcp, &udp, "UDP and IPv4"),
        (over_udp, &tcp, "TCP and IPv4"),
        (to_six, &udp, "UDP and IPv4"),
        (over_udp, &six, "UDP and IPv6"),
        (
            over_tcp,
            &(udp.clone() + &six),
            "UDP and IPv4, or over UDP and IPv6",
        ),
    ] {
        let told = warned(&(to(target) + listeners));
        assert_eq!(told.len(), 1, "{told:#?}");
        told[0].is(
            "warning: no client of this server can go to the servers that this `[[redirect]] to` names",
            "3:7",
            target,
            &format!(
                "a client keeps its transport and the family of its address: here clients come \
                 over {clients}"
            ),
        );
    }
    // One target that is good for some clients is enough: the others stay.
    for listeners in [&udp, &tcp, &six] {
        config(&(to(&format!("{over_udp}, {over_tcp}, {to_six}")) + listeners));
    }
}

#[test]
fn a_redirect_behind_one_that_always_holds_when_it_does_is_a_warning() {
    let rule = |to: &str, when: &str| format!("[[redirect]]\nto = [{to}]\nwhen = {when}\n");
    let (one, other) = ("\"203.0.113.9:3478\"", "\"203.0.113.10:3478\"");
    let (six, over_udp) = ("\"[2001:db8::9]:3478\"", "\"203.0.113.9:3478/udp\"");
    let (always, draining) = ("\"always\"", "\"draining\"");
    let (some, many) = ("{ allocations = 90 }", "{ allocations = 900 }");
    let realm = "realm = \"host.example.org\"\n";
    let passed = |text: String| {
        let told = warned(&(text + SHARED));
        let sentence = "warning: this `[[redirect]]` never decides: another before it always holds when it does";
        told.iter()
            .for_each(|told| assert_eq!(told.sentence, sentence));
        told.len()
    };
    for when in [always, draining, some] {
        let told = warned(&(rule(one, always) + &rule(other, when)));
        assert_eq!(told.len(), 1, "{told:#?}");
        let help = "put it before the other, or remove it";
        told[0].is(&told[0].sentence, "6:8", when, help);
        // A rule for everyone passes those of realms, too.
        assert_eq!(passed(rule(one, always) + &rule(other, when) + realm), 1);
        assert_eq!(passed(rule(one, when) + realm + &rule(other, always)), 0);
    }
    assert_eq!(passed(rule(one, some) + &rule(other, many)), 1);
    assert_eq!(passed(rule(one, many) + &rule(other, some)), 0);
    assert_eq!(passed(rule(one, some) + realm + &rule(other, many)), 0);
    assert_eq!(passed(rule(one, draining) + &rule(other, some)), 0);
    assert_eq!(passed(rule(one, draining) + &rule(other, draining)), 1);
    assert_eq!(
        passed(rule(one, always) + realm + &rule(other, draining) + realm),
        1
    );
    // A rule without a target for a client leaves that client to the next rule.
    assert_eq!(passed(rule(six, always) + &rule(one, always)), 0);
    assert_eq!(passed(rule(over_udp, always) + &rule(one, always)), 0);
    assert_eq!(
        passed(rule(six, always) + &rule(one, always) + &rule(&format!("{one}, {six}"), draining)),
        1
    );
}

#[test]
fn a_rule_for_one_realm_needs_nonces_that_the_next_server_takes() {
    let rule = to("\"203.0.113.9:3478\"") + "realm = \"host.example.org\"\n";
    fault(&rule).is(
        "error: `[[redirect]] realm` needs `[auth] nonce-secret-file`: of which realm a client is \
         shows when it has signed, and from then on Chromium signs to the next server with a nonce \
         of this one",
        "4:9",
        "\"host.example.org\"",
        "give all servers the same secret, such as nonce-secret-file = \"nonce.secret\" in [auth]; \
         or remove `realm`, and everyone is sent on at the first request",
    );
    let config = config(&(rule + SHARED));
    assert_eq!(
        config.redirects[0].realm.as_deref(),
        Some("host.example.org")
    );
}

#[test]
fn a_redirect_is_for_a_realm_that_there_is() {
    let text = format!(
        "realm = \"example.org\"\n{}realm = \"example.com\"\n",
        to("\"203.0.113.9:3478\"")
    );
    fault(&text).is(
        "error: `[[redirect]] realm` is none of this server's",
        "5:9",
        "\"example.com\"",
        "there is `example.org`",
    );
}
