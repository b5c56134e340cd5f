//! Every declared dependency is used: its name occurs where it could be used.
//!
//! A word search, not a compiler: it never reports a dependency that is needed, and it finds those
//! left behind.

use std::collections::BTreeSet;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, Package};
use ignore::Walk;
use serde::Deserialize;

use crate::failure::Failure;
use crate::workspace::{self, Workspace};

/// Fails on a dependency that its package does not use, and on a version that no package asks for.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let packages = workspace.metadata.workspace_packages();
    let mut findings = Vec::new();
    for package in &packages {
        for used in uses(&workspace.metadata, package) {
            if !occurs(&used.name, package, used.kind)? {
                let name = used.name;
                findings.push(format!(
                    "{}: {} dependency `{name}` is not used",
                    package.name, used.kind
                ));
            }
        }
    }
    let manifest: Manifest = workspace.read_toml("Cargo.toml")?;
    let asked: BTreeSet<&str> = packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| {
            dependency
                .rename
                .as_ref()
                .unwrap_or(&dependency.name)
                .as_str()
        })
        .collect();
    let unasked = manifest
        .workspace
        .dependencies
        .keys()
        .filter(|name| !asked.contains(name.as_str()));
    findings.extend(unasked.map(|name| {
        format!("Cargo.toml: no package asks for `{name}` of [workspace.dependencies]")
    }));
    Failure::unless_empty(findings)
}

/// The parts of the root manifest that are read here.
#[derive(Deserialize)]
struct Manifest {
    workspace: Dependencies,
}

#[derive(Deserialize)]
struct Dependencies {
    dependencies: toml::Table,
}

/// A dependency under the name that the sources know it by.
struct Use {
    name: String,
    kind: DependencyKind,
}

fn uses(metadata: &Metadata, package: &Package) -> Vec<Use> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let dependencies = nodes
        .filter(|node| node.id == package.id)
        .flat_map(|node| &node.deps);
    dependencies
        .flat_map(|dependency| {
            dependency
                .dep_kinds
                .iter()
                .map(move |how| (dependency, how.kind))
        })
        .map(|(dependency, kind)| Use {
            name: dependency.name.clone(),
            kind,
        })
        .collect()
}

/// Whether the name occurs in the sources that a dependency of this kind serves.
fn occurs(name: &str, package: &Package, kind: DependencyKind) -> Result<bool, Failure> {
    let places: &[&str] = match kind {
        DependencyKind::Build => &["build.rs"],
        DependencyKind::Development => &["src", "tests", "benches", "examples"],
        // `Unknown` is a kind that this cargo does not have.
        DependencyKind::Normal | DependencyKind::Unknown => &["src"],
    };
    let root = package
        .manifest_path
        .parent()
        .map_or(Path::new("."), |parent| parent.as_std_path());
    for place in places
        .iter()
        .map(|place| root.join(place))
        .filter(|place| place.exists())
    {
        for entry in Walk::new(place) {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let source = workspace::read(path)?;
                if mentions(&source, name) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Whether a line of code, not of comment, has the name as a whole word.
fn mentions(source: &str, name: &str) -> bool {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_mentions_its_crate() {
        assert!(mentions("use serde::Deserialize;", "serde"));
        assert!(mentions("let x = sd_notify::notify(&[]);", "sd_notify"));
    }

    #[test]
    fn a_longer_word_mentions_nothing() {
        assert!(!mentions("use serde_json::Value;", "serde"));
        assert!(!mentions("fn hexadecimal() {}", "hex"));
    }

    #[test]
    fn a_comment_mentions_nothing() {
        assert!(!mentions("    /// Like serde, but smaller.", "serde"));
    }
}
