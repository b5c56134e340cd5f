//! `hairpin import-coturn`, as its user meets it: what it writes, what it shows, how it ends.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use lab::{
    program::{Program, here},
    server::hairpin_by,
    world::in_own_world,
};

use super::{SECRET, hairpin, text};

#[test]
fn an_import_is_for_its_owner_alone_and_takes_the_place_of_no_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [conf, out] =
        ["turnserver.conf", "turnserver.toml"].map(|name| directory.path().join(name));
    let settings = format!("realm=example.org\nuse-auth-secret\nstatic-auth-secret={SECRET}\n");
    fs::write(&conf, settings).expect("a file");
    let [conf, toml] = [&conf, &out].map(|path| path.to_str().expect("a path of ASCII"));
    let import =
        |more: &[&str]| hairpin(&[&["import-coturn", conf, "--userdb", "none"], more].concat());

    let shown = import(&[]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    let words = text(&shown.stdout);
    assert!(
        words.contains("secrets = [\"***\"]") && !words.contains(SECRET),
        "{words}"
    );
    assert!(!out.exists());

    let written = import(&["--out", toml]);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    assert!(!text(&written.stdout).contains(SECRET));
    let mode = fs::metadata(&out).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(hairpin(&["check", "--config", toml]).status.code(), Some(0));

    assert_eq!(import(&["--out", toml]).status.code(), Some(1));
    assert_eq!(import(&["--out", toml, "--force"]).status.code(), Some(0));

    let before = fs::read(conf).expect("a file");
    for (out, says) in [
        (conf, "names the configuration of coturn itself"),
        ("-", "without --out"),
    ] {
        let refused = import(&["--out", out, "--force"]);
        assert_eq!(refused.status.code(), Some(2), "{out}");
        let told = text(&refused.stderr);
        assert!(told.contains(says), "{told}");
    }
    assert_eq!(fs::read(conf).expect("a file"), before);
}

#[test]
fn an_import_to_a_full_disk_leaves_no_file_and_the_old_one_whole() {
    in_own_world(|_| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [conf, small] = ["turnserver.conf", "small"].map(|name| directory.path().join(name));
        fs::create_dir(&small).expect("a directory");
        let mut mount = here("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]);
        mount.arg(&small);
        Program::succeed(mount);
        let users = (0..2000).map(|index| format!("user=alice{index}:a-long-password-{index}\n"));
        let users: String = users.collect();
        fs::write(&conf, format!("realm=example.org\nlt-cred-mech\n{users}")).expect("a file");
        let [old, new] = ["old.toml", "new.toml"].map(|name| small.join(name));
        fs::write(&old, "realm = \"old\"\n").expect("a file");
        let import = |out: &Path, more: &[&str]| {
            let [conf, out] = [&conf, out].map(|path| path.to_str().expect("a path of ASCII"));
            let arguments = ["import-coturn", conf, "--userdb", "none", "--out", out];
            hairpin(&[&arguments, more].concat())
        };
        for (out, more) in [(&new, &[][..]), (&old, &["--force"])] {
            let outcome = import(out, more);
            let words = text(&outcome.stderr);
            assert_eq!(outcome.status.code(), Some(1), "{words}");
            assert!(words.contains("No space left"), "{words}");
            assert!(!text(&outcome.stdout).contains("wrote"));
        }
        let left = fs::read_dir(&small).expect("the directory").count();
        assert_eq!(left, 1, "no half file stays");
        assert_eq!(
            fs::read_to_string(&old).expect("a file"),
            "realm = \"old\"\n"
        );
    });
}

#[test]
fn an_import_without_a_file_to_write_names_none() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let conf = directory.path().join("turnserver.conf");
    // A certificate with the key of another one.
    for (name, is_key) in [("cert.pem", false), ("key.pem", true)] {
        let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]);
        let made = made.expect("a certificate");
        let pem = if is_key {
            made.signing_key.serialize_pem()
        } else {
            made.cert.pem()
        };
        fs::write(directory.path().join(name), pem).expect("a file");
    }
    let settings = format!("static-auth-secret={SECRET}\ncert=cert.pem\npkey=key.pem\n");
    fs::write(&conf, settings).expect("a file");
    let conf = conf.to_str().expect("a path of ASCII");
    let outcome = hairpin(&["import-coturn", conf, "--userdb", "none"]);
    assert_eq!(outcome.status.code(), Some(3));
    let words = text(&outcome.stderr) + &text(&outcome.stdout);
    assert!(words.contains("the configuration below:"), "{words}");
    assert!(words.contains("the file that --out writes"), "{words}");
    assert!(!words.contains("turnserver.toml"), "{words}");
}

#[test]
fn an_import_takes_the_place_of_no_device_and_follows_a_link() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [conf, link, real, pipe] =
        ["turnserver.conf", "link", "real", "pipe"].map(|name| directory.path().join(name));
    fs::write(&conf, "realm=example.org\n").expect("a file");
    fs::write(&real, "").expect("a file");
    symlink(&real, &link).expect("a link");
    let mut mkfifo = here("mkfifo");
    mkfifo.arg(&pipe);
    Program::succeed(mkfifo);
    let import = |out: &Path| {
        let [conf, out] = [&conf, out].map(|path| path.to_str().expect("a path of ASCII"));
        hairpin(&[
            "import-coturn",
            conf,
            "--userdb",
            "none",
            "--force",
            "--out",
            out,
        ])
    };
    let outcome = import(&pipe);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(text(&outcome.stderr).contains("no regular file"));
    import(&link);
    assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    assert!(
        fs::read_to_string(&real)
            .expect("a file")
            .contains("example.org")
    );
}

#[test]
fn an_import_escapes_what_a_screen_obeys_and_tells_of_bytes_that_are_no_utf_8() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let name = OsStr::from_bytes(b"t\xfcrn\x1b[2J.conf");
    let conf = directory.path().join(name);
    let lines =
        b"realm=ours\xe2\x80\xae\x1b[2J\nuser=j\xfcrgen:hidden\nserver-name=\xff\nuserdb=\x1b[2J\n";
    fs::write(&conf, lines).expect("a file");
    let mut command = hairpin_by(here);
    command.arg("import-coturn").arg(&conf);
    let outcome = command.output().expect("the binary runs");
    assert_eq!(outcome.status.code(), Some(3));
    for output in [&outcome.stdout, &outcome.stderr] {
        let words = std::str::from_utf8(output).expect("UTF-8");
        let unseen = |letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}';
        assert!(!words.contains(unseen), "{words:?}");
        assert!(
            !words.contains("hidden") && !words.contains('\u{fffd}'),
            "{words}"
        );
    }
    let report = text(&outcome.stdout);
    for words in [
        "t\\xfcrn\\u{1b}[2J.conf: 4 lines",
        "realm=ours\\u{202e}\\u{1b}[2J",
        "user…",
        "it is not UTF-8, and is not carried over",
    ] {
        assert!(report.contains(words), "{words}:\n{report}");
    }
}

#[test]
fn an_import_that_leaves_something_to_decide_is_3() {
    let mut conf = tempfile::NamedTempFile::new().expect("a temporary file");
    conf.write_all(b"no-auth\nexternal_ip=192.0.2.1\n")
        .expect("a file");
    let path = conf.path().to_str().expect("a path of ASCII");
    let outcome = hairpin(&["import-coturn", path, "--userdb", "none"]);
    assert_eq!(outcome.status.code(), Some(3));
    let report = text(&outcome.stdout);
    for words in [
        "unsafe, and not carried over (1)",
        "unknown to coturn as well (1)",
        "to decide:",
        "`external-ip`",
    ] {
        assert!(report.contains(words), "{words}:\n{report}");
    }
}

#[test]
fn an_import_names_the_service_of_the_guide_and_says_what_else_to_look_at_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, service, settings, page) in GUIDES {
        let conf = root.join(format!("tests/coturn/corpus/{file}.conf"));
        let conf = conf.to_str().expect("a path of ASCII");
        let report = text(&hairpin(&["import-coturn", conf, "--userdb", "none"]).stdout);
        let heading = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
        let mut lines = report
            .lines()
            .skip_while(|line| !heading(line) || !line.contains(service));
        assert!(lines.next().is_some(), "{file}: no {service} in {report}");
        let advice: Vec<&str> = lines.take_while(|line| line.starts_with("  - ")).collect();
        for name in *settings {
            let is_named = advice.iter().any(|line| line.contains(name));
            assert!(is_named, "{file}: no {name} in {advice:#?}");
        }
        // What the advice tells to leave as it is, is what the recipe tells to write.
        let recipe = fs::read_to_string(root.join(format!("docs/recipes/{page}.md")));
        let recipe = recipe.expect("a recipe");
        assert!(recipe.contains(settings[0]), "{page}: no {}", settings[0]);
    }
}

/// A file of the corpus, the service that it is for, the service's settings and ours that the import has to name, and the
/// recipe, which has the first of them as well.
const GUIDES: &[(&str, &str, &[&str], &str)] = &[
    (
        "nextcloud-talk",
        "Nextcloud Talk",
        &["[peers] allow", "server.conf", "[turn]"],
        "nextcloud-talk",
    ),
    (
        "synapse",
        "a Matrix homeserver",
        &[
            "turn_shared_secret",
            "turn_uris",
            "turn_user_lifetime",
            "[peers] allow",
        ],
        "synapse",
    ),
    (
        "jitsi",
        "Jitsi Meet",
        &[
            "external_service_secret",
            "external_services",
            "[peers] allow",
            "[proxy-protocol]",
            "https-backend",
        ],
        "jitsi",
    ),
    (
        "bigbluebutton",
        "BigBlueButton",
        &[
            "turn-stun-servers.xml",
            "[peers] allow",
            "16384-32768",
            "systemctl disable --now coturn",
        ],
        "bigbluebutton",
    ),
    (
        "livekit",
        "LiveKit",
        &[
            "turn_servers",
            "[auth.users]",
            "turn.enabled",
            "50000-60000",
            "rtc.udp_port",
        ],
        "livekit",
    ),
];
