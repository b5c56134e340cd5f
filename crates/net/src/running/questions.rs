//! Questions of the control side to all shards about their allocations, and orders to end some.

use std::time::Duration;

use relay::{
    AllocationId, Answer, Caps, Command, EndCause, Failed as FailedClient, Listed, Places,
    RelayAddress, Selection, Shown, Survey,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::Running;

/// The answers of the shards to a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Of every shard that answered, in their order.
    pub given: Vec<Answer>,
    /// The shards that did not within [`Running::PATIENCE`], from 0: they stand still, or failed over
    /// the command.
    pub silent: Vec<usize>,
}

/// A place among the allocations of all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The shard, from 0.
    pub shard: usize,
    /// The place there.
    pub place: usize,
}

/// Some of the allocations, by [`Running::list`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The allocations.
    pub listed: Vec<Listed>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// The shards that did not answer, from 0.
    pub silent: Vec<usize>,
}

/// Sessions that ended and requests that failed lately, by [`Running::lately`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    /// Allocations that ended.
    pub ended: Vec<Shown>,
    /// Clients without an allocation that were refused.
    pub failed: Vec<FailedClient>,
    /// The shards that did not answer, from 0.
    pub silent: Vec<usize>,
}

/// The outcome of [`Running::end`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many allocations.
    pub allocations: usize,
    /// The shards that did not answer, from 0.
    pub silent: Vec<usize>,
}

impl Running {
    /// How long [`Running::command`] waits for shards. A shard answers within milliseconds, unless
    /// it stands still or begins anew.
    // The machine of this crate's own tests may be busy.
    pub const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 20 } else { 3 });

    /// Asks every shard, and waits for all of them together for [`Running::PATIENCE`]. A shard that
    /// stands still comes to the command when it goes on, or in its next life. An allocation that
    /// moves from one shard to another at this moment may be missed: [`Running::end`] asks again.
    pub async fn command(&self, command: Command) -> Answers {
        let deadline = Instant::now() + Self::PATIENCE;
        let mut answers = Answers::default();
        for (shard, answered) in self.post.ask(&command).into_iter().enumerate() {
            match timeout_at(deadline, answered).await {
                Ok(Ok(answer)) => answers.given.push(answer),
                Ok(Err(_)) | Err(_) => answers.silent.push(shard),
            }
        }
        answers
    }

    /// The allocations that are meant, from a place on: at least one and about `most`, unless there are
    /// no more. A shard looks at some hundred places in one turn and then goes on with its packets.
    /// An allocation that is opened or ended meanwhile may be listed or not.
    pub async fn list(&self, selection: &Selection, from: Cursor, most: usize) -> Page {
        let mut listed = Vec::new();
        let ask = |places| Command::List(selection.clone(), places);
        let walk = self.walk(from, ask, |answer| {
            let Answer::Allocations(some, more) = answer else {
                return None;
            };
            listed.extend(some);
            Some((more, listed.len() >= most))
        });
        let (next, silent) = walk.await;
        Page {
            listed,
            next,
            silent,
        }
    }

    /// All about one allocation, if there is one of this id.
    pub async fn show(&self, id: AllocationId) -> Option<Shown> {
        let answers = self.command(Command::Show(id)).await;
        let mut shown = answers.given.into_iter().filter_map(|answer| {
            if let Answer::Shown(shown) = answer {
                shown.map(|shown| *shown)
            } else {
                None
            }
        });
        shown.next()
    }

    /// Sessions that ended and requests that failed lately, of those that are meant, shard by shard.
    pub async fn lately(&self, selection: Selection) -> Lately {
        let answers = self.command(Command::Lately(selection)).await;
        let mut lately = Lately {
            silent: answers.silent,
            ..Lately::default()
        };
        for answer in answers.given {
            if let Answer::Lately(ended, failed) = answer {
                lately.ended.extend(ended);
                lately.failed.extend(failed);
            }
        }
        lately
    }

    /// All allocations seen together, and the shards that did not answer, from 0. A shard looks at some
    /// hundred places in one turn, as for [`Running::list`].
    pub async fn survey(&self) -> (Survey, Vec<usize>) {
        let mut all = Survey::default();
        let walk = self.walk(Cursor::default(), Command::Survey, |answer| {
            let Answer::Survey(survey, more) = answer else {
                return None;
            };
            all.add(&survey);
            Some((more, false))
        });
        let (_, silent) = walk.await;
        (all, silent)
    }

    /// Ends allocations in every shard, also those that move meanwhile.
    pub async fn end(&self, selection: Selection) -> Ended {
        self.end_as(selection, EndCause::Operator).await
    }

    /// The same for another cause.
    pub async fn end_as(&self, selection: Selection, cause: EndCause) -> Ended {
        let end = |places| Command::End(selection.clone(), cause, places);
        self.end_by(end).await
    }

    /// Ends what is relayed from an address that has left the host, likewise: [`Command::Lose`].
    pub async fn lose(&self, address: RelayAddress) -> Ended {
        self.end_by(|places| Command::Lose(address, places)).await
    }

    /// Goes through all shards until nothing is left to end, as one that moves may be missed. Clients
    /// who open an allocation for each that is ended do not keep it going for ever.
    async fn end_by(&self, command: impl Fn(Places) -> Command) -> Ended {
        let mut ended = Ended::default();
        for _ in 0..MOST_WALKS {
            let mut count = 0;
            let read = |answer| {
                let Answer::Ended(some, more) = answer else {
                    return None;
                };
                count += some;
                Some((more, false))
            };
            (_, ended.silent) = self.walk(Cursor::default(), &command, read).await;
            ended.allocations += count;
            if count == 0 {
                break;
            }
        }
        for shard in &ended.silent {
            // It ends all of its own when it goes on; nobody waits for that.
            let _ = self.post.ask_one(*shard, command(Places::ALL));
        }
        ended
    }

    /// From now on these users and realms are over a cap of data: new allocations follow it at once, and
    /// those that there are when each shard has come to them, some hundred in one turn. Returns the
    /// shards that did not answer, from 0: allocations there may keep the bandwidth that they have.
    pub async fn cap(&self, caps: Caps) -> Vec<usize> {
        self.shared.cap(caps);
        let walk = self.walk(Cursor::default(), Command::Measure, |answer| {
            if let Answer::Measured(more) = answer {
                Some((more, false))
            } else {
                None
            }
        });
        walk.await.1
    }

    /// Has shard after shard look at all its places from a cursor on, some at a time. `read` takes each answer, and
    /// returns where that shard is to go on, if there is more, and whether this is enough; none if it is no answer to
    /// the question. Returns where the next walk begins, and the shards that did not answer.
    async fn walk(
        &self,
        from: Cursor,
        ask: impl Fn(Places) -> Command,
        mut read: impl FnMut(Answer) -> Option<(Option<usize>, bool)>,
    ) -> (Option<Cursor>, Vec<usize>) {
        let mut silent = Vec::new();
        let Cursor {
            mut shard,
            mut place,
        } = from;
        loop {
            let places = Places {
                from: place,
                count: PLACES,
            };
            let Some(answered) = self.post.ask_one(shard, ask(places)) else {
                return (None, silent);
            };
            let answer = timeout(Self::PATIENCE, answered).await;
            let looked = answer.ok().and_then(Result::ok).and_then(&mut read);
            if looked.is_none() {
                silent.push(shard);
            }
            let (more, is_enough) = looked.unwrap_or_default();
            (shard, place) = more.map_or((shard + 1, 0), |place| (shard, place));
            if is_enough {
                return (Some(Cursor { shard, place }), silent);
            }
        }
    }
}

/// How many places a shard looks at in one turn. An allocation takes some 1,200 instructions to list
/// (`list-of-1000` in docs/performance.md): these take some fifty microseconds. To end one takes some
/// ten microseconds, for its socket has to be closed.
pub(crate) const PLACES: usize = 128;

/// How often shards are gone through for one order.
const MOST_WALKS: usize = 8;
