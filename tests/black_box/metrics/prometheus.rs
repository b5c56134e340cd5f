//! Prometheus itself, and the files that it is configured with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lab::{PATIENCE, program::Program, wait_for, world::World};
use serde_json::Value;
use tempfile::TempDir;

/// Prometheus on the server's host, as the examples configure it, but in a hurry.
pub(super) struct Prometheus<'w> {
    world: &'w World,
    _program: Program,
    _files: TempDir,
}

impl<'w> Prometheus<'w> {
    pub(super) fn start(world: &'w World) -> Self {
        Self::configured(world, str::to_owned)
    }

    /// The same after a change of the example.
    pub(super) fn configured(world: &'w World, change: impl FnOnce(&str) -> String) -> Self {
        let files = TempDir::new().expect("a temporary directory");
        let examples = examples("prometheus");
        let read = |name: &str| fs::read_to_string(examples.join(name)).expect("an example");
        let hasty =
            read("prometheus.yml").replace("scrape_interval: 15s", "scrape_interval: 100ms");
        assert!(hasty.contains("100ms"), "{hasty}");
        let hasty = change(&hasty);
        let configuration = files.path().join("prometheus.yml");
        fs::write(&configuration, hasty).expect("our directory");
        fs::write(files.path().join("alerts.yml"), read("alerts.yml")).expect("our directory");
        let mut promtool = world.on_server_host("promtool");
        Program::succeed({
            promtool.args(["check", "config"]).arg(&configuration);
            promtool
        });
        let mut command = world.on_server_host("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                files.path().join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:9090");
        Self {
            world,
            _program: Program::start(command),
            _files: files,
        }
    }

    #[track_caller]
    pub(super) fn wait_for(&self, query: &str, value: &str) {
        wait_for(&format!("{query} to be {value}"), PATIENCE, || {
            (self.value(query).as_deref() == Some(value)).then_some(())
        });
    }

    /// The value of a query whose answer is one number.
    fn value(&self, query: &str) -> Option<String> {
        let answer = self.ask("query", query)?;
        let value = answer["data"]["result"].get(0)?["value"][1].as_str()?;
        Some(value.to_owned())
    }

    /// The names of all metrics.
    pub(super) fn metrics(&self) -> Vec<String> {
        let answer = self.ask("label/__name__/values", "").expect("an answer");
        serde_json::from_value(answer["data"].clone()).expect("names")
    }

    fn ask(&self, what: &str, query: &str) -> Option<Value> {
        let mut curl = self.world.on_server_host("curl");
        curl.args(["-s", "-G", "--data-urlencode"]);
        curl.arg(format!("query={query}"));
        curl.arg(format!("http://127.0.0.1:9090/api/v1/{what}"));
        let output = curl.output().expect("curl");
        serde_json::from_slice(&output.stdout).ok()
    }
}

pub(super) fn examples(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(file)
}
