//! The quality of a call, of which one side has a bad network.

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use lab::{
    PATIENCE,
    bad_line::BadLine,
    browser::Browser,
    program::{Program, number_after},
    server::{PASSWORD, PORT, Server, USER, binary, serving},
    setup::Setup,
    wait_for,
    world::{PEER_V4, SERVER_V4, World},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Page, ice_servers};

#[test]
fn the_leg_that_loses_and_delays_is_found_in_a_call_of_chromium_on_channels() {
    let place = TempDir::new().expect("a temporary directory");
    serving(judging(&place), |world, server| {
        server.wait_for_line(&["admin.listening"]);
        the_bad_leg_is_found(Browser::Chromium, world, server, &place);
    });
}

#[test]
fn the_leg_that_loses_and_delays_is_found_in_a_call_of_firefox_by_indications() {
    let place = TempDir::new().expect("a temporary directory");
    serving(judging(&place), |world, server| {
        server.wait_for_line(&["admin.listening"]);
        the_bad_leg_is_found(Browser::Firefox, world, server, &place);
    });
}

/// A server that tells how its sessions are, with thresholds between a line that is bad and none.
fn judging(place: &TempDir) -> Setup {
    Setup::closed().with(&format!(
        "admin.socket = '{}'\nquality.bad-loss = '1%'\nquality.bad-round-trip = '120ms'",
        place.path().join("admin.sock").display()
    ))
}

/// One end of a call has a line of 200 ms there and back that loses 2 %, the other end has none.
fn the_bad_leg_is_found(browser: Browser, world: &World, server: &Server, place: &TempDir) {
    let address = SocketAddr::from((SERVER_V4, PORT));
    let line = BadLine::to(address, PEER_V4, Duration::from_millis(100), 50);
    let mut trace = Program::start(command(world, place, &["trace", "--user", USER, "--json"]));
    trace.wait_for_words("begun");
    let ends = [line.address(), address].map(|address| {
        let url = format!("turn:{address}?transport=udp");
        ice_servers(&url, [USER, PASSWORD])
    });
    let mut page = Page::open(
        browser,
        json!({ "ends": ends, "seconds": A_WHILE.as_secs(), "isBusy": true }),
    );
    page.read("video");
    // Three of the last five checks decide the median: those of the start share the line with a megabyte. Browsers check
    // consent every four to six seconds. RFC 7675 §5.1
    let enough = line.checks() + 3;
    wait_for("media, and three more checks", A_WHILE, || {
        (line.media().0 > 1000 && line.checks() >= enough).then_some(())
    });

    let before = line.media();
    let listed = asked(world, place, &["sessions", "--bad"]);
    let (after, round_trips) = (line.media(), milliseconds(&line));
    let sessions = listed.as_array().expect("sessions").iter();
    let is_on_line = |it: &&Value| line.has(it["client"].as_str().expect("an address"));
    let (on_line, direct): (Vec<_>, Vec<_>) = sessions.partition(is_on_line);
    let ([on_line], [direct]) = (&on_line[..], &direct[..]) else {
        panic!("two sessions: {listed:#}");
    };
    println!("{browser:?}: {before:?} to {after:?}, {round_trips:?} ms there and back, {listed:#}");
    for round_trip in round_trips {
        assert!(round_trip >= 200.0, "the line itself takes as long");
    }
    // The media went on while it was listed.
    let share = |(media, lost): (u64, u64)| lost as f64 / media as f64;
    let shares = [share(before), share(after)];
    for leg in [&on_line["quality"]["client"], &direct["quality"]["peer"]] {
        let told = number(leg, "lost") / number(leg, "expected");
        assert_near_between(told, shares, leg);
        let media = [before.0 as f64, after.0 as f64];
        assert_near_between(number(leg, "expected"), media, leg);
        assert_near_between(number(leg, "round_trip_ms"), round_trips, leg);
        assert_eq!(leg["bad"], true, "{leg:#}");
    }
    for leg in [&direct["quality"]["client"], &on_line["quality"]["peer"]] {
        // Other tests may take the processor for a moment from the server, and from the browser that has to answer.
        assert!(
            number(leg, "lost") * 500.0 <= number(leg, "expected"),
            "{leg:#}"
        );
        assert!(number(leg, "round_trip_ms") < 60.0, "{leg:#}");
        assert_eq!(leg["bad"], false, "{leg:#}");
    }
    let id = on_line["id"].as_str().expect("an id");
    let details = asked(world, place, &["session", id]);
    let channels = details["channels"].as_array().expect("channels").len();
    assert_eq!(channels > 0, browser == Browser::Chromium, "{details:#}");
    let streams = details["streams"].as_array().expect("streams");
    let mut video = streams.iter().filter(|it| it["clock"] == 90_000);
    assert!(video.next().is_some(), "{details:#}");
    assert_traced(&trace.output(), id, milliseconds(&line));
    page.result();
    let ids = [on_line, direct].map(|it| it["id"].as_str().expect("an id"));
    assert_told_at_the_end(world, server, place, ids, &line);
}

/// A trace has the quality of both legs with the data of a second.
#[track_caller]
fn assert_traced(told: &str, id: &str, round_trips: [f64; 2]) {
    let whole = told.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(serde_json::from_str::<Value>);
    let mut seconds = lines.filter_map(|it| {
        let line = it.expect("JSON");
        (line["event"] == "traffic" && line["session"] == id).then_some(line)
    });
    let last = seconds.next_back().expect("data");
    let quality = &last["quality"];
    let told = number(&quality["client"], "round_trip_ms");
    assert_near_between(told, round_trips, &last);
    for (leg, is_bad) in [("client", true), ("peer", false)] {
        assert_eq!(quality[leg]["bad"], is_bad, "{leg} of {last:#}");
    }
}

/// The log and the metrics have both legs of a session when it has ended: first that on the line, then the other.
#[track_caller]
fn assert_told_at_the_end(
    world: &World,
    server: &Server,
    place: &TempDir,
    ids: [&str; 2],
    line: &BadLine,
) {
    for (id, [bad, good]) in ids
        .into_iter()
        .zip([["client", "peer"], ["peer", "client"]])
    {
        // It may have ended by itself.
        let _ = Program::run(command(world, place, &["end", id]), PATIENCE);
        let named = format!("allocation={id}");
        server.wait_for_line(&["allocation.ended", &named]);
        let log = server.log();
        let mut lines = log.lines();
        let ended = lines.find(|it| it.contains("allocation.ended") && it.contains(&named));
        let ended = ended.expect("it was waited for");
        let ended = &json!({ "line": ended, "fields": fields(ended) });
        assert_eq!(ended["fields"]["bad"], format!("{bad:?}"), "{ended:#}");
        let measured = |leg, measure| number(&ended["fields"], &format!("{leg}_{measure}"));
        let (media, lost) = line.media();
        assert_near(measured(bad, "loss"), lost as f64 / media as f64, ended);
        let told = measured(bad, "round_trip_ms");
        assert_near_between(told, milliseconds(line), ended);
        assert!(measured(good, "loss") <= 0.002, "{ended:#}");
        assert!(measured(good, "round_trip_ms") < 60.0, "{ended:#}");
    }
    let mut curl = world.on_server_host("curl");
    curl.args(["-s", "--unix-socket"]).arg(socket(place));
    curl.arg("http://hairpin/metrics");
    let metrics = Program::succeed(curl);
    // Of either leg one session has the line there, and the other has not.
    for leg in ["client", "peer"] {
        for (measure, under, over) in [
            ("round_trip_seconds", "0.1", "0.3"),
            ("loss_ratio", "0.01", "0.03"),
        ] {
            let up_to = |bound: &str| {
                let name = format!("turn_leg_{measure}_bucket{{le=\"{bound}\",leg=\"{leg}\"}} ");
                number_after(&metrics, &name).unwrap_or_else(|| panic!("{name} in {metrics}"))
            };
            let (good, all) = (up_to(under), up_to(over));
            assert!(good >= 1 && all > good, "{measure} of {leg}: {metrics}");
        }
    }
}

/// The numbers and texts of a line of the log.
fn fields(line: &str) -> Value {
    let fields = line.split(' ').filter_map(|field| field.split_once('='));
    let fields = fields.map(|(name, value)| {
        let number = value.parse().ok().map(Value::Number);
        (name.to_owned(), number.unwrap_or_else(|| value.into()))
    });
    Value::Object(fields.collect())
}

/// The answer of a command that speaks to the server.
fn asked(world: &World, place: &TempDir, arguments: &[&str]) -> Value {
    let mut command = command(world, place, arguments);
    command.arg("--json");
    serde_json::from_str(&Program::succeed(command)).expect("JSON")
}

fn command(world: &World, place: &TempDir, arguments: &[&str]) -> Command {
    let mut command = world.on_server_host(&binary());
    command.args(arguments).arg("--socket").arg(socket(place));
    command
}

fn socket(place: &TempDir) -> PathBuf {
    place.path().join("admin.sock")
}

/// How long a check takes over the line, there and back.
fn milliseconds(line: &BadLine) -> [f64; 2] {
    line.round_trips().map(|it| it.as_secs_f64() * 1000.0)
}

#[track_caller]
fn number(leg: &Value, name: &str) -> f64 {
    leg[name]
        .as_f64()
        .unwrap_or_else(|| panic!("{name} in {leg:#}"))
}

/// Within a tenth.
#[track_caller]
fn assert_near(found: f64, expected: f64, leg: &Value) {
    assert_near_between(found, [expected; 2], leg);
}

/// Within a tenth of what it was at one time, at another, or in between.
#[track_caller]
fn assert_near_between(found: f64, [one, other]: [f64; 2], leg: &Value) {
    let span = 0.9 * one.min(other)..=1.1 * one.max(other);
    assert!(
        span.contains(&found),
        "{found} for {one} to {other}: {leg:#}"
    );
}

/// Longer than three checks of consent.
const A_WHILE: Duration = Duration::from_secs(30);
