//! JavaScript modules of the pages, tested without a browser.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::program::Program;

/// Runs the tests of JavaScript modules: the test runner of Node runs them beside the page's own modules.
pub fn run_modules(directories: [&str; 2], tests: &[&str]) {
    let files = TempDir::new().expect("a temporary directory");
    // Node takes a file for a module only if this says so.
    let package = files.path().join("package.json");
    fs::write(package, r#"{ "type": "module" }"#).expect("the directory is ours");
    for directory in directories {
        for entry in fs::read_dir(directory).expect("a directory of the repository") {
            let path = entry.expect("a file").path();
            if path.extension().is_some_and(|kind| kind == "js") {
                let name = path.file_name().expect("a file");
                fs::copy(&path, files.path().join(name)).expect("the directory is ours");
            }
        }
    }
    let mut node = Command::new("node");
    node.arg("--test").current_dir(files.path());
    node.args(tests.iter().map(|name| format!("{name}.test.js")));
    Program::succeed(node);
}
