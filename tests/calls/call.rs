//! Calls: two peers, each at home behind a NAT, and the data that each gets from the other.

use std::{
    net::SocketAddrV4,
    thread,
    time::{Duration, Instant},
};

use lab::{
    internet::{Home, Internet},
    machine::filter,
    program::here,
    sdp::relayed_in,
    wait_for,
};
use serde_json::Value;

use crate::{peer::Peer, stack::End};

/// An open call. It ends with this value.
pub(crate) struct Call {
    peers: [Peer; 2],
    /// The relayed address of each.
    pub(crate) relayed: [SocketAddrV4; 2],
    // Dropped after the peers that live there.
    pub(crate) homes: [Home; 2],
}

/// How much a peer has received, and when it last received more.
struct Ear {
    received: u64,
    heard_at: Instant,
    longest_silence: Duration,
}

impl Call {
    /// Lets the first of two peers call the second, each behind the NAT that makes it need its transport, and waits until
    /// both are connected.
    #[track_caller]
    pub(crate) fn connect(internet: &Internet, ends: [End; 2]) -> Self {
        Self::connect_told(internet, ends, |description| description)
    }

    /// The same, but each is given the other's description as `tell` changes it.
    #[track_caller]
    pub(crate) fn connect_told(
        internet: &Internet,
        ends: [End; 2],
        tell: impl Fn(Value) -> Value,
    ) -> Self {
        let [first, second] = ends.map(|end| end.transport.nat());
        let homes = [internet.home(1, first), internet.home(2, second)];
        let mut caller = Peer::start(&homes[0], ends[0], "offer");
        let mut callee = Peer::start(&homes[1], ends[1], "answer");
        let offer = caller.description();
        callee.tell(&tell(offer.clone()));
        let answer = callee.description();
        caller.tell(&tell(answer.clone()));
        let mut peers = [caller, callee];
        wait_for("both peers to connect", CONNECTING, || {
            peers.iter_mut().for_each(Peer::listen);
            peers.iter().all(|peer| peer.is_connected).then_some(())
        });
        Self {
            peers,
            relayed: [relayed_in(&offer), relayed_in(&answer)],
            homes,
        }
    }

    /// Both peers receive from each other all the time, to the last moment, without a silence that
    /// people would notice. Returns the longest one.
    #[track_caller]
    pub(crate) fn goes_on_for(&mut self, duration: Duration) -> Duration {
        let end = Instant::now() + duration;
        let mut ears = self.peers.each_ref().map(Ear::new);
        let before = ears.each_ref().map(|ear| ear.received);
        // Where the next report is late, it goes on a little longer. Silence ends it.
        let has_heard = |ears: &[Ear; 2]| (0..2).all(|it| ears[it].received > before[it]);
        while Instant::now() < end || !has_heard(&ears) {
            thread::sleep(Duration::from_millis(250));
            for (peer, ear) in self.peers.iter_mut().zip(&mut ears) {
                peer.listen();
                ear.hear(peer);
            }
        }
        let longest = ears.each_ref().map(|ear| ear.longest_silence);
        longest[0].max(longest[1])
    }

    /// Ends it in good order.
    #[track_caller]
    pub(crate) fn hang_up(self) {
        self.peers.into_iter().for_each(Peer::hang_up);
    }
}

/// Lets nobody outside send to a relayed address: an operator may open only the listeners' ports,
/// since both ends of a call are clients of the server. The Internet is the proof that the firewall
/// is one of the test's own namespace, and not the machine's.
pub(crate) fn close_relay_ports(_: &Internet) {
    filter(
        here("nft"),
        "table inet calls { chain input { \
           type filter hook input priority filter; \
           iifname \"wan*\" udp dport 49152-65535 drop; \
         }; }",
    );
}

impl Ear {
    fn new(peer: &Peer) -> Self {
        Self {
            received: peer.received,
            heard_at: Instant::now(),
            longest_silence: Duration::ZERO,
        }
    }

    #[track_caller]
    fn hear(&mut self, peer: &Peer) {
        let silence = self.heard_at.elapsed();
        self.longest_silence = self.longest_silence.max(silence);
        if peer.received > self.received {
            self.received = peer.received;
            self.heard_at = Instant::now();
        }
        let received = self.received;
        assert!(
            silence < SILENCE,
            "silence after {received} messages of the other peer"
        );
    }
}

/// Peers report received data once a second, on a machine that compiles other tests meanwhile, so a
/// silence looks longer than it is. Patience costs no proof: a permission or a channel that has
/// lapsed is silent to the end, and a call of ten minutes goes on for longer than this after the
/// last lifetime is over.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// Some peers wait for each other's retransmissions of DTLS, on a machine that is busy with other
/// tests.
const CONNECTING: Duration = Duration::from_secs(40);
