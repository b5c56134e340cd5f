//! From a file and the environment to a [`Config`], or to all that is wrong with them.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::environment::Beside;
use super::read::{read as read_values, tree as read_tree};
use super::remark::{Remark, Remarks};
use super::review::{self, Reviewed};
use super::table::Table;
use super::{Config, Filed, Machine, Secret, Watched, coturn, machine, mask};

/// A configuration that can be run, and the cautions about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Cautions.
    pub(crate) remarks: Remarks,
    /// The text of the file, which holds secrets; empty without a file.
    pub(crate) text: Secret,
    /// The files that it names.
    pub(crate) files: Vec<Watched>,
    /// Why certificates stay that were in effect before: their files hold no good ones.
    pub(crate) stale: Remarks,
    /// The file, and the variables that count beside it, in words.
    pub(crate) source: String,
}

/// A configuration that cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The file is missing, or cannot be read by this user.
    #[error("cannot read the configuration file {path}: {source}{}", hint(.path, .source))]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file or the environment is wrong. These certificates are good all the same.
    #[error("{0}")]
    Faulty(Remarks, Vec<Filed>),
}

/// Reads the configuration from `path`, which is standard input if it is `-`, and from the
/// environment of `host`.
pub(crate) fn load(path: Option<&Path>, host: &Machine) -> Result<Loaded, Unusable> {
    let Some(path) = path else {
        return read("", Path::new(""), host);
    };
    let named = path.to_str().and_then(|path| host.environment.path(path));
    let path = named.as_deref().unwrap_or(path);
    let text = if path == Path::new("-") {
        machine::bounded(io::stdin(), io::Read::read_to_string)
    } else {
        machine::read_text(path)
    };
    let text = text.map_err(|source| Unusable::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    read(&text, path, host)
}

/// Reads the configuration from the text of the file at `path`, which is empty if there is none,
/// and from the environment of `host`.
pub(crate) fn read(text: &str, path: &Path, host: &Machine) -> Result<Loaded, Unusable> {
    let name = match path.to_str() {
        Some("-") => "standard input".to_owned(),
        Some(_) | None => path.display().to_string(),
    };
    let tree = match coturn::remark(text) {
        Some(fault) => Err(fault),
        None => read_tree(text),
    };
    let mut tree = match tree {
        Ok(tree) => tree,
        Err(fault) => {
            let remarks = Remarks::new(name, text, &mask::guess(text), vec![fault]);
            return Err(Unusable::Faulty(remarks, Vec::new()));
        }
    };
    let mut hidden = Vec::new();
    mask::secrets(&tree, "", &mut hidden);
    let mut beside = host.environment.fill(&mut tree, text.len());
    let source = source(&name, &beside);
    let mut reviewed = parse(&tree, path, host);
    // Quotation marks around nothing are no secret.
    if let Some(at) = hidden.iter().find(|at| at.len() > 2) {
        let cautions = readable(at.start..at.end, path, host);
        reviewed.remarks.extend(cautions);
    }
    let about_variables = beside.take_own(&mut reviewed.remarks);
    let stale = Remarks::new(name.clone(), text, &hidden, reviewed.stale);
    let mut remarks = Remarks::new(name, text, &hidden, reviewed.remarks);
    remarks.append(about_variables);
    remarks.append(reviewed.others);
    if remarks.are_faults() {
        let certificates = reviewed.config.tls.certificates;
        return Err(Unusable::Faulty(remarks, certificates));
    }
    Ok(Loaded {
        config: reviewed.config,
        remarks,
        text: Secret::new(text),
        files: reviewed.files,
        stale,
        source,
    })
}

/// The configuration of an empty file, without an environment.
pub(super) fn defaults(host: &Machine) -> Config {
    parse(&DeTable::default(), Path::new(""), host).config
}

fn parse(tree: &DeTable<'_>, path: &Path, host: &Machine) -> Reviewed {
    let mut config = Config::of(host);
    match read_values(tree, &mut config, host) {
        Ok(remarks) => {
            let mut reviewed = review::review(&Table::top(tree), config, remarks, path, host);
            // One mistake is told once.
            let faults = reviewed.remarks.iter().filter(|remark| remark.is_fault);
            let faults: Vec<_> = faults.map(|remark| remark.at.clone()).collect();
            let is_told = |remark: &Remark| !remark.is_fault && faults.contains(&remark.at);
            reviewed.remarks.retain(|remark| !is_told(remark));
            reviewed
        }
        Err(remarks) => Reviewed {
            config,
            remarks,
            ..Reviewed::default()
        },
    }
}

/// What is said of a file with secrets that others may read, or the service may not.
fn readable(secret: Range<usize>, path: &Path, host: &Machine) -> impl Iterator<Item = Remark> {
    let access = (host.access)(path);
    let name = path.display();
    let public = access.is_public.then(|| {
        let sentence = "every user of this host may read this file, which holds secrets";
        Remark::caution(secret, sentence).help(format!("chmod 640 {name}"))
    });
    public.into_iter().chain(access.shut_out(path, "this file"))
}

fn source(name: &str, beside: &Beside) -> String {
    let file = if name.is_empty() {
        "no configuration file"
    } else {
        name
    };
    let sources: Vec<&str> = [file]
        .into_iter()
        .chain(beside.used.iter().copied())
        .collect();
    sources.join(", ")
}

fn hint(path: &Path, source: &io::Error) -> &'static str {
    if path.as_os_str().is_empty() {
        "; --config or HAIRPIN_CONFIG is empty"
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        "; let its group be that of the user that runs this (chgrp), and its mode 640 (chmod), and \
         see that the directories above let that user pass"
    } else {
        ""
    }
}
