//! Effects that wait to be performed, in the order in which they arose.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::{ClientTuple, Effect, Outgoing, RelayId};

/// Effects in order, and the ports that they make free.
///
/// A port is free when its socket is closed, not when that is decided: in between another shard
/// could take the port, find it in use and leave it alone as another program's. `pop` is called again
/// only after the last effect was performed; that is when its port is free.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    queue: VecDeque<(Effect, Option<SocketAddr>)>,
    /// The address whose port is free once the last effect that `pop` returned is performed.
    closing: Option<SocketAddr>,
}

impl Effects {
    pub(crate) fn push(&mut self, effect: Effect) {
        self.queue.push_back((effect, None));
    }

    /// Adds an effect if there is one.
    pub(crate) fn extend(&mut self, effect: Option<Effect>) {
        if let Some(effect) = effect {
            self.push(effect);
        }
    }

    /// A message to a client that waits for it.
    pub(crate) fn answer(&mut self, to: ClientTuple, contents: Vec<u8>) {
        self.push(Effect::Send(Outgoing::answer(to, contents)));
    }

    /// Closes a relay socket and then gives back its port.
    pub(crate) fn push_close(&mut self, relay: RelayId, local: SocketAddr) {
        self.queue
            .push_back((Effect::CloseRelay { relay }, Some(local)));
    }

    /// The next effect, and the address whose port is free because the effect before it was
    /// performed.
    pub(crate) fn pop(&mut self) -> (Option<Effect>, Option<SocketAddr>) {
        let freed = self.closing.take();
        let Some((effect, closing)) = self.queue.pop_front() else {
            return (None, freed);
        };
        self.closing = closing;
        (Some(effect), freed)
    }

    /// Whether all of them are performed.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.closing.is_none()
    }
}
