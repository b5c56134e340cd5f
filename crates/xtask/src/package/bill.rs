//! The bill of materials (SBOM): every crate in the binary with its version, licence and checksum, in CycloneDX.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};
use serde::Deserialize;
use serde_json::json;

use super::{Release, at};
use crate::failure::Failure;

/// Writes it beside the packages.
pub(super) fn write(release: &Release<'_>) -> Result<PathBuf, Failure> {
    // Without the features and the platforms that this binary does not have.
    let metadata = MetadataCommand::new()
        .current_dir(release.workspace.root())
        .other_options([
            "--filter-platform".to_owned(),
            release.target.triple().to_owned(),
        ])
        .exec()?;
    let lock: Lock = release.workspace.read_toml("Cargo.lock")?;
    let sums: BTreeMap<(String, String), String> = lock
        .package
        .into_iter()
        .filter_map(|it| Some(((it.name, it.version), it.checksum?)))
        .collect();
    let linked = linked(&metadata);
    let mut components = Vec::new();
    for package in &metadata.packages {
        if !linked.contains(&package.id) || package.name == "hairpin" {
            continue;
        }
        let (name, version) = (package.name.to_string(), package.version.to_string());
        let mut component = json!({
            "type": "library",
            "name": name,
            "version": version,
            "purl": format!("pkg:cargo/{name}@{version}"),
        });
        if let Some(licence) = &package.license {
            // The old way to write "or".
            let licence = licence.replace('/', " OR ");
            component["licenses"] = json!([{ "expression": licence }]);
        }
        if let Some(sum) = sums.get(&(name, version)) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        components.push((package.name.to_string(), package.version.clone(), component));
    }
    components.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    let components: Vec<_> = components.into_iter().map(|(_, _, it)| it).collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "name": "hairpin",
            "version": release.version,
            "purl": format!("pkg:cargo/hairpin@{}", release.version),
        } },
        "components": components,
    });
    let path = release
        .out
        .join(format!("{}-sbom.cdx.json", release.name()));
    fs::write(&path, format!("{bill:#}\n")).map_err(at(&path))?;
    Ok(path)
}

/// The packages that the server is linked of, itself included: none that only tests and builds need.
fn linked(metadata: &cargo_metadata::Metadata) -> BTreeSet<PackageId> {
    let server = metadata.packages.iter().find(|it| it.name == "hairpin");
    let mut waiting: Vec<PackageId> = server.map(|it| it.id.clone()).into_iter().collect();
    let mut linked = BTreeSet::new();
    let nodes = metadata.resolve.iter().flat_map(|graph| &graph.nodes);
    let nodes: BTreeMap<_, _> = nodes.map(|node| (&node.id, node)).collect();
    while let Some(id) = waiting.pop() {
        let Some(node) = nodes.get(&id) else { continue };
        if linked.insert(id) {
            let normal = node.deps.iter().filter(|dependency| {
                let mut kinds = dependency.dep_kinds.iter();
                kinds.any(|it| it.kind == DependencyKind::Normal)
            });
            waiting.extend(normal.map(|dependency| dependency.pkg.clone()));
        }
    }
    linked
}

/// `Cargo.lock`.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

/// A crate in it.
#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}
