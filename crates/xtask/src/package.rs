//! `cargo xtask package`: the deb and the rpm, from the one list of files in `packaging/contents.toml`, the static archive
//! and the container image.
//!
//! The release workflow runs it for each architecture. The same sources give the same bytes: paths of the machine are
//! taken out of the binary, and every time is that of the last commit (SOURCE_DATE_EPOCH).

mod bill;
mod binary;
mod contents;
mod formats;
mod reproduced;

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::command::{output, run};
use crate::failure::Failure;
use crate::workspace::Workspace;
use binary::Target;

/// The packages to make, and of what.
#[derive(clap::Args)]
pub(crate) struct Package {
    /// The packages to make
    #[arg(required = true)]
    formats: Vec<Format>,
    /// The architecture and the C library; unless it is given, this machine's architecture, glibc for deb and rpm, and musl
    /// for the others
    #[arg(long)]
    target: Option<Target>,
    /// A binary that is there already, in place of building one
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "twice",
        requires = "target"
    )]
    binary: Option<PathBuf>,
    /// The oldest glibc that deb and rpm shall run with, such as 2.31; cargo-zigbuild links for it
    #[arg(long, value_name = "VERSION", conflicts_with = "binary")]
    glibc: Option<String>,
    /// Compress little, for tests
    #[arg(long)]
    quick: bool,
    /// Build the binary twice, in two directories, and fail unless both are the same
    #[arg(long)]
    twice: bool,
    /// Where the packages go; target/packages unless it is given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A kind of package.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For Debian and Ubuntu
    Deb,
    /// For Fedora and its relatives
    Rpm,
    /// An archive for any Linux: the static binary, a commented configuration and the units
    Static,
    /// An image for Docker, Podman and Kubernetes
    Container,
    /// All of them
    All,
}

impl Format {
    /// Each with what makes it.
    const ALL: [(Self, Make); 4] = [
        (Self::Deb, formats::deb),
        (Self::Rpm, formats::rpm),
        (Self::Static, formats::archive),
        (Self::Container, formats::image),
    ];

    /// The target of its binary. A package of a distribution takes the C library that is there: a packet costs less
    /// with glibc, and the distribution keeps it.
    const fn target(self) -> Target {
        match self {
            Self::Deb | Self::Rpm => Target::HERE,
            Self::Static | Self::Container | Self::All => Target::HERE_STATIC,
        }
    }
}

impl Package {
    /// The packages that are made of a binary for this target.
    fn of(&self, target: Target) -> Vec<Make> {
        let all = Format::ALL.into_iter();
        let wanted = all.filter(|(format, _)| {
            let is_named = self.formats.contains(format) || self.formats.contains(&Format::All);
            is_named && self.target.unwrap_or(format.target()) == target
        });
        wanted.map(|(_, make)| make).collect()
    }
}

/// A binary in the making, and what all its formats need.
struct Release<'w> {
    workspace: &'w Workspace,
    version: String,
    target: Target,
    /// Seconds since 1970: the time of every file.
    epoch: u64,
    /// Whether time counts for more than size.
    quick: bool,
    /// Files that the build has made: the binary without debug information, the manual, completions.
    made: PathBuf,
    /// A directory for trees of files.
    scratch: PathBuf,
    out: PathBuf,
}

/// Makes one package, and returns its file.
type Make = fn(&Release<'_>) -> Result<PathBuf, Failure>;

/// Makes them, with the list of what is in each binary and the sums of all files.
pub(crate) fn make(package: Package, workspace: &Workspace) -> Result<(), Failure> {
    let out = package.out.as_ref();
    let out = out.map_or_else(|| workspace.target().join("packages"), PathBuf::clone);
    // The programs that make packages run in directories of their own.
    let out = std::path::absolute(&out).map_err(at(&out))?;
    fs::create_dir_all(&out).map_err(at(&out))?;
    let targets = Target::value_variants().iter();
    let mut dynamic = targets.filter(|target| !target.is_static());
    if package.glibc.is_some() && dynamic.all(|target| package.of(*target).is_empty()) {
        let sentence = "--glibc is for deb and rpm: archive and container do without the library";
        return Failure::unless_empty([sentence]);
    }
    for &target in Target::value_variants() {
        let makes = package.of(target);
        if !makes.is_empty() {
            make_of(target, &makes, &package, &out, workspace)?;
        }
    }
    sums(&out)
}

/// Makes what is made of one binary.
fn make_of(
    target: Target,
    makes: &[Make],
    package: &Package,
    out: &Path,
    workspace: &Workspace,
) -> Result<(), Failure> {
    let glibc = package.glibc.as_deref().filter(|_| !target.is_static());
    let binary = match &package.binary {
        Some(binary) => binary.clone(),
        None => binary::build(workspace, target, glibc, workspace.target())?,
    };
    if package.twice {
        reproduced::check(workspace, target, glibc, &binary)?;
    }
    let scratch = out.join(".scratch");
    empty(&scratch)?;
    let release = Release {
        workspace,
        version: version(workspace)?,
        target,
        epoch: epoch(workspace)?,
        quick: package.quick,
        made: scratch.join("made"),
        scratch,
        out: out.to_owned(),
    };
    binary::prepare(&release, &binary)?;
    if let Some(version) = glibc {
        binary::runs_with(&release, version)?;
    }
    for make in makes {
        say(&make(&release)?)?;
    }
    say(&bill::write(&release)?)?;
    fs::remove_dir_all(&release.scratch).map_err(at(&release.scratch))
}

impl Release<'_> {
    /// The name of a file of this release, without its ending.
    fn name(&self) -> String {
        let library = if self.target.is_static() { "" } else { "-gnu" };
        let machine = self.target.machine();
        format!("hairpin-{}-{machine}-linux{library}", self.version)
    }
}

/// The time that all files are given: what the environment says, else that of the last commit.
fn epoch(workspace: &Workspace) -> Result<u64, Failure> {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let seconds = match given {
        Some(given) => given,
        None => output(
            std::process::Command::new("git")
                .args(["log", "-1", "--format=%ct"])
                .current_dir(workspace.root()),
        )?,
    };
    let is_none = || Failure::Findings(vec![format!("SOURCE_DATE_EPOCH is no time: {seconds}")]);
    seconds.trim().parse().map_err(|_| is_none())
}

fn version(workspace: &Workspace) -> Result<String, Failure> {
    let packages = workspace.metadata.workspace_packages();
    let server = packages.iter().find(|package| package.name == "hairpin");
    let version = server.map(|package| package.version.to_string());
    version.ok_or_else(|| Failure::Findings(vec!["there is no package hairpin".to_owned()]))
}

fn say(path: &Path) -> Result<(), Failure> {
    let bytes = fs::metadata(path).map_err(at(path))?.len();
    println!("{} {:.1} MB", path.display(), bytes as f64 / 1e6);
    Ok(())
}

/// The sums of all packages that are there, for `sha256sum --check`.
fn sums(out: &Path) -> Result<(), Failure> {
    let shell = "sha256sum -- hairpin[-_]* > SHA256SUMS";
    run(std::process::Command::new("sh")
        .args(["-ec", shell])
        .env("LC_ALL", "C")
        .current_dir(out))
}

/// Makes a directory, without what was in it.
fn empty(directory: &Path) -> Result<(), Failure> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(at(directory))?;
    }
    fs::create_dir_all(directory).map_err(at(directory))
}

/// Names the file of an error.
fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::File { path, source }
}
