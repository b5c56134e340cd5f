//! The packages, made of the binary under test as `cargo xtask package` makes those of a release, and installed.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{binary, text};

#[test]
fn the_deb_is_installed_used_upgraded_and_purged_on_a_debian_that_has_booted() {
    let place = TempDir::new().expect("a temporary directory");
    let lines = lines_of_documents();
    let told = in_namespaces(
        "debian.sh",
        &[
            &debian(),
            &package(".deb"),
            Path::new(&binary()),
            place.path(),
            lines.path(),
        ],
    );
    println!("{told}");
}

#[test]
fn the_rpm_is_installed_upgraded_and_erased_by_rpm_in_a_tree_of_its_own() {
    let place = TempDir::new().expect("a temporary directory");
    in_namespaces("rpm.sh", &[&debian(), &package(".rpm"), place.path()]);
}

#[test]
fn the_container_serves_without_root_and_with_a_root_that_is_read_only() {
    let place = TempDir::new().expect("a temporary directory");
    let lines = lines_of_documents();
    let compose = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/compose.yaml");
    let told = in_namespaces(
        "container.sh",
        &[
            &package("container.tar"),
            place.path(),
            lines.path(),
            &compose,
        ],
    );
    println!("{told}");
}

#[test]
fn deb_and_rpm_install_the_same_files_but_where_distributions_differ() {
    let deb = listed("dpkg-deb", &["--contents"], &package(".deb"));
    // Mode, owner, size, date, time, name.
    let deb = deb
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let deb = deb
        .filter_map(|name| name.strip_prefix('.'))
        .filter(|name| !name.ends_with('/'));
    let deb: BTreeSet<&str> = deb.collect();
    let rpm = listed("rpm", &["--query", "--list", "--package"], &package(".rpm"));
    let rpm: BTreeSet<&str> = rpm.lines().filter(|name| *name != "/etc/hairpin").collect();
    let differ: Vec<_> = deb.symmetric_difference(&rpm).collect();
    let zsh = [
        "/usr/share/zsh/site-functions/_hairpin",
        "/usr/share/zsh/vendor-completions/_hairpin",
    ];
    assert_eq!(differ, zsh.each_ref());
    for file in [
        "/usr/bin/hairpin",
        "/etc/hairpin/turnserver.toml",
        "/etc/default/hairpin",
        "/usr/lib/systemd/system/hairpin.service",
        "/usr/lib/systemd/system/hairpin.socket",
        "/usr/lib/sysusers.d/hairpin.conf",
        "/etc/fail2ban/filter.d/hairpin.conf",
        "/usr/share/doc/hairpin/examples/alerts.yml",
        "/usr/share/doc/hairpin/examples/hairpin.json",
        "/usr/share/doc/hairpin/examples/prometheus.yml",
        "/usr/share/man/man1/hairpin.1.gz",
        "/usr/share/man/man1/hairpin-health.1.gz",
        "/usr/share/bash-completion/completions/hairpin",
        "/usr/share/fish/vendor_completions.d/hairpin.fish",
    ] {
        assert!(rpm.contains(file), "{file} is not in {rpm:?}");
    }
}

#[test]
fn the_configuration_of_the_operator_is_kept_at_an_upgrade_in_both_packages() {
    let rpm = listed(
        "rpm",
        &["--query", "--configfiles", "--package"],
        &package(".rpm"),
    );
    let deb = listed("dpkg-deb", &["--info"], &package(".deb"));
    assert!(deb.contains("conffiles"), "{deb}");
    let deb = Command::new("dpkg-deb")
        .arg("--info")
        .arg(package(".deb"))
        .arg("conffiles")
        .output();
    let deb = text(&deb.expect("dpkg-deb").stdout);
    assert_eq!(sorted(&rpm), sorted(&deb));
    assert!(rpm.contains("/etc/hairpin/turnserver.toml"), "{rpm}");
}

#[test]
fn the_bill_of_materials_has_what_the_server_is_linked_of_and_no_test() {
    let bill = std::fs::read_to_string(package("sbom.cdx.json")).expect("a bill");
    for linked in [
        "pkg:cargo/rustls@",
        "pkg:cargo/tokio@",
        "pkg:cargo/hairpin-relay@",
    ] {
        assert!(bill.contains(linked), "{linked}");
    }
    for tested in ["pkg:cargo/quinn@", "pkg:cargo/proptest@"] {
        assert!(!bill.contains(tested), "{tested}");
    }
}

#[test]
fn the_binary_of_a_package_names_the_file_that_has_its_symbols_and_has_none_itself() {
    let place = TempDir::new().expect("a temporary directory");
    let extracted = Command::new("dpkg-deb")
        .arg("--extract")
        .args([&package(".deb"), place.path()])
        .status();
    assert!(extracted.expect("dpkg-deb").success());
    let binary = place.path().join("usr/bin/hairpin");
    let bytes = binary.metadata().expect("a binary").len();
    assert!(bytes <= largest(), "{bytes} bytes");
    let sections = listed("readelf", &["--wide", "--sections"], &binary);
    assert!(!sections.contains(".symtab"), "{sections}");
    assert!(!sections.contains(".debug_info"), "{sections}");
    let named = listed("readelf", &["--string-dump=.gnu_debuglink"], &binary);
    let debug = package(".debug");
    let debug = debug.file_name().expect("a name").display().to_string();
    assert!(named.contains(&debug), "{debug}: {named}");
}

#[test]
fn the_sums_beside_the_packages_are_theirs_and_leave_none_out() {
    let checked = Command::new("sha256sum")
        .current_dir(packages())
        .args(["--check", "--strict", "SHA256SUMS"])
        .output();
    let checked = checked.expect("sha256sum (Debian package coreutils)");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let checked = text(&checked.stdout);
    let checked = checked.lines().filter_map(|line| line.strip_suffix(": OK"));
    let entries = packages().read_dir().expect("the packages");
    let names = entries.map(|entry| entry.expect("a package").file_name());
    let names: BTreeSet<String> = names.map(|name| name.display().to_string()).collect();
    let wanted = names.iter().map(String::as_str);
    assert_eq!(
        checked.collect::<BTreeSet<_>>(),
        wanted.filter(|name| *name != "SHA256SUMS").collect()
    );
}

/// docs/decisions/packages.md says why it is not an older one.
#[test]
fn the_deb_runs_on_every_release_with_the_c_library_that_the_documents_name() {
    let control = listed("dpkg-deb", &["--field"], &package(".deb"));
    let (_, needs) = control.split_once("libc6 (>= ").expect("a library");
    let needs = needs.split(')').next().unwrap_or_default();
    let number = |version: &str| -> Vec<u32> {
        let parts = version.split('.');
        parts.map(|part| part.parse().expect("a number")).collect()
    };
    assert!(number(needs) <= number(GLIBC), "{needs} is newer");
    let install = document("docs/install.md");
    assert!(install.contains(&format!("(glibc {GLIBC} or later)")));
}

/// Debian 12 has 2.36, Ubuntu 22.04 has 2.35.
const GLIBC: &str = "2.34";

#[test]
fn the_readme_is_a_front_page() {
    let lines = document("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// The bytes that the binary of a package may have. A build of a developer's, which is not optimized, has thrice as many.
fn largest() -> u64 {
    let binary = PathBuf::from(binary());
    let is_release = binary
        .parent()
        .is_some_and(|directory| directory.ends_with("release"));
    if is_release { 20_000_000 } else { 70_000_000 }
}

fn sorted(lines: &str) -> BTreeSet<&str> {
    lines.lines().collect()
}

/// The package with this end of its name.
fn package(end: &str) -> PathBuf {
    let entries = packages().read_dir().expect("the packages");
    let mut names = entries.map(|entry| entry.expect("a package").path());
    let found = names.find(|path| path.display().to_string().ends_with(end));
    found.unwrap_or_else(|| panic!("no package {end}"))
}

/// The directory with all packages of the binary under test, made once.
fn packages() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let place = TempDir::new().expect("a temporary directory");
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let ran = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args("xtask package deb rpm container --quick --target".split(' '))
            .args([
                format!("{}-unknown-linux-gnu", env::consts::ARCH),
                "--binary".to_owned(),
                binary(),
            ])
            .arg("--out")
            .arg(place.path())
            .output()
            .expect("cargo");
        assert!(
            ran.status.success(),
            "{}{}",
            text(&ran.stdout),
            text(&ran.stderr)
        );
        place
    });
    made.path()
}

/// Command lines of the documents, for the scripts: each file is a block that has these words.
fn lines_of_documents() -> TempDir {
    let place = TempDir::new().expect("a temporary directory");
    for (file, name, words) in [
        ("package.sh", "README.md", "apt install ./hairpin_"),
        ("doctor.sh", "README.md", "hairpin doctor turn:"),
        ("container.sh", "README.md", "docker run "),
        ("container-status.sh", "docs/install.md", "/hairpin status"),
        (
            "compose-secret.sh",
            "docs/recipes/containers.md",
            "openssl rand",
        ),
        (
            "compose-up.sh",
            "docs/recipes/containers.md",
            "docker compose up",
        ),
        (
            "compose-credentials.sh",
            "docs/recipes/containers.md",
            "docker compose exec",
        ),
    ] {
        let text = document(name);
        let blocks = text.split("```sh\n").skip(1);
        let mut blocks = blocks.filter_map(|rest| rest.split("```").next());
        let block = blocks.find(|block| block.contains(words));
        let block = block.unwrap_or_else(|| panic!("{name}: no block has {words:?}"));
        std::fs::write(place.path().join(file), block).expect("a block is written");
    }
    place
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// The tree of a fresh Debian.
fn debian() -> PathBuf {
    let debian = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian-12");
    let is_there = debian.join("usr/bin/systemctl").exists();
    assert!(is_there, "no {debian:?}: `cargo xtask tools` makes it");
    debian
}

/// The output of a program about a package.
fn listed(program: &str, arguments: &[&str], package: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(package).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a script beside this file in namespaces that end with it, as root; returns what it says.
fn in_namespaces(script: &str, arguments: &[&Path]) -> String {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user", "--map-auto"]);
    }
    unshare.args("--mount --net --pid --fork --kill-child --mount-proc timeout 900 sh".split(' '));
    unshare.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/packaging")
            .join(script),
    );
    let ran = unshare.args(arguments).output();
    let ran = ran.expect("unshare (Debian package util-linux)");
    let told = text(&ran.stdout) + &text(&ran.stderr);
    assert!(ran.status.success(), "{told}");
    told
}
