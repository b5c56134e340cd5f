//! Every command line of README and `docs/`, as written, in a throw-away root (`root.sh`).
//!
//! `sudo`, `cargo`, `systemctl` and `journalctl` are stand-ins (`stand_ins`), which fail at arguments that they do not
//! know. All else is the program that the reader would run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{binary, text};

/// Command lines that do not run here, by their beginnings, and why. Of those that begin with `hairpin`, the arguments
/// are checked all the same.
const NOT_RUN: [(&str, &str); 22] = [
    (
        "cargo run --manifest-path examples/sfu",
        "takes part in a room until a signal ends it; tests/examples does the same",
    ),
    (
        "examples/mcu/mcu.py",
        "takes part in a room until a signal ends it; tests/examples does the same",
    ),
    ("python3 -m http.server", "serves until a signal ends it"),
    ("cargo xtask test", "this test is part of it"),
    (
        "cargo xtask check",
        "a check of the sources, of which `cargo xtask test` runs all",
    ),
    ("cargo xtask load", "a measurement of minutes"),
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
    ("hairpin status", "asks a running server"),
    ("hairpin session", "asks a running server"),
    ("hairpin end", "asks a running server"),
    ("hairpin reload", "asks a running server"),
    ("hairpin drain", "asks a running server"),
    ("hairpin serve", "serves until a signal ends it"),
    (
        "install -m 640 -g hairpin",
        "a line of a hook of certbot, which sets `RENEWED_LINEAGE`",
    ),
    (
        "sudo systemctl daemon-reload",
        "systemd itself has to bind the sockets of `hairpin.socket`",
    ),
];

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

/// What follows from the README's five minutes to a relay.
const OUTCOME: [&str; 2] = [
    r#"test "$(stat -c %a:%U:%G /etc/hairpin/turnserver.toml)" = 640:root:hairpin"#,
    r#"test "$(stat -c %U "/proc/$(cat /run/hairpin.pid)")" = hairpin"#,
];

/// Command lines of a document that belong together.
struct Block {
    document: String,
    /// Whether it is a line between backticks. These run after all others.
    is_inline: bool,
    lines: Vec<String>,
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md")];
    for directory in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root.join(directory)).expect("documents");
        documents.extend(entries.map(|entry| entry.expect("a document").path()));
    }
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents[1..].sort();
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

/// What runs in place of a line, which is the line itself unless it is one of `NOT_RUN`.
fn runnable(line: &str, unused: &mut Vec<&str>) -> String {
    let listed = NOT_RUN
        .iter()
        .find(|(beginning, _)| line.starts_with(beginning));
    if let Some((beginning, _)) = listed {
        unused.retain(|unused| unused != beginning);
        let command = line.split(['|', '#']).next().unwrap_or(line);
        return if line.starts_with("hairpin") {
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
