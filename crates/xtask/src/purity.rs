//! The pure crates stay pure: each has a fence, and links nothing that has a clock, a socket, a
//! thread or random numbers.
//!
//! Clippy's fence (each pure crate's `clippy.toml`) checks our own lines; the list here checks the
//! crates that they link.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::command::{cargo, output};
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Fails when a fence has a gap, or a pure crate links a crate that is not pure.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut findings = Vec::new();
    let common = fence(workspace, &PURE[0])?;
    for pure in &PURE {
        findings.extend(common.gaps(pure.name, &fence(workspace, pure)?));
        findings.extend(strangers(pure, &linked(workspace, pure)?));
    }
    Failure::unless_empty(findings)
}

/// A crate that must stay pure.
struct Pure {
    name: &'static str,
    /// Crates that this crate must not link beyond those that none may.
    also: &'static [(&'static str, &'static str)],
    /// Crates that it may link whatever they bring: its fence forbids their impure functions.
    excused: &'static [&'static str],
}

/// The pure crates. The first one's fence is the common one; another may forbid more, never less.
const PURE: [Pure; 3] = [
    // A codec has no need of a log.
    Pure {
        name: "wire",
        also: &[("log", "a log"), ("tracing", "a log")],
        excused: &[],
    },
    // ring signs nonces; it brings getrandom for its own `ring::rand`.
    Pure {
        name: "relay",
        also: &[],
        excused: &["ring"],
    },
    Pure {
        name: "client",
        also: &[],
        excused: &[],
    },
];

/// Crates that a pure crate must not link, directly or through others, and what each would bring
/// in.
const STRANGERS: &[(&str, &str)] = &[
    ("async-io", "sockets"),
    ("chrono", "a clock"),
    ("crossbeam-channel", "threads"),
    ("fastrand", "randomness"),
    ("futures-executor", "threads"),
    ("getrandom", "randomness"),
    ("hyper", "sockets"),
    ("if-addrs", "the machine's addresses"),
    ("jiff", "a clock"),
    ("metrics", "metrics"),
    ("mio", "sockets"),
    ("nix", "system calls"),
    ("polling", "sockets"),
    ("prometheus-client", "metrics"),
    ("quanta", "a clock"),
    ("rayon", "threads"),
    ("rustix", "system calls"),
    ("smol", "a runtime"),
    ("socket2", "sockets"),
    ("time", "a clock"),
    ("tokio", "a runtime"),
    ("web-time", "a clock"),
];

/// The crates that a pure crate links, a line each that begins with the name. They are not read
/// from the graph of the whole workspace: there a crate has features that other crates asked for.
fn linked(workspace: &Workspace, pure: &Pure) -> Result<String, Failure> {
    let mut tree = cargo(workspace);
    tree.args([
        "tree",
        "--package",
        &format!("hairpin-{}", pure.name),
        "--all-features",
    ]);
    tree.args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    for excused in pure.excused {
        tree.args(["--prune", excused]);
    }
    output(&mut tree)
}

fn strangers(pure: &Pure, linked: &str) -> Vec<Finding> {
    let linked: BTreeSet<&str> = linked
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    STRANGERS
        .iter()
        .chain(pure.also)
        .filter(|(stranger, _)| linked.contains(stranger))
        .map(|&(stranger, brings)| Finding::Stranger {
            name: pure.name,
            stranger,
            brings,
        })
        .collect()
}

fn fence(workspace: &Workspace, pure: &Pure) -> Result<Fence, Failure> {
    workspace.read_toml(&format!("crates/{}/clippy.toml", pure.name))
}

/// A pure crate's clippy.toml.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Fence {
    disallowed_methods: Vec<Ban>,
    disallowed_types: Vec<Ban>,
    disallowed_macros: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    path: String,
    #[serde(default)]
    reason: String,
}

impl Fence {
    /// The items that `self`, the common fence, forbids and `other` does not, and those that
    /// `other` forbids without a reason.
    fn gaps(&self, name: &'static str, other: &Self) -> Vec<Finding> {
        let paths: BTreeSet<_> = other.bans().map(|ban| &ban.path).collect();
        let missing = self.bans().filter(|ban| !paths.contains(&ban.path));
        let missing = missing.map(|ban| Finding::Gap {
            name,
            path: ban.path.clone(),
        });
        let unexplained = other.bans().filter(|ban| ban.reason.is_empty());
        let unexplained = unexplained.map(|ban| Finding::NoReason {
            name,
            path: ban.path.clone(),
        });
        missing.chain(unexplained).collect()
    }

    fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.disallowed_methods
            .iter()
            .chain(&self.disallowed_types)
            .chain(&self.disallowed_macros)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Stranger {
        name: &'static str,
        stranger: &'static str,
        brings: &'static str,
    },
    Gap {
        name: &'static str,
        path: String,
    },
    NoReason {
        name: &'static str,
        path: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger {
                name,
                stranger,
                brings,
            } => write!(
                f,
                "{name} links {stranger}, which brings {brings}; `cargo tree -p hairpin-{name} -e normal -i {stranger}` says by which way"
            ),
            Self::Gap { name, path } => {
                write!(
                    f,
                    "crates/{name}/clippy.toml does not forbid {path}, as crates/{}/clippy.toml does",
                    PURE[0].name
                )
            }
            Self::NoReason { name, path } => write!(
                f,
                "crates/{name}/clippy.toml forbids {path} and gives no reason"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: Pure = Pure {
        name: "wire",
        also: &[("tracing", "a log")],
        excused: &[],
    };
    const RELAY: Pure = Pure {
        name: "relay",
        also: &[],
        excused: &[],
    };

    #[test]
    fn a_socket_library_below_a_pure_crate_is_found() {
        let linked = "hairpin-relay v0.1.0 (/hairpin/crates/relay)\nsha2 v0.11.1\nsocket2 v0.6.5\n";
        assert_eq!(
            strangers(&RELAY, linked),
            [Finding::Stranger {
                name: "relay",
                stranger: "socket2",
                brings: "sockets"
            }]
        );
    }

    #[test]
    fn a_crate_whose_name_merely_begins_alike_is_no_stranger() {
        assert_eq!(
            strangers(&RELAY, "tokio-free v1.0.0\ntimeless v1.0.0\n"),
            []
        );
    }

    #[test]
    fn the_codec_alone_may_not_log() {
        assert_eq!(strangers(&WIRE, "tracing v0.1.44\n").len(), 1);
        assert_eq!(strangers(&RELAY, "tracing v0.1.44\n"), []);
    }

    fn parse(methods: &str) -> Fence {
        toml::from_str(&format!(
            "disallowed-methods = [{methods}]\ndisallowed-types = []\ndisallowed-macros = []"
        ))
        .unwrap()
    }

    #[test]
    fn a_fence_that_forbids_less_than_the_common_one_has_a_gap() {
        let common =
            parse(r#"{ path = "std::time::Instant::now", reason = "time is an argument" }"#);
        assert_eq!(
            common.gaps("relay", &parse("")),
            [Finding::Gap {
                name: "relay",
                path: "std::time::Instant::now".into()
            }]
        );
    }

    #[test]
    fn a_fence_may_forbid_more_than_the_common_one() {
        let more = parse(r#"{ path = "hashbrown::HashMap::iter", reason = "no order" }"#);
        assert_eq!(parse("").gaps("relay", &more), []);
    }

    #[test]
    fn a_ban_without_a_reason_is_found() {
        let mute = parse(r#"{ path = "std::thread::spawn" }"#);
        assert_eq!(
            parse("").gaps("client", &mute),
            [Finding::NoReason {
                name: "client",
                path: "std::thread::spawn".into()
            }]
        );
    }
}
