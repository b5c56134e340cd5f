//! One trace: the clients that it follows, and the events that it has told.

use std::collections::BTreeMap;

use super::disclosed::disclosed;
use super::{Seen, Trace, Traced};
use crate::allocation::Allocation;
use crate::{AllocationId, ClientTuple, DropReason, Effect, Quality, Traffic, Way};

#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) trace: Trace,
    pub(super) follows: Vec<Followed>,
    /// How much was told since the second began, and how much was not.
    pub(super) told: u32,
    pub(super) lost: u32,
    pub(super) clients_lost: u32,
}

/// A client that a trace follows.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) client: ClientTuple,
    /// Its last one, if it has had any.
    pub(super) allocation: Option<AllocationId>,
    /// Whether that has ended, or left this shard.
    pub(super) is_over: bool,
    pub(super) user: Option<Box<str>>,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
    pub(super) drops: BTreeMap<DropReason, u32>,
}

impl Tracer {
    /// A trace that follows nobody yet.
    pub(super) const fn new(trace: Trace) -> Self {
        Self {
            trace,
            follows: Vec::new(),
            told: 0,
            lost: 0,
            clients_lost: 0,
        }
    }

    /// The client of this 5-tuple or allocation, if it is followed.
    pub(super) fn followed(
        &mut self,
        client: ClientTuple,
        allocation: Option<AllocationId>,
    ) -> Option<&mut Followed> {
        let is_it = |it: &Followed| {
            it.client == client || allocation.is_some() && it.allocation == allocation
        };
        let followed = self.follows.iter_mut().find(|it| is_it(it))?;
        // It may have got one, or have moved.
        followed.client = client;
        if allocation.is_some() && followed.allocation != allocation {
            followed.allocation = allocation;
            followed.is_over = false;
            (followed.sent, followed.received) = Default::default();
            followed.drops.clear();
        }
        Some(followed)
    }

    /// Follows a client from now on.
    pub(super) fn follow(
        &mut self,
        client: ClientTuple,
        allocation: Option<&Allocation>,
        user: Option<&str>,
    ) {
        let id = allocation.map(|it| it.id);
        if let Some(followed) = self.followed(client, id) {
            if let Some(user) = user.filter(|user| followed.user.as_deref() != Some(user)) {
                followed.user = Some(user.into());
            }
            return;
        }
        if self.follows.len() >= FOLLOWED {
            let is_idle = |it: &Followed| it.allocation.is_none() || it.is_over;
            let idle = self.follows.iter().position(is_idle);
            let Some(idle) = idle else {
                self.clients_lost += 1;
                return;
            };
            self.follows.remove(idle);
        }
        let passed = |way| allocation.map(|it| it.traffic(way)).unwrap_or_default();
        self.follows.push(Followed {
            client,
            allocation: id,
            is_over: false,
            user: user.map(Box::from),
            sent: passed(Way::Out),
            received: passed(Way::In),
            drops: BTreeMap::new(),
        });
    }

    /// Makes the effect that tells something of a followed client, if the second has room for it.
    pub(super) fn tell(
        &mut self,
        client: ClientTuple,
        allocation: Option<AllocationId>,
        what: impl FnOnce() -> Seen,
    ) -> Option<Effect> {
        let trace = self.trace.id;
        let followed = self.followed(client, allocation)?;
        let (allocation, user) = (followed.allocation, followed.user.clone());
        if self.told >= TOLD {
            self.lost += 1;
            return None;
        }
        self.told += 1;
        Some(Effect::Traced(Box::new(Traced {
            trace,
            allocation,
            client: Some(client),
            user,
            what: what(),
        })))
    }

    /// The same of a message, if messages are told and it is no longer than any of use.
    pub(super) fn tell_message(
        &mut self,
        client: ClientTuple,
        from_client: bool,
        message: &[u8],
    ) -> Option<Effect> {
        if !self.trace.messages || message.len() > LONGEST {
            return None;
        }
        self.tell(client, None, || Seen::Message {
            from_client,
            bytes: disclosed(message),
        })
    }
}

impl Tracer {
    pub(super) fn begin_second(&mut self) -> Option<Effect> {
        self.told = 0;
        let [told, clients] = [&mut self.lost, &mut self.clients_lost].map(std::mem::take);
        (told + clients > 0).then(|| {
            Effect::Traced(Box::new(Traced {
                trace: self.trace.id,
                allocation: None,
                client: None,
                user: None,
                what: Seen::Lost { told, clients },
            }))
        })
    }
}

impl Followed {
    /// The data that passed since this was last asked, if any did.
    pub(super) fn second(
        &mut self,
        allocation: &Allocation,
        quality: Option<Quality>,
    ) -> Option<Seen> {
        let since = |way, before: &mut Traffic| {
            let now = allocation.traffic(way);
            let Traffic { packets, bytes } = std::mem::replace(before, now);
            Traffic {
                packets: now.packets.saturating_sub(packets),
                bytes: now.bytes.saturating_sub(bytes),
            }
        };
        let sent = since(Way::Out, &mut self.sent);
        let received = since(Way::In, &mut self.received);
        let drops: Vec<_> = std::mem::take(&mut self.drops).into_iter().collect();
        let is_any = sent.packets + received.packets > 0 || !drops.is_empty();
        is_any.then_some(Seen::Second {
            sent,
            received,
            drops,
            quality: quality.map(Box::new),
        })
    }
}

/// How many clients a trace follows in a shard.
const FOLLOWED: usize = 64;

/// How much a trace tells in a second: beyond, only the number is told.
const TOLD: u32 = 1000;

/// The longest message that is told, in bytes: strangers decide how long theirs are.
const LONGEST: usize = 2048;
