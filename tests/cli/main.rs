//! The command line, as a person and a script use it.

mod import_coturn;

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab::{credentials::password_of, program::here, server::hairpin_by};

const SECRET: &str = "bm90IGEgcmVhbCBzZWNyZXQ=";

#[test]
fn help_teaches_every_subcommand_by_example() {
    let commands: [&[&str]; 13] = [
        &[],
        &["import-coturn"],
        &["serve"],
        &["check"],
        &["credentials"],
        &["token"],
        &["policy"],
        &["policy", "explain"],
        &["probe"],
        &["doctor"],
        &["top"],
        &["completions"],
        &["man"],
    ];
    for command in commands {
        let arguments = [command, &["--help"]].concat();
        let help = hairpin(&arguments);
        assert_eq!(help.status.code(), Some(0), "{command:?}");
        let help = text(&help.stdout);
        let usage = format!("Usage: {}", [&["hairpin"], command].concat().join(" "));
        assert!(
            help.contains(&usage) && help.contains("Examples:"),
            "{command:?}:\n{help}"
        );
    }
}

#[test]
fn help_says_which_exit_codes_and_variables_there_are() {
    let help = text(&hairpin(&["--help"]).stdout);
    for words in ["Exit codes:", "HAIRPIN_CONFIG", "HAIRPIN_SECRET"] {
        assert!(help.contains(words), "{words}");
    }
    assert!(text(&hairpin(&["completions", "--help"]).stdout).contains("possible values: bash"));
    assert!(text(&hairpin(&["credentials", "--help"]).stdout).contains("[default: 24h]"));
}

#[test]
fn a_wrong_command_line_is_2() {
    let wrong: [&[&str]; 11] = [
        &[],
        &["import-coturn"],
        &["import-coturn", "/nonexistent/turnserver.conf"],
        &["srve"],
        &["policy", "explain", "example.org"],
        &["credentials", "--ttl", "24", "--secret", SECRET],
        &["credentials", "--secret", SECRET, "--secret-file", "-"],
        &["credentials"],
        &["token"],
        &["token", "--config", "turnserver.toml", "--lifetime", "60"],
        &["check", "--config", "/nonexistent/turnserver.toml"],
    ];
    for arguments in wrong {
        let outcome = hairpin(arguments);
        assert_eq!(outcome.status.code(), Some(2), "{arguments:?}");
        assert!(
            outcome.stdout.is_empty() && !outcome.stderr.is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_wrong_probe_is_2_and_the_sentence_names_what_is_wrong() {
    let wrong: [(&[&str], &[&str]); 10] = [
        (&["http:example.org"], &["URI", "stun, stuns"]),
        (&["stun:example.org:0"], &["URI", "1 to 65535"]),
        (&["turn:example.org"], &["turn:example.org", "name a stun"]),
        (&["--bind", "a/b"], &["--bind", "IP address"]),
        (&["--timeout", "3"], &["--timeout"]),
        (&["--timeout", "2m"], &["--timeout", "100ms to 1m"]),
        (&["--lifetime=1s"], &["--lifetime", "10s to 2h"]),
        (&["--ca", "/nonexistent/ca.pem"], &["--ca", "/nonexistent"]),
        (&["-4", "-6"], &["-4", "-6"]),
        (&["-6", "--bind", "127.0.0.1"], &["--bind", "-6"]),
    ];
    for (arguments, words) in wrong {
        // Never without a server: the command would ask public ones.
        let outcome = hairpin(&[&["probe", "stun:127.0.0.1"], arguments].concat());
        assert_eq!(outcome.status.code(), Some(2), "{arguments:?}");
        assert!(outcome.stdout.is_empty(), "{arguments:?}");
        let sentence = text(&outcome.stderr);
        for word in words {
            assert!(sentence.contains(word), "{arguments:?}: {sentence}");
        }
    }
}

#[test]
fn help_for_the_probe_says_what_each_exit_code_means() {
    let help = text(&hairpin(&["probe", "--help"]).stdout);
    for line in [
        "0   direct calls work",
        "10  a TURN server is needed",
        "20  no server was reached",
        "[default: 3s]",
    ] {
        assert!(help.contains(line), "{line}: {help}");
    }
}

#[test]
fn a_wrong_configuration_is_2_for_all_who_read_it_and_shows_the_place() {
    let file = configuration("[relay]\nport = \"50000-50099\"\n");
    let path = file.path().to_str().unwrap();
    let readers: [&[&str]; 5] = [
        &["serve"],
        &["check"],
        &["credentials"],
        &["token"],
        &["policy", "explain", "9.9.9.9"],
    ];
    for reader in readers {
        let outcome = hairpin(&[reader, &["--config", path]].concat());
        assert_eq!(outcome.status.code(), Some(2), "{reader:?}");
        let report = text(&outcome.stderr);
        assert!(report.contains(&format!("{path}:2:1")), "{report}");
        assert!(report.contains("did you mean `ports`?"), "{report}");
    }
}

#[test]
fn check_follows_the_variable_where_no_option_names_a_file() {
    let file = configuration("realm = \"from.the.variable\"\n");
    let outcome = hairpin_by(here)
        .arg("check")
        .env("HAIRPIN_CONFIG", file.path())
        .output()
        .unwrap();
    assert!(text(&outcome.stdout).contains("from.the.variable"));
}

#[test]
fn a_variable_that_is_empty_names_no_file_and_an_option_that_is_empty_is_refused() {
    let check = |variable: &str, arguments: &[&str]| {
        let mut command = hairpin_by(here);
        let command = command.arg("check").args(arguments);
        command.env("HAIRPIN_CONFIG", variable).output().unwrap()
    };
    let outcome = check("", &[]);
    assert_eq!(outcome.status.code(), Some(0), "{outcome:?}");
    let outcome = check("/nonexistent", &["--config", ""]);
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(text(&outcome.stderr).contains("--config or HAIRPIN_CONFIG is empty"));
}

#[test]
fn a_configuration_may_come_by_standard_input() {
    let file = configuration("realm = \"from.standard.input\"\n");
    let check = |file: fs::File| {
        let mut command = hairpin_by(here);
        command.args(["check", "--config", "-"]).stdin(file);
        command.output().expect("the binary runs")
    };
    let outcome = check(file.reopen().expect("a file"));
    let said = text(&outcome.stdout);
    assert!(said.starts_with("ok: standard input\n"), "{said}");
    assert!(said.contains("from.standard.input"), "{said}");
    let outcome = check(configuration("reelm = 1\n").reopen().expect("a file"));
    let said = text(&outcome.stderr);
    assert!(said.contains("--> standard input:1:1"), "{said}");
}

#[test]
fn a_variable_that_nobody_reads_is_2_for_all_who_read_the_configuration() {
    for reader in [
        &["serve"][..],
        &["check"],
        &["credentials"],
        &["policy", "explain", "9.9.9.9"],
    ] {
        let mut command = hairpin_by(here);
        command.args(reader).env("HAIRPIN_SECRETS", SECRET);
        let outcome = command.output().expect("the binary runs");
        let said = text(&outcome.stderr);
        assert_eq!(outcome.status.code(), Some(2), "{reader:?}: {said}");
        assert!(said.contains("did you mean `HAIRPIN_SECRET`?"), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[test]
fn a_credential_is_minted_from_the_secret_that_the_server_has() {
    let file = configuration(&format!("[auth]\nsecrets = [\"{SECRET}\"]\n"));
    let other = "5qLqO1tM0lYcN3S0PmTzuQ==";
    for (config, secret) in [(None, other), (Some(file.path()), SECRET)] {
        let mut command = hairpin_by(here);
        command.args(["credentials", "--user", "alice"]);
        command.envs(config.map(|path| ("HAIRPIN_CONFIG", path)));
        let minted = command.env("HAIRPIN_SECRET", other).output();
        let minted = minted.expect("the binary runs").stdout;
        let minted: serde_json::Value = serde_json::from_slice(&minted).expect("JSON");
        let minted = &minted["iceServers"][0];
        let username = minted["username"].as_str().expect("a text");
        assert_eq!(minted["credential"], password_of(secret, username));
    }
}

#[test]
fn check_never_shows_a_secret() {
    let right = format!("[auth]\nsecrets = [\"{SECRET}\"]\n[auth.users]\nalice = \"wonderland\"\n");
    for (text_of_file, code) in [
        (right.clone(), 0),
        (right.replace("[auth]", "[auth]\nx = 1"), 2),
    ] {
        let file = configuration(&text_of_file);
        let outcome = hairpin(&["check", "--config", file.path().to_str().unwrap()]);
        assert_eq!(outcome.status.code(), Some(code));
        let said = text(&outcome.stdout) + &text(&outcome.stderr);
        assert!(
            !said.contains(SECRET) && !said.contains("wonderland"),
            "{said}"
        );
    }
}

#[test]
fn check_accepts_the_shipped_file() {
    let outcome = hairpin(&[
        "check",
        "--config",
        concat!(env!("CARGO_MANIFEST_DIR"), "/turnserver.toml"),
    ]);
    assert_eq!(outcome.status.code(), Some(0), "{}", text(&outcome.stderr));
    assert!(text(&outcome.stdout).starts_with("ok: "));
    // It shows all keys, and the secrets are the operator's.
    let said = text(&outcome.stderr);
    assert!(said.starts_with("warning: nobody can allocate"), "{said}");
    assert_eq!(said.matches("warning:").count(), 1, "{said}");
}

#[test]
fn a_warning_is_shown_and_no_failure() {
    let file = configuration("[relay]\nports = \"1000-2000\"\n");
    let outcome = hairpin(&["check", "--config", file.path().to_str().unwrap()]);
    assert_eq!(outcome.status.code(), Some(0));
    assert!(text(&outcome.stderr).starts_with("warning: `[relay] ports`"));
}

#[test]
fn credentials_are_ice_servers_whose_password_is_the_mac_of_the_user_name() {
    let file = configuration(&format!(
        "[[listener]]\ntransport = \"udp\"\nlisten = \"127.0.0.1:3479\"\n[auth]\nsecrets = [\"{SECRET}\"]\n"
    ));
    let path = file.path().to_str().unwrap();
    let arguments = [
        "credentials",
        "--config",
        path,
        "--user",
        "alice",
        "--host",
        "turn.example.org",
    ];
    let outcome = hairpin(&arguments);
    assert_eq!(outcome.status.code(), Some(0), "{}", text(&outcome.stderr));
    let object: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let server = &object["iceServers"][0];
    assert_eq!(
        server["urls"][0],
        "turn:turn.example.org:3479?transport=udp"
    );
    let username = server["username"].as_str().unwrap();
    assert!(username.ends_with(":alice"));
    assert_eq!(server["credential"], password_of(SECRET, username));
}

#[test]
fn a_credential_expires_when_it_was_asked_to() {
    let expiry = |ttl: &str| -> u64 {
        let lines = uri_lines(&["--ttl", ttl], Stdio::null(), Some(SECRET));
        lines[2].strip_prefix("username ").unwrap().parse().unwrap()
    };
    let (hour, day) = (expiry("1h"), expiry("1day"));
    // The second may turn over between the two.
    assert!((82800..82810).contains(&(day - hour)), "{day} {hour}");
}

#[test]
fn a_secret_comes_from_standard_input_or_from_the_environment() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writeln!(writer, "{SECRET}").unwrap();
    drop(writer);
    let piped = uri_lines(
        &["--secret-file", "-", "--host", "192.0.2.7"],
        reader.into(),
        None,
    );
    assert_eq!(
        piped[..2],
        [
            "turn:192.0.2.7:3478?transport=udp",
            "turn:192.0.2.7:3478?transport=tcp"
        ]
    );
    for lines in [piped, uri_lines(&[], Stdio::null(), Some(SECRET))] {
        let username = lines[2].strip_prefix("username ").unwrap();
        assert_eq!(
            lines[3].strip_prefix("password "),
            Some(password_of(SECRET, username).as_str())
        );
    }
}

#[test]
fn the_secret_file_of_an_option_is_read_like_those_of_a_configuration() {
    let file = |content: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    };
    let marked = file(format!("\u{FEFF}{SECRET} \t\r\n").as_bytes());
    let path = marked.path().to_str().unwrap();
    let lines = uri_lines(&["--secret-file", path], Stdio::null(), None);
    let username = lines[2].strip_prefix("username ").unwrap();
    let password = lines[3].strip_prefix("password ");
    assert_eq!(password, Some(password_of(SECRET, username).as_str()));
    for (content, sentence) in [
        (&b" \n"[..], "which is empty"),
        (b"\xFF\xFE", "which has bytes that are no UTF-8"),
    ] {
        let wrong = file(content);
        let path = wrong.path().to_str().unwrap();
        let output = hairpin(&["credentials", "--secret-file", path]);
        assert_eq!(output.status.code(), Some(2));
        let sentence = format!("option --secret-file names {path}, {sentence}");
        assert!(text(&output.stderr).contains(&sentence), "{output:?}");
    }
}

#[test]
fn a_token_is_sealed_with_the_key_of_a_file() {
    let file = configuration(
        "[[oauth.key]]\nid = \"north\"\nkey = \"ccQYbo3PSwCWXWzxvBBRhZqgsuOErrPAXcQgdJ5tC8g=\"\n",
    );
    let path = file.path().to_str().unwrap();
    let minted = || {
        let outcome = hairpin(&["token", "--config", path]);
        assert_eq!(outcome.status.code(), Some(0), "{}", text(&outcome.stderr));
        text(&outcome.stdout)
    };
    let (one, other) = (minted(), minted());
    let [kid, token, mac_key] = one.lines().collect::<Vec<_>>()[..] else {
        panic!("{one}");
    };
    assert_eq!(kid, "kid north");
    // Nonce length and nonce, key length, key, timestamp, lifetime, tag.
    let token = STANDARD.decode(token.strip_prefix("token ").unwrap());
    assert_eq!(token.unwrap().len(), 2 + 12 + 2 + 20 + 8 + 4 + 16);
    let mac_key = STANDARD.decode(mac_key.strip_prefix("mac_key ").unwrap());
    assert_eq!(mac_key.unwrap().len(), 20);
    assert_ne!(one, other);
}

#[test]
fn a_denied_peer_is_1_and_an_allowed_one_0() {
    let denied = hairpin(&["policy", "explain", "::ffff:127.0.0.1"]);
    assert_eq!(denied.status.code(), Some(1));
    assert!(
        text(&denied.stdout).starts_with("denied: 127.0.0.1"),
        "{}",
        text(&denied.stdout)
    );
    let allowed = hairpin(&["policy", "explain", "9.9.9.9:53"]);
    assert_eq!(allowed.status.code(), Some(0));
    assert!(text(&allowed.stdout).starts_with("allowed: "));
}

#[test]
fn the_policy_of_a_file_is_explained() {
    let file = configuration("[peers]\nallow = [\"10.1.2.0/24:10000-20000\"]\n");
    let path = file.path().to_str().unwrap();
    let outcome = hairpin(&["policy", "explain", "10.1.2.3:15000", "--config", path]);
    assert_eq!(outcome.status.code(), Some(0));
    assert!(text(&outcome.stdout).contains("10.1.2.0/24:10000-20000"));
}

#[test]
fn what_the_doctor_would_drop_without_a_word_is_refused() {
    for (arguments, words) in [
        (
            &["stun:127.0.0.1", "--secret", "s"][..],
            "name the server as turn:",
        ),
        (
            &["stuns:127.0.0.1", "--realm", "example.org"],
            "name the server as turn:",
        ),
        (&["turn:127.0.0.1", "--secret", ""], "the secret is empty"),
        (
            &["turn:127.0.0.1", "--outside", "stun:127.0.0.1"],
            "--config",
        ),
    ] {
        let refused = hairpin(&[&["doctor"], arguments].concat());
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let why = text(&refused.stderr);
        assert!(why.contains(words), "{arguments:?}: {why}");
    }
}

#[test]
fn completions_and_man_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&hairpin(&["completions", shell]).stdout);
        for word in ["credentials", "doctor", "outside"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert!(text(&hairpin(&["man"]).stdout).contains(".TH hairpin 1"));
    let directory = tempfile::tempdir().unwrap();
    let outcome = hairpin(&["man", "--output", directory.path().to_str().unwrap()]);
    assert_eq!(outcome.status.code(), Some(0), "{}", text(&outcome.stderr));
    for page in [
        "hairpin.1",
        "hairpin-serve.1",
        "hairpin-policy-explain.1",
        "hairpin-doctor.1",
    ] {
        assert!(directory.path().join(page).exists(), "{page}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    for arguments in [
        &["completions", "bash"][..],
        &["check"],
        &["man"],
        &["--help"],
    ] {
        let outcome = hairpin_by(here)
            .args(arguments)
            .stdout(writer.try_clone().unwrap())
            .output()
            .unwrap();
        assert_eq!(
            outcome.status.code(),
            Some(0),
            "{arguments:?}: {}",
            text(&outcome.stderr)
        );
        assert!(
            outcome.stderr.is_empty(),
            "{arguments:?}: {}",
            text(&outcome.stderr)
        );
    }
}

/// Runs the binary without the environment variables that it reads.
fn hairpin(arguments: &[&str]) -> Output {
    hairpin_by(here)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// The output of `credentials --uri`.
fn uri_lines(arguments: &[&str], stdin: Stdio, secret: Option<&str>) -> Vec<String> {
    let mut command = hairpin_by(here);
    command
        .args(["credentials", "--uri"])
        .args(arguments)
        .stdin(stdin);
    command.envs(secret.map(|secret| ("HAIRPIN_SECRET", secret)));
    let outcome = command.output().expect("the binary runs");
    assert_eq!(outcome.status.code(), Some(0), "{}", text(&outcome.stderr));
    text(&outcome.stdout).lines().map(str::to_owned).collect()
}

fn configuration(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new()
        .suffix(".toml")
        .tempfile()
        .expect("a temporary file");
    file.write_all(text.as_bytes())
        .expect("the file is written");
    file
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}
