//! The command lines of README and `docs/`, as written, in a throw-away root (`root.sh`), but for those in `NOT_RUN`.
//!
//! `sudo`, `apt`, `cargo`, `systemctl` and `journalctl` are stand-ins (`stand_ins`), which fail at arguments that they do not
//! know. All else is the program that the reader would run. Not read here: CONTRIBUTING.md, SECURITY.md, CHANGELOG.md, and
//! the documents beside the sources of crates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{binary, text};

/// Command lines that do not run here, by their beginnings, and why. Of those that begin with `hairpin`, the arguments
/// are checked all the same.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo run --manifest-path examples/sfu",
        "takes part in a room until a signal ends it; tests/examples does the same",
    ),
    (
        "examples/mcu/mcu.py",
        "takes part in a room until a signal ends it; tests/examples does the same",
    ),
    ("python3 -m http.server", "serves until a signal ends it"),
    (
        "cargo run --example",
        "tests/examples/library.rs and quic.rs run the examples",
    ),
    ("cargo xtask test", "this test is part of it"),
    (
        "cargo xtask check",
        "a check of the sources, of which `cargo xtask test` runs all",
    ),
    ("cargo xtask bench", "a measurement of minutes"),
    ("cargo bench", "a measurement of minutes"),
    ("cargo deny", "fetches the list of advisories"),
    ("cargo test", "tests, of which `cargo xtask test` runs all"),
    (
        "cargo doc",
        "opens a browser; `cargo xtask check docs` builds the same",
    ),
    (
        "hairpin check --config FILE",
        "`FILE` is a configuration of the reader's",
    ),
    (
        "hairpin doctor",
        "asks servers on the Internet, or of another set-up",
    ),
    (
        "curl ",
        "asks a server that is configured for it; tests/black_box does the same",
    ),
    ("hairpin probe", "asks a server on the Internet"),
    (
        "hairpin import-coturn",
        "reads a configuration of the reader's; tests/black_box/import_coturn.rs has many",
    ),
    ("hairpin session", "asks a running server"),
    ("hairpin status", "asks a running server"),
    ("hairpin top", "asks a running server"),
    (
        "hairpin policy explain 10.0.0.7 --running",
        "asks a running server",
    ),
    ("hairpin end", "asks a running server"),
    ("hairpin bans", "asks a running server"),
    (
        "journalctl -f HAIRPIN",
        "asks the journal of a server; tests/hostile/journal.rs does the same",
    ),
    (
        "journalctl HAIRPIN",
        "asks the journal of a server; tests/hostile/journal.rs does the same",
    ),
    (
        "journalctl -u hairpin -p",
        "asks the journal of a server; tests/hostile/journal.rs does the same",
    ),
    (
        "journalctl -u hairpin -o",
        "asks the journal of a server; tests/hostile/journal.rs does the same",
    ),
    ("hairpin check --against-running", "asks a running server"),
    ("hairpin bench", "measures a server of the reader's"),
    (
        "sudo hairpin credentials --user alice",
        "needs the configuration of the package; tests/packaging/debian.sh does the same",
    ),
    (
        "sudo dnf install",
        "a package for Fedora; its files are compared with the deb's",
    ),
    (
        "tar -xzf hairpin-",
        "a release; `cargo xtask package static` runs its binary alone",
    ),
    (
        "sudo install -m 755 hairpin-",
        "a release; `cargo xtask package static` runs its binary alone",
    ),
    (
        "docker ",
        "needs Docker; tests/packaging/container.sh runs the image",
    ),
    (
        "cargo xtask package",
        "makes packages; tests/packaging/packages.rs does the same",
    ),
    (
        "cargo xtask semver",
        "compiles cargo-semver-checks, and no release has a tag yet",
    ),
    ("hairpin usage", "asks a running server"),
    ("hairpin reload", "asks a running server"),
    ("hairpin drain", "asks a running server"),
    ("hairpin serve", "serves until a signal ends it"),
    (
        "install -m 640 -g hairpin",
        "a line of a hook of certbot, which sets `RENEWED_LINEAGE`",
    ),
    ("aws ", CLOUD),
    ("gcloud ", CLOUD),
    ("doctl ", CLOUD),
    (
        "kubectl ",
        "asks a cluster; the manifest is parsed by tests/packaging/recipes/containers.rs",
    ),
    (
        "cargo add",
        "fetches crates; recipes/minting.rs builds the same package with locked ones",
    ),
    ("cargo init", "recipes/minting.rs makes the same package"),
    ("read -rp", "asks at a terminal"),
    (
        "ssh turn.example.org",
        "copies the secret from another host",
    ),
    (
        "sudo install -m 400 -o matrix-synapse",
        "has a user of Synapse's package, which the root of this test lacks",
    ),
    (
        "sudo install -m 640 -g nogroup",
        "has a group of Debian, which the root of this test lacks",
    ),
    ("sudo -u www-data", ELSEWHERE),
    ("sudo bbb-conf", ELSEWHERE),
    ("sudo firewall-cmd", "recipes/firewalls.rs runs it"),
    ("sudo nft", "recipes/firewalls.rs runs it"),
    ("sudo ufw", "recipes/firewalls.rs runs it"),
    (
        "sudo apt install libnginx",
        "recipes/port_443.rs loads this module",
    ),
    (
        "sudo systemctl stop hairpin",
        "the lines behind it ask the server",
    ),
    ("sudo systemctl restart haproxy", PROGRAM),
    ("sudo systemctl restart nginx", PROGRAM),
    ("sudo systemctl restart caddy", PROGRAM),
    ("sudo systemctl restart janus", PROGRAM),
    ("sudo systemctl restart prosody", PROGRAM),
    ("sudo systemctl reload prometheus", PROGRAM),
    ("sudo systemctl enable nftables", PROGRAM),
    ("sudo systemctl disable --now coturn", ELSEWHERE),
    ("sudo systemctl restart freeswitch", ELSEWHERE),
    ("sudo systemctl restart galene", ELSEWHERE),
    ("sudo systemctl restart livekit-docker", ELSEWHERE),
    ("sudo systemctl restart matrix-synapse", ELSEWHERE),
    (
        "sudo systemctl daemon-reload",
        "systemd itself has to bind the sockets of `hairpin.socket`",
    ),
];

const CLOUD: &str =
    "asks a cloud; recipes/firewalls.rs only compares its ports with the base configuration";
const ELSEWHERE: &str = "of a product that no test has: nothing here shows that the line works";
const PROGRAM: &str =
    "a service that the root of this test lacks; a test starts the program with the page's lines";

/// The command line whose exit code is no, as it has to be: the address is denied.
const DENIED: &str = "hairpin policy explain 10.0.0.7";

#[test]
fn every_command_line_of_the_documents_works_as_written_on_a_fresh_debian() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let commands = place.path().join("commands");
    fs::create_dir(&commands).expect("a directory");
    let mut blocks = documents().into_iter().flat_map(blocks).collect::<Vec<_>>();
    blocks.push(Block {
        document: "the outcome".to_owned(),
        is_inline: false,
        lines: OUTCOME.map(str::to_owned).to_vec(),
    });
    blocks.sort_by_key(|block| block.is_inline);
    let mut unused: Vec<&str> = NOT_RUN.iter().map(|(beginning, _)| *beginning).collect();
    for (number, block) in blocks.iter().enumerate() {
        let kept: Vec<String> = block
            .lines
            .iter()
            .map(|line| runnable(line, &mut unused))
            .collect();
        let script = format!(
            "# {}\nset -eo pipefail\n{}\n",
            block.document,
            kept.join("\n")
        );
        let name = format!("{number:03}.sh");
        fs::write(commands.join(name), script).expect("a block is written");
    }
    assert_eq!(
        unused, [""; 0],
        "no document has these lines that do not run"
    );

    let mut root = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        root.args(["--user", "--map-root-user", "--map-auto"]);
    }
    root.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh"]);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.arg(repository.join("tests/packaging/root.sh"))
        .arg(repository);
    let ran = root
        .arg(binary())
        .arg(place.path())
        .output()
        .expect("unshare (Debian package util-linux)");
    let told = text(&ran.stdout) + &text(&ran.stderr);
    assert!(ran.status.success(), "{told}");
}

/// The outcome of installing the server as docs/install.md says, and of making the secret of a container: its user reads
/// it, and the reader, who is root here, by the group.
const OUTCOME: [&str; 3] = [
    r#"test "$(stat -c %a:%U:%G /etc/hairpin/turnserver.toml)" = 640:root:hairpin"#,
    r#"test "$(stat -c %U "/proc/$(cat /run/hairpin.pid)")" = hairpin"#,
    r#"test "$(stat -c %a:%u:%G ~/turn/turn.secret)" = 440:65532:root"#,
];

/// Command lines of a document that belong together.
struct Block {
    document: String,
    /// Whether it is a line between backticks. These run after all others.
    is_inline: bool,
    lines: Vec<String>,
}

pub(super) fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md")];
    for directory in ["docs", "docs/decisions", "docs/recipes"] {
        let entries = fs::read_dir(root.join(directory)).expect("documents");
        documents.extend(entries.map(|entry| entry.expect("a document").path()));
    }
    // tests/black_box/admin_document.rs runs those of this one, beside a server.
    documents.retain(|path| !path.ends_with("docs/admin.md"));
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    // The other documents are typed where the server is installed.
    documents[1..].sort_by_key(|path| (!path.ends_with("docs/install.md"), path.clone()));
    documents
}

fn blocks(path: PathBuf) -> Vec<Block> {
    let document = path.file_name().expect("a name").display().to_string();
    let content = fs::read_to_string(&path).expect("a document");
    let block = |is_inline, lines| Block {
        document: document.clone(),
        is_inline,
        lines,
    };
    let mut blocks = Vec::new();
    let mut lines = content.lines();
    while let Some(line) = lines.next() {
        if let Some((indent, language)) = line.split_once("```") {
            let code = lines.by_ref().take_while(|line| line.trim() != "```");
            let code = code
                .map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned())
                .collect();
            if language == "sh" {
                blocks.push(block(false, code));
            }
            continue;
        }
        let spans = line.split('`').skip(1).step_by(2);
        blocks.extend(
            spans
                .filter(|span| is_command_line(span))
                .map(|span| block(true, vec![span.to_owned()])),
        );
    }
    blocks
}

/// Whether a span in backticks is to be typed. Two words name a program's command and no more.
fn is_command_line(span: &str) -> bool {
    let programs = ["cargo ", "hairpin ", "journalctl ", "sudo ", "systemctl "];
    programs.iter().any(|program| span.starts_with(program)) && span.split(' ').count() > 2
}

/// The command that runs in place of a line: the line itself unless it is one of `NOT_RUN`.
fn runnable(line: &str, unused: &mut Vec<&str>) -> String {
    // The same command is asked for with and without root's rights.
    let plain = line.strip_prefix("sudo ").unwrap_or(line);
    let listed = NOT_RUN
        .iter()
        .find(|(beginning, _)| line.starts_with(beginning) || plain.starts_with(beginning));
    if let Some((beginning, _)) = listed {
        unused.retain(|unused| unused != beginning);
        let command = plain.split(['|', '#']).next().unwrap_or(plain);
        return if plain.starts_with("hairpin") {
            format!("{command} --help >/dev/null")
        } else {
            String::new()
        };
    }
    if line == DENIED {
        format!("if {line}; then exit 1; fi")
    } else {
        line.to_owned()
    }
}
