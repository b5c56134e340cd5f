//! The tools that tests need on the machine: programs, a Python environment, network namespaces.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use crate::command::{path_with_sbin, run, succeeds};
use crate::failure::{Failure, Lack};
use crate::workspace::Workspace;
use crate::{clients, namespaces, python};

/// Installs missing tools where it may, and prints how to do it where it may not.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    let missing = missing();
    if !missing.is_empty() {
        install_packages(&missing, self::missing)?;
    }
    install_components()?;
    thread::scope(|scope| {
        // It takes a minute, and mostly the network.
        let synapse = scope.spawn(|| python::SYNAPSE.install(workspace));
        python::CLIENTS.install(workspace)?;
        clients::install(workspace)?;
        debian(workspace)?;
        namespaces::try_one()?;
        synapse.join().expect("no panic")
    })
}

/// Installs those of these programs that are missing, and nothing else.
pub(crate) fn install_programs(programs: &[&str]) -> Result<(), Failure> {
    let missing = || -> Vec<&'static str> {
        let wanted = PROGRAMS.iter().filter(|(name, _)| programs.contains(name));
        let missing = wanted.filter(|(program, _)| !is_on_path(program));
        missing.map(|(_, package)| *package).collect()
    };
    match missing() {
        none if none.is_empty() => Ok(()),
        packages => install_packages(&packages, missing),
    }
}

/// The programs that tests run, and the Debian packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[
    ("buildah", "buildah"),
    ("caddy", CADDY),
    ("chromium", "chromium"),
    ("certutil", "libnss3-tools"),
    ("curl", "curl"),
    ("dbus-daemon", "dbus-daemon"),
    ("docker-compose", "docker-compose"),
    ("dumpcap", "wireshark-common"),
    ("ethtool", "ethtool"),
    ("fail2ban-regex", FAIL2BAN),
    ("firefox-esr", "firefox-esr"),
    ("firewalld", FIREWALLD),
    ("gnutls-cli", "gnutls-bin"),
    ("go", "golang-go"),
    ("haproxy", HAPROXY),
    ("ip", "iproute2"),
    ("janus", JANUS),
    ("jq", "jq"),
    ("kubectl", "kubernetes-client"),
    ("mmdebstrap", "mmdebstrap"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("nginx", NGINX),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("pebble", PEBBLE),
    ("pebble-challtestsrv", PEBBLE),
    ("php", "php-cli"),
    ("prometheus", PROMETHEUS),
    ("promtool", PROMETHEUS),
    ("prosody", PROSODY),
    ("python3", "python3"),
    ("rpmbuild", "rpm"),
    ("stun", "stun-client"),
    ("systemd-analyze", "systemd"),
    ("systemd-nspawn", "systemd-container"),
    ("tshark", "tshark"),
    ("turnserver", COTURN),
    ("turnutils_natdiscovery", COTURN),
    ("turnutils_oauth", COTURN),
    ("turnutils_stunclient", COTURN),
    ("turnutils_uclient", COTURN),
    ("ufw", "ufw"),
    ("prlimit", "util-linux"),
    ("setpriv", "util-linux"),
    ("taskset", "util-linux"),
    ("unshare", "util-linux"),
];

const CADDY: &str = "caddy";
const COTURN: &str = "coturn";
const FAIL2BAN: &str = "fail2ban";
const FIREWALLD: &str = "firewalld";
/// A server of WebRTC, which is a client of TURN.
const JANUS: &str = "janus";
/// An ACME server.
const PEBBLE: &str = "pebble";
const HAPROXY: &str = "haproxy";
const NGINX: &str = "nginx";
const PROMETHEUS: &str = "prometheus";
/// An XMPP server.
const PROSODY: &str = "prosody";

/// The packages that bring a server which systemd would start.
const SERVERS: &[&str] = &[
    CADDY, COTURN, FAIL2BAN, FIREWALLD, HAPROXY, JANUS, NGINX, PROMETHEUS, PROSODY,
];

/// The part of nginx that passes streams on is no program.
const NGINX_STREAM: (&str, &str) = (
    "/usr/lib/nginx/modules/ngx_stream_module.so",
    "libnginx-mod-stream",
);

/// Debian packages that are missing.
pub(crate) fn missing() -> Vec<&'static str> {
    let mut packages: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_on_path(program))
        .map(|(_, package)| *package)
        .collect();
    if !python::can_make_environments() {
        packages.push("python3-venv");
    }
    packages.extend((!python::debians_has("yaml")).then_some("python3-yaml"));
    packages.extend((!Path::new(NGINX_STREAM.0).exists()).then_some(NGINX_STREAM.1));
    packages.extend(clients::missing());
    packages.dedup();
    packages
}

/// The tree of a fresh Debian that can boot, for the test of the package. It takes 20 seconds, and is kept.
pub(crate) fn debian(workspace: &Workspace) -> Result<(), Failure> {
    let tree = workspace.target().join("debian-12");
    if tree.join("usr/bin/systemctl").exists() {
        return Ok(());
    }
    if !is_root() {
        return Err(Lack::Root {
            line: format!("mmdebstrap {} {}", DEBIAN.join(" "), tree.display()),
        }
        .into());
    }
    let half = workspace.target().join("debian-12.half");
    if half.exists() {
        fs::remove_dir_all(&half).map_err(|source| Failure::File {
            path: half.clone(),
            source,
        })?;
    }
    // Under another name until it is whole.
    run(Command::new("mmdebstrap")
        .args(DEBIAN)
        .arg("--quiet")
        .arg(&half))?;
    fs::rename(&half, &tree).map_err(|source| Failure::File { path: tree, source })
}

/// Its packages: systemd, and what it needs; and the release.
const DEBIAN: [&str; 3] = [
    "--variant=minbase",
    "--include=systemd-sysv,dbus",
    "bookworm",
];

fn is_on_path(program: &str) -> bool {
    env::split_paths(&path_with_sbin()).any(|place| place.join(program).is_file())
}

/// Installs packages; `missing` says afterwards which are missing still.
fn install_packages(
    packages: &[&'static str],
    missing: impl Fn() -> Vec<&'static str>,
) -> Result<(), Failure> {
    let list = packages.join(" ");
    if !Path::new("/etc/debian_version").exists() {
        return Err(Lack::Packages { list }.into());
    }
    let would_start =
        |server: &&str| packages.contains(server) && Path::new("/run/systemd/system").exists();
    let servers: Vec<&str> = SERVERS.iter().copied().filter(would_start).collect();
    let line = installation(&list, &servers);
    if !is_root() {
        return Err(Lack::Root { line }.into());
    }
    eprintln!("{line}");
    run(Command::new("sh")
        .args(["-c", &line])
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    let still = missing();
    if still.is_empty() {
        Ok(())
    } else {
        Err(Lack::Still {
            list: still.join(" "),
        }
        .into())
    }
}

/// The line that installs packages.
///
/// Where systemd runs, installing Debian's coturn starts and enables a server on port 3478, the
/// very port that Hairpin takes by default, and nginx one on port 80. The tests start servers of
/// their own, so the units are masked meanwhile and disabled after. A server that was there before is
/// never on the list, and is left alone.
fn installation(list: &str, would_start: &[&str]) -> String {
    let install = format!("apt-get update && apt-get install --yes --no-install-recommends {list}");
    if would_start.is_empty() {
        return install;
    }
    let units: Vec<String> = would_start
        .iter()
        .map(|name| format!("{name}.service"))
        .collect();
    let units = units.join(" ");
    format!(
        "systemctl mask --runtime {units} && {install} && systemctl unmask --runtime {units} && systemctl disable {units}"
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

/// Whether this may install.
pub(crate) fn is_root() -> bool {
    // The files of /proc/self belong to the user of this process: no need for libc, which would
    // need `unsafe`.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_named_once_for_all_its_programs() {
        let packages: Vec<_> = PROGRAMS.iter().map(|(_, package)| *package).collect();
        let mut named_once = packages.clone();
        named_once.dedup();
        let mut distinct = packages;
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(
            named_once.len(),
            distinct.len(),
            "programs of one package must stand together"
        );
    }

    #[test]
    fn servers_come_without_being_started_where_systemd_would_start_it() {
        assert_eq!(
            installation("coturn nginx", &["coturn", "nginx"]),
            "systemctl mask --runtime coturn.service nginx.service \
             && apt-get update && apt-get install --yes --no-install-recommends coturn nginx \
             && systemctl unmask --runtime coturn.service nginx.service \
             && systemctl disable coturn.service nginx.service"
        );
        assert!(!installation("coturn", &[]).contains("systemctl"));
    }
}
