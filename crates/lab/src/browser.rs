//! Browsers: without a screen, with a home of their own, and without connections to their makers. They
//! trust the lab's authority, once there is one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use tempfile::TempDir;

use crate::{
    authority::Authority,
    program::{Program, here},
};

/// The browsers, as Debian has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// Chromium.
    Chromium,
    /// Firefox ESR.
    Firefox,
}

/// A browser that shows a page. It ends, and its home is removed, when dropped.
pub struct Window {
    // Fields are dropped in this order: the browser must be gone before its home.
    program: Program,
    _home: TempDir,
}

impl Browser {
    /// Opens it on the test's own host.
    pub fn open(self, url: &str) -> Window {
        self.open_at(here, url)
    }

    /// Opens it by a command from `at`, which says where programs run.
    pub fn open_at(self, at: impl FnOnce(&str) -> Command, url: &str) -> Window {
        let home = TempDir::new().expect("a temporary directory");
        let mut command = self.command(at, &home);
        command.arg(url);
        Window {
            program: Program::start(command),
            _home: home,
        }
    }

    /// The command that opens it, but for what it shows.
    pub(crate) fn command(self, at: impl FnOnce(&str) -> Command, home: &TempDir) -> Command {
        if let Some(authority) = Authority::lab_if_any() {
            trust(authority, &self.certificates(home));
        }
        let ordinary = |browser: &str| {
            let mut command = at("setpriv");
            command.args(WITHOUT_SYS_NICE).arg(browser);
            command
        };
        let mut command = match self {
            Self::Chromium => chromium(ordinary("chromium"), home),
            Self::Firefox => firefox(ordinary("firefox-esr"), home),
        };
        command.envs(["HOME", "TMPDIR", "XDG_RUNTIME_DIR"].map(|name| (name, home.path())));
        command
    }
}

impl Browser {
    /// The directory of the authorities that it trusts, beside those that it comes with.
    fn certificates(self, home: &TempDir) -> PathBuf {
        match self {
            Self::Chromium => home.path().join(".pki/nssdb"),
            Self::Firefox => home.path().to_owned(),
        }
    }
}

impl Window {
    /// How the browser ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.program.ended()
    }

    /// See [`Program::is_favoured`].
    pub fn is_favoured(&self) -> bool {
        self.program.is_favoured()
    }
}

fn chromium(mut command: Command, home: &TempDir) -> Command {
    command.args(CHROMIUM_FLAGS);
    command.arg(format!("--user-data-dir={}", home.path().display()));
    command
}

fn firefox(mut command: Command, home: &TempDir) -> Command {
    let preferences =
        FIREFOX_PREFERENCES.map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"));
    fs::write(home.path().join("user.js"), preferences.concat()).expect("the home is ours");
    command
        .args(["--headless", "--no-remote", "--profile"])
        .arg(home.path());
    command
}

/// Lets a browser trust an authority for web servers.
fn trust(authority: &Authority, certificates: &Path) {
    fs::create_dir_all(certificates).expect("the home is ours");
    let database = format!("sql:{}", certificates.display());
    let root = authority.root_file();
    let certutil = |arguments: &[&str]| {
        let mut certutil = here("certutil");
        certutil.args(["-d", &database]).args(arguments);
        Program::succeed(certutil);
    };
    certutil(&["-N", "--empty-password"]);
    let root = root.path().to_str().expect("a path of ASCII");
    certutil(&["-A", "-n", "the lab", "-t", "C,,", "-i", root]);
}

/// Arguments of `setpriv` that take CAP_SYS_NICE away. Root has it, and Chromium then gives its threads for drawing and
/// sound a nice value of -8: six times the weight of the server, the SFU and the test. The capability is taken out of both
/// sets, as a program of root's has again what either of them has. man 7 capabilities
const WITHOUT_SYS_NICE: [&str; 3] = ["--bounding-set=-sys_nice", "--inh-caps=-sys_nice", "--"];

const CHROMIUM_FLAGS: [&str; 10] = [
    "--headless",
    // The sandbox refuses to run as root, which one is in a user namespace.
    "--no-sandbox",
    "--disable-gpu",
    // Nobody clicks on the page first.
    "--autoplay-policy=no-user-gesture-required",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

const FIREFOX_PREFERENCES: [(&str, &str); 8] = [
    ("app.normandy.enabled", "false"),
    ("app.update.enabled", "false"),
    ("browser.aboutwelcome.enabled", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("toolkit.telemetry.enabled", "false"),
];
