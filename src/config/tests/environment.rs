//! Variables that stand for keys, and those that nobody reads.

use std::path::Path;

use super::{Told, host, path, read, told};
use crate::config::environment::Environment;
use crate::config::{Config, Loaded, Machine, Secret, Unusable, load};

fn with(variables: &[(&str, &str)]) -> Machine {
    Machine {
        environment: Environment::of(variables),
        ..host()
    }
}

fn loaded(text: &str, variables: &[(&str, &str)]) -> Loaded {
    read(text, path(), &with(variables)).unwrap()
}

fn cautions(text: &str, variables: &[(&str, &str)]) -> Vec<Told> {
    told(&loaded(text, variables).remarks.to_string())
}

fn refused(text: &str, variables: &[(&str, &str)]) -> Vec<Told> {
    match read(text, path(), &with(variables)) {
        Err(Unusable::Faulty(remarks, _)) => told(&remarks.to_string()),
        other => panic!("{other:?}"),
    }
}

const SECRET: &str = "3vQ0cW1hZ2ljIG51bWJlcnM=";
const OTHER: &str = "5qLqO1tM0lYcN3S0PmTzuQ==";

#[test]
fn a_server_without_a_file_is_configured_by_the_environment() {
    let variables = [
        ("HAIRPIN_EXTERNAL", "9.9.9.9, 2620:fe::9"),
        ("HAIRPIN_REALM", "turn.example.org"),
        ("HAIRPIN_SECRET", SECRET),
    ];
    let Loaded {
        config,
        remarks,
        source,
        ..
    } = load(None, &with(&variables)).unwrap();
    assert!(remarks.is_empty(), "{remarks}");
    assert_eq!(config.realm, "turn.example.org");
    assert_eq!(config.auth.secrets, [Secret::new(SECRET)]);
    let external = config
        .relay
        .addresses
        .iter()
        .map(|pair| pair.external.to_string());
    assert_eq!(external.collect::<Vec<_>>(), ["9.9.9.9", "2620:fe::9"]);
    assert_eq!(
        source,
        "no configuration file, HAIRPIN_EXTERNAL, HAIRPIN_REALM, HAIRPIN_SECRET"
    );
    let file = load(
        None,
        &with(&[("HAIRPIN_SECRET_FILE", "/etc/hairpin/secret")]),
    )
    .unwrap();
    assert_eq!(
        file.config.auth.secrets,
        [Secret::new("Zm9yIG9uZSBmaWxlIG9ubHkK")]
    );
    // Nothing of it is said, and nothing of it holds, without a variable.
    assert_eq!(
        load(None, &host()).unwrap().config,
        Config::defaults(&host())
    );
}

#[test]
fn a_variable_stands_for_a_key_that_the_file_leaves_out_or_leaves_empty() {
    for text in [
        "",
        "[auth]\nsecrets = []\n",
        "[auth]\nnonce-lifetime = \"10m\"\n",
    ] {
        let loaded = loaded(text, &[("HAIRPIN_SECRET", SECRET)]);
        assert_eq!(loaded.config.auth.secrets, [Secret::new(SECRET)], "{text}");
        assert_eq!(
            loaded.source,
            "/etc/hairpin/turnserver.toml, HAIRPIN_SECRET"
        );
    }
}

#[test]
fn the_files_key_goes_before_the_variable_and_the_clash_is_said() {
    for (text, name, value, key) in [
        (
            "realm = \"example.org\"\n",
            "HAIRPIN_REALM",
            "example.net",
            "realm",
        ),
        (
            "[relay]\nexternal = [\"9.9.9.9\"]\n",
            "HAIRPIN_EXTERNAL",
            "9.9.9.10",
            "[relay] external",
        ),
        (
            &format!("[auth]\nsecrets = [\"{OTHER}\"]\n"),
            "HAIRPIN_SECRET",
            SECRET,
            "[auth] secrets",
        ),
        (
            "[auth]\nsecret-files = [\"secret\"]\n",
            "HAIRPIN_SECRET",
            SECRET,
            "[auth] secret-files",
        ),
        (
            &format!("[auth]\nsecrets = [\"{OTHER}\"]\n"),
            "HAIRPIN_SECRET_FILE",
            "/etc/hairpin/secret",
            "[auth] secrets",
        ),
    ] {
        let told = cautions(text, &[(name, value)]);
        let sentence =
            format!("warning: the file's `{key}` is used; the variable `{name}` is ignored");
        assert_eq!((told.len(), &told[0].sentence), (1, &sentence));
        assert_eq!(
            loaded(text, &[(name, value)]).config,
            loaded(text, &[]).config
        );
        assert_eq!(
            loaded(text, &[(name, value)]).source,
            "/etc/hairpin/turnserver.toml"
        );
    }
    let same = format!("realm = \"example.org\"\n[auth]\nsecrets = [\"{OTHER}\", \"{SECRET}\"]\n");
    let variables = [("HAIRPIN_REALM", "example.org"), ("HAIRPIN_SECRET", SECRET)];
    assert_eq!(cautions(&same, &variables), []);
}

#[test]
fn a_variable_holds_a_whole_configuration_in_place_of_a_file() {
    let text = "[relay]\nports = \"50000-50099\"\n";
    let variables = [("HAIRPIN_CONFIG_TOML", text), ("HAIRPIN_SECRET", SECRET)];
    let read = load(None, &with(&variables)).unwrap();
    assert_eq!(read.config.relay.ports.first(), 50_000);
    assert_eq!(read.config.auth.secrets, [Secret::new(SECRET)]);
    assert_eq!(read.source, "HAIRPIN_CONFIG_TOML, HAIRPIN_SECRET");

    let wrong = [("HAIRPIN_CONFIG_TOML", "[relay]\nport = 1\n")];
    let told = load(None, &with(&wrong)).unwrap_err().to_string();
    assert!(told.contains("HAIRPIN_CONFIG_TOML:2:1"), "{told}");

    let twice = load(Some(path()), &with(&variables)).unwrap_err();
    assert!(
        twice
            .to_string()
            .starts_with("there are two configurations")
    );
    let empty = load(None, &with(&[("HAIRPIN_CONFIG_TOML", "")])).unwrap();
    assert_eq!(empty.source, "no configuration file");
}

#[test]
fn a_variable_that_nobody_reads_is_refused_with_the_one_that_is_near() {
    let help = "the variables are `HAIRPIN_EXTERNAL`, `HAIRPIN_REALM`, `HAIRPIN_SECRET`, \
                `HAIRPIN_SECRET_FILE`, `HAIRPIN_CONFIG`, `HAIRPIN_CONFIG_TOML`, `HAIRPIN_SOCKET`, `HAIRPIN_URL`, \
                `HAIRPIN_TOKEN`, `HAIRPIN_TOKEN_FILE`, `HAIRPIN_CA_FILE`; all else stands in the configuration file";
    for (name, help) in [
        ("HAIRPIN_SECRETS", "did you mean `HAIRPIN_SECRET`?"),
        ("HAIRPIN_EXTERNAL_IP", "did you mean `HAIRPIN_EXTERNAL`?"),
        ("HAIRPIN_SECRETFILE", "did you mean `HAIRPIN_SECRET_FILE`?"),
        ("hairpin_realm", "did you mean `HAIRPIN_REALM`?"),
        ("HAIRPIN_MIN_PORT", help),
        ("HAIRPIN_", help),
    ] {
        let told = refused("", &[(name, SECRET)]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(
            told[0].sentence,
            format!("error: nothing reads the variable `{name}`")
        );
        assert_eq!(told[0].help.as_deref(), Some(help));
        assert_eq!(
            (&*told[0].place, &*told[0].underlined),
            ("the environment:1:1", name)
        );
        assert!(!format!("{told:?}").contains(SECRET));
    }
    assert_eq!(
        cautions("", &[("HAIRPIN_CONFIG", "x"), ("HAIRPIN_TEST_PYTHON", "x")]),
        []
    );
}

/// They are in every container of a namespace that has a service of this name.
#[test]
fn the_variables_by_which_kubernetes_names_a_service_are_no_slips() {
    let variables = [
        ("HAIRPIN_PORT", "udp://10.96.0.7:3478"),
        ("HAIRPIN_PORT_3478_UDP", "udp://10.96.0.7:3478"),
        ("HAIRPIN_PORT_3478_UDP_ADDR", "10.96.0.7"),
        ("HAIRPIN_PORT_3478_UDP_PROTO", "udp"),
        ("HAIRPIN_SERVICE_HOST", "10.96.0.7"),
        ("HAIRPIN_SERVICE_PORT", "3478"),
        ("HAIRPIN_SERVICE_PORT_TURN_UDP", "3478"),
        ("HAIRPIN_WEB_PORT_80_TCP_PORT", "80"),
    ];
    assert_eq!(cautions("", &variables), []);
    assert_eq!(refused("", &[("HAIRPIN_PORT", "3478")]).len(), 1);
}

#[test]
fn a_variable_is_reviewed_as_its_key_is_and_its_secret_is_hidden() {
    for (name, value, sentence) in [
        (
            "HAIRPIN_SECRET",
            "correct horse b",
            "`[auth] secrets` is a secret of 15 bytes, too short",
        ),
        (
            "HAIRPIN_SECRET",
            "${TURN_SECRET}",
            "`[auth] secrets` is a template that nothing has filled in",
        ),
        (
            "HAIRPIN_SECRET",
            "$TURN_SECRET",
            "`[auth] secrets` is a template that nothing has filled in",
        ),
        (
            "HAIRPIN_SECRET",
            "",
            "the variable `HAIRPIN_SECRET` is empty",
        ),
        (
            "HAIRPIN_SECRET",
            "one\ntwo",
            "the variable `HAIRPIN_SECRET` has more than one line",
        ),
        (
            "HAIRPIN_SECRET_FILE",
            "/nonexistent",
            "`[auth] secret-files` names /nonexistent, which cannot be read",
        ),
        ("HAIRPIN_REALM", "", "the variable `HAIRPIN_REALM` is empty"),
        (
            "HAIRPIN_REALM",
            "a\\b",
            "`realm` holds a quote or a backslash",
        ),
        (
            "HAIRPIN_EXTERNAL",
            "9.9.9.9,eth0",
            "`[relay] external` is not an IP address",
        ),
    ] {
        let told = refused(
            "realm = \"x\"\n"
                .repeat(usize::from(name != "HAIRPIN_REALM"))
                .as_str(),
            &[(name, value)],
        );
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].sentence.starts_with(&format!("error: {sentence}")),
            "{told:?}"
        );
        assert!(told[0].place.starts_with("the environment:1:"), "{told:?}");
        assert!(!format!("{told:?}").contains("correct horse"), "{told:?}");
    }
    let told = refused("", &[("HAIRPIN_EXTERNAL", "9.9.9.9,eth0")]);
    assert_eq!(
        (&*told[0].underlined, &*told[0].place),
        ("eth0", "the environment:1:26")
    );
    // The quotation marks of a file of variables, and the line end of a shell.
    let quoted = loaded("", &[("HAIRPIN_SECRET", "\"3vQ0cW1hZ2ljIG51bWJlcnM=\"\n")]);
    assert_eq!(quoted.config.auth.secrets, [Secret::new(SECRET)]);
}

#[test]
fn two_variables_for_one_secret_are_refused() {
    let told = refused(
        "",
        &[
            ("HAIRPIN_SECRET", SECRET),
            ("HAIRPIN_SECRET_FILE", "/etc/hairpin/secret"),
        ],
    );
    assert_eq!(told.len(), 1, "{told:?}");
    let sentence =
        "error: `HAIRPIN_SECRET_FILE` is set beside another variable for `[auth] secrets`";
    assert_eq!(told[0].sentence, sentence);
}

#[test]
fn the_directory_of_a_services_credentials_may_stand_in_the_name_of_a_file() {
    let credentials = ("CREDENTIALS_DIRECTORY", "/run/credentials");
    let name = "${CREDENTIALS_DIRECTORY}/turn";
    let secret = [Secret::new("Zm9yIHRoaXMgc2VydmljZQo=")];
    let text = format!("[auth]\nsecret-files = [\"{name}\"]\n");
    assert_eq!(loaded(&text, &[credentials]).config.auth.secrets, secret);
    let variable = loaded("", &[credentials, ("HAIRPIN_SECRET_FILE", name)]);
    assert_eq!(variable.config.auth.secrets, secret);
    let told = refused(&text, &[]);
    let sentence =
        "error: `[auth] secret-files` names a credential, and there is no CREDENTIALS_DIRECTORY";
    assert_eq!((told.len(), &*told[0].sentence), (1, sentence));
    // The configuration itself may be one.
    let missing = load(
        Some(Path::new("${CREDENTIALS_DIRECTORY}/nothing")),
        &with(&[credentials]),
    );
    let missing = missing.unwrap_err().to_string();
    assert!(
        missing.contains("file /run/credentials/nothing:"),
        "{missing}"
    );
}
