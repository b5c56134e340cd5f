//! The workspace as cargo sees it.

use std::fs;
use std::path::Path;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, TargetKind};
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The workspace: its directory, and cargo's metadata of every package in its graph.
pub(crate) struct Workspace {
    /// All features, all platforms: a rule holds for the optional parts too.
    pub(crate) metadata: Metadata,
}

impl Workspace {
    /// Asks cargo for the metadata.
    pub(crate) fn load() -> Result<Self, Failure> {
        let metadata = MetadataCommand::new()
            .features(CargoOpt::AllFeatures)
            .exec()?;
        Ok(Self { metadata })
    }

    /// The directory of the workspace's Cargo.toml.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where builds go.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The names of the test targets of a package.
    pub(crate) fn test_targets(&self, package: &str) -> impl Iterator<Item = &str> {
        let packages = self.metadata.workspace_packages().into_iter();
        let its = packages.filter(move |it| it.name == package);
        let targets = its.flat_map(|package| &package.targets);
        let tests = targets.filter(|target| target.kind.contains(&TargetKind::Test));
        tests.map(|target| target.name.as_str())
    }

    /// The names of the packages that may go to a registry.
    pub(crate) fn published(&self) -> impl Iterator<Item = &str> {
        let packages = self.metadata.workspace_packages().into_iter();
        let published = packages.filter(|package| package.publish.is_none());
        published.map(|package| package.name.as_str())
    }

    /// A file of the workspace, by its path from the root.
    pub(crate) fn read(&self, path: &str) -> Result<String, Failure> {
        read(&self.root().join(path))
    }

    /// A TOML file of the workspace, by its path from the root.
    pub(crate) fn read_toml<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        toml::from_str(&self.read(path)?).map_err(|source| Failure::Toml {
            path: path.into(),
            source,
        })
    }
}

/// A file of the workspace or of the machine.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })
}
