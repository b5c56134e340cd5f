//! `[clients]`.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{config, fault, warned};

#[test]
fn networks_are_served_or_not_and_one_that_fails_is_banned() {
    let config = config(
        "[clients]\nallow = [\"192.0.2.0/24\"]\ndeny = [\"192.0.2.7\", \"::ffff:192.0.2.8\"]\n\
         ban-after = 30\nban-within = \"5m\"\nban-for = \"2h\"\n",
    );
    let rules = config.clients.rules();
    for (ip, is_served) in [
        ("192.0.2.6", true),
        ("192.0.2.7", false),
        ("192.0.2.8", false),
        ("192.0.3.1", false),
    ] {
        assert_eq!(rules.admit(ip.parse().unwrap()), is_served, "{ip}");
    }
    let ban = rules.ban.unwrap();
    assert_eq!(ban.after, NonZeroU32::new(30).unwrap());
    assert_eq!(ban.within, Duration::from_secs(300));
    assert_eq!(ban.lasts, Duration::from_secs(7200));
    assert_eq!(super::config("").clients.rules(), relay::Clients::default());
}

#[test]
fn a_client_that_is_no_network_is_shown_one() {
    fault("[clients]\ndeny = [\"everybody\"]\n").is(
        "error: `[clients] deny` holds an entry that is not a network or an IP address",
        "2:9",
        "\"everybody\"",
        "write \"10.0.0.0/8\", \"2001:db8::/32\" or one address",
    );
}

#[test]
fn a_server_for_nobody_is_refused() {
    let told = fault("[clients]\nallow = [\"192.0.2.0/24\"]\ndeny = [\"192.0.0.0/16\"]\n");
    assert!(
        told.sentence.contains("nobody is served"),
        "{}",
        told.sentence
    );
}

#[test]
fn a_ban_that_can_never_come_is_said() {
    let is_said = |after| {
        let text = format!("auth.failures-per-minute = 5\n[clients]\nban-after = {after}\n");
        let told = warned(&text);
        told.iter()
            .any(|told| told.sentence.contains("no network is ever banned"))
    };
    assert!(is_said(56));
    assert!(!is_said(55));
}
