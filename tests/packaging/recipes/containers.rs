//! `containers.md` and the files of Compose that it names: their variables are those that the server reads, and their
//! ports those that it has.

use std::path::{Path, PathBuf};
use std::{fs, process::Command};

use serde_json::Value;

use super::{Page, parsed::yaml};

#[test]
fn the_variables_of_containers_are_those_that_the_server_reads() {
    let help = crate::help([]);
    let page = Page::read("containers");
    let mut documents = vec![compose("compose.yaml"), compose("compose.ports.yaml")];
    for block in page.under("Kubernetes", "yaml") {
        documents.extend(yaml(block));
    }
    let mut names = Vec::new();
    for document in documents {
        variables(&document, &mut names);
    }
    for name in [
        "HAIRPIN_REALM",
        "HAIRPIN_SECRET_FILE",
        "HAIRPIN_CONFIG_TOML",
    ] {
        assert!(names.iter().any(|it| it == name), "{name} is not used");
    }
    for name in names {
        let is_read = help
            .lines()
            .any(|line| line.split_whitespace().next() == Some(&name));
        assert!(is_read, "{name}: {help}");
    }
}

/// The names in `environment:` of Compose and in `env:` of Kubernetes.
fn variables(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let environment = map.get("environment").and_then(Value::as_object);
            names.extend(environment.into_iter().flat_map(|it| it.keys().cloned()));
            let listed = map.get("env").and_then(Value::as_array);
            let listed = listed.into_iter().flatten();
            names.extend(listed.filter_map(|it| it["name"].as_str().map(str::to_owned)));
            map.values().for_each(|value| variables(value, names));
        }
        Value::Array(list) => list.iter().for_each(|value| variables(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_ports_that_docker_publishes_are_those_of_the_configuration_beside_them() {
    let compose = compose("compose.ports.yaml");
    let service = &compose["services"]["hairpin"];
    let configuration = service["environment"]["HAIRPIN_CONFIG_TOML"].as_str();
    let configuration: toml::Table = configuration.expect("a text").parse().expect("TOML");
    let ports = configuration["relay"]["ports"].as_str().expect("a range");
    // The configuration has no listeners, so the server has those by default.
    assert!(!configuration.contains_key("listener"));
    let wanted = ["3478:3478/udp", "3478:3478/tcp"].map(str::to_owned);
    let wanted = [&wanted[..], &[format!("{ports}:{ports}/udp")]].concat();
    let published = service["ports"].as_array().expect("a list").iter();
    let published: Vec<&str> = published.filter_map(Value::as_str).collect();
    assert_eq!(published, wanted);
}

#[test]
fn docker_compose_finds_nothing_wrong_with_its_files() {
    for name in ["compose.yaml", "compose.ports.yaml"] {
        // It compares each key and value with its schema, and asks no Docker.
        let read = Command::new("docker-compose")
            .arg("--file")
            .arg(path(name))
            .args(["config", "--quiet"])
            .output()
            .expect("docker-compose (Debian package docker-compose)");
        let told = crate::text(&read.stdout) + &crate::text(&read.stderr);
        assert!(read.status.success() && told.is_empty(), "{name}: {told}");
    }
}

#[test]
fn kubernetes_knows_every_key_of_the_manifest() {
    let page = Page::read("containers");
    for (index, block) in page.under("Kubernetes", "yaml").into_iter().enumerate() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let file = place.path().join("turn.yaml");
        fs::write(&file, block).expect("a manifest is written");
        // What `kubectl apply` compares with the schema of a server, this reads into types of its own, without a server.
        // A key that these do not have is gone from what it prints; a value of another type is an error.
        let read = Command::new("kubectl")
            .args("set env --local --output json A_VARIABLE=added --filename".split(' '))
            .arg(&file)
            .output()
            .expect("kubectl (Debian package kubernetes-client)");
        assert!(read.status.success(), "{}", crate::text(&read.stderr));
        let read: Value = serde_json::from_slice(&read.stdout).expect("JSON");
        let mut lost = Vec::new();
        missing(&yaml(block)[0], &read, &format!("{index}"), &mut lost);
        assert_eq!(lost, [""; 0]);
    }
}

/// What stands in `written` and not in `read`, which may have more.
fn missing(written: &Value, read: &Value, place: &str, lost: &mut Vec<String>) {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            for (key, value) in written {
                let place = format!("{place}.{key}");
                missing(value, read.get(key).unwrap_or(&Value::Null), &place, lost);
            }
        }
        (Value::Array(written), Value::Array(read)) if written.len() <= read.len() => {
            for (index, (written, read)) in written.iter().zip(read).enumerate() {
                missing(written, read, &format!("{place}[{index}]"), lost);
            }
        }
        _ if written == read => {}
        _ => lost.push(format!("{place}: {written} became {read}")),
    }
}

/// A file of Compose in `packaging`.
fn compose(name: &str) -> Value {
    let path = path(name);
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    yaml(&text).remove(0)
}

fn path(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    directory.join(name)
}
