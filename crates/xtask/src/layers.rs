//! Arrows between our crates only point down: the architecture's table, held against every manifest.

use std::fmt;

use cargo_metadata::{DependencyKind, Metadata};

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Fails on every dependency between our crates that the table below does not have.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let names = workspace
        .metadata
        .workspace_packages()
        .into_iter()
        .map(|package| package.name.to_string());
    Failure::unless_empty(breaches(names, arrows(&workspace.metadata)))
}

/// Every crate of ours, and the crates of ours that it may use.
///
/// Development dependencies are free: a test may look from anywhere. Nothing but the fuzz targets uses `sim`, and nothing
/// uses `lab`, so that neither ever ships.
const BELOW: &[(&str, &[&str])] = &[
    ("hairpin-wire", &[]),
    ("hairpin-https", &[]),
    ("hairpin-usage", &[]),
    ("hairpin-acme", &["hairpin-https"]),
    (
        "hairpin-admin",
        &["hairpin-net", "hairpin-relay", "hairpin-wire"],
    ),
    ("hairpin-httpd", &["hairpin-relay"]),
    ("hairpin-relay", &["hairpin-wire"]),
    ("hairpin-client", &["hairpin-wire"]),
    ("hairpin-net", &["hairpin-relay", "hairpin-wire"]),
    ("hairpin-xdp", &["hairpin-relay"]),
    ("hairpin-keys", &["hairpin-relay"]),
    ("hairpin-probe", &["hairpin-client", "hairpin-wire"]),
    ("hairpin-bench", &["hairpin-client", "hairpin-wire"]),
    ("hairpin-signal", &["hairpin-relay"]),
    (
        "hairpin-sim",
        &["hairpin-client", "hairpin-relay", "hairpin-wire"],
    ),
    ("hairpin-lab", &["hairpin-client", "hairpin-wire"]),
    (
        "hairpin",
        &[
            "hairpin-acme",
            "hairpin-bench",
            "hairpin-client",
            "hairpin-httpd",
            "hairpin-https",
            "hairpin-keys",
            "hairpin-net",
            "hairpin-admin",
            "hairpin-probe",
            "hairpin-relay",
            "hairpin-signal",
            "hairpin-usage",
            "hairpin-wire",
            "hairpin-xdp",
        ],
    ),
    (
        "hairpin-fuzz",
        &[
            "hairpin-client",
            "hairpin-keys",
            "hairpin-net",
            "hairpin-admin",
            "hairpin-probe",
            "hairpin-relay",
            "hairpin-signal",
            "hairpin-sim",
            "hairpin-wire",
            "hairpin-xdp",
        ],
    ),
    ("xtask", &[]),
];

/// A dependency of one crate of ours on another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arrow {
    from: String,
    to: String,
}

/// A breach of the architecture.
#[derive(Debug, PartialEq, Eq)]
enum Breach {
    /// A crate that the table does not know.
    NoRoom(String),
    /// A dependency that the table does not know.
    Upward(Arrow),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom(name) => {
                write!(
                    f,
                    "{name}: no row in the table of layers; add one to {} and to crates/README.md",
                    file!()
                )
            }
            Self::Upward(Arrow { from, to }) => write!(
                f,
                "{from} must not depend on {to}; it may use {}",
                rooms(from)
            ),
        }
    }
}

/// The dependencies that ship: normal and build, optional or not.
fn arrows(metadata: &Metadata) -> Vec<Arrow> {
    let packages = metadata.workspace_packages();
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let dependencies = packages
        .iter()
        .flat_map(|package| package.dependencies.iter().map(move |to| (package, to)));
    dependencies
        .filter(|(_, to)| to.kind != DependencyKind::Development && ours(&to.name))
        .map(|(from, to)| Arrow {
            from: from.name.to_string(),
            to: to.name.clone(),
        })
        .collect()
}

fn breaches(names: impl IntoIterator<Item = String>, arrows: Vec<Arrow>) -> Vec<Breach> {
    let homeless = names
        .into_iter()
        .filter(|name| below(name).is_none())
        .map(Breach::NoRoom);
    let upward = arrows.into_iter().filter(|Arrow { from, to }| {
        // A crate without a row is reported once, above.
        below(from).is_some_and(|allowed| !allowed.contains(&to.as_str()))
    });
    homeless.chain(upward.map(Breach::Upward)).collect()
}

fn below(name: &str) -> Option<&'static [&'static str]> {
    BELOW
        .iter()
        .find(|(row, _)| *row == name)
        .map(|(_, below)| *below)
}

fn rooms(name: &str) -> String {
    match below(name) {
        None | Some([]) => "no crate of ours".to_owned(),
        Some(below) => below.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str) -> Arrow {
        Arrow {
            from: from.into(),
            to: to.into(),
        }
    }

    fn judge(from: &str, to: &str) -> Vec<Breach> {
        breaches([from.to_owned()], vec![arrow(from, to)])
    }

    #[test]
    fn an_arrow_down_is_allowed() {
        assert_eq!(judge("hairpin-relay", "hairpin-wire"), []);
        assert_eq!(judge("hairpin-net", "hairpin-relay"), []);
        assert_eq!(judge("hairpin", "hairpin-net"), []);
    }

    #[test]
    fn an_arrow_up_is_a_breach() {
        assert_eq!(
            judge("hairpin-wire", "hairpin-relay"),
            [Breach::Upward(arrow("hairpin-wire", "hairpin-relay"))]
        );
    }

    #[test]
    fn an_arrow_aside_is_a_breach() {
        assert_eq!(
            judge("hairpin-client", "hairpin-relay"),
            [Breach::Upward(arrow("hairpin-client", "hairpin-relay"))]
        );
    }

    #[test]
    fn the_virtual_world_and_the_lab_do_not_ship() {
        for (from, _) in BELOW {
            assert_eq!(judge(from, "hairpin-lab").len(), 1, "{from}");
            let is_fuzz = *from == "hairpin-fuzz";
            assert_eq!(judge(from, "hairpin-sim").is_empty(), is_fuzz, "{from}");
        }
    }

    #[test]
    fn a_crate_unknown_to_the_table_is_a_breach() {
        assert_eq!(
            breaches(["hairpin-attic".to_owned()], vec![]),
            [Breach::NoRoom("hairpin-attic".into())]
        );
    }

    #[test]
    fn the_table_has_no_way_back_up() {
        // Each row is reached only from rows that it cannot itself reach.
        fn reaches(from: &str, to: &str) -> bool {
            below(from)
                .into_iter()
                .flatten()
                .any(|next| *next == to || reaches(next, to))
        }
        for (name, _) in BELOW {
            assert!(!reaches(name, name), "{name}");
        }
    }

    #[test]
    fn normal_and_build_dependencies_are_arrows_and_development_ones_are_not() {
        let arrows = arrows(&metadata(
            r#"[
                {"name": "hairpin-relay", "req": "*", "kind": null, "optional": true, "path": "/relay", "source": null,
                 "uses_default_features": true, "features": [], "target": null, "rename": "relay", "registry": null},
                {"name": "hairpin-net", "req": "*", "kind": "build", "optional": false, "path": "/net", "source": null,
                 "uses_default_features": true, "features": [], "target": null, "rename": null, "registry": null},
                {"name": "hairpin-sim", "req": "*", "kind": "dev", "optional": false, "path": "/sim", "source": null,
                 "uses_default_features": true, "features": [], "target": null, "rename": null, "registry": null}
            ]"#,
        ));
        assert_eq!(
            arrows,
            [
                arrow("hairpin-wire", "hairpin-relay"),
                arrow("hairpin-wire", "hairpin-net")
            ]
        );
    }

    /// A workspace in which `hairpin-wire` has these dependencies and the others have none.
    fn metadata(dependencies: &str) -> Metadata {
        let package = |name: &str, dependencies: &str| {
            format!(
                r#"{{"name": "{name}", "version": "0.1.0", "id": "{name}", "source": null, "targets": [], "features": {{}},
                     "manifest_path": "/Cargo.toml", "dependencies": {dependencies}}}"#
            )
        };
        let names = ["hairpin-relay", "hairpin-net", "hairpin-sim"];
        let packages = [package("hairpin-wire", dependencies)].into_iter();
        let packages = packages
            .chain(names.map(|name| package(name, "[]")))
            .collect::<Vec<_>>()
            .join(",");
        cargo_metadata::MetadataCommand::parse(format!(
            r#"{{"packages": [{packages}], "workspace_root": "/", "target_directory": "/target", "version": 1,
                 "workspace_members": ["hairpin-wire", "hairpin-relay", "hairpin-net", "hairpin-sim"], "resolve": null,
                 "metadata": null, "workspace_default_members": []}}"#
        ))
        .unwrap()
    }
}
