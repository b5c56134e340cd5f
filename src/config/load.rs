//! From a file and the environment to a [`Config`], or to all that is wrong with them.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::environment::Beside;
use super::read::{read as read_values, tree as read_tree};
use super::remark::{Remark, Remarks};
use super::review::{self, Reviewed};
use super::table::Table;
use super::values::{self, Values};
use super::{Config, Filed, Machine, Secret, Watched, coturn, machine, mask};
use crate::shown;

/// A configuration that can be run, and the cautions about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Cautions.
    pub(crate) remarks: Remarks,
    /// The text of the file, which holds secrets; empty without a file.
    pub(crate) text: Secret,
    /// The file as it was before it was read, if it can be read again.
    pub(crate) own: Option<Watched>,
    /// The files that it names.
    pub(crate) files: Vec<Watched>,
    /// The file of `generated-secret-file`, if there is none yet: the server makes it when it starts.
    pub(crate) ungenerated: Option<PathBuf>,
    /// Why certificates stay that were in effect before: their files hold no good ones.
    pub(crate) stale: Remarks,
    /// The file, and the variables that count beside it, in words.
    pub(crate) source: String,
    /// Its keys and values, without secrets.
    pub(crate) values: Values,
}

/// A configuration that cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The file is missing, or cannot be read by this user.
    #[error("cannot read the configuration file {}: {source}{}", shown::path(.path), hint(.path, .source))]
    Unreadable { path: PathBuf, source: io::Error },
    /// There is a file, and a text in the environment.
    #[error(
        "there are two configurations: a file (--config or HAIRPIN_CONFIG) and the text in HAIRPIN_CONFIG_TOML; \
         leave one of them out"
    )]
    Twice,
    /// The file or the environment is wrong. These certificates are good all the same.
    #[error("{0}")]
    Faulty(Remarks, Vec<Filed>),
}

/// Reads the configuration from `path`, which is standard input if it is `-`, and from the
/// environment of `host`.
pub(crate) fn load(path: Option<&Path>, host: &Machine) -> Result<Loaded, Unusable> {
    let written = host.environment.text();
    let Some(path) = path else {
        return read(&written.unwrap_or_default(), Path::new(""), host);
    };
    if written.is_some() {
        return Err(Unusable::Twice);
    }
    let named = path.to_str().and_then(|path| host.environment.path(path));
    let path = named.as_deref().unwrap_or(path);
    let is_input = path == Path::new("-");
    // A change while it is read is one that comes after.
    let own = (!is_input).then(|| Watched::now(path.to_owned()));
    let text = if is_input {
        machine::bounded(io::stdin(), io::Read::read_to_string)
    } else {
        machine::read_text(path)
    };
    let text = text.map_err(|source| Unusable::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let loaded = read(&text, path, host)?;
    Ok(Loaded { own, ..loaded })
}

/// Reads the configuration from the text of the file at `path`, which is empty if there is none,
/// and from the environment of `host`.
pub(crate) fn read(text: &str, path: &Path, host: &Machine) -> Result<Loaded, Unusable> {
    let name = match path.to_str() {
        Some("-") => "standard input".to_owned(),
        Some("") if !text.is_empty() => "HAIRPIN_CONFIG_TOML".to_owned(),
        Some(_) | None => shown::path(path),
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
    let values = values::of(&tree);
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
        own: None,
        files: reviewed.files,
        ungenerated: reviewed.ungenerated,
        stale,
        source,
        values,
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
            let faults: HashSet<_> = faults.map(|remark| remark.at.clone()).collect();
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

/// Remarks on a file with secrets that others may read, or the service may not.
fn readable(secret: Range<usize>, path: &Path, host: &Machine) -> impl Iterator<Item = Remark> {
    let access = (host.access)(path);
    let name = shown::path(path);
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
