//! The fences of the pure crates work: clippy, shown every forbidden item of std, forbids each of
//! them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_codec_cannot_name_what_its_fence_forbids() {
    assert_fence_bites("wire");
}

#[test]
fn the_relay_core_cannot_name_what_its_fence_forbids() {
    assert_fence_bites("relay");
}

#[test]
fn the_client_core_cannot_name_what_its_fence_forbids() {
    assert_fence_bites("client");
}

/// Every item of std in the crate's clippy.toml must be reported. Items of other crates (rand,
/// hashbrown) cannot be named here, as those are not linked.
fn assert_fence_bites(name: &str) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pure = manifest.parent().expect("crates/").join(name);
    let forbidden = forbidden(&pure);
    assert!(!forbidden.is_empty());
    let reported = reported(&pure, &manifest.join("tests/fence/sample.rs"));
    let missed: Vec<_> = forbidden.difference(&reported).collect();
    assert!(
        missed.is_empty(),
        "forbidden, and clippy let it pass (or sample.rs does not name it): {missed:?}"
    );
}

fn forbidden(pure: &Path) -> BTreeSet<String> {
    let text =
        std::fs::read_to_string(pure.join("clippy.toml")).expect("every pure crate has a fence");
    let fence: toml::Table = text.parse().expect("clippy reads it too");
    [
        "disallowed-methods",
        "disallowed-types",
        "disallowed-macros",
    ]
    .iter()
    .flat_map(|list| fence[*list].as_array().expect("a list"))
    .map(|ban| ban["path"].as_str().expect("a path").to_owned())
    .filter(|path| path.starts_with("std::"))
    .collect()
}

/// The paths that clippy complains of, taken from `error: use of a disallowed method `std::thread::spawn``.
fn reported(pure: &Path, sample: &Path) -> BTreeSet<String> {
    let target = tempfile::tempdir().expect("a temporary directory");
    let lints = [
        "clippy::disallowed_methods",
        "clippy::disallowed_types",
        "clippy::disallowed_macros",
    ];
    let output = Command::new(clippy_driver())
        .env("CLIPPY_CONF_DIR", pure)
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .args(lints.iter().flat_map(|lint| ["-D", lint]))
        .arg("--out-dir")
        .arg(target.path())
        .arg(sample)
        .output()
        .expect("clippy-driver runs");
    let complaints = String::from_utf8(output.stderr).expect("text");
    assert!(
        !complaints.contains("error[E"),
        "sample.rs does not compile:\n{complaints}"
    );
    let named = complaints
        .lines()
        .filter(|line| line.starts_with("error: use of a disallowed"));
    named
        .filter_map(|line| line.split('`').nth(1))
        .map(str::to_owned)
        .collect()
}

/// The clippy-driver beside the rustc that cargo would use.
fn clippy_driver() -> PathBuf {
    let sysroot = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .expect("rustc runs")
        .stdout;
    let sysroot = String::from_utf8(sysroot).expect("text");
    Path::new(sysroot.trim()).join("bin/clippy-driver")
}
