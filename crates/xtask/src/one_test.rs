//! `cargo xtask test NAME`: the test of that name, wherever it is.
//!
//! Cargo builds every target to look for a name. Here the sources are searched instead, and only the target that has
//! the name is built and run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{Package, Target};

use crate::command::{cargo, run as run_program};
use crate::failure::Failure;
use crate::promised::{self, Test};
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{clients, python, suite, tools};

/// Runs the tests with `part` in their names, target by target.
pub(crate) fn run(part: &str, workspace: &Workspace, steps: &mut Steps) -> Result<(), Failure> {
    let tests = promised::tests_below(workspace.root())?;
    let found: Vec<&Test> = tests
        .iter()
        .filter(|test| test.name.contains(part))
        .collect();
    if found.is_empty() {
        return Failure::unless_empty([nearest(part, &tests)]);
    }
    let mut by_target = BTreeMap::<Vec<String>, BTreeSet<&str>>::new();
    for test in found {
        let target = target_of(workspace, &test.file).ok_or_else(|| {
            Failure::Findings(vec![format!("{} is of no target", test.file.display())])
        })?;
        by_target.entry(target).or_default().insert(&test.name);
    }
    steps.run("needed", || prepare(workspace, &by_target))?;
    for (target, names) in by_target {
        // Steps remembers the failure.
        let _ = steps.run("test", || {
            eprintln!("{}: {}", target.join(" "), Vec::from_iter(names).join(", "));
            let mut test = suite::tests(workspace, "debug");
            // A test of the long calls, which are ignored otherwise, is run when it is named.
            test.args(&target).args(["--", "--include-ignored", part]);
            run_program(&mut test)
        });
    }
    steps.all_passed()
}

/// Builds what the tests run: the server in debug, and other clients below `target`. A missing package of the system is
/// only told, as most tests do not need it.
fn prepare(
    workspace: &Workspace,
    targets: &BTreeMap<Vec<String>, BTreeSet<&str>>,
) -> Result<(), Failure> {
    let is_named = |name: &str| {
        targets
            .keys()
            .any(|target| target[1..] == ["hairpin", "--test", name])
    };
    if targets
        .keys()
        .any(|target| target[1..] == ["xtask", "--test", "bench"])
    {
        run_program(&mut suite::programs(workspace))?;
    }
    if !targets
        .keys()
        .any(|target| target[1..3] == ["hairpin", "--test"])
    {
        return Ok(());
    }
    run_program(cargo(workspace).args(["build", "--bin", "hairpin"]))?;
    let missing = tools::missing();
    if !missing.is_empty() {
        eprintln!(
            "   not installed, and some tests need it: {}",
            missing.join(" ")
        );
    }
    if is_named("examples") {
        run_program(cargo(workspace).args(["build", "--examples"]))?;
    }
    if is_named("calls") || is_named("examples") {
        clients::install(workspace)?;
    }
    if is_named("packaging") {
        python::SYNAPSE.install(workspace)?;
        if tools::is_root() {
            tools::debian(workspace)?;
        }
    }
    if ["calls", "black_box", "signaling"]
        .into_iter()
        .any(is_named)
    {
        python::CLIENTS.install(workspace)?;
    }
    Ok(())
}

/// How cargo is told of the target that a source file belongs to.
fn target_of(workspace: &Workspace, file: &Path) -> Option<Vec<String>> {
    let packages = workspace.metadata.workspace_packages();
    let owners = packages.iter().flat_map(|package| {
        let targets = package.targets.iter().map(move |target| (package, target));
        targets.filter_map(|(package, target)| Some((depth(target, file)?, package, target)))
    });
    let (_, package, target) = owners.max_by_key(|(depth, ..)| *depth)?;
    Some(arguments(package, target))
}

/// How many directories lead to the target's own sources, `None` if the file is not among them. `tests/a.rs` has the
/// files of `tests/a`; `tests/a/main.rs`, and a crate's `src`, have all beside them.
fn depth(target: &Target, file: &Path) -> Option<usize> {
    let root = target.src_path.as_std_path();
    let has_its_directory = ["main", "lib"]
        .iter()
        .any(|stem| root.with_file_name(format!("{stem}.rs")) == root);
    let directory = if has_its_directory {
        root.parent()?.to_owned()
    } else {
        root.with_extension("")
    };
    (file == root || file.starts_with(&directory)).then(|| directory.components().count())
}

fn arguments(package: &Package, target: &Target) -> Vec<String> {
    let mut arguments = vec!["--package".into(), package.name.to_string()];
    let kind = [
        ("--lib", target.is_lib()),
        ("--bin", target.is_bin()),
        ("--test", target.is_test()),
    ];
    let kind = kind
        .iter()
        .find_map(|(flag, is)| is.then_some(*flag))
        .unwrap_or("--example");
    arguments.push(kind.into());
    if kind != "--lib" {
        arguments.push(target.name.clone());
    }
    arguments
}

fn nearest(part: &str, tests: &BTreeSet<Test>) -> String {
    let nearness = |test: &&Test| (strsim::jaro_winkler(part, &test.name) * 1e6) as u64;
    let nearest = tests
        .iter()
        .max_by_key(nearness)
        .map_or("", |test| &test.name);
    format!("no test has `{part}` in its name; the nearest is `{nearest}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of_file(file: &str) -> String {
        let workspace = Workspace::load().unwrap();
        let file = workspace.root().join(file);
        target_of(&workspace, &file).unwrap().join(" ")
    }

    #[test]
    fn every_test_is_of_one_target() {
        for (file, target) in [
            (
                "tests/black_box/uclient.rs",
                "--package hairpin --test black_box",
            ),
            ("tests/cli/main.rs", "--package hairpin --test cli"),
            (
                "src/config/tests/faults.rs",
                "--package hairpin --bin hairpin",
            ),
            (
                "crates/relay/src/keys/oauth/tests.rs",
                "--package hairpin-relay --lib",
            ),
            (
                "crates/relay/tests/promises/data.rs",
                "--package hairpin-relay --test promises",
            ),
            (
                "crates/relay/tests/memory.rs",
                "--package hairpin-relay --test memory",
            ),
        ] {
            assert_eq!(target_of_file(file), target);
        }
    }

    #[test]
    fn a_name_that_no_test_has_is_answered_with_the_nearest() {
        let test = |name: &str| Test {
            name: name.into(),
            file: "a.rs".into(),
        };
        let tests = ["a_cat_has_nine_lives", "dogs_bark_at_night"]
            .map(test)
            .into();
        let told = nearest("a_cat_has_ten_lifes", &tests);
        assert!(
            told.ends_with("the nearest is `a_cat_has_nine_lives`"),
            "{told}"
        );
    }
}
