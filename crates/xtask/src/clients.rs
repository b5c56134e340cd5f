//! The programs of `tests/clients`, besides Python's packages: a program of Go, built from Debian's
//! sources of pion; packages of npm, each pinned by version and hash; libnice, which Debian has for
//! its own Python. Then those of `examples/` that are no part of the workspace: the SFU, and what
//! the MCU needs of GStreamer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::background::Background;
use crate::command::{cargo, run, succeeds};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Makes the programs that are missing or older than their source.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    let directory = directory(workspace);
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    // It takes longest, and mostly one processor.
    let sfu = Background::start(&mut build_sfu(workspace), directory.join("sfu.log"))?;
    build_pion(workspace)?;
    install_npm(workspace)?;
    sfu.join()
}

/// The directory that they are in.
pub(crate) fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target().join("clients")
}

/// Debian packages that are missing, and that have no program to look for.
pub(crate) fn missing() -> impl Iterator<Item = &'static str> {
    let pion = Path::new(GOPATH).join("src/github.com/pion/webrtc");
    let pion = (!pion.exists()).then_some(&["golang-github-pion-webrtc.v3-dev"][..]);
    // Another Python may come first on the path.
    let nice = "import gi; gi.require_version('Nice', '0.1'); from gi.repository import Nice";
    let nice = !succeeds(Command::new("/usr/bin/python3").args(["-c", nice]));
    let nice = nice.then_some(&["gir1.2-nice-0.1", "python3-gi"][..]);
    let openssl = !Path::new("/usr/include/openssl/ssl.h").exists();
    let openssl = openssl.then_some(&["libssl-dev", "pkg-config"][..]);
    let gstreamer = !succeeds(Command::new("/usr/bin/python3").args(["-c", GSTREAMER]));
    let gstreamer = gstreamer.then_some(GSTREAMER_PACKAGES);
    let missing = [pion, nice, openssl, gstreamer];
    missing.into_iter().flatten().flatten().copied()
}

/// The SFU has a workspace of its own, whose build the tests find among the other programs.
fn build_sfu(workspace: &Workspace) -> Command {
    let mut build = cargo(workspace);
    build
        .args(["build", "--locked", "--manifest-path"])
        .arg(workspace.root().join("examples/sfu/Cargo.toml"))
        .arg("--target-dir")
        .arg(directory(workspace).join("sfu"));
    build
}

/// Go itself knows whether it is up to date.
fn build_pion(workspace: &Workspace) -> Result<(), Failure> {
    let directory = directory(workspace);
    run(Command::new("go")
        .arg("build")
        .arg("-o")
        .arg(directory.join("pion_peer"))
        .arg(workspace.root().join("tests/clients/pion_peer.go"))
        // Debian's packages are no modules, and go refuses flags for modules without them.
        .env("GO111MODULE", "off")
        .env_remove("GOFLAGS")
        .env("GOPATH", GOPATH)
        .env("GOCACHE", directory.join("go-cache")))
}

/// Scripts of packages are not run: they are not needed to build or fetch anything.
fn install_npm(workspace: &Workspace) -> Result<(), Failure> {
    let directory = directory(workspace);
    let wanted = workspace.read("tests/clients/package-lock.json")?;
    // The list that was installed last, kept beside it.
    let stamp = directory.join("installed.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    for list in ["package.json", "package-lock.json"] {
        let (from, to) = (format!("tests/clients/{list}"), directory.join(list));
        fs::write(&to, workspace.read(&from)?).map_err(at(&to))?;
    }
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&directory))?;
    fs::write(&stamp, wanted).map_err(at(&stamp))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    |source| Failure::File { path, source }
}

/// Succeeds where all is there that `examples/mcu` uses.
const GSTREAMER: &str = "
import gi
for name, version in [('Gst', '1.0'), ('GstSdp', '1.0'), ('GstWebRTC', '1.0'), ('Soup', '3.0')]:
    gi.require_version(name, version)
from gi.repository import Gst, Soup
Gst.init(None)
assert all(map(Gst.ElementFactory.find, ['webrtcbin', 'nicesrc', 'vp8enc', 'compositor']))
";

/// The packages that bring it.
const GSTREAMER_PACKAGES: &[&str] = &[
    "gir1.2-gst-plugins-bad-1.0",
    "gir1.2-soup-3.0",
    "gstreamer1.0-nice",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-good",
    "python3-gst-1.0",
];

/// Where Debian keeps the sources of Go's packages.
const GOPATH: &str = "/usr/share/gocode";
