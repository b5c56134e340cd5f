//! Every package of the graph has a licence that `deny.toml` allows.
//!
//! The list is read from deny.toml, where cargo-deny reads it, so the two cannot disagree.

use std::fmt;

use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Fails on every package whose licence expression the list cannot satisfy.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let deny: Deny = workspace.read_toml("deny.toml")?;
    let allowed = match deny.licenses.allowed() {
        Ok(allowed) => allowed,
        Err(finding) => return Failure::unless_empty([finding]),
    };
    let packages = workspace.metadata.packages.iter();
    Failure::unless_empty(packages.filter_map(|package| {
        let cause = judge(package.license.as_deref(), &allowed).err()?;
        Some(format!("{} {}: {cause}", package.name, package.version))
    }))
}

/// The part of deny.toml that we share with cargo-deny.
#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
}

/// A key that cargo-deny knows and this check does not is an error, or the two would silently
/// disagree.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Licenses {
    allow: Vec<String>,
}

impl Licenses {
    fn allowed(&self) -> Result<Vec<Licensee>, Cause> {
        let parse =
            |name: &String| Licensee::parse(name).map_err(|_| Cause::Unreadable(name.clone()));
        self.allow.iter().map(parse).collect()
    }
}

/// Why a package is not allowed.
#[derive(Debug, PartialEq, Eq)]
enum Cause {
    /// Its manifest names no licence.
    Absent,
    /// Not an SPDX expression.
    Unreadable(String),
    /// No choice that its expression leaves is on the list.
    NotAllowed(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "names no licence"),
            Self::Unreadable(licence) => write!(f, "cannot read the licence `{licence}`"),
            Self::NotAllowed(licence) => write!(f, "`{licence}` is not allowed by deny.toml"),
        }
    }
}

fn judge(licence: Option<&str>, allowed: &[Licensee]) -> Result<(), Cause> {
    let licence = licence.ok_or(Cause::Absent)?;
    // Old manifests write `MIT/Apache-2.0` and mean OR.
    let expression = Expression::parse_mode(licence, ParseMode::LAX)
        .map_err(|_| Cause::Unreadable(licence.to_owned()))?;
    let satisfied = expression.evaluate(|requirement| {
        allowed
            .iter()
            .any(|licensee| licensee.satisfies(requirement))
    });
    if satisfied {
        Ok(())
    } else {
        Err(Cause::NotAllowed(licence.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge_with(allow: &[&str], licence: &str) -> Result<(), Cause> {
        let licenses = Licenses {
            allow: allow.iter().map(ToString::to_string).collect(),
        };
        judge(Some(licence), &licenses.allowed().unwrap())
    }

    #[test]
    fn one_allowed_choice_is_enough() {
        assert_eq!(judge_with(&["MIT"], "GPL-3.0-only OR MIT"), Ok(()));
        assert_eq!(judge_with(&["MIT"], "MIT/Apache-2.0"), Ok(()));
    }

    #[test]
    fn every_part_of_a_conjunction_must_be_allowed() {
        let both = "(MIT OR Apache-2.0) AND Unicode-3.0";
        assert_eq!(
            judge_with(&["MIT"], both),
            Err(Cause::NotAllowed(both.into()))
        );
        assert_eq!(judge_with(&["MIT", "Unicode-3.0"], both), Ok(()));
    }

    #[test]
    fn a_licence_not_on_the_list_is_refused() {
        assert_eq!(
            judge_with(&["MIT"], "AGPL-3.0-only"),
            Err(Cause::NotAllowed("AGPL-3.0-only".into()))
        );
    }

    #[test]
    fn an_exception_is_allowed_only_by_name() {
        let llvm = "Apache-2.0 WITH LLVM-exception";
        assert_eq!(
            judge_with(&["Apache-2.0"], llvm),
            Err(Cause::NotAllowed(llvm.into()))
        );
        assert_eq!(judge_with(&[llvm], llvm), Ok(()));
    }

    #[test]
    fn a_package_without_a_licence_is_refused() {
        assert_eq!(judge(None, &[]), Err(Cause::Absent));
    }

    #[test]
    fn a_licence_that_is_no_expression_is_refused() {
        assert_eq!(
            judge_with(&["MIT"], "ask the author"),
            Err(Cause::Unreadable("ask the author".into()))
        );
    }

    #[test]
    fn a_list_with_a_key_of_cargo_deny_that_we_do_not_follow_is_an_error() {
        assert!(toml::from_str::<Deny>("[licenses]\nallow = []\nexceptions = []").is_err());
    }
}
