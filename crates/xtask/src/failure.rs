//! Why a step failed, in words that its reader can act on.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use thiserror::Error;

/// Why a step, or the whole run, failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// A check read the workspace and found these, one sentence each.
    #[error("{}", .0.join("\n"))]
    Findings(Vec<String>),
    /// A program ran and failed. Its own output, above, says why.
    #[error("`{command}` ended with {status}")]
    Unsuccessful { command: String, status: ExitStatus },
    /// Tests ran and some failed. The end of the run repeats what they said.
    #[error("`{command}` ended with {status}\n{told}")]
    Tests {
        command: String,
        status: ExitStatus,
        told: String,
    },
    /// A program did not even start.
    #[error("cannot run `{command}`: {source}")]
    Spawn { command: String, source: io::Error },
    /// A program's output was not as expected.
    #[error("cannot read the output of `{command}`: {source}")]
    Output {
        command: String,
        source: std::string::FromUtf8Error,
    },
    /// Cargo cannot read the workspace.
    #[error(transparent)]
    Metadata(#[from] cargo_metadata::Error),
    /// A file of the workspace, or of the machine, cannot be used.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    /// A directory cannot be walked.
    #[error(transparent)]
    Walk(#[from] ignore::Error),
    /// A TOML file of ours does not have the expected form.
    #[error("{path}: {source}")]
    Toml {
        path: PathBuf,
        source: toml::de::Error,
    },
    /// The output of a program is not of the expected form.
    #[error("cannot read the output of `{command}`: {source}")]
    Json {
        command: &'static str,
        source: serde_json::Error,
    },
    /// The machine lacks something that the tests need.
    #[error("the tests need {0}")]
    Lack(#[from] Lack),
    /// Steps failed; each has printed why when it ran. These are their names, in the order they
    /// ran.
    #[error("failed: {}", .0.join(", "))]
    Steps(Vec<&'static str>),
}

impl Failure {
    /// Passes if there are no findings.
    pub(crate) fn unless_empty(
        findings: impl IntoIterator<Item = impl Display>,
    ) -> Result<(), Self> {
        let findings: Vec<String> = findings
            .into_iter()
            .map(|finding| finding.to_string())
            .collect();
        if findings.is_empty() {
            Ok(())
        } else {
            Err(Self::Findings(findings))
        }
    }
}

/// Something that the tests need and the machine lacks, and what to do about it.
#[derive(Debug, Error)]
pub(crate) enum Lack {
    /// Programs, on a system whose packages are not known here.
    #[error("programs that Debian packs as: {list}. Install them in this system's way")]
    Packages { list: String },
    /// Programs, which only root may install.
    #[error("more programs; this installs them:\n\n    sudo sh -c '{line}'\n")]
    Root { line: String },
    /// Programs that their packages did not bring.
    #[error("programs that are missing though their packages were just installed: {list}")]
    Still { list: String },
    /// Namespaces, and even root may not make them: a container.
    #[error(
        "network namespaces, and this container forbids them: \
         give it CAP_SYS_ADMIN and CAP_NET_ADMIN (docker run --privileged)"
    )]
    Capabilities,
    /// Namespaces, and a switch of the kernel forbids them.
    #[error("network namespaces; this allows them:\n\n    sudo sysctl -w {key}={open}\n")]
    Switch {
        key: &'static str,
        open: &'static str,
    },
    /// Namespaces, for an unknown reason.
    #[error("network namespaces, and no switch of the kernel says why there are none: run as root")]
    Namespaces,
}
