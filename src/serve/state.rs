//! State that outlives a restart: the directory of it, and the secret of a server without
//! configuration.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::NamedTempFile;

use super::Fault;
use crate::config::Secret;

/// The secret of this host, made at the first run and kept for the next, and its file.
pub(super) fn secret(option: Option<PathBuf>) -> Result<(Secret, PathBuf), Fault> {
    let directory = place(option).ok_or(Fault::NoStateDir)?;
    let path = directory.join("secret");
    match read_or_make(&directory, &path) {
        Ok(secret) => Ok((secret, path)),
        Err(source) => Err(Fault::State { path, source }),
    }
}

/// The secret in a file that a configuration names, made unless it is there.
pub(super) fn secret_at(path: &Path) -> Result<Secret, Fault> {
    let directory = path.parent().unwrap_or(Path::new(""));
    read_or_make(directory, path).map_err(|source| Fault::GeneratedSecret {
        path: path.to_owned(),
        source,
    })
}

/// The directory of the state, if there is a place for one.
pub(super) fn place(option: Option<PathBuf>) -> Option<PathBuf> {
    directory(option, |name| std::env::var_os(name))
}

/// Writes a file that only this user may read, whole or not at all.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new(""));
    make(directory)?;
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn make(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// The directory: the option, then systemd's directory, then the user's.
fn directory(
    option: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
) -> Option<PathBuf> {
    let named = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    option
        .or_else(|| named("STATE_DIRECTORY"))
        .or_else(|| Some(named("XDG_STATE_HOME")?.join("hairpin")))
        .or_else(|| Some(named("HOME")?.join(".local/state/hairpin")))
}

fn read_or_make(directory: &Path, path: &Path) -> io::Result<Secret> {
    if let Some(secret) = read(path)? {
        return Ok(secret);
    }
    make(directory)?;
    let secret = STANDARD.encode(rand::random::<[u8; 32]>());
    // Written whole under another name first, and never over an existing file: neither a crash nor
    // a second server that starts now leaves a secret that is not the one in use.
    let mut file = NamedTempFile::new_in(directory)?;
    writeln!(file, "{secret}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(Secret::new(secret)),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            read(path).and_then(|found| found.ok_or(error.error))
        }
        Err(error) => Err(error.error),
    }
}

fn read(path: &Path) -> io::Result<Option<Secret>> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= MIN_LENGTH => Ok(Some(Secret::new(text.trim()))),
        Ok(_) => Err(io::Error::other(
            "the file is there, and holds no secret of ours",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// 32 random bytes in base64 are 44 characters; half of them would still be enough.
const MIN_LENGTH: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_secret_of_the_first_run_is_the_secret_of_the_second() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("deep/state");
        let first = secret(Some(directory.clone())).unwrap();
        let second = secret(Some(directory.clone())).unwrap();
        assert_eq!(first, second);
        let mode = fs::metadata(directory.join("secret"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_secret_that_a_configuration_has_generated_is_made_once() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/secret");
        let first = secret_at(&path).unwrap();
        assert_eq!(secret_at(&path).unwrap(), first);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_holds_no_secret_is_not_overwritten() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("secret"), "oops").unwrap();
        let fault = secret(Some(home.path().to_owned())).unwrap_err();
        assert!(matches!(fault, Fault::State { .. }), "{fault}");
        assert_eq!(
            fs::read_to_string(home.path().join("secret")).unwrap(),
            "oops"
        );
    }

    #[test]
    fn the_option_comes_before_systemd_and_systemd_before_the_user() {
        let all = |name: &str| Some(format!("/{name}").into());
        let of =
            |names: &'static [&str]| move |name: &str| all(name).filter(|_| names.contains(&name));
        assert_eq!(directory(Some("/o".into()), all), Some("/o".into()));
        assert_eq!(directory(None, all), Some("/STATE_DIRECTORY".into()));
        let user = of(&["XDG_STATE_HOME", "HOME"]);
        assert_eq!(
            directory(None, user),
            Some("/XDG_STATE_HOME/hairpin".into())
        );
        assert_eq!(
            directory(None, of(&["HOME"])),
            Some("/HOME/.local/state/hairpin".into())
        );
        assert_eq!(directory(None, of(&[])), None);
    }
}
