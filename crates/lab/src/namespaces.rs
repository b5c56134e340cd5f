//! Namespaces of a test's own: it runs once more inside fresh ones, which end with it.

use std::{
    any::type_name,
    env, fs,
    process::{self, Command},
    thread,
    time::Duration,
};

/// Runs the test around the closure `F` in fresh namespaces, where there is no link yet.
pub(crate) fn in_own_namespaces<F>(lifetime: Duration, promise: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        end_after(lifetime);
        fs::write(ADDRESS_DETECTION, "0").expect("a namespace of our own");
        promise();
    } else {
        run_inside(&test_name::<F>());
    }
}

/// The name under which the test harness knows the function around the closure `F`.
fn test_name<F>() -> String {
    let path = type_name::<F>();
    let path = path.strip_suffix("::{{closure}}").expect("a closure");
    let (_binary, test) = path.split_once("::").expect("a path");
    test.to_owned()
}

/// Runs this test once more, inside namespaces that end with it.
fn run_inside(test: &str) {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare
        .args(["--net", "--pid", "--mount-proc", "--fork", "--kill-child"])
        .arg(env::current_exe().expect("the test's own path"))
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env(INSIDE, "1");
    let output = unshare.output().expect("unshare, of Debian's util-linux");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let [stdout, stderr] = &text;
    assert!(
        !stderr.starts_with("unshare:"),
        "no namespaces here: {stderr}run the tests as root, or allow unprivileged user namespaces"
    );
    // A name that matches no test would pass as well, so the output must show that one ran.
    let passed = output.status.success() && stdout.contains("test result: ok. 1 passed");
    // The panic of the test inside stands first: a long message is cut at its end.
    assert!(passed, "{stderr}{stdout}{}", output.status);
    // Measurements, for `--nocapture`.
    print!("{stdout}");
}

/// A last resort: every wait has its own, shorter patience.
fn end_after(lifetime: Duration) {
    thread::spawn(move || {
        thread::sleep(lifetime);
        eprintln!("the test did not end within {lifetime:?}");
        process::exit(1);
    });
}

/// Whether links look for other hosts with their addresses (RFC 4862 §5.4). That takes one to two seconds, and an
/// address that comes so late is a change of the network: Chromium gives up what it is loading for it
/// (`ERR_NETWORK_CHANGED`), and a part of the page is missing. Without it the links' own addresses come within
/// milliseconds; those that a test binds to at once are still added with `nodad`.
pub(crate) const ADDRESS_DETECTION: &str = "/proc/sys/net/ipv6/conf/default/accept_dad";

/// Set in the environment of a test that runs in its own world.
const INSIDE: &str = "HAIRPIN_TEST_INSIDE";
/// The lifetime of a test, unless it asks for more.
pub const LIFETIME: Duration = Duration::from_secs(300);
