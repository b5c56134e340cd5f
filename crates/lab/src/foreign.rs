//! Programs of clients that were not written here, and the means to run them.

use std::{
    env,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::program::Program;

/// A script of `tests/clients`.
pub fn script(how: impl FnOnce(&str) -> Command, interpreter: &str, name: &str) -> Command {
    let mut command = how(interpreter);
    command.arg(repository().join("tests/clients").join(name));
    command
}

/// A Python that has aiortc and aioice.
pub fn python() -> String {
    env::var("HAIRPIN_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// The path of a program of Synapse's.
pub fn synapse(program: &str) -> String {
    let directory = env::var_os("HAIRPIN_TEST_SYNAPSE")
        .map_or_else(|| repository().join("target/synapse"), PathBuf::from);
    let path = directory.join("bin").join(program);
    assert!(
        path.exists(),
        "there is no {}: `cargo xtask tools` makes it, and HAIRPIN_TEST_SYNAPSE says where",
        path.display()
    );
    path.display().to_string()
}

/// A package of npm that has the interface of browsers.
pub fn node(how: impl FnOnce(&str) -> Command, package: &str) -> Command {
    let mut command = script(how, "node", "node_peer.cjs");
    command.args(["--stack", package]);
    command.env("NODE_PATH", built("node_modules"));
    command
}

/// Lets a program of OpenSSL, Go, Python or Node trust the authority whose root is in this file.
pub fn trust(command: &mut Command, root: &Path) {
    command.env("SSL_CERT_FILE", root);
    command.env("NODE_EXTRA_CA_CERTS", root);
}

/// The path of a program that `cargo xtask tools` built for the clients.
pub fn built(name: &str) -> PathBuf {
    let directory = env::var_os("HAIRPIN_TEST_CLIENTS")
        .map_or_else(|| repository().join("target/clients"), PathBuf::from);
    let path = directory.join(name);
    assert!(
        path.exists(),
        "there is no {}: `cargo xtask tools` makes it, and HAIRPIN_TEST_CLIENTS says where",
        path.display()
    );
    path
}

/// A program of `examples/` that cargo has built.
pub fn example(how: impl FnOnce(&str) -> Command, name: &str) -> Command {
    // The test itself is in `deps`, beside `examples`.
    let test = env::current_exe().expect("the test's own path");
    let directory = test
        .parent()
        .and_then(Path::parent)
        .expect("cargo's directories");
    let path = directory.join("examples").join(name);
    assert!(
        path.exists(),
        "there is no {}: `cargo build --examples` makes it",
        path.display()
    );
    how(path.to_str().expect("a path of ASCII"))
}

/// The root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `turnutils_natdiscovery`, coturn's client of RFC 5780.
pub fn natdiscovery_by(
    how: impl FnOnce(&str) -> Command,
    server: IpAddr,
    options: &[&str],
) -> Program {
    let mut command = how("turnutils_natdiscovery");
    command.args(options).arg(server.to_string());
    Program::start(command)
}

/// `stun`, Debian's client of RFC 3489.
pub fn stun_by(how: impl FnOnce(&str) -> Command, server: IpAddr) -> Program {
    let mut command = how("stun");
    command.arg(server.to_string()).arg("-v");
    Program::start(command)
}

/// Asserts that a program wrote these words.
#[track_caller]
pub fn assert_says(found: &str, words: &str) {
    assert!(found.contains(words), "not found: {words}\n{found}");
}
