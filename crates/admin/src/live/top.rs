//! Top talkers: sessions, users, client prefixes and peers, by what they do.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use relay::{Listed, SourcePrefix};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::look::{Look, Rate, Row};
use crate::api::Session;

/// Which talkers are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The kind of a talker.
    pub by: By,
    /// Which come first.
    pub sort: Sort,
    /// Only sessions with this text in their id, user, realm, or addresses of client, relay and peers.
    pub filter: String,
    /// How many.
    pub limit: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            by: By::default(),
            sort: Sort::default(),
            filter: String::new(),
            limit: 20,
        }
    }
}

impl Wanted {
    /// Whether the filter applies to a session.
    pub fn applies(&self, session: &Session) -> bool {
        let filter = Filter::new(&self.filter);
        filter.is_in(&[&session.id, &session.user, &session.realm, &session.client])
            || filter.is_in_addresses(&session.relayed, &session.peers)
    }
}

/// The kind of a talker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A session.
    #[default]
    Sessions,
    /// A user of a realm.
    Users,
    /// An IPv4 /24 or an IPv6 /48 of clients.
    Clients,
    /// The IP address of a peer. A session with several peers counts for each of them.
    Peers,
}

/// Which talkers come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Those with the most data in a second, both ways together.
    #[default]
    Rate,
    /// Those that send the most in a second.
    Sent,
    /// Those that receive the most in a second.
    Received,
    /// Those with the most data until now.
    Bytes,
    /// The oldest.
    Age,
}

/// The top talkers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Top {
    /// The seconds that rates were counted over.
    pub seconds: f64,
    /// How many talkers there are to whom the filter applies, also beyond those that are told.
    pub talkers: usize,
    /// The first of them.
    pub top: Vec<Talker>,
    /// Shards that did not answer in time: their sessions are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_shards: Vec<usize>,
}

/// Somebody who uses the relay.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Talker {
    /// The id of a session, the name of a user, a network of clients, or the address of a peer.
    pub name: String,
    /// The realm of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// How many sessions.
    pub sessions: usize,
    /// Data from clients to peers.
    pub sent: Rate,
    /// Data from peers to clients.
    pub received: Rate,
    /// Bytes of data until now, both ways, of sessions that live.
    pub bytes: u64,
    /// The age of the oldest session, in seconds.
    pub age: u64,
    /// The session, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

impl Top {
    /// Those of a look that are wanted.
    pub fn of(look: &Look, wanted: &Wanted) -> Self {
        let filter = Filter::new(&wanted.filter);
        let rows = look.rows.iter().filter(|row| filter.applies(&row.listed));
        let (talkers, top) = match wanted.by {
            By::Sessions => {
                let sums = rows.map(|row| (row, Sum::of(row))).collect();
                first(sums, wanted, |row, sum| Talker {
                    session: Some(row.listed.clone().into()),
                    ..sum.named(row.listed.id.to_string())
                })
            }
            By::Users => {
                let sums = sums(rows, |row| {
                    [(&*row.listed.realm, &*row.listed.user)].into_iter()
                });
                first(sums, wanted, |(realm, user), sum| Talker {
                    realm: Some(realm.to_owned()),
                    ..sum.named(user.to_owned())
                })
            }
            By::Clients => {
                let prefix = |row: &Row| SourcePrefix::of(row.listed.client.client.ip());
                let sums = sums(rows, |row| [prefix(row)].into_iter());
                first(sums, wanted, |prefix, sum| sum.named(prefix.to_string()))
            }
            By::Peers => {
                let sums = sums(rows, |row| row.listed.peers.iter());
                first(sums, wanted, |peer, sum| sum.named(peer.to_string()))
            }
        };
        Self {
            seconds: look.moment.seconds,
            talkers,
            top,
            silent_shards: look.silent.clone(),
        }
    }
}

/// The sum of some sessions.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    sessions: usize,
    sent: Rate,
    received: Rate,
    bytes: u64,
    age: u64,
}

impl Sum {
    const fn of(row: &Row) -> Self {
        let listed = &row.listed;
        Self {
            sessions: 1,
            sent: row.sent,
            received: row.received,
            bytes: listed.sent.bytes.saturating_add(listed.received.bytes),
            age: listed.age.as_secs(),
        }
    }

    fn add(&mut self, other: Self) {
        *self = Self {
            sessions: self.sessions + other.sessions,
            sent: self.sent + other.sent,
            received: self.received + other.received,
            bytes: self.bytes.saturating_add(other.bytes),
            age: self.age.max(other.age),
        };
    }

    const fn named(self, name: String) -> Talker {
        let Self {
            sessions,
            sent,
            received,
            bytes,
            age,
        } = self;
        Talker {
            name,
            realm: None,
            sessions,
            sent,
            received,
            bytes,
            age,
            session: None,
        }
    }

    /// The first of two. Equal ones stand by age, so that those that do nothing keep their places.
    fn compare(&self, other: &Self, sort: Sort) -> Ordering {
        let both = |sum: &Self| sum.sent.bits + sum.received.bits;
        let order = match sort {
            Sort::Rate => both(other).total_cmp(&both(self)),
            Sort::Sent => other.sent.bits.total_cmp(&self.sent.bits),
            Sort::Received => other.received.bits.total_cmp(&self.received.bits),
            Sort::Bytes => other.bytes.cmp(&self.bytes),
            Sort::Age => Ordering::Equal,
        };
        order.then(other.age.cmp(&self.age))
    }
}

/// The sums of rows that have a key in common.
fn sums<'l, K: Hash + Eq, I: Iterator<Item = K>>(
    rows: impl Iterator<Item = &'l Row>,
    keys: impl Fn(&'l Row) -> I,
) -> Vec<(K, Sum)> {
    let mut sums: HashMap<K, Sum> = HashMap::new();
    for row in rows {
        for key in keys(row) {
            sums.entry(key).or_default().add(Sum::of(row));
        }
    }
    sums.into_iter().collect()
}

/// How many there are, and the first as they are wanted. Only those are put in order.
fn first<K>(
    mut sums: Vec<(K, Sum)>,
    wanted: &Wanted,
    talker: impl Fn(K, Sum) -> Talker,
) -> (usize, Vec<Talker>) {
    let (count, limit) = (sums.len(), wanted.limit.clamp(1, MOST));
    let order = |(_, one): &(K, Sum), (_, other): &(K, Sum)| one.compare(other, wanted.sort);
    if count > limit {
        sums.select_nth_unstable_by(limit, order);
        sums.truncate(limit);
    }
    let mut top: Vec<(Sum, Talker)> = sums
        .into_iter()
        .map(|(key, sum)| (sum, talker(key, sum)))
        .collect();
    // By name in the end, so that two looks show the same order.
    top.sort_by(|(one, a), (other, b)| {
        let order = one.compare(other, wanted.sort);
        order.then_with(|| a.name.cmp(&b.name))
    });
    (count, top.into_iter().map(|(_, talker)| talker).collect())
}

/// A text to look for, without regard to case.
struct Filter(String);

impl Filter {
    fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    fn applies(&self, listed: &Listed) -> bool {
        self.0.is_empty()
            || self.is_in(&[
                &listed.id,
                &listed.user,
                &listed.realm,
                &listed.client.client,
            ])
            || self.is_in_addresses(&listed.relayed, &listed.peers)
    }

    fn is_in(&self, texts: &[&dyn ToString]) -> bool {
        let mut texts = texts.iter();
        texts.any(|text| text.to_string().to_lowercase().contains(&self.0))
    }

    fn is_in_addresses(&self, relayed: &[SocketAddr], peers: &[IpAddr]) -> bool {
        relayed.iter().any(|it| self.is_in(&[it])) || peers.iter().any(|it| self.is_in(&[it]))
    }
}

/// The most talkers that are told at once.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use net::{Bounds, Load, NetCounters};
    use relay::{ClientTuple, Counters, Quality, Traffic, Transport};

    use super::super::look::Before;
    use super::*;
    use crate::metrics::{ControlCounters, Process, Sample, Signaling, Usage};

    fn sample() -> Sample {
        Sample {
            quality: crate::quality::QualitySample::default(),
            relay: Counters::default(),
            net: NetCounters::default(),
            load: Load {
                allocations: 0,
                ports_taken: 0,
                ports: 1,
                connections: 0,
                most_connections: 1,
                bans: 0,
                is_draining: false,
            },
            bounds: Bounds::default(),
            certificates: Vec::new(),
            control: ControlCounters::default(),
            signaling: Signaling::default(),
            http: Vec::new(),
            usage: Usage::default(),
            process: Process::default(),
        }
    }

    fn session(number: u32, user: &str, client: &str, peers: &[&str]) -> Listed {
        Listed {
            id: format!("{number}.00000001").parse().unwrap(),
            client: ClientTuple {
                transport: Transport::Udp,
                client: client.parse().unwrap(),
                server: "203.0.113.1:3478".parse().unwrap(),
            },
            realm: Arc::from("example.org"),
            user: Arc::from(user),
            credential: Arc::from(user),
            relayed: Vec::new(),
            peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
            age: Duration::from_secs(60),
            sent: Traffic::default(),
            received: Traffic::default(),
            quality: None,
        }
    }

    /// Sessions of two users, before and two seconds later.
    fn look() -> Look {
        let mut all = [
            session(1, "alice", "198.51.100.1:1", &["192.0.2.1"]),
            session(2, "alice", "198.51.100.2:1", &["192.0.2.1", "192.0.2.2"]),
            session(3, "bob", "198.51.101.1:1", &["192.0.2.2"]),
        ];
        let mut before = Before::default();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        before.look(start, &sample(), all.to_vec(), Vec::new());
        for (listed, kilobytes) in all.iter_mut().zip([1, 2, 4]) {
            listed.sent.bytes += kilobytes * 1000;
            listed.received.packets += 2;
        }
        let later = start + Duration::from_secs(2);
        before.look(later, &sample(), all.to_vec(), vec![7])
    }

    fn told(by: By, more: Wanted) -> Vec<(String, f64, usize)> {
        let top = Top::of(&look(), &Wanted { by, ..more });
        let told = top.top.into_iter();
        told.map(|it| (it.name, it.sent.bits, it.sessions))
            .collect()
    }

    #[test]
    fn talkers_are_told_by_what_they_do_in_a_second_each_kind_by_its_own_names() {
        let is = |by, rows: &[(&str, f64, usize)]| {
            let rows: Vec<_> = rows
                .iter()
                .map(|&(name, bits, count)| (name.to_owned(), bits, count))
                .collect();
            assert_eq!(told(by, Wanted::default()), rows);
        };
        is(
            By::Sessions,
            &[
                ("3.00000001", 16e3, 1),
                ("2.00000001", 8e3, 1),
                ("1.00000001", 4e3, 1),
            ],
        );
        is(By::Users, &[("bob", 16e3, 1), ("alice", 12e3, 2)]);
        is(
            By::Clients,
            &[("198.51.101.0/24", 16e3, 1), ("198.51.100.0/24", 12e3, 2)],
        );
        is(By::Peers, &[("192.0.2.2", 24e3, 2), ("192.0.2.1", 12e3, 2)]);
        assert_eq!(Top::of(&look(), &Wanted::default()).silent_shards, [7]);
    }

    #[test]
    fn a_filter_and_a_limit_leave_out_what_is_not_wanted_and_say_how_much_there_is() {
        let wanted = Wanted {
            filter: " ALICE ".to_owned(),
            limit: 1,
            ..Wanted::default()
        };
        let top = Top::of(&look(), &wanted);
        assert_eq!((top.talkers, top.top.len()), (2, 1));
        assert_eq!(top.top[0].name, "2.00000001");
        let peer = Wanted {
            filter: "192.0.2.2".to_owned(),
            ..Wanted::default()
        };
        assert_eq!(told(By::Sessions, peer).len(), 2);
        let nobody = Wanted {
            filter: "carol".to_owned(),
            ..Wanted::default()
        };
        assert!(told(By::Users, nobody).is_empty());
    }

    #[test]
    fn a_session_that_came_from_another_shard_did_not_do_all_at_once() {
        let mut before = Before::default();
        let start = SystemTime::UNIX_EPOCH;
        before.look(start, &sample(), Vec::new(), Vec::new());
        let mut moved = session(1, "alice", "198.51.100.1:1", &[]);
        moved.sent.bytes = 1_000_000;
        let mut new = session(2, "bob", "198.51.100.1:2", &[]);
        (new.sent.bytes, new.age) = (1000, Duration::from_secs(1));
        let later = start + Duration::from_secs(2);
        let look = before.look(later, &sample(), vec![moved, new], Vec::new());
        let rates = look.rows.iter().map(|row| row.sent.bits);
        assert_eq!(rates.collect::<Vec<_>>(), [0.0, 4000.0]);
    }

    #[test]
    fn calls_that_are_bad_are_counted_by_leg() {
        let mut bad = Quality::default();
        bad.peer.bad.loss = true;
        let mut all = [1, 2, 3].map(|number| session(number, "alice", "198.51.100.1:1", &[]));
        all[0].quality = Some(bad);
        all[1].quality = Some(Quality::default());
        let look = |all: &[Listed]| {
            let mut before = Before::default();
            let look = before.look(SystemTime::now(), &sample(), all.to_vec(), Vec::new());
            let quality = look.moment.quality;
            quality.map(|it| (it.measured, it.bad_clients, it.bad_peers))
        };
        assert_eq!(look(&all), Some((2, 0, 1)));
        assert_eq!(look(&all[2..]), None);
    }
}
