//! The stories that are over: of allocations that ended just now, and of clients whose requests were
//! refused and who have no allocation.
//!
//! There is room for so many and no more, and strangers choose how many there are. So what anybody may
//! send in the name of any address pushes out only its like, and no user and no [`SourcePrefix`] has
//! more than an eighth of the places.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::command::Known;
use crate::realms::RealmId;
use crate::story::{Event, Story};
use crate::{ClientTuple, EndCause, Listed, Selection, Server, Shown, SourcePrefix};

/// A control event, and when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happened {
    /// How long ago.
    pub ago: Duration,
    /// The event.
    pub event: Event,
}

/// A client without an allocation whose requests were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The client.
    pub client: ClientTuple,
    /// The realm of the user, or that of the listener.
    pub realm: Arc<str>,
    /// The USERNAME as claimed, if one was.
    pub user: Option<Box<str>>,
    /// How much is known of the client.
    pub standing: Standing,
    /// The refusals, oldest first.
    pub story: Vec<Happened>,
}

/// Sessions that ended and requests that failed in the last [`KEPT`].
#[derive(Debug, Default)]
pub(crate) struct Lately {
    ended: VecDeque<Over>,
    /// By how much is known of the client: [`Standing`].
    failed: [VecDeque<Refused>; 3],
}

/// An allocation that ended.
#[derive(Debug)]
struct Over {
    listed: Listed,
    cause: EndCause,
    ended: Instant,
    born: Instant,
    story: Story,
}

/// A client that was refused.
#[derive(Debug)]
struct Refused {
    client: ClientTuple,
    realm: RealmId,
    user: Option<Box<str>>,
    standing: Standing,
    first: Instant,
    last: Instant,
    story: Story,
}

/// How much is known of a client that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its requests came in the name of this address, and anybody can write that there.
    Claimed,
    /// It has the address that it shows.
    Seen,
    /// It signed as the user that it names.
    Signed,
}

/// A refusal of a client without an allocation.
pub(crate) struct Failure<'a> {
    pub(crate) client: ClientTuple,
    pub(crate) realm: RealmId,
    /// As claimed, unless it is signed.
    pub(crate) user: Option<&'a str>,
    pub(crate) standing: Standing,
    pub(crate) event: Event,
}

impl Lately {
    /// Keeps the story of an allocation that ended.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        listed: Listed,
        (cause, born, mut story): (EndCause, Instant, Story),
    ) {
        story.note(now.saturating_duration_since(born), &Event::Ended { cause });
        let is_neighbour =
            |it: &Over| it.listed.realm == listed.realm && it.listed.user == listed.user;
        make_room(&mut self.ended, |it| it.ended + KEPT > now, is_neighbour);
        self.ended.push_back(Over {
            listed,
            cause,
            ended: now,
            born,
            story,
        });
    }

    /// Notes that a client was refused.
    pub(crate) fn fail(&mut self, now: Instant, failure: &Failure<'_>) {
        let Failure {
            client,
            realm,
            user,
            standing,
            ref event,
        } = *failure;
        let all = &mut self.failed[standing as usize];
        let is_it = |it: &Refused| it.client == client && it.user.as_deref() == user;
        if let Some(mut it) = all.iter().position(is_it).and_then(|at| all.remove(at)) {
            it.last = now;
            it.story
                .note(now.saturating_duration_since(it.first), event);
            all.push_back(it);
            return;
        }
        let prefix = SourcePrefix::of(client.client.ip());
        let is_neighbour = |it: &Refused| SourcePrefix::of(it.client.client.ip()) == prefix;
        make_room(all, |it| it.last + KEPT > now, is_neighbour);
        let mut story = Story::default();
        story.note(Duration::ZERO, event);
        all.push_back(Refused {
            client,
            realm,
            user: user.map(Box::from),
            standing,
            first: now,
            last: now,
            story,
        });
    }

    /// The allocation of this id, if it ended lately.
    pub(crate) fn ended(&self, now: Instant, id: crate::AllocationId) -> Option<Shown> {
        let over = self.ended.iter().find(|it| it.listed.id == id)?;
        (over.ended + KEPT > now).then(|| over.shown(now))
    }
}

impl Over {
    fn shown(&self, now: Instant) -> Shown {
        Shown {
            listed: self.listed.clone(),
            left: Vec::new(),
            permissions: Vec::new(),
            channels: Vec::new(),
            streams: Vec::new(),
            ended: Some((now.saturating_duration_since(self.ended), self.cause)),
            story: happened(now, self.born, &self.story),
        }
    }
}

impl Server {
    /// Sessions that ended and requests that failed lately, of those that are meant, the newest last.
    pub(crate) fn lately(&self, now: Instant, selection: &Selection) -> (Vec<Shown>, Vec<Failed>) {
        let ended = self.lately.ended.iter();
        let ended = ended.filter(|it| it.ended + KEPT > now && is_meant(selection, it));
        let failed = self.lately.failed.iter().flatten();
        let failed =
            failed.filter(|it| it.last + KEPT > now && self.is_failure_meant(selection, it));
        let mut failed: Vec<&Refused> = failed.collect();
        failed.sort_by_key(|it| it.last);
        let failed = failed.into_iter().map(|it| Failed {
            client: it.client,
            realm: Arc::clone(self.rules.realms.name(it.realm)),
            user: it.user.clone(),
            standing: it.standing,
            story: happened(now, it.first, &it.story),
        });
        (ended.map(|it| it.shown(now)).collect(), failed.collect())
    }

    fn is_failure_meant(&self, selection: &Selection, failed: &Refused) -> bool {
        let user = failed.user.as_deref();
        selection.id.is_none()
            && !selection.bad
            && selection.min_age.is_zero()
            && selection.min_bytes == 0
            && self.is_claim_meant(selection, failed.client, failed.realm, user)
            && selection.peer.is_none_or(|peer| failed.story.names(peer))
    }
}

fn is_meant(selection: &Selection, Over { listed, story, .. }: &Over) -> bool {
    let known = Known {
        id: listed.id,
        realm: &listed.realm,
        user: &listed.user,
        credential: &listed.credential,
        client: listed.client,
        age: listed.age,
        bytes: listed.sent.bytes + listed.received.bytes,
    };
    selection.meets(&known) && selection.peer.is_none_or(|peer| story.names(peer)) && !selection.bad
}

/// The events of a story that began at this moment, with their ages.
pub(crate) fn happened(now: Instant, began: Instant, story: &Story) -> Vec<Happened> {
    let since = now.saturating_duration_since(began);
    let events = story.events().map(|(at, event)| Happened {
        ago: since.saturating_sub(at),
        event,
    });
    events.collect()
}

/// Makes room for one more among those that are kept: of neighbours first, of the oldest then.
fn make_room<T>(
    all: &mut VecDeque<T>,
    is_kept: impl Fn(&T) -> bool,
    is_neighbour: impl Fn(&T) -> bool,
) {
    while all.front().is_some_and(|it| !is_kept(it)) {
        all.pop_front();
    }
    if all.iter().filter(|it| is_neighbour(it)).count() >= PLACES / 8 {
        if let Some(place) = all.iter().position(is_neighbour) {
            all.remove(place);
        }
    } else if all.len() >= PLACES {
        all.pop_front();
    }
}

/// How many of each kind are kept in a shard.
const PLACES: usize = 256;

/// For how long.
pub(crate) const KEPT: Duration = Duration::from_secs(15 * 60);
