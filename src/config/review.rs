//! From values to a [`Config`]: what relates them to each other and to this host.
//!
//! The review does not stop at a fault, so that one reading tells all; what depends on a value of which
//! a fault was told is not reviewed.

mod acme;
mod admin;
mod advertise;
mod auth;
mod clients;
mod credentials;
mod dtls;
mod found;
mod http;
mod idle_redirects;
mod limits;
mod metrics;
mod nat_discovery;
mod net;
mod oauth;
mod peers;
mod redirects;
mod reuse;
mod signal;
mod tls;
mod usage;
mod users_file;
mod web;

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::machine::Machine;
use super::remark::{Remark, Remarks};
use super::table::Table;
use super::watched::Watched;
use super::{Config, Listener};
pub(crate) use credentials::{secret_flaw, unfilled};
use found::Found;
use reuse::Known;

/// A file after its review.
#[derive(Default)]
pub(super) struct Reviewed {
    /// It can be run unless a remark is a fault.
    pub(super) config: Config,
    /// About this file.
    pub(super) remarks: Vec<Remark>,
    /// About files of users that it names.
    pub(super) others: Remarks,
    /// All files that it names and that were read.
    pub(super) files: Vec<Watched>,
    /// Why certificates stay that were in effect before.
    pub(super) stale: Vec<Remark>,
    /// The file of `generated-secret-file`, if there is none yet.
    pub(super) ungenerated: Option<PathBuf>,
}

/// Reviews a file at `path` by the facts of `host`, after the reader, which has put its values into
/// `config` and found `remarks`.
pub(super) fn review(
    file: &Table<'_>,
    config: Config,
    remarks: Vec<Remark>,
    path: &Path,
    host: &Machine,
) -> Reviewed {
    let mut review = Review {
        host,
        directory: path.parent().unwrap_or(Path::new("")),
        config,
        remarks: remarks.into_iter().collect(),
        others: Remarks::default(),
        files: Vec::new(),
        stale: Vec::new(),
        ungenerated: None,
        listeners: None,
        capacity: None,
        realms: Vec::new(),
        secrets: Vec::new(),
        nonce_secret: None,
    };
    review.realm(file);
    review.listeners(file);
    review.advertise(&file.table("advertise"));
    review.relay(&file.table("relay"));
    review.acme(file);
    review.tls(file);
    review.dtls(file);
    review.caution_uncertified(&file.table("advertise"));
    if review.listeners.is_some() && review.capacity.is_some() {
        review.nat_discovery(&file.table("nat-discovery"));
    }
    review.auth(&file.table("auth"));
    review.oauth(&file.table("oauth"));
    review.signal_secrets(&file.table("signal"));
    review.caution_private(&file.table("relay"));
    review.caution_ports(file);
    review.nonce_secret_apart();
    review.allocation(&file.table("allocation"));
    review.redirects(file);
    review.unauthenticated(&file.table("unauthenticated"));
    review.tcp(&file.table("tcp"));
    review.proxy_protocol(&file.table("proxy-protocol"));
    review.clients(&file.table("clients"));
    review.web(&file.table("web"));
    review.http(file);
    review.signal(file);
    review.admin(&file.table("admin"));
    review.metrics(&file.table("metrics"));
    review.usage(&file.table("usage"));
    review.caps(file);
    review.peers(&file.table("peers"));
    Reviewed {
        config: review.config,
        remarks: review.remarks.in_order(),
        others: review.others,
        files: review.files,
        stale: review.stale,
        ungenerated: review.ungenerated,
    }
}

/// The configuration and the remarks so far, and what they are found against.
struct Review<'h> {
    host: &'h Machine,
    /// Where relative paths start.
    directory: &'h Path,
    config: Config,
    remarks: Found,
    /// Remarks about other files than this one.
    others: Remarks,
    /// The files that were read.
    files: Vec<Watched>,
    /// Why certificates stay.
    stale: Vec<Remark>,
    /// The file of a secret that is to be generated.
    ungenerated: Option<PathBuf>,
    /// The listeners without those of `[nat-discovery]`; `None` if any is not usable.
    listeners: Option<Vec<Listener>>,
    /// How many allocations the ports can hold; `None` if `[relay]` is not usable.
    capacity: Option<u32>,
    /// The names of all realms as written, the default one first.
    realms: Vec<String>,
    /// Secrets that clients, users and other servers prove to know.
    secrets: Vec<Known>,
    /// The secret that servers share which send clients to each other.
    nonce_secret: Option<Known>,
}

impl Review<'_> {
    fn say(&mut self, remark: Remark) {
        self.remarks.push(remark);
    }

    /// Whether a fault was told of the value at a place.
    fn is_told(&self, at: &Range<usize>) -> bool {
        let mut within = self.remarks.within(at);
        within.any(|remark| remark.is_fault)
    }

    /// Whether no fault was told of a table and these keys of it.
    fn is_good(&self, table: &Table<'_>, keys: &[&str]) -> bool {
        let mut places = keys.iter().filter_map(|key| table.at(key));
        !self.is_told(&table.at) && !places.any(|at| self.is_told(&at))
    }

    /// Whether there is nothing yet that refuses the file.
    fn is_faultless(&self) -> bool {
        !self.remarks.all().any(|remark| remark.is_fault) && !self.others.are_faults()
    }
}
