//! `hairpin import-coturn`, with Debian's coturn as its judge: both serve one file, coturn as it is and
//! Hairpin through the import, each on a host of its own, and clients ask both the same.
//!
//! A file of the corpus says in comments what is asked beside what all are asked, and which answers
//! differ on purpose:
//!
//! - `#: login NAME PASSWORD`: whether the user may allocate.
//! - `#: minted SECRET`: the same of a user whose password the secret makes.
//! - `#: turnadmin ARGUMENTS`: run before, on the database `@DIR@/turndb`.
//! - `#: differs WHAT: REASON`: an answer that is not the same. One that is, is an error, too. `closed` is all that is not
//!   public, `closed PEER PEER` those of it that coturn opens and Hairpin does not.

mod differences;
mod questions;

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use lab::{
    PATIENCE,
    authority::{Authority, Key, Wish},
    credentials::password_of,
    machine::{Machine, configure},
    program::{Program, here},
    server::hairpin_by,
    wait_for,
    world::{SERVER_V4, SERVER_V6, in_own_world_for},
};
use tempfile::TempDir;

use differences::{differences, expected};
use questions::{Seen, ask, listeners};

/// A file of the corpus.
struct Case {
    name: String,
    conf: String,
    files: TempDir,
}

#[test]
fn every_file_of_the_corpus_makes_the_server_that_coturn_is() {
    in_own_world_for(Duration::from_secs(240), |_| {
        let cases: VecDeque<Case> = corpus().into_iter().map(Case::read).collect();
        let count = cases.len();
        assert!(count >= 40, "{count} files");
        let cases = Mutex::new(cases);
        let next = || {
            cases
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
        };
        let wrong: Vec<String> = thread::scope(|scope| {
            let work = || {
                std::iter::from_fn(next)
                    .filter_map(|case| case.wrong())
                    .collect::<Vec<_>>()
            };
            let workers: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
            let done = workers
                .into_iter()
                .flat_map(|it| it.join().expect("no panic"));
            done.collect()
        });
        assert!(
            wrong.is_empty(),
            "{} of {count}:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    });
}

#[test]
fn coturn_knows_the_options_of_the_first_table_and_no_other() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/coming-from-coturn.md");
    let document = fs::read_to_string(document).expect("the document");
    let (_, document) = document.split_once("## Every option").expect("a heading");
    let (known, unknown) = document
        .split_once("Those of later versions")
        .expect("a second table");
    // Those that lead the log elsewhere are read before the others.
    let is_about_logs = |name: &&str| name.contains("log") && !name.contains("log-binding");
    let [known, unknown] = [known, unknown].map(|table| {
        let rows = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        rows.filter(|name| !is_about_logs(name))
            .collect::<BTreeSet<&str>>()
    });
    let files = TempDir::new().expect("a temporary directory");
    let lines: Vec<&str> = known.iter().chain(&unknown).copied().collect();
    fs::write(files.path().join("turnserver.conf"), lines.join("\n"))
        .expect("the directory is ours");
    let mut turnserver = here("turnserver");
    turnserver.current_dir(files.path()).args([
        "-c",
        "turnserver.conf",
        "--log-file",
        "stdout",
        "--simple-log",
    ]);
    // It ends when it comes to an option that needs a value; all lines were looked at before.
    let told = Program::run(turnserver, PATIENCE).output;
    let refused = told
        .lines()
        .filter_map(|line| line.split_once("Bad configuration format: "));
    let refused: BTreeSet<&str> = refused.map(|(_, name)| name.trim()).collect();
    // Debian builds it without these.
    let left_out = [
        "mongo-userdb",
        "prometheus",
        "prometheus-port",
        "prometheus-username-labels",
    ];
    let unknown: BTreeSet<&str> = unknown.iter().copied().chain(left_out).collect();
    assert_eq!(refused, unknown);

    let mut turnserver = here("turnserver");
    turnserver.arg("-h");
    let help = Program::run(turnserver, PATIENCE).output;
    let words = help.split([
        ' ', ',', '\t', '\n', '=', '[', ']', '(', ')', '<', '.', '!', '"',
    ]);
    let options = words.filter_map(|word| word.strip_prefix("--"));
    let options =
        options.filter(|name| !is_about_logs(name) && !name.is_empty() && *name != "help");
    // A slip in the text of the help.
    let missing: Vec<&str> = options
        .filter(|name| !known.contains(name) && *name != "no_dtls")
        .collect();
    assert_eq!(missing, [""; 0]);
}

impl Case {
    fn read(path: PathBuf) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let text = fs::read_to_string(&path).expect("a file of the corpus");
        let directory = files.path().display().to_string();
        let mut conf = text.replace("@DIR@", &directory);
        for (key, [cert_place, key_place]) in [
            (Key::P256, ["@CERT@", "@KEY@"]),
            (Key::Rsa, ["@RSA-CERT@", "@RSA-KEY@"]),
        ] {
            if conf.contains(cert_place) {
                let wish = Wish { key, ..Wish::RIGHT };
                let [cert, key] = Authority::lab()
                    .issue(wish)
                    .write(files.path(), "certificate");
                conf = conf.replace(cert_place, &cert).replace(key_place, &key);
            }
        }
        fs::write(files.path().join("turnserver.conf"), &conf).expect("the directory is ours");
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        Self { name, conf, files }
    }

    /// The rest of lines that begin with this word, in the comments of the file.
    fn said<'c>(&'c self, word: &'c str) -> impl Iterator<Item = &'c str> {
        let lines = self
            .conf
            .lines()
            .filter_map(|line| line.strip_prefix("#: "));
        lines.filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '))
    }

    /// The lines that count for the test, not for the servers.
    fn logins(&self) -> Vec<(String, String)> {
        let users = self.said("login").filter_map(|it| it.split_once(' '));
        let users = users.map(|(name, password)| (name.to_owned(), password.to_owned()));
        let minted = self
            .said("minted")
            .map(|secret| (MINTED.to_owned(), password_of(secret, MINTED)));
        let stranger = ("mallory".to_owned(), "what-she-guesses".to_owned());
        minted.chain(users).chain([stranger]).collect()
    }

    /// Users of one secret, more than a small range has ports: one user may not have them all.
    fn crowd(&self) -> Vec<(String, String)> {
        let user = |secret, number| {
            let name = format!("{MINTED}{number}");
            let password = password_of(secret, &name);
            (name, password)
        };
        let secrets = self.said("minted").take(1);
        secrets
            .flat_map(|secret| (0..32).map(move |number| user(secret, number)))
            .collect()
    }

    /// Where the two servers differ and should not, or the other way round.
    fn wrong(&self) -> Option<String> {
        for arguments in self.said("turnadmin") {
            let mut turnadmin = here("turnadmin");
            turnadmin
                .args(arguments.split(' '))
                .arg("-b")
                .arg(self.files.path().join("turndb"));
            Program::succeed(turnadmin);
        }
        let imported = self.import();
        let [theirs, ours] = thread::scope(|scope| {
            let theirs = scope.spawn(|| self.seen(&self.coturn(), "Total General servers"));
            let ours = scope.spawn(|| self.seen(&self.hairpin(), "listening"));
            [theirs, ours].map(|it| it.join().expect("no panic"))
        });
        let differences = differences(&theirs, &ours);
        let expected: BTreeSet<String> = self.said("differs").flat_map(expected).collect();
        let found: BTreeSet<String> = differences.keys().cloned().collect();
        let mut wrong = String::new();
        for what in found.difference(&expected) {
            wrong += &format!("  differs {what}: {}\n", differences[what]);
        }
        for what in expected.difference(&found) {
            wrong += &format!("  does not differ {what}\n");
        }
        (!wrong.is_empty()).then(|| format!("{}:\n{wrong}{imported}", self.name))
    }

    /// Runs the import, which writes the file that Hairpin serves.
    fn import(&self) -> String {
        // On a host with the addresses of the server's: what is read of a file depends on them.
        let host = Machine::make();
        configure(host.command("ip"), &links());
        let mut import = hairpin_by(|program| host.command(program));
        import.current_dir(self.files.path()).args([
            "import-coturn",
            "turnserver.conf",
            "--out",
            "turnserver.toml",
        ]);
        if !self.conf.contains("turndb") {
            import.args(["--userdb", "none"]);
        }
        let ended = Program::run(import, PATIENCE);
        let code = ended.status.code();
        assert!(matches!(code, Some(0 | 3)), "{}: {ended:?}", self.name);
        ended.output
    }

    fn coturn(&self) -> impl Fn(&Machine) -> Command {
        let files = self.files.path().to_owned();
        let has_database = self.conf.contains("turndb");
        // The test reads its log, which these lines lead elsewhere.
        let is_about_logs = |line: &&str| {
            ["log-file", "syslog", "no-stdout-log"]
                .iter()
                .any(|it| line.starts_with(it))
        };
        let lines = self
            .conf
            .split_inclusive('\n')
            .filter(|line| !is_about_logs(line));
        fs::write(files.join("coturn.conf"), lines.collect::<String>())
            .expect("the directory is ours");
        move |host: &Machine| {
            let mut coturn = host.command("turnserver");
            coturn.current_dir(&files).args([
                "-c",
                "coturn.conf",
                "--log-file",
                "stdout",
                "--pidfile",
                "pid",
            ]);
            if !has_database {
                coturn.args(["--userdb", "empty"]);
            }
            coturn
        }
    }

    fn hairpin(&self) -> impl Fn(&Machine) -> Command {
        let file = self.files.path().join("turnserver.toml");
        move |host: &Machine| {
            let mut hairpin = hairpin_by(|program| host.command(program));
            hairpin.arg("serve").arg("--config").arg(&file);
            hairpin
        }
    }

    /// Starts a server on a host of its own, and asks it everything.
    fn seen(&self, command: &dyn Fn(&Machine) -> Command, words: &str) -> Seen {
        let host = Machine::make();
        configure(host.command("ip"), &links());
        let mut server = Program::start(command(&host));
        server.wait_for_words(words);
        let sockets = wait_for("listeners", PATIENCE, || {
            let mut ss = host.command("ss");
            ss.args(["-Hlntu"]);
            Some(listeners(&Program::succeed(ss))).filter(|it| !it.is_empty())
        });
        let logins = self.logins();
        let crowd = self.crowd();
        let ports = self.relay_ports();
        let has_tls = self.conf.contains("\ncert=");
        let seen = host.there(move || Ok(ask(&sockets, &logins, &crowd, ports, has_tls)));
        seen.unwrap_or_else(|why| panic!("{}: {why}", self.name))
    }

    fn relay_ports(&self) -> [u16; 2] {
        let number = |name: &str, default| {
            let mut lines = self
                .conf
                .lines()
                .filter_map(|line| line.trim().strip_prefix(name));
            let text = lines
                .next_back()
                .map(|rest| rest.trim_matches([' ', '\t', '=', '\r']).to_owned());
            text.map_or(default, |text| text.parse().expect("a port"))
        };
        [number("min-port", 49152), number("max-port", 65535)]
    }
}

fn corpus() -> Vec<PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/coturn/corpus");
    let entries = fs::read_dir(directory).expect("the corpus");
    let mut paths: Vec<PathBuf> = entries.map(|it| it.expect("a file").path()).collect();
    paths.sort();
    let only = std::env::var("HAIRPIN_TEST_CORPUS").unwrap_or_default();
    paths.retain(|path| path.to_string_lossy().contains(&only));
    paths
}

/// A host with an address of each family, whose other end is nobody.
fn links() -> String {
    format!(
        "link set lo up\n\
         link add server0 type veth peer name nobody0\n\
         address add {SERVER_V4}/24 dev server0\n\
         address add {SERVER_V6}/64 dev server0 nodad\n\
         link set nobody0 up\n\
         link set server0 up\n\
         route add default dev server0 src {SERVER_V4}\n\
         route add default dev server0 src {SERVER_V6}\n"
    )
}

/// The user of credentials that a secret makes, good until the last second of a 32-bit clock.
const MINTED: &str = "2147483647:alice";

/// How many files are served at a time, by two servers each.
const SIDE_BY_SIDE: usize = 6;
