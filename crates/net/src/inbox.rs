//! The inbox of a shard: mail of other shards, which a client's move takes (RFC 8016), and commands
//! and keys of the control side. Data that other shards bring has lanes of its own beside it.
//!
//! No shard waits for another or for the control side, and no lock is on the way of a packet: letters
//! are put into a queue, and read when the shard comes to them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use relay::keys::User;
use relay::{Answer, Command, Mail, NoKey, RelayId, ShardId, Trace, UserName};
use socket2::Socket;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, MutexGuard, oneshot};

use crate::crossings::{self, Lanes};
use crate::traces::Outlet;

/// One entry of an inbox.
#[derive(Debug)]
pub(crate) enum Letter {
    /// Of another shard.
    Mail(Parcel),
    /// Of the control side, which hears the answer.
    Command(Command, oneshot::Sender<Answer>),
    /// Of the control side, which wants to be told by this outlet.
    Trace(Trace, Outlet),
    /// Of the control side: the listeners are others.
    Listeners(oneshot::Sender<io::Result<()>>),
    /// Of the key store, which was asked for this user.
    Key(UserName, Result<User, NoKey>),
}

/// Mail with what goes along.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) from: ShardId,
    pub(crate) mail: Mail,
    /// The sockets of [`Mail::Arrive`], by the names that they had. They stay open all the way, and
    /// the kernel keeps what they receive.
    pub(crate) sockets: Vec<(RelayId, Socket)>,
    /// The socket of [`Mail::Yield`], likewise: what the peer has sent is still in it.
    pub(crate) peer: Option<Socket>,
}

/// Where the mail of all shards is put in.
#[derive(Debug)]
pub(crate) struct Post(Vec<Slot>);

#[derive(Debug)]
struct Slot {
    letters: UnboundedSender<Letter>,
    /// Packets among them. The queue is bounded by this: of other mail each client that moves has
    /// one letter at a time.
    packets: AtomicUsize,
}

impl Slot {
    fn ask(&self, command: Command) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        // To a shard that has stopped: the answer is dropped.
        let _ = self.letters.send(Letter::Command(command, answer));
        answered
    }
}

/// Where a shard's mail comes out. It belongs to no life of the shard: the next one reads on.
#[derive(Debug)]
pub(crate) struct Inbox {
    letters: Mutex<UnboundedReceiver<Letter>>,
    /// The lanes of data from and to the other shards.
    pub(crate) lanes: Lanes,
}

/// Why a letter could not be put in.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// A packet, of which there are too many.
    Full(Box<Parcel>),
    /// The shard has stopped.
    Gone(Box<Parcel>),
}

/// A post office for so many shards.
pub(crate) fn open(shards: usize) -> (Arc<Post>, Vec<Inbox>) {
    let (slots, inboxes) = crossings::lay(shards)
        .into_iter()
        .map(|lanes| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let slot = Slot {
                letters: sender,
                packets: AtomicUsize::new(0),
            };
            let letters = Mutex::new(receiver);
            (slot, Inbox { letters, lanes })
        })
        .unzip();
    (Arc::new(Post(slots)), inboxes)
}

impl Post {
    /// Sends mail to another shard.
    ///
    /// # Errors
    /// [`Unsent`]. Only a packet can find the inbox full.
    pub(crate) fn send(&self, to: ShardId, parcel: Parcel) -> Result<(), Unsent> {
        let Some(slot) = self.0.get(usize::from(to.0)) else {
            return Err(Unsent::Gone(parcel.into()));
        };
        let is_packet = parcel.mail.is_packet();
        // Several may pass here at once: the bound is one of memory, not a matter of one packet.
        if is_packet && slot.packets.load(Ordering::Relaxed) >= PACKETS {
            return Err(Unsent::Full(parcel.into()));
        }
        slot.packets.fetch_add(is_packet.into(), Ordering::Relaxed);
        slot.letters.send(Letter::Mail(parcel)).map_err(|unsent| {
            slot.packets.fetch_sub(is_packet.into(), Ordering::Relaxed);
            match unsent.0 {
                Letter::Mail(parcel) => Unsent::Gone(parcel.into()),
                Letter::Command(..)
                | Letter::Trace(..)
                | Letter::Listeners(_)
                | Letter::Key(..) => {
                    unreachable!("mail was sent")
                }
            }
        })
    }

    /// Gives every shard a command. A shard that begins anew comes to it in its next life; one that
    /// has stopped, or fails over the command, gives no answer.
    pub(crate) fn ask(&self, command: &Command) -> Vec<oneshot::Receiver<Answer>> {
        self.0
            .iter()
            .map(|slot| slot.ask(command.clone()))
            .collect()
    }

    /// Gives one shard a command likewise, if there is such a shard.
    pub(crate) fn ask_one(
        &self,
        shard: usize,
        command: Command,
    ) -> Option<oneshot::Receiver<Answer>> {
        Some(self.0.get(shard)?.ask(command))
    }

    /// Has a shard tell of what a trace means, in this life of it.
    pub(crate) fn trace(&self, shard: usize, trace: &Trace, outlet: &Outlet) {
        if let Some(slot) = self.0.get(shard) {
            // A shard that has stopped tells nothing.
            let _ = slot
                .letters
                .send(Letter::Trace(trace.clone(), outlet.clone()));
        }
    }

    /// Has every shard look at the listeners again.
    pub(crate) fn relisten(&self) -> Vec<oneshot::Receiver<io::Result<()>>> {
        let tell = |slot: &Slot| {
            let (answer, answered) = oneshot::channel();
            // To a shard that has stopped: the answer is dropped.
            let _ = slot.letters.send(Letter::Listeners(answer));
            answered
        };
        self.0.iter().map(tell).collect()
    }

    /// Gives a shard the key that it asked for. There is one letter for each question.
    pub(crate) fn bring_key(&self, to: ShardId, name: UserName, outcome: Result<User, NoKey>) {
        if let Some(slot) = self.0.get(usize::from(to.0)) {
            // A shard that has stopped needs no key.
            let _ = slot.letters.send(Letter::Key(name, outcome));
        }
    }

    /// A letter was read: there is room for another.
    pub(crate) fn taken_out(&self, shard: ShardId, letter: &Letter) {
        let Letter::Mail(parcel) = letter else {
            return;
        };
        if let Some(slot) = self.0.get(usize::from(shard.0)) {
            let is_packet = parcel.mail.is_packet();
            slot.packets.fetch_sub(is_packet.into(), Ordering::Relaxed);
        }
    }
}

impl Inbox {
    /// All letters, for the life of the shard that reads them now.
    pub(crate) async fn letters(&self) -> MutexGuard<'_, UnboundedReceiver<Letter>> {
        self.letters.lock().await
    }

    /// The next letter that is there already, for a shard that stops.
    pub(crate) fn last(&self) -> Option<Letter> {
        self.letters.try_lock().ok()?.try_recv().ok()
    }
}

/// Packets in one inbox: those of a few clients for as long as a shard may take for a turn.
const PACKETS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use relay::{ClientTuple, Transport};

    const TO: ShardId = ShardId(1);

    fn parcel(mail: Mail) -> Parcel {
        Parcel {
            from: ShardId(0),
            mail,
            sockets: Vec::new(),
            peer: None,
        }
    }

    fn client() -> ClientTuple {
        ClientTuple {
            transport: Transport::Udp,
            client: ([192, 0, 2, 1], 50_000).into(),
            server: ([192, 0, 2, 2], 3478).into(),
        }
    }

    fn packet() -> Parcel {
        parcel(Mail::Pass {
            client: client(),
            packet: vec![0; 20],
        })
    }

    #[test]
    fn a_full_inbox_takes_no_packet_but_all_other_mail() {
        let (post, inboxes) = open(2);
        for _ in 0..PACKETS {
            post.send(TO, packet()).unwrap();
        }
        assert!(matches!(post.send(TO, packet()), Err(Unsent::Full(_))));
        let fence = Mail::Fence { client: client() };
        post.send(TO, parcel(fence)).unwrap();
        // Others are not concerned, and who reads makes room.
        post.send(ShardId(0), packet()).unwrap();
        let read = inboxes[1].last().unwrap();
        post.taken_out(TO, &read);
        post.send(TO, packet()).unwrap();
        assert!(matches!(post.send(TO, packet()), Err(Unsent::Full(_))));
    }

    #[test]
    fn a_letter_to_a_shard_that_has_stopped_comes_back() {
        let (post, inboxes) = open(2);
        drop(inboxes);
        for _ in 0..=PACKETS {
            assert!(matches!(post.send(TO, packet()), Err(Unsent::Gone(_))));
        }
        assert!(matches!(
            post.send(ShardId(2), packet()),
            Err(Unsent::Gone(_))
        ));
    }
}
