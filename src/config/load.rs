//! From a file and the environment to a [`Config`], or to all that is wrong with them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::de::DeTable;

use super::environment::Beside;
use super::read::{read as read_tree, syntax};
use super::remark::{Remark, Remarks};
use super::table::Table;
use super::{Config, Machine, coturn, mask, review};

/// A configuration that can be run, and the cautions about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Cautions.
    pub(crate) remarks: Remarks,
    /// The file, and the variables that count beside it, in words.
    pub(crate) source: String,
}

/// A configuration that cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// The file is missing, or cannot be read by this user.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file or the environment is wrong.
    #[error("{0}")]
    Faulty(Remarks),
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
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(path)
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
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    // The first error only: one open bracket makes the parser stumble over all that follows.
    let position = |error: &&toml::de::Error| error.span().unwrap_or_default().start;
    let first = errors.iter().min_by_key(position);
    let foreign = coturn::remark(text).or_else(|| Some(syntax(first?, text)));
    if let Some(remark) = foreign {
        let mut remarks = Remarks::default();
        remarks.add(&name, (text, 0), &mask::guess(text), &mut vec![remark]);
        return Err(Unusable::Faulty(remarks));
    }
    let mut hidden = Vec::new();
    mask::secrets(tree.get_ref(), "", &mut hidden);
    let beside = host.environment.fill(tree.get_mut(), text.len());
    let source = source(&name, &beside);
    let (config, mut remarks) = parse(tree.get_ref(), path, host);
    // Quotation marks around nothing are no secret.
    if let Some(at) = hidden.iter().find(|at| at.len() > 2) {
        remarks.extend(readable(at.start..at.end, path, host));
    }
    remarks.extend(beside.remarks);
    let is_faulty = remarks.iter().any(|remark| remark.is_fault);
    let mut all = Remarks::default();
    all.add(&name, (text, 0), &hidden, &mut remarks);
    let beside_text = (&*beside.text, beside.start);
    all.add("the environment", beside_text, &beside.hidden, &mut remarks);
    if is_faulty {
        return Err(Unusable::Faulty(all));
    }
    Ok(Loaded {
        config,
        remarks: all,
        source,
    })
}

/// The configuration of an empty file, without an environment.
pub(super) fn defaults(host: &Machine) -> Config {
    parse(&DeTable::default(), Path::new(""), host).0
}

/// A configuration that can be run unless a remark is a fault.
fn parse(tree: &DeTable<'_>, path: &Path, host: &Machine) -> (Config, Vec<Remark>) {
    let mut config = Config::of(host);
    match read_tree(tree, &mut config, host) {
        Ok(remarks) => {
            let (config, mut remarks) =
                review::review(&Table::top(tree), config, remarks, path, host);
            // One mistake is told once.
            let faults = remarks.iter().filter(|remark| remark.is_fault);
            let faults: Vec<_> = faults.map(|remark| remark.at.clone()).collect();
            remarks.retain(|remark| remark.is_fault || !faults.contains(&remark.at));
            (config, remarks)
        }
        Err(remarks) => (config, remarks),
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
