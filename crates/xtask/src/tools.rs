//! What the tests need of the machine: programs, a Python environment, network namespaces.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{run, succeeds};
use crate::failure::Failure;
use crate::python;
use crate::suite::path_with_sbin;
use crate::workspace::Workspace;

/// Installs what is missing where it may, and says what to do where it may not.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    let missing = missing();
    if !missing.is_empty() {
        install_packages(&missing)?;
    }
    install_components()?;
    python::install(workspace)?;
    try_namespaces()
}

/// The programs that tests run, and the Debian packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[
    ("chromium", "chromium"),
    ("firefox-esr", "firefox-esr"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("python3", "python3"),
    ("systemd-analyze", "systemd"),
    ("turnutils_stunclient", COTURN),
    ("turnutils_uclient", COTURN),
    ("unshare", "util-linux"),
];

const COTURN: &str = "coturn";

/// Debian packages that are not there.
fn missing() -> Vec<&'static str> {
    let mut packages: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_on_path(program))
        .map(|(_, package)| *package)
        .collect();
    if !python::can_make_environments() {
        packages.push("python3-venv");
    }
    packages.dedup();
    packages
}

fn is_on_path(program: &str) -> bool {
    env::split_paths(&path_with_sbin()).any(|place| place.join(program).is_file())
}

fn install_packages(packages: &[&'static str]) -> Result<(), Failure> {
    let list = packages.join(" ");
    if !Path::new("/etc/debian_version").exists() {
        return Err(Failure::Machine(format!(
            "the tests need programs that Debian packs as: {list}. Install them in this system's way"
        )));
    }
    let line = installation(
        &list,
        packages.contains(&COTURN) && Path::new("/run/systemd/system").exists(),
    );
    if !is_root() {
        return Err(Failure::Machine(format!(
            "the tests need more programs; this installs them:\n\n    sudo sh -c '{line}'\n"
        )));
    }
    eprintln!("{line}");
    run(Command::new("sh")
        .args(["-c", &line])
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    let still = missing();
    if still.is_empty() {
        return Ok(());
    }
    Err(Failure::Machine(format!(
        "installed, and yet programs are missing: {}",
        still.join(" ")
    )))
}

/// The line that installs packages.
///
/// Where systemd runs, installing Debian's coturn starts and enables a server on port 3478, the very port that Hairpin
/// takes by default. The tests want its clients only, so the unit is masked meanwhile and disabled after. A coturn that
/// was there before is never on the list, and left alone.
fn installation(list: &str, quiet_coturn: bool) -> String {
    let install = format!("apt-get update && apt-get install --yes --no-install-recommends {list}");
    if !quiet_coturn {
        return install;
    }
    let unit = "coturn.service";
    format!(
        "systemctl mask --runtime {unit} && {install} && systemctl unmask --runtime {unit} && systemctl disable {unit}"
    )
}

/// The parts of the toolchain that a minimal rustup leaves out.
fn install_components() -> Result<(), Failure> {
    let missing: Vec<_> = [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")]
        .into_iter()
        .filter(|(program, _)| !succeeds(Command::new(program).arg("--version")))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    run(Command::new("rustup")
        .args(["component", "add"])
        .args(missing))
}

/// Tests build their networks in namespaces of their own. Root may; others may where the kernel lets them.
fn try_namespaces() -> Result<(), Failure> {
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    // Making one is not enough: on some systems it then grants nothing.
    unshare
        .args(["--net", "--mount", "ip", "link", "set", "lo", "up"])
        .env("PATH", path_with_sbin());
    if succeeds(&mut unshare) {
        return Ok(());
    }
    let remedy = if is_root() {
        "this container forbids them: give it CAP_SYS_ADMIN and CAP_NET_ADMIN (docker run --privileged)".to_owned()
    } else {
        match SWITCHES
            .iter()
            .find(|(key, closed, _)| sysctl(key).is_some_and(|value| value == *closed))
        {
            Some((key, _, open)) => format!(
                "allow them:\n\n    sudo sysctl -w {}={open}\n",
                key.replace('/', ".")
            ),
            None => "no switch of the kernel explains it: run the tests as root".to_owned(),
        }
    };
    Err(Failure::Machine(format!(
        "the tests need network namespaces; {remedy}"
    )))
}

/// Where a kernel keeps users from namespaces: the key, its closed value and an open one.
const SWITCHES: &[(&str, &str, &str)] = &[
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user/max_user_namespaces", "0", "10000"),
];

fn sysctl(key: &str) -> Option<String> {
    let value = fs::read_to_string(Path::new("/proc/sys").join(key)).ok()?;
    Some(value.trim().to_owned())
}

fn is_root() -> bool {
    // /proc belongs to whoever runs: no need for libc, which would need `unsafe`.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
