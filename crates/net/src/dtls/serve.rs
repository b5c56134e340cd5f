//! The shard's part: what the sessions' clients send goes to the core, and what is due is done.

use std::cmp::Reverse;
use std::mem;
use std::time::Instant;

use relay::{ClientTuple, DropReason, Now, Transport};

use super::session::{Drained, Over};
use super::{Dtls, Outcome, PAUSE, drain, remind};
use crate::marking::Marking;
use crate::shard::{Handled, Shard};

impl Shard {
    /// A datagram of records that came from a client.
    pub(crate) fn handle_record(
        &mut self,
        now: Now,
        client: ClientTuple,
        marking: Marking,
        datagram: &[u8],
    ) {
        let client = ClientTuple {
            transport: Transport::Dtls,
            ..client
        };
        // The engine keeps the room that a record has needed.
        let has_allocation = self.server.has_allocation(client);
        if !has_allocation && datagram.len() > STRANGERS_DATAGRAM {
            self.egress.counters.dtls_dropped += 1;
            return;
        }
        let Some(mut dtls) = self.egress.dtls.take() else {
            self.egress.counters.dtls_dropped += 1;
            return;
        };
        let begins = !has_allocation && dtls.begins(client, datagram);
        if begins && self.server.turns_away(now.mono, client.client.ip()) {
            self.egress.dtls = Some(dtls);
            self.perform_effects();
            return;
        }
        let outcome = dtls.handle(&mut self.egress, now.mono, client, datagram);
        let opened = mem::take(&mut dtls.opened);
        self.egress.dtls = Some(dtls);
        let Outcome {
            is_replaced,
            mut is_over,
            drained,
        } = outcome;
        if is_replaced {
            // The client was restarted. Its allocation was its old session's.
            self.server.handle_disconnected(now.mono, client);
            self.perform_effects();
        }
        if let Some(drained) = drained.filter(|drained| !drained.data.is_empty()) {
            is_over |= !self.handle_opened(now, client, marking, &opened, &drained);
        }
        if let Some(dtls) = &mut self.egress.dtls {
            dtls.opened = opened;
        }
        if is_over {
            self.end_session(now.mono, client);
        }
    }

    /// Serves the decrypted bytes of a client; returns whether its session may go on.
    fn handle_opened(
        &mut self,
        now: Now,
        client: ClientTuple,
        marking: Marking,
        opened: &[u8],
        drained: &Drained,
    ) -> bool {
        let has_allocation = self.server.has_allocation(client);
        let (mut is_useful, mut may_go_on) = (false, true);
        let mut turn = self.egress.begin();
        for range in &drained.data {
            if !has_allocation && !self.has_pace(now.mono, client) {
                self.egress.counters.dtls_dropped += 1;
                continue;
            }
            let packet = &opened[range.clone()];
            match self.handle_client(&mut turn, now, client, marking, packet) {
                Handled::Relayed | Handled::Done => is_useful = true,
                // A call does not end for what its neighbours do.
                Handled::Dropped(DropReason::TooManyFailures) if !has_allocation => {
                    may_go_on = false;
                }
                Handled::Dropped(DropReason::ClientDenied | DropReason::ClientBanned) => {
                    may_go_on = false;
                }
                Handled::Dropped(_) => {}
            }
        }
        self.end(&mut turn);
        if is_useful
            && let Some(dtls) = &mut self.egress.dtls
            && let Some(session) = dtls.sessions.get_mut(&client)
        {
            session.idle.put_off(now.mono, has_allocation);
        }
        may_go_on
    }

    /// Whether a stranger is within its rate, which this frame is charged to.
    fn has_pace(&mut self, now: Instant, client: ClientTuple) -> bool {
        let Some(dtls) = &mut self.egress.dtls else {
            return false;
        };
        let Some(session) = dtls.sessions.get_mut(&client) else {
            return false;
        };
        let is_within = session.pace.next <= now;
        if is_within {
            session.pace.spend(&session.admitted, now);
        }
        is_within
    }

    /// Ends a session, and what its client has.
    fn end_session(&mut self, now: Instant, client: ClientTuple) {
        let Some(mut dtls) = self.egress.dtls.take() else {
            return;
        };
        if let Some(mut session) = dtls.sessions.remove(&client) {
            let send = |record: &[u8]| self.egress.send_record(client, Marking::PLAIN, record);
            session.close(&mut dtls.sealed, send);
        }
        self.egress.dtls = Some(dtls);
        self.server.handle_disconnected(now, client);
        self.perform_effects();
    }

    /// Does what is due: flights that were lost are sent again, and sessions that nobody uses end.
    pub(crate) fn handle_dtls_timeouts(&mut self, now: Instant) {
        loop {
            let Some(dtls) = &mut self.egress.dtls else {
                return;
            };
            let due = dtls.reminders.peek();
            let Some(&Reverse((at, client))) = due.filter(|Reverse((at, _))| *at <= now) else {
                return;
            };
            dtls.reminders.pop();
            self.look_at_half_open(now, client, at);
            self.look_at_session(now, client, at);
        }
    }

    fn look_at_half_open(&mut self, now: Instant, client: ClientTuple, at: Instant) {
        let Some(mut dtls) = self.egress.dtls.take() else {
            return;
        };
        let handshake = dtls.offer.handshake;
        let Dtls {
            half_open,
            reminders,
            opened,
            ..
        } = &mut *dtls;
        if let Some(own) = half_open.get_mut(&client)
            && own.session.reminder == Some(at)
        {
            own.session.reminder = None;
            let end = own.since + handshake;
            let outcome = own.session.handle_timeout(now);
            let egress = &mut self.egress;
            let drained = outcome.and_then(|()| drain(&mut own.session, opened, egress, client));
            match drained.ok().filter(|_| now < end) {
                Some(drained) => {
                    let next = drained.deadline.clamp(now + PAUSE, end.max(now + PAUSE));
                    remind(reminders, client, &mut own.session, next);
                }
                None => {
                    half_open.remove(&client);
                    self.egress.counters.dtls_half_open_dropped += 1;
                }
            }
        }
        self.egress.dtls = Some(dtls);
    }

    fn look_at_session(&mut self, now: Instant, client: ClientTuple, at: Instant) {
        let has_allocation = self.server.has_allocation(client);
        let Some(mut dtls) = self.egress.dtls.take() else {
            return;
        };
        let limits = dtls.offer.limits;
        let Dtls {
            sessions,
            reminders,
            opened,
            ..
        } = &mut *dtls;
        let mut is_over = false;
        if let Some(session) = sessions.get_mut(&client)
            && session.reminder == Some(at)
        {
            session.reminder = None;
            let outcome = session.handle_timeout(now);
            let drained = outcome.and_then(|()| drain(session, opened, &mut self.egress, client));
            if has_allocation {
                session.idle.put_off(now, true);
            }
            let counters = &mut self.egress.counters;
            match (drained, session.idle.over(now, &limits)) {
                (Err(_), _) => {
                    counters.dtls_failed += 1;
                    is_over = true;
                }
                (Ok(_), Some(over)) => {
                    match over {
                        Over::Idle => counters.dtls_idle += 1,
                        Over::Overdue => counters.dtls_overdue += 1,
                    }
                    is_over = true;
                }
                (Ok(drained), None) => {
                    let next = drained.deadline.min(session.idle.deadline(&limits));
                    remind(reminders, client, session, next.max(now + PAUSE));
                }
            }
        }
        self.egress.dtls = Some(dtls);
        if is_over {
            self.end_session(now, client);
        }
    }

    /// The shard stops: every client is told that its session is over.
    pub(crate) fn close_sessions(&mut self) {
        let Some(mut dtls) = self.egress.dtls.take() else {
            return;
        };
        let Dtls {
            sessions, sealed, ..
        } = &mut *dtls;
        for (client, mut session) in sessions.drain() {
            let send = |record: &[u8]| self.egress.send_record(client, Marking::PLAIN, record);
            session.close(sealed, send);
        }
    }
}

/// The longest datagram of a client without allocation: a signed request with the longest user name
/// and realm has room to spare, as over TCP.
const STRANGERS_DATAGRAM: usize = 4 * 1024 + 64;
