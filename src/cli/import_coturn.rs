//! `hairpin import-coturn`: a configuration of coturn becomes one of Hairpin.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{Failure, print};
use crate::config::Machine;
use crate::coturn::{self, Database, File, Import, Source};
use crate::shown;

/// Translate a turnserver.conf of coturn, and say what became of every line.
///
/// The file is read as coturn reads it: if an option occurs twice, the last line counts, a
/// comment behind a value is a part of it, and an option that coturn does not know does
/// nothing. Each line is mapped to a key, or needs none because the default says the same, or
/// is dropped with the reason. A line that would open something is named and not carried over.
/// Users, secrets and rules on peers in coturn's SQLite database come along. The list at the
/// end has the decisions that are left to you.
///
/// Without --out nothing is written, and the screen shows the configuration without its secrets.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct ImportCoturn {
    /// The configuration of coturn, or - for standard input.
    #[arg(value_name = "TURNSERVER.CONF")]
    from: PathBuf,

    /// Write the configuration to a new file, which only its owner can read.
    #[arg(long, value_name = "FILE", value_parser = file)]
    out: Option<PathBuf>,

    /// Replace the file if it exists.
    #[arg(long, requires = "out")]
    force: bool,

    /// The SQLite database of coturn, or "none". Without this option it is the one that
    /// `userdb` names in the file, or /var/lib/turn/turndb if it exists.
    #[arg(long, value_name = "FILE")]
    userdb: Option<PathBuf>,
}

impl ImportCoturn {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if self
            .out
            .as_deref()
            .is_some_and(|out| is_same(out, &self.from))
        {
            return Err(Failure::Usage(
                "--out names the configuration of coturn itself: name another file",
            ));
        }
        let file = File::read(&self.read()?);
        let database = self.database(&file)?;
        let name = shown::path(&self.from);
        let source = Source {
            file: &file,
            name: &name,
            directory: self.from.parent().unwrap_or(Path::new("")),
            database: database.as_ref(),
            host: &Machine::here()?,
        };
        let place = self.out.as_deref().unwrap_or(Path::new(UNWRITTEN));
        let import = coturn::import(&source, place);
        if let Some(out) = &self.out {
            write(out, &import.toml, self.force).map_err(|source| Failure::Written {
                path: out.clone(),
                source,
            })?;
        }
        print(&import.account.report(&name, &file))?;
        self.conclude(&import)?;
        let is_done = import.account.decisions().is_empty() && import.faults.is_none();
        Ok(ExitCode::from(if is_done { 0 } else { UNDECIDED }))
    }

    fn read(&self) -> Result<Vec<u8>, Failure> {
        let unread = |source| Failure::Coturn {
            path: self.from.clone(),
            source,
        };
        let bytes = if self.from == Path::new("-") {
            coturn::whole(io::stdin(), MOST)
        } else {
            fs::File::open(&self.from).and_then(|file| coturn::whole(file, MOST))
        };
        let bytes = bytes.map_err(unread)?;
        if coturn::is_ours(&bytes) {
            return Err(Failure::Usage(
                "this is a configuration of Hairpin already: `hairpin check --config FILE` says what it means",
            ));
        }
        Ok(bytes)
    }

    /// The database that is named; or else the usual one, if it is there and can be read.
    fn database(&self, file: &File) -> Result<Option<Database>, Failure> {
        if let Some(path) = &self.userdb {
            if path == Path::new("none") {
                return Ok(None);
            }
            return Ok(Some(Database::open(path)?));
        }
        let named = file.database();
        let is_named = named.is_some();
        let path = named.unwrap_or_else(|| coturn::DEFAULT_DATABASE.into());
        match Database::open(&path) {
            Ok(database) if is_named || !database.is_empty() => {
                eprintln!("read the database {}", shown::path(&path));
                Ok(Some(database))
            }
            Ok(_) => Ok(None),
            // Of one that nobody named nothing is known but its usual place.
            Err(why) if is_named || path.exists() => {
                eprintln!("warning: {why}");
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }

    fn conclude(&self, import: &Import) -> Result<(), Failure> {
        if let Some(faults) = &import.faults {
            anstream::eprintln!("{faults:#}");
            let place = match &self.out {
                Some(out) => shown::path(out),
                None => "the file that --out writes".to_owned(),
            };
            eprintln!(
                "error: `hairpin check` refuses the configuration until that is changed, in {} or in {place}",
                shown::path(&self.from)
            );
        }
        match &self.out {
            Some(out) => {
                let out = shown::path(out);
                print(&format!(
                    "\nwrote {out}, which only its owner can read: chgrp hairpin and chmod 640 let the service read it\n\
                     next: hairpin check --config {out}\n"
                ))
            }
            None => print(&format!(
                "\nthe configuration, without its secrets (--out FILE writes it):\n\n{}",
                import.masked
            )),
        }
    }
}

/// Writes a file that only its owner can read, whole or not at all. With `force` it takes the place of
/// the one that is there.
///
/// # Errors
/// Those of the kernel, `AlreadyExists` without `force`, and `InvalidInput` where a device, a pipe or a
/// directory is in the place.
fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ));
    }
    // A link to a configuration stays one.
    let place = match fs::canonicalize(path) {
        Ok(place) if force => place,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => path.to_owned(),
    };
    let directory = place.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    // The error about the directory itself names no temporary file.
    fs::metadata(directory)?;
    // A full disk is told here, where the file has no name yet that anybody reads.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.as_file_mut().write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    if force {
        file.persist(&place)?;
    } else {
        file.persist_noclobber(&place)?;
    }
    // The name lasts as well. Some file systems cannot do it, and the file is there by now.
    let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

/// The value of `--out`.
fn file(text: &str) -> Result<PathBuf, &'static str> {
    match text {
        "-" => Err("without --out the configuration goes to the screen, without its secrets"),
        path => Ok(path.into()),
    }
}

/// Whether both paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let both = [one, other].map(|path| fs::canonicalize(path).ok());
    both[0].is_some() && both[0] == both[1]
}

/// The place that remarks name while there is no file.
const UNWRITTEN: &str = "the configuration below";

/// The exit code where somebody has to decide.
const UNDECIDED: u8 = 3;

/// No configuration is longer.
const MOST: u64 = 1 << 20;

const AFTER_HELP: &str = "\
Examples:
  sudo hairpin import-coturn /etc/turnserver.conf
                           show the translation; nothing is written
  sudo hairpin import-coturn /etc/turnserver.conf --out turnserver.toml
  hairpin import-coturn turnserver.conf --userdb turndb --out turnserver.toml
                           with users and secrets of a copy of the database
  ssh old.example.org cat /etc/turnserver.conf | hairpin import-coturn -

Words of the report:
  mapped           a key says the same
  already the default
                   no key is needed
  dropped          nothing takes its place; the reason or the remedy follows
  unsafe           it would open something, and is not carried over
  unknown          coturn ignores it, too

Exit codes: 0 no decision is left, 1 failed, 2 wrong usage, 3 decisions are
left: they are listed at the end of the report and at the top of the
configuration. Every option: docs/coming-from-coturn.md";
