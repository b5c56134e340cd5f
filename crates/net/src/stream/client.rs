//! A client that is served on a stream: its frames are handled and sent in turns, until it ends.

use std::cell::RefCell;
use std::future;
use std::io::{self, ErrorKind};
use std::pin::pin;

use bytes::{Buf, BytesMut};
use relay::{ClientTuple, DropReason, Now};
use tokio::time::{self, Instant};
use wire::stream::{Deframer, whole_frame};

use super::{End, TURN, turn};
use crate::admission::{Admitted, Pace};
use crate::connection::{Connection, Lost};
use crate::gate::Place;
use crate::local::Handle;
use crate::shard::{Handled, Shard};
use crate::turn::Turn;
use crate::{StreamLimits, clock};

/// A client that is served.
pub(super) struct Client<'a> {
    pub(super) shard: &'a Handle,
    pub(super) connection: &'a Connection,
    pub(super) client: ClientTuple,
    pub(super) admitted: &'a Admitted,
    pub(super) place: RefCell<Place>,
    pub(super) pace: RefCell<Pace>,
}

impl Client<'_> {
    /// Serves it until it ends, or is bound and to carry data.
    pub(super) async fn run(&self, input: &mut Input) -> End {
        let limits = self.shard.shard.borrow().limits;
        let mut deadlines = Deadlines::new(limits);
        // The deadline is put off with every read, the timer only when it has passed.
        let mut timer = pin!(time::sleep_until(deadlines.next()));
        loop {
            let was_backed_up = self.connection.is_backed_up();
            tokio::select! {
                readable = self.readable(input) => {
                    if readable.is_err() {
                        return End::Closed;
                    }
                    match self.take_turn(input) {
                        Ok(Progress::Valid) => deadlines.put_off(self.has_allocation()),
                        Ok(Progress::Nothing) => {}
                        Err(end) => return end,
                    }
                    if self.has_more(input) {
                        // Others have their turn before the next one.
                        tokio::task::yield_now().await;
                    }
                }
                () = self.connection.bound() => return End::Bound,
                outcome = self.drain() => {
                    match outcome {
                        // It reads, and so it will be read.
                        Ok(()) if was_backed_up => deadlines.put_off(self.has_allocation()),
                        Ok(()) => {}
                        Err(Lost::Closed) => return End::Closed,
                        Err(Lost::Stuck) => return End::Broken,
                    }
                }
                () = timer.as_mut() => {
                    if deadlines.next() <= Instant::now() {
                        if self.connection.is_backed_up() {
                            return End::Broken;
                        }
                        if !self.has_allocation() {
                            return deadlines.passed();
                        }
                        deadlines.put_off(true);
                    }
                    timer.as_mut().reset(deadlines.next());
                }
            }
            if deadlines.next() < timer.deadline() {
                timer.as_mut().reset(deadlines.next());
            }
        }
    }

    fn has_allocation(&self) -> bool {
        let shard = self.shard.shard.borrow();
        shard.server.has_allocation(self.client)
    }

    /// Waits until there is something to handle, and a turn to do it in. A client that leaves its
    /// answers unread is not read meanwhile, nor is a stranger that is ahead of its rate: the network
    /// holds them back.
    async fn readable(&self, input: &Input) -> io::Result<()> {
        if self.connection.is_backed_up() {
            // It is asked again whenever something was sent.
            return future::pending().await;
        }
        if !self.has_allocation() {
            let next = self.pace.borrow().next;
            if next > clock::now().mono {
                time::sleep_until(next.into()).await;
            }
        }
        if input.rest.is_empty() {
            self.connection.readable().await?;
        }
        turn(self.shard, &self.place).await;
        Ok(())
    }

    /// Sends what waits, in turns like those of reading.
    async fn drain(&self) -> Result<(), Lost> {
        self.connection.sendable().await?;
        turn(self.shard, &self.place).await;
        let sent = self.connection.drain();
        self.shard.shard.borrow_mut().gates.streams.spend(TURN);
        sent
    }

    /// Whether there may be more to handle without waiting for the network.
    fn has_more(&self, input: &Input) -> bool {
        !input.rest.is_empty() || self.connection.has_more()
    }

    /// Handles what an earlier turn left over, or else reads once and handles that.
    fn take_turn(&self, Input { deframer, rest }: &mut Input) -> Result<Progress, End> {
        if rest.is_empty() {
            let mut scratch = self.shard.scratch.borrow_mut();
            let most = self.shard.shard.borrow().longest_frame(self.client);
            let most = most.min(scratch.len());
            let length = match self.connection.try_read(&mut scratch[..most]) {
                Ok(0) => return Err(End::Closed),
                Ok(length) => length,
                // Records may have come, and no bytes in them.
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Err(End::Closed),
            };
            // To decrypt a record costs as much as a frame, however small both are. The first is
            // counted with the frames.
            let records = self.connection.take_records();
            if records > 1 {
                self.shard
                    .shard
                    .borrow_mut()
                    .gates
                    .streams
                    .spend(records - 1);
            }
            if length == 0 && records == 0 {
                return Ok(Progress::Nothing);
            }
            let mut bytes = &scratch[..length];
            let outcome = self.handle(deframer, &mut bytes);
            rest.extend_from_slice(bytes);
            outcome
        } else {
            let mut bytes = &rest[..];
            let outcome = self.handle(deframer, &mut bytes);
            let left = bytes.len();
            rest.advance(rest.len() - left);
            if rest.is_empty() {
                // Most clients never need it again.
                *rest = BytesMut::new();
            }
            outcome
        }
    }

    /// Handles the frames that are whole, as many as one turn may take.
    fn handle(&self, deframer: &mut Deframer, bytes: &mut &[u8]) -> Result<Progress, End> {
        let mut shard = self.shard.shard.borrow_mut();
        if !shard.is_connected(self.client, self.connection) {
            return Err(End::Closed);
        }
        let now = clock::now();
        let is_stranger = !shard.server.has_allocation(self.client);
        let most = if is_stranger { 1 } else { TURN };
        let mut turn = shard.egress.begin();
        let outcome = self.handle_frames(&mut shard, &mut turn, now, most, deframer, bytes);
        shard.end(&mut turn);
        drop(turn);
        let handled = outcome?;
        if handled.is_last {
            deframer.keep(std::mem::take(bytes));
        }
        shard.gates.streams.spend(handled.frames);
        if is_stranger {
            self.pace.borrow_mut().spend(self.admitted, now.mono);
        }
        Ok(handled.progress)
    }

    /// Handles at most so many frames, within a turn as long as they are data: neighbours leave together.
    /// The others may change what the next one means, so they end a turn.
    fn handle_frames<'p, 'i: 'p>(
        &self,
        shard: &mut Shard,
        turn: &mut Turn<'p>,
        now: Now,
        most: usize,
        deframer: &'p mut Deframer,
        bytes: &mut &'i [u8],
    ) -> Result<HandledFrames, End> {
        let mut handled = HandledFrames {
            frames: 0,
            progress: Progress::Nothing,
            is_last: false,
        };
        let mut limit = shard.longest_frame(self.client);
        let mut begun = if deframer.pending() > 0 && !self.connection.is_backed_up() {
            deframer.next(bytes, limit).map_err(|_| End::Broken)?
        } else {
            None
        };
        while handled.frames < most && !self.connection.is_backed_up() {
            let next = match begun.take() {
                Some(frame) => Some(frame),
                None => whole_frame(bytes, limit).map_err(|_| End::Broken)?,
            };
            let Some(frame) = next else {
                handled.is_last = true;
                break;
            };
            handled.frames += 1;
            let marking = self.connection.marking;
            let outcome = shard.handle_client(turn, now, self.client, marking, frame);
            if outcome == Handled::Relayed {
                handled.progress = Progress::Valid;
                continue;
            }
            shard.next_turn(turn);
            limit = shard.longest_frame(self.client);
            if self.connection.is_bound() {
                return Err(End::Bound);
            }
            match outcome {
                Handled::Relayed | Handled::Done => handled.progress = Progress::Valid,
                // A call does not end for what its neighbours do.
                Handled::Dropped(DropReason::TooManyFailures)
                    if !shard.server.has_allocation(self.client) =>
                {
                    return Err(End::Failed);
                }
                Handled::Dropped(DropReason::ClientDenied | DropReason::ClientBanned) => {
                    return Err(End::Closed);
                }
                Handled::Dropped(_) => {}
            }
        }
        Ok(handled)
    }
}

/// The frames of one turn.
struct HandledFrames {
    frames: usize,
    progress: Progress,
    /// Whether what is left is less than a frame.
    is_last: bool,
}

/// When a connection ends, unless its client has an allocation then.
struct Deadlines {
    limits: StreamLimits,
    silent: Instant,
    stranger: Instant,
    /// Whether the client had one when these were put off.
    has_allocation: bool,
}

impl Deadlines {
    fn new(limits: StreamLimits) -> Self {
        let now = Instant::now();
        Self {
            limits,
            silent: now + limits.first_frame,
            stranger: now + limits.stranger_lifetime,
            has_allocation: false,
        }
    }

    fn next(&self) -> Instant {
        self.silent.min(self.stranger)
    }

    /// The client sent something of use, took what waited for it, or has an allocation. Whatever a stranger sends, it ends in
    /// time, counted from the end of its last allocation.
    fn put_off(&mut self, has_allocation: bool) {
        let now = Instant::now();
        self.silent = now + self.limits.idle;
        let had_allocation = std::mem::replace(&mut self.has_allocation, has_allocation);
        if has_allocation || had_allocation {
            self.stranger = now + self.limits.stranger_lifetime;
        }
    }

    fn passed(&self) -> End {
        if self.stranger <= Instant::now() {
            End::Overdue
        } else {
            End::Idle
        }
    }
}

/// The bytes that came from the client and are not handled yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    deframer: Deframer,
    /// Frames for the next turn; mostly none.
    rest: BytesMut,
}

impl Input {
    /// Begins with bytes that came before.
    pub(super) fn after(first: BytesMut) -> Self {
        Self {
            rest: first,
            ..Self::default()
        }
    }

    /// The bytes that no frame was made of.
    pub(super) fn into_rest(self) -> BytesMut {
        self.rest
    }
}

/// The outcome of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// At least one frame that meant something.
    Valid,
    /// None.
    Nothing,
}
