//! Blocks of products that are not run here: each is at least read by a parser of its language.

use std::{fs, process::Command};

use lab::program::{Program, here};
use serde_json::Value;
use tempfile::TempDir;

use super::Page;

#[test]
fn every_block_of_the_recipes_is_good_in_its_language() {
    for page in Page::all() {
        for block in &page.blocks {
            let told = complaint(&block.language, &block.text);
            assert_eq!(told, None, "{}: {}", page.name, block.text);
        }
    }
}

/// The fault of a block.
fn complaint(language: &str, text: &str) -> Option<String> {
    let of = |program: &str, arguments: &[&str], name: &str| {
        let place = TempDir::new().expect("a temporary directory");
        let path = place.path().join(name);
        fs::write(&path, text).expect("the directory is ours");
        let mut parser = here(program);
        parser.args(arguments).arg(path);
        let ended = Program::run(parser, lab::PATIENCE);
        (!ended.status.success()).then_some(ended.output)
    };
    match language {
        "json" => serde_json::from_str::<Value>(text)
            .err()
            .map(|why| why.to_string()),
        "yaml" => of(PYTHON, &["-c", YAML], "block.yaml"),
        "xml" => of(PYTHON, &["-c", XML], "block.xml"),
        "js" => of("node", &["--check"], "block.mjs"),
        "sh" => of("bash", &["-n"], "block.sh"),
        // Each of these is run by a test of its own.
        "toml" | "python" | "php" | "go" | "rust" | "nft" | "haproxy" | "nginx" | "caddy"
        | "lua" | "jcfg" => None,
        // The page that loads what `js` is, and a line of cron's, which has no parser.
        "html" | "cron" => None,
        other => Some(format!("no parser for {other}")),
    }
}

/// The documents of a YAML file, as JSON.
pub(super) fn yaml(text: &str) -> Vec<Value> {
    let place = TempDir::new().expect("a temporary directory");
    let path = place.path().join("block.yaml");
    fs::write(&path, text).expect("the directory is ours");
    let mut python = Command::new(PYTHON);
    python.args(["-c", YAML]).arg(path);
    serde_json::from_str(&Program::succeed(python)).expect("JSON")
}

/// Debian's own, for which there is the package `python3-yaml`.
const PYTHON: &str = "/usr/bin/python3";
const YAML: &str =
    "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
const XML: &str = "import sys, xml.etree.ElementTree as it; it.parse(sys.argv[1])";
