//! Answers of two servers that are not the same, by the names that files of the corpus have for them.

use std::collections::{BTreeMap, BTreeSet};

use super::questions::Seen;

/// Answers that differ, by the name that a file gives them.
pub(super) fn differences(theirs: &Seen, ours: &Seen) -> BTreeMap<String, String> {
    let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let mut differences = BTreeMap::new();
    let mut closed = BTreeSet::new();
    for key in keys {
        let [theirs_say, ours_say] =
            [theirs, ours].map(|it| it.get(key).map_or("nothing", String::as_str));
        if theirs_say == ours_say {
            continue;
        }
        let says = [theirs_say, ours_say];
        if let Some(peer) = closed_here(key, says) {
            closed.insert(peer);
            continue;
        }
        let words = format!("coturn says {theirs_say}, hairpin {ours_say}");
        let what = name(key, says, [theirs, ours]);
        differences.entry(what).or_insert(words);
    }
    let is_asked = |peer: &str| ours.contains_key(&format!("peer {peer}"));
    for what in names_of_closed(closed, is_asked) {
        let words = "coturn opens what hairpin closes".to_owned();
        differences.insert(what, words);
    }
    differences
}

/// The names of differences that a file of the corpus means. `closed` may have several peers behind it.
pub(super) fn expected(said: &str) -> Vec<String> {
    let what = said.split(": ").next().unwrap_or(said);
    match what.strip_prefix("closed ") {
        Some(peers) => peers.split(' ').map(|it| format!("closed {it}")).collect(),
        None => vec![what.to_owned()],
    }
}

/// The peer of a difference, if coturn opens it and Hairpin does not, as with all that is not public.
fn closed_here<'k>(key: &'k str, says: [&str; 2]) -> Option<&'k str> {
    let peer = key.strip_prefix("peer ")?;
    (says == ["true", "false"] && !PUBLIC.contains(&peer)).then_some(peer)
}

/// A group of peers has one name where coturn opens all of it. Where a file denies some, or allows one that is open here,
/// too, the rest of the group has to be named one by one: a line `allowed-peer-ip` that is lost closes one more.
fn names_of_closed(
    mut closed: BTreeSet<&str>,
    is_asked: impl Fn(&str) -> bool,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (name, peers) in CLOSED {
        let peers = peers.iter().copied().filter(|it| is_asked(it));
        let peers: BTreeSet<&str> = peers.collect();
        if !peers.is_empty() && peers.is_subset(&closed) {
            names.insert((*name).to_owned());
            closed.retain(|it| !peers.contains(it));
        }
    }
    names.extend(closed.into_iter().map(|peer| format!("closed {peer}")));
    names
}

/// The name of a difference. Those that have one reason in common have one name.
fn name(key: &str, says: [&str; 2], [theirs, ours]: [&Seen; 2]) -> String {
    let is_granted = |seen: &Seen| seen.contains_key("relayed address");
    let is_of_clients = !key.starts_with("listener ");
    if is_of_clients && is_granted(theirs) && !is_granted(ours) {
        return "nobody".to_owned();
    }
    // The port after one that coturn listens on is its other one, for NAT discovery.
    let place = key
        .rsplit_once(':')
        .filter(|_| says[1] == "nothing" && !key.starts_with("login"));
    let before =
        place.and_then(|(place, port)| Some((place, port.parse::<u16>().ok()?.checked_sub(1)?)));
    if before.is_some_and(|(place, port)| theirs.contains_key(&format!("{place}:{port}"))) {
        return "discovery".to_owned();
    }
    key.to_owned()
}

const PUBLIC: [&str; 6] = [
    "8.8.8.8",
    "9.9.9.9",
    "8.8.4.4",
    "1.1.1.1",
    "2606:4700:4700::1111",
    "2a00:1450::8",
];

/// What coturn opens unless a file denies it, and Hairpin does not: private networks and addresses for special purposes;
/// and those that `no-multicast-peers` closes.
const CLOSED: &[(&str, &[&str])] = &[
    (
        "closed",
        &[
            "10.0.0.5",
            "10.0.0.16",
            "172.16.0.5",
            "192.168.0.5",
            "100.64.0.5",
            "169.254.169.254",
            "198.18.0.5",
            "203.0.113.9",
            "fd00::5",
            "fe80::5",
            "2002::1",
        ],
    ),
    (
        "multicast",
        &["224.0.0.251", "240.0.0.5", "255.255.255.255", "ff02::fb"],
    ),
];
