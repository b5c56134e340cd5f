//! The peers that clients may reach.
//!
//! In coturn an allowed range counts for more than a denied one; here a denied network counts for more
//! than an allowed one. So what is allowed is cut out of what is denied.

use std::collections::BTreeSet;

use relay::policy::Network;

use super::super::draft::Value;
use super::super::lines::Line;
use super::super::ranges::{NoRange, Range, meets_any, merged, without};
use super::{Translation, from};

/// The ranges of both lists, and the lines that are still to be accounted for.
#[derive(Default)]
struct Lists<'s> {
    allowed: Vec<Range>,
    denied: Vec<Range>,
    allow_lines: Vec<(&'s Line, Range)>,
    deny_lines: Vec<(&'s Line, Range)>,
}

impl<'s> Translation<'s> {
    pub(super) fn peers(&mut self) {
        let lists = self.lists();
        let (deny, allow, is_allow_list) = written(&lists);
        let (allowed, denied) = (merged(&lists.allowed), merged(&lists.denied));
        for (line, range) in &lists.deny_lines {
            let is_cut = meets_any(&allowed, *range);
            if range.is_special() {
                self.needless(
                    line,
                    "peers there are denied, unless [peers] allow names them",
                );
            } else if is_cut {
                self.mapped(line, "[peers] deny, without what allowed-peer-ip names");
            } else if is_allow_list && Range::all(range.is_ipv4) == *range {
                self.mapped(line, "[peers] mode");
            } else {
                self.mapped(line, "[peers] deny");
            }
        }
        for (line, range) in &lists.allow_lines {
            let is_cut = meets_any(&denied, *range);
            if is_allow_list || range.is_special() || range.single().is_some() {
                self.mapped(line, "[peers] allow");
            } else if is_cut {
                self.mapped(line, "[peers] deny, which leaves it out");
            } else {
                self.needless(line, "public peers are allowed");
            }
        }
        if is_allow_list {
            let lines = lists.deny_lines.iter().map(|(line, _)| *line);
            let table = self.draft.table("[peers]");
            table.set("mode", Value::Text("allow-list".to_owned()), from(lines));
        }
        if !allow.is_empty() {
            let lines = lists.allow_lines.iter().map(|(line, _)| *line);
            let table = self.draft.table("[peers]");
            table.set("allow", Value::Texts(allow), from(lines));
        }
        if !deny.is_empty() {
            let public = lists
                .deny_lines
                .iter()
                .filter(|(_, range)| !range.is_special());
            let comments = from(public.map(|(line, _)| *line));
            let table = self.draft.table("[peers]");
            table.set("deny", Value::Texts(deny), comments);
        }
        if lists.denied.iter().any(|range| range.is_special()) {
            self.account.differ(
                "two clients of this server meet at its relayed addresses, also on a network that denied-peer-ip \
                 names: [peers] deny closes that, too",
            );
        }
        self.account.differ(
            "peers on private networks and addresses of this host are denied, and coturn let clients reach them: \
             a media server there needs [peers] allow; `hairpin policy explain IP:PORT --running` says why a peer is denied",
        );
    }

    fn lists(&mut self) -> Lists<'s> {
        let mut lists = Lists::default();
        for line in self.file.all("denied-peer-ip") {
            match Range::read(&line.value) {
                Ok(range) => lists.deny_lines.push((line, range)),
                // It was meant, and closes more.
                Err(NoRange::Network(network)) => {
                    lists.deny_lines.push((line, Range::of(network)));
                    let what = "coturn ignores a network with a prefix length, so this one was open; Hairpin denies it";
                    self.mapped(line, &format!("[peers] deny: {what}"));
                    self.ask(line, what);
                }
                Err(why) => self.undecided(line, no_range(why)),
            }
        }
        for line in self.file.all("allowed-peer-ip") {
            match Range::read(&line.value) {
                Ok(range) => self.allowed(&mut lists, line, range),
                Err(NoRange::Network(_)) => self.undecided(
                    line,
                    "coturn ignores a network with a prefix length, so this line opened nothing; it opens nothing here",
                ),
                Err(why) => self.undecided(line, no_range(why)),
            }
        }
        self.lists_of_database(&mut lists);
        lists.denied = lists
            .deny_lines
            .iter()
            .map(|(_, range)| *range)
            .chain(lists.denied)
            .collect();
        lists
    }

    fn allowed(&mut self, lists: &mut Lists<'s>, line: &'s Line, range: Range) {
        let (opened, kept) = opened(range);
        if let Some(why) = kept {
            self.dangerous(line, why);
        }
        if !opened.is_empty() {
            lists.allowed.extend(opened);
            lists.allow_lines.push((line, range));
        }
    }

    /// Those that turnadmin has written, for all realms or for the default one.
    fn lists_of_database(&mut self, lists: &mut Lists<'s>) {
        let Some(database) = self.source.database else {
            return;
        };
        let realm = self.file.text_of("realm").unwrap_or_default();
        let rules = [(&database.denied, false), (&database.allowed, true)];
        for (rules, is_allowed) in rules {
            for (of, text) in rules {
                match Range::read(text) {
                    Ok(range) if of.is_empty() || of == realm => {
                        if !is_allowed {
                            lists.denied.push(range);
                            continue;
                        }
                        let (opened, kept) = opened(range);
                        lists.allowed.extend(opened);
                        if let Some(why) = kept {
                            self.account.decide(format!("the database allows peers at {text}, not carried over: {why}"));
                        }
                    }
                    Ok(_) => self.account.decide(format!(
                        "the database has a rule on peers for the realm {of:?} alone, {text}: [peers] is for all realms"
                    )),
                    Err(_) => self.account.decide(format!("the database has a rule on peers that coturn does not read: {text:?}")),
                }
            }
        }
    }
}

/// The part of an allowed range that is opened here, and a sentence if that is not all of it.
///
/// A range is cut before its networks are written: one of those may lie in a special block that the
/// range only reaches over, and an entry inside a block opens it.
fn opened(range: Range) -> (Vec<Range>, Option<&'static str>) {
    let this_host = THIS_HOST.iter().filter_map(|text| Range::read(text).ok());
    let this_host: Vec<Range> = this_host.collect();
    let others = without(&[range], &this_host);
    if others.is_empty() || range.is_special() || range.single().is_some() {
        let why = (others != [range]).then_some(NOT_THIS_HOST);
        return (others, why);
    }
    let public = range.public();
    let why = (public != [range]).then_some(NOT_PRIVATE);
    (public, why)
}

/// The networks to deny and to allow, and whether those to allow are the only ones.
fn written(lists: &Lists<'_>) -> (Vec<String>, Vec<String>, bool) {
    let closed = |is_ipv4| without(&[Range::all(is_ipv4)], &lists.denied).is_empty();
    let families = [true, false].map(|is_ipv4| (is_ipv4, closed(is_ipv4)));
    let is_allow_list = families.iter().any(|(_, is_closed)| *is_closed);
    let is_needed =
        |range: &&Range| is_allow_list || range.is_special() || range.single().is_some();
    let mut allow: Vec<Range> = lists.allowed.iter().filter(is_needed).copied().collect();
    let mut deny = Vec::new();
    for (is_ipv4, is_closed) in families {
        if is_closed {
            continue;
        }
        if is_allow_list {
            allow.push(Range::all(is_ipv4));
        }
        let public = lists
            .denied
            .iter()
            .filter(|range| range.is_ipv4 == is_ipv4 && !range.is_special());
        let public: Vec<Range> = public.copied().collect();
        deny.extend(without(&public, &lists.allowed));
    }
    (texts(&deny), texts(&allow), is_allow_list)
}

fn texts(ranges: &[Range]) -> Vec<String> {
    let (mut texts, mut seen) = (Vec::new(), BTreeSet::new());
    for network in ranges.iter().flat_map(|range| range.networks()) {
        let text = if network.prefix_len() == network.max_prefix_len() {
            network.addr().to_string()
        } else {
            network.to_string()
        };
        // IPv4 inside IPv6 is judged as IPv4, and cannot be written.
        if text.parse::<Network>().is_ok() && seen.insert(network) {
            texts.push(text);
        }
    }
    texts
}

fn no_range(why: NoRange) -> &'static str {
    match why {
        NoRange::Network(_) => "it is a network with a prefix length",
        NoRange::Name => {
            "coturn accepts a host name here; Hairpin needs an address, a range or a network"
        }
        NoRange::Empty => "the range holds no address, in coturn as well",
    }
}

/// Loopback, and the addresses without a host, which the kernel takes for it: coturn opens them to no
/// line of `allowed-peer-ip`.
const THIS_HOST: [&str; 4] = [
    "127.0.0.0-127.255.255.255",
    "::1",
    "0.0.0.0-0.255.255.255",
    "::",
];

const NOT_THIS_HOST: &str = "clients would reach services of this host that listen on loopback alone; coturn does not open it, either, without allow-loopback-peers";
const NOT_PRIVATE: &str = "the range includes private networks, which stay closed: list the ones that you mean in [peers] allow";

#[cfg(test)]
mod tests;
