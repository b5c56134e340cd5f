//! The binary of a package: built for its target without paths of this machine, stripped, and asked for its manual.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use super::{Release, at, empty};
use crate::command::{cargo, output, run};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// The system that a binary is for, by its name in Rust.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    /// One file that needs no library of the system
    #[value(name = "x86_64-unknown-linux-musl")]
    X86Static,
    /// The same for 64-bit ARM
    #[value(name = "aarch64-unknown-linux-musl")]
    ArmStatic,
    /// With the C library of this system
    #[value(name = "x86_64-unknown-linux-gnu")]
    X86,
    /// The same for 64-bit ARM
    #[value(name = "aarch64-unknown-linux-gnu")]
    Arm,
}

impl Target {
    /// With the C library of this machine.
    pub(super) const HERE: Self = if cfg!(target_arch = "aarch64") {
        Self::Arm
    } else {
        Self::X86
    };

    /// For this machine, without any library.
    pub(super) const HERE_STATIC: Self = if cfg!(target_arch = "aarch64") {
        Self::ArmStatic
    } else {
        Self::X86Static
    };

    /// Rust's name.
    pub(super) const fn triple(self) -> &'static str {
        match self {
            Self::X86Static => "x86_64-unknown-linux-musl",
            Self::ArmStatic => "aarch64-unknown-linux-musl",
            Self::X86 => "x86_64-unknown-linux-gnu",
            Self::Arm => "aarch64-unknown-linux-gnu",
        }
    }

    /// The kernel's name of the machine, which is rpm's as well.
    pub(super) const fn machine(self) -> &'static str {
        match self {
            Self::X86Static | Self::X86 => "x86_64",
            Self::ArmStatic | Self::Arm => "aarch64",
        }
    }

    /// Debian's and Docker's name of it.
    pub(super) const fn debian(self) -> &'static str {
        match self {
            Self::X86Static | Self::X86 => "amd64",
            Self::ArmStatic | Self::Arm => "arm64",
        }
    }

    /// Whether it needs no library of the system.
    pub(super) const fn is_static(self) -> bool {
        matches!(self, Self::X86Static | Self::ArmStatic)
    }

    /// Whether this machine runs it by itself.
    pub(super) fn is_here(self) -> bool {
        self.machine() == env::consts::ARCH
    }

    /// A program of binutils for it.
    fn tool(self, name: &str) -> Command {
        if self.is_here() {
            Command::new(name)
        } else {
            Command::new(format!("{}-linux-gnu-{name}", self.machine()))
        }
    }

    /// A command that runs a binary for it.
    pub(super) fn runs(self, binary: &Path) -> Command {
        if self.is_here() {
            return Command::new(binary);
        }
        let mut emulated = Command::new(format!("qemu-{}-static", self.machine()));
        // The place of Debian's libraries for another machine (libc6-arm64-cross).
        emulated.env(
            "QEMU_LD_PREFIX",
            format!("/usr/{}-linux-gnu", self.machine()),
        );
        emulated.arg(binary);
        emulated
    }
}

/// Builds the server for a target, below `directory`. With a version of glibc, cargo-zigbuild links it for that one in
/// place of this machine's.
pub(super) fn build(
    workspace: &Workspace,
    target: Target,
    glibc: Option<&str>,
    directory: &Path,
) -> Result<PathBuf, Failure> {
    let mut build = cargo(workspace);
    let (command, versioned, directory) = match glibc {
        Some(version) => (
            "zigbuild",
            format!("{}.{version}", target.triple()),
            // Cargo does not see that it is another linker.
            directory.join(format!("glibc-{version}")),
        ),
        None => ("build", target.triple().to_owned(), directory.to_owned()),
    };
    build
        .args([command, "--locked", "--release", "--bin", "hairpin"])
        .args(["--target", &versioned, "--target-dir"])
        .arg(&directory);
    let places = places(workspace, &directory);
    let flags = places
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={from}={to}"));
    build.env(
        "CARGO_ENCODED_RUSTFLAGS",
        flags.collect::<Vec<_>>().join("\x1f"),
    );
    let flags = places
        .iter()
        .map(|(from, to)| format!("-ffile-prefix-map={from}={to}"));
    build.env("CFLAGS", flags.collect::<Vec<_>>().join(" "));
    if !target.is_here() && glibc.is_none() {
        // Debian's compiler for another machine has glibc's headers (libc6-dev-arm64-cross). The C of ring needs hardly
        // any, and nothing of the library; Rust brings what is linked.
        let compiler = format!("{}-linux-gnu-gcc", target.machine());
        let variable = target.triple().replace('-', "_");
        build.env(format!("CC_{variable}"), &compiler);
        let linker = format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase());
        build.env(linker, &compiler);
    }
    run(&mut build)?;
    Ok(directory.join(target.triple()).join("release/hairpin"))
}

/// Directories of this machine whose names a compiler would write into the binary, and what it writes in their place. That
/// of the build comes last, and so first for compilers: build scripts write sources there, wherever it is.
fn places(workspace: &Workspace, directory: &Path) -> Vec<(String, &'static str)> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let root = (workspace.root().display().to_string(), "/usr/src/hairpin");
    let home = home.map(|home| (home.display().to_string(), "/usr/src/cargo"));
    let built = (directory.display().to_string(), "/usr/src/hairpin/target");
    [root].into_iter().chain(home).chain([built]).collect()
}

/// The bytes that the binary of a release may have: docs/install.md says how many it has, docs/performance.md why. Above
/// this something came in that nobody meant, such as symbols.
const LARGEST: u64 = 20_000_000;

/// Fills the directory of what the build has made.
pub(super) fn prepare(release: &Release<'_>, binary: &Path) -> Result<(), Failure> {
    let made = &release.made;
    let man = made.join("man");
    empty(&man)?;
    let stripped = made.join("hairpin");
    // Names of functions and lines of the source stand in a file of their own. The binary names that file, and the
    // report of a crash has them wherever it lies beside the binary.
    let debug = release.out.join(format!("{}.debug", release.name()));
    let tool = |name: &str| release.target.tool(name);
    run(tool("objcopy")
        .args(["--only-keep-debug", "--compress-debug-sections=zlib"])
        .arg(binary)
        .arg(&debug))?;
    run(tool("strip")
        .args(["--strip-all", "-o"])
        .arg(&stripped)
        .arg(binary))?;
    let mut link = OsString::from("--add-gnu-debuglink=");
    link.push(&debug);
    run(tool("objcopy").arg(link).arg(&stripped))?;
    let bytes = fs::metadata(&stripped).map_err(at(&stripped))?.len();
    println!("the binary has {:.1} MB", bytes as f64 / 1e6);
    if !release.quick && bytes > LARGEST {
        let found = format!("{} has more than {LARGEST} bytes", stripped.display());
        return Err(Failure::Findings(vec![found]));
    }
    let runs = |arguments: &[&str]| {
        let mut command = release.target.runs(&stripped);
        command.args(arguments);
        command
    };
    run(runs(&["man", "--output"]).arg(&man))?;
    for shell in ["bash", "zsh", "fish"] {
        let file = made.join(format!("hairpin.{shell}"));
        fs::write(&file, output(&mut runs(&["completions", shell]))?).map_err(at(&file))?;
    }
    let pages = fs::read_dir(&man).map_err(at(&man))?;
    let pages: Vec<OsString> = pages.flatten().map(|page| page.path().into()).collect();
    // Without name and time, which would differ from build to build.
    run(Command::new("gzip").args(["-9", "--no-name"]).args(pages))
}

/// Fails unless the binary runs with this version of glibc, for which it was to be linked.
pub(super) fn runs_with(release: &Release<'_>, version: &str) -> Result<(), Failure> {
    let needs = glibc(release)?.unwrap_or_default();
    let is_newer = number(&needs) > number(version);
    let finding = format!("the binary needs glibc {needs}, and was to run with {version}");
    Failure::unless_empty(is_newer.then_some(finding))
}

/// The newest version of glibc that a binary needs, such as "2.34"; none for a static one.
pub(super) fn glibc(release: &Release<'_>) -> Result<Option<String>, Failure> {
    let symbols = output(
        release
            .target
            // objdump fails for a binary without a dynamic section, as static ones for ARM are.
            .tool("readelf")
            .args(["--dyn-syms", "--wide"])
            .arg(release.made.join("hairpin")),
    )?;
    let versions = symbols
        .split("GLIBC_")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ', '\n']).next());
    let newest = versions.max_by_key(|version| number(version));
    Ok(newest.map(str::to_owned))
}

/// A version in an order.
fn number(version: &str) -> Vec<u32> {
    let parts = version.split('.');
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// The libraries of this system that a binary wants beside it, the loader included.
pub(super) fn libraries(binary: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = output(Command::new("ldd").arg(binary))?;
    let paths = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}
