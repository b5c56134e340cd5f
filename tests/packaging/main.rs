//! The files beside the binary: the systemd unit, its environment, its user, the command lines and names of our
//! documents, the recipes, and the packages.

mod documents;
mod fail2ban;
mod named;
mod packages;
mod recipes;

use std::path::Path;
use std::process::{Command, Output};

use lab::server::binary;

#[test]
fn the_service_is_exposed_at_most_2_0() {
    let report = systemd(
        "systemd-analyze",
        &["security", "--offline=true", &shipped("hairpin.service")],
    );
    let report = text(&report.stdout);
    let exposure = exposure(&report).unwrap_or_else(|| panic!("no exposure in:\n{report}"));
    assert!(exposure <= 2.0, "exposure {exposure}:\n{report}");
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    // systemd wants the program to exist: the unit names the installed one, this machine has the
    // one just built.
    let place = tempfile::tempdir().expect("a temporary directory");
    let unit = read("hairpin.service").replace("=/usr/bin/hairpin", &format!("={}", binary()));
    let path = place.path().join("hairpin.service");
    std::fs::write(&path, unit).expect("the unit is written");
    let sockets = place.path().join("hairpin.socket");
    std::fs::write(&sockets, read("hairpin.socket")).expect("the unit is written");
    let units = [&path, &sockets].map(|unit| unit.display().to_string());
    let verdict = systemd("systemd-analyze", &["verify", &units[0], &units[1]]);
    let complaints = text(&verdict.stderr);
    assert!(
        verdict.status.success() && complaints.is_empty(),
        "{complaints}"
    );
}

#[test]
fn the_unit_starts_the_server_with_arguments_it_knows() {
    let unit = read("hairpin.service");
    let arguments = setting(&unit, "ExecStart")
        .strip_prefix("/usr/bin/hairpin")
        .expect("the installed binary");
    let help = help(arguments.split_whitespace());
    assert!(
        help.contains("--config"),
        "not the help of `hairpin serve`:\n{help}"
    );
}

#[test]
fn the_example_environment_names_only_variables_that_the_server_reads() {
    let help = help(["serve"]);
    let environment = read("hairpin.env");
    let mut variables = environment
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("HAIRPIN_"))
        .peekable();
    assert!(variables.peek().is_some(), "no variable in:\n{environment}");
    for name in variables {
        assert!(
            help.contains(&format!("[env: {name}")),
            "{name} is not in:\n{help}"
        );
    }
}

#[test]
fn the_unit_allows_a_stop_the_time_that_the_server_takes() {
    let seconds: u32 = setting(&read("hairpin.service"), "TimeoutStopSec")
        .parse()
        .expect("seconds");
    assert!(
        seconds > 5,
        "the server may take 5 s to end its allocations"
    );
}

#[test]
fn the_unit_is_started_again_for_as_long_as_the_host_has_no_network() {
    let unit = read("hairpin.service");
    let number = |key| setting(&unit, key).parse::<u32>().expect("a number");
    // A start takes no time, and the next follows after RestartSec.
    let starts = number("StartLimitIntervalSec") / number("RestartSec") + 1;
    assert!(
        starts < number("StartLimitBurst"),
        "{starts} in the interval"
    );
}

#[test]
fn the_unit_leaves_no_core_dump() {
    assert_eq!(setting(&read("hairpin.service"), "LimitCORE"), "0");
}

#[test]
fn the_user_of_the_unit_is_the_one_that_sysusers_makes() {
    let made = systemd(
        "systemd-sysusers",
        &["--dry-run", &shipped("hairpin.sysusers")],
    );
    assert!(made.status.success(), "{}", text(&made.stderr));
    let list = read("hairpin.sysusers");
    let unit = read("hairpin.service");
    let user = ["u", setting(&unit, "User")];
    assert!(
        list.lines()
            .any(|line| line.split_whitespace().take(2).eq(user)),
        "{user:?} is not in:\n{list}"
    );
}

/// The number in `→ Overall exposure level for hairpin.service: 1.5 OK 🙂`.
fn exposure(report: &str) -> Option<f64> {
    let (_, verdict) = report
        .lines()
        .find(|line| line.contains("Overall exposure level"))?
        .rsplit_once(": ")?;
    verdict.split(' ').next()?.parse().ok()
}

/// The value of a key in the unit.
fn setting<'a>(unit: &'a str, key: &str) -> &'a str {
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {key} in the unit"))
}

/// The server's help for a command line.
fn help<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let help = Command::new(binary())
        .args(arguments)
        .arg("--help")
        .output()
        .expect("the server's binary runs");
    assert!(help.status.success(), "{}", text(&help.stderr));
    text(&help.stdout)
}

fn systemd(program: &str, arguments: &[&str]) -> Output {
    // No colour and no pager, whatever the terminal.
    let output = Command::new(program)
        .args(arguments)
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_PAGER", "")
        .output();
    output.unwrap_or_else(|error| panic!("{program}: {error} (Debian package systemd)"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn shipped(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/systemd")
        .join(name)
        .display()
        .to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
