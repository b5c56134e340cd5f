//! Servers that answer but do not act: with a clock that differs from ours, as time-limited
//! credentials show, or with allocations that stay.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use lab::{credentials::password_of, server::SECRET};
use wire::attributes::{
    ErrorCode, Lifetime, RequestedAddressFamily, Username, XorMappedAddress, XorRelayedAddress,
};
use wire::{Algorithm, Class, Key, Message, Method, Writer};

use crate::examination::{Examination, examine};
use crate::script::{bound, challenged, is_signed, on_datagrams};

const REALM: &str = "a realm";

/// Examines a server that accepts a credential if `is_good` returns true for the seconds until it
/// expires. It refuses every request about an allocation.
fn examine_credentials(is_good: impl Fn(i64) -> bool + Send + 'static) -> Examination {
    examine_server(is_good, &[Method::Allocate])
}

/// Examines a server that grants these requests, and does nothing.
fn examine_server(
    is_good: impl Fn(i64) -> bool + Send + 'static,
    granted: &'static [Method],
) -> Examination {
    let server = on_datagrams(move |request, from| {
        let answer = match bound(request, from) {
            Some(answer) => answer,
            None if !is_signed(request) => challenged(request, 401, REALM),
            None => authenticated(request, from, &is_good, granted),
        };
        vec![answer]
    });
    examine(&[&format!("turn:{server}"), "--secret", SECRET])
}

fn authenticated(
    request: &[u8],
    from: SocketAddr,
    is_good: impl Fn(i64) -> bool,
    granted: &[Method],
) -> Vec<u8> {
    let message = Message::parse(request).expect("a request");
    let Username(name) = message.get().ok().flatten().expect("a user name");
    let (expiry, _) = name.split_once(':').expect("an expiry");
    let expiry: u64 = expiry.parse().expect("a number");
    if !is_good(expiry as i64 - now() as i64) {
        return challenged(request, 401, REALM);
    }
    let key = Key::md5(name, REALM, &password_of(SECRET, name)).schedule(Algorithm::Sha1);
    let wants_family = message
        .get::<RequestedAddressFamily>()
        .is_ok_and(|family| family.is_some());
    let is_granted = granted.contains(&message.method()) && !wants_family;
    let class = [Class::Error, Class::Success][usize::from(is_granted)];
    let mut packet = Vec::new();
    let mut writer = Writer::new(&mut packet, message.method(), class, message.transaction());
    if is_granted {
        let relayed = "127.0.0.1:9".parse().expect("an address");
        writer
            .put(&XorRelayedAddress(relayed))
            .put(&XorMappedAddress(from));
        writer.put(&Lifetime(600));
    } else {
        let (code, reason) = (400, "not here");
        writer.put(&ErrorCode { code, reason });
    }
    writer.sign(&key);
    packet
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a time after 1970").as_secs()
}

/// The findings about credentials.
fn about_credentials(report: &Examination) -> Vec<&str> {
    let codes = ["D030", "D031", "D032", "D033", "D034", "D038", "D039"];
    codes
        .into_iter()
        .filter(|code| report.sentence(code).is_some())
        .collect()
}

#[test]
fn a_clock_that_is_right_is_no_finding() {
    let report = examine_credentials(|left| left > 0);
    assert!(about_credentials(&report).is_empty(), "{report}");
    // The rest was examined as usual.
    report.assert_has(&["D048", "D052"]);
}

#[test]
fn a_clock_that_is_ahead_is_d033() {
    let report = examine_credentials(|left| left > 180);
    assert_eq!(about_credentials(&report), ["D033"], "{report}");
}

#[test]
fn a_clock_that_is_a_day_or_more_ahead_is_d039_and_no_wrong_secret() {
    for (hours, words) in [(25, "one to two days"), (1_000, "more than two days")] {
        let report = examine_credentials(move |left| left > hours * 3_600);
        assert_eq!(about_credentials(&report), ["D039"], "{report}");
        report.assert_says("D039", words);
        // The rest was examined as usual.
        report.assert_has(&["D048", "D052"]);
    }
}

#[test]
fn a_name_that_is_still_good_and_refused_is_told_with_its_time() {
    let server = on_datagrams(|request, from| {
        vec![bound(request, from).unwrap_or_else(|| challenged(request, 401, REALM))]
    });
    let user = format!("{}:alice", now() + 90_000);
    let password = password_of(SECRET, &user);
    let report = examine(&[
        &format!("turn:{server}"),
        "--user",
        &user,
        "--password",
        &password,
    ]);
    report.assert_errors(&["D030"]);
    report.assert_says("D030", "by this host's clock the name is good for");
}

#[test]
fn a_clock_that_is_minutes_behind_is_d038() {
    let report = examine_credentials(|left| left > -600);
    assert_eq!(about_credentials(&report), ["D038"], "{report}");
}

#[test]
fn a_server_that_does_not_look_at_the_expiry_is_d034() {
    let report = examine_credentials(|_| true);
    assert_eq!(about_credentials(&report), ["D034"], "{report}");
}

#[test]
fn an_allocation_that_is_there_after_its_deletion_is_d053() {
    let yes = &[Method::Allocate, Method::Refresh, Method::CreatePermission];
    let report = examine_server(|left| left > 0, yes);
    report.assert_has(&["D053"]);
    assert!(report.sentence("D052").is_none(), "{report}");
}
