//! Data through the relay, to another allocation of the same server and back.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{Client, Credentials, Event, Failure};
use wire::ChannelNumber;

use super::connect::Connector;
use super::credentials::Allocation;
use super::dialogue::Dialogue;
use super::{Code, PATIENCE, Patient, Stopped, is_private};

impl Patient {
    /// Judges by its range whether peers can reach the relayed address.
    pub(super) fn relayed_address(&mut self, server: SocketAddr, relayed: SocketAddr) {
        let code = if is_private(relayed.ip()) && !is_private(server.ip()) {
            Code::RelayedPrivate
        } else if relayed.is_ipv4() == server.is_ipv4() && relayed.ip() != server.ip() {
            Code::RelayedElsewhere
        } else {
            return;
        };
        let server = server.ip();
        self.find(
            code,
            format!("the server is at {server}, and relays from {relayed}"),
        );
    }

    /// Sends data from one allocation to another and back.
    pub(super) async fn relay(
        &mut self,
        connector: &Connector,
        credentials: &Credentials,
        near: &mut Allocation,
    ) -> Result<(), Stopped> {
        let far = self.try_allocate(connector, credentials, near.family);
        let mut far = match far.await? {
            Ok(far) => far,
            Err(none) => {
                self.find(
                    Code::AllocationRefused,
                    format!("a second allocation: {none}"),
                );
                return Ok(());
            }
        };
        if let Some(channel) = self.join(near, &mut far).await {
            let tally = echo(&mut near.dialogue, &mut far.dialogue, channel).await;
            if tally.arrived == 0 && sends_arrive(near, &mut far).await {
                let sentence = "Send indications reach another allocation, ChannelData does not";
                self.find(Code::OneFramingOnly, sentence);
            } else {
                self.find_echo(&tally);
            }
            if tally.returned() > 0 {
                let largest = largest(&mut near.dialogue, &mut far.dialogue, channel).await;
                self.find_largest(largest);
            }
        }
        far.end().await;
        Ok(())
    }

    /// Permissions both ways, and a channel one way, so that both framings are used.
    async fn join(&mut self, near: &mut Allocation, far: &mut Allocation) -> Option<ChannelNumber> {
        let (near_peer, far_peer) = (far.relayed, near.relayed);
        let granted = ask(&mut far.dialogue, |client, now| {
            client.create_permission(now, &[far_peer])
        });
        let mut channel = None;
        if let Err(failure) = granted.await {
            self.refused("a permission for another allocation", &failure);
            return None;
        }
        let bound = ask(&mut near.dialogue, |client, now| {
            channel = client.bind_channel(now, near_peer)
        });
        if let Err(failure) = bound.await {
            self.refused("a channel to another allocation", &failure);
            return None;
        }
        channel
    }

    pub(super) fn refused(&mut self, what: &str, failure: &Failure) {
        self.find(Code::PermissionRefused, format!("{what}: {failure}"));
    }

    fn find_echo(&mut self, tally: &Tally) {
        let Tally { sent, arrived, .. } = *tally;
        let returned = tally.returned();
        match (arrived, returned) {
            (0, _) => {
                let sentence = format!("of {sent} datagrams to another allocation none arrived");
                self.find(Code::NoRelay, sentence);
            }
            (_, 0) => {
                let sentence = format!("{arrived} of {sent} datagrams went as ChannelData");
                let sentence = format!("{sentence}, none came back as Send indications");
                self.find(Code::OneFramingOnly, sentence);
            }
            _ => {
                let [fastest, median, slowest] = tally.round_trips();
                let sentence = format!(
                    "{returned} of {sent} datagrams went to another allocation and back, in {median:.1} ms ({fastest:.1} to {slowest:.1})"
                );
                self.find(Code::Relays, sentence);
            }
        }
        if returned > 0 && returned < sent {
            let percent = 100.0 * f64::from(sent - returned) / f64::from(sent);
            let sentence = format!("{percent:.0} % of {sent} datagrams were lost");
            self.find(Code::Loses, sentence);
        }
    }

    fn find_largest(&mut self, largest: Option<usize>) {
        if largest.is_none_or(|largest| largest < VIDEO) {
            let largest = largest.unwrap_or(SHORT);
            let sentence = format!("{largest} bytes pass, {VIDEO} do not");
            self.find(Code::SmallPayload, sentence);
        } else if let Some(largest) = largest {
            let sentence = format!("{largest} bytes pass, there and back");
            self.find(Code::LargestPayload, sentence);
        }
    }

    /// Checks that the allocation can be prolonged and deleted.
    pub(super) async fn lifetime(&mut self, mut allocation: Allocation) {
        let dialogue = &mut allocation.dialogue;
        let refresh = |lifetime| move |client: &mut Client, now| client.refresh(now, lifetime);
        if let Err(failure) = ask(dialogue, refresh(Duration::from_secs(600))).await {
            self.find(Code::NotRefreshed, failure.to_string());
            return;
        }
        if let Err(failure) = ask(dialogue, refresh(Duration::ZERO)).await {
            self.find(Code::NotDeleted, format!("the deletion: {failure}"));
            return;
        }
        if is_still_there(dialogue, allocation.relayed).await {
            let relayed = allocation.relayed;
            let sentence = format!("{relayed} is there {DELETING:?} after its deletion");
            self.find(Code::NotDeleted, sentence);
        }
    }
}

/// Whether an allocation lives on for longer after its deletion than on servers that delete by a
/// timer. A permission does not prolong it, as another Refresh would.
async fn is_still_there(dialogue: &mut Dialogue, relayed: SocketAddr) -> bool {
    let until = Instant::now() + DELETING;
    loop {
        let permission = ask(dialogue, |client, now| {
            client.create_permission(now, &[relayed]);
        });
        // The server may refuse, end the connection with the allocation, or not read it any more.
        if permission.await.is_err() {
            return false;
        }
        if Instant::now() > until {
            return true;
        }
        tokio::time::sleep(DELETING / 5).await;
    }
}

/// Sends a request and waits for its answer; data and losses that come meanwhile are skipped.
pub(super) async fn ask(
    dialogue: &mut Dialogue,
    question: impl FnOnce(&mut Client, Instant),
) -> Result<(), Failure> {
    let now = Instant::now();
    question(&mut dialogue.client, now);
    loop {
        match dialogue.next(now + PATIENCE).await {
            Ok(Event::Data { .. } | Event::Lost { .. }) => {}
            Ok(Event::Failed { failure, .. }) => return Err(failure),
            Ok(Event::StreamBroken(why)) => return Err(Failure::StreamBroken(why)),
            Ok(_) => return Ok(()),
            Err(_) => return Err(Failure::Timeout),
        }
    }
}

/// The outcome of datagrams that were to come back.
#[derive(Debug, Default)]
struct Tally {
    sent: u32,
    arrived: u32,
    /// The numbers of the datagrams that came back: some come twice.
    returned: HashSet<u32>,
    round_trips: Vec<Duration>,
}

impl Tally {
    fn returned(&self) -> u32 {
        self.returned.len() as u32
    }

    /// In milliseconds: the fastest, the median and the slowest.
    fn round_trips(&self) -> [f64; 3] {
        let mut sorted = self.round_trips.clone();
        sorted.sort();
        let at = |index| sorted.get(index).copied().unwrap_or_default();
        let last = sorted.len().saturating_sub(1);
        [at(0), at(sorted.len() / 2), at(last)].map(|time| time.as_secs_f64() * 1e3)
    }

    /// Notes a datagram that came back.
    fn take(&mut self, payload: &[u8], left: &[Instant]) {
        let Some(number) = payload.first_chunk() else {
            return;
        };
        let number = u32::from_be_bytes(*number);
        if let Some(left) = left.get(number as usize)
            && self.returned.insert(number)
        {
            self.round_trips.push(left.elapsed());
        }
    }
}

/// Sends datagrams by a channel; they come back as Send indications.
async fn echo(near: &mut Dialogue, far: &mut Dialogue, channel: ChannelNumber) -> Tally {
    let mut tally = Tally::default();
    let mut arrived = 0;
    let there = async {
        let mut left = Vec::new();
        for number in 0..DATAGRAMS {
            left.push(Instant::now());
            let sent = near.client.send_channel(channel, &datagram(number, SHORT));
            tally.sent += u32::from(sent.is_ok());
            collect(near, Instant::now() + PACE, &left, &mut tally).await;
        }
        collect(near, Instant::now() + WAIT, &left, &mut tally).await;
    };
    tokio::select! {
        () = there => {}
        () = send_back(far, &mut arrived) => {}
    }
    tally.arrived = arrived;
    tally
}

/// Takes datagrams that come back, until all are there or the time is over.
async fn collect(near: &mut Dialogue, until: Instant, left: &[Instant], tally: &mut Tally) {
    while tally.returned() < DATAGRAMS {
        let Ok(event) = near.next(until).await else {
            return;
        };
        if let Event::Data { payload, .. } = event {
            tally.take(&payload, left);
        }
    }
}

/// Whether Send indications arrive where ChannelData did not.
async fn sends_arrive(near: &mut Allocation, far: &mut Allocation) -> bool {
    for number in 0..3 {
        // These bytes are never too long.
        let _ = near
            .dialogue
            .client
            .send(far.relayed, &datagram(number, SHORT));
    }
    if near.dialogue.flush().await.is_err() {
        return false;
    }
    let until = Instant::now() + WAIT;
    while let Ok(event) = far.dialogue.next(until).await {
        if matches!(event, Event::Data { .. }) {
            return true;
        }
    }
    false
}

/// Returns every datagram, without end.
async fn send_back(far: &mut Dialogue, arrived: &mut u32) {
    loop {
        let until = Instant::now() + Duration::from_secs(60);
        let (peer, payload) = match far.next(until).await {
            Ok(Event::Data { peer, payload, .. }) => (peer, payload),
            Ok(_) => continue,
            Err(why) if why.kind() == io::ErrorKind::TimedOut => continue,
            // The connection is gone; the other end notes that datagrams are missing.
            Err(_) => return std::future::pending().await,
        };
        *arrived += 1;
        // A datagram that is too long to return is as lost as any other.
        let _ = far.client.send(peer, &payload);
        let _ = far.flush().await;
    }
}

/// The largest payload that comes back.
async fn largest(near: &mut Dialogue, far: &mut Dialogue, channel: ChannelNumber) -> Option<usize> {
    let mut largest = None;
    let mut arrived = 0;
    let there = async {
        for (number, size) in (DATAGRAMS..).zip(SIZES) {
            // Tried twice, in case one is lost by chance.
            for _ in 0..2 {
                let _ = near.client.send_channel(channel, &datagram(number, size));
            }
        }
        let until = Instant::now() + WAIT;
        while largest < SIZES.last().copied() {
            let Ok(event) = near.next(until).await else {
                break;
            };
            if let Event::Data { payload, .. } = event {
                largest = largest.max(Some(payload.len()));
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = send_back(far, &mut arrived) => {}
    }
    largest
}

fn datagram(number: u32, size: usize) -> Vec<u8> {
    let mut payload = vec![0; size];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

/// The usual number of datagrams, so that each one lost is two in a hundred.
const DATAGRAMS: u32 = 50;

/// The time between two of them: the pace of a video call.
const PACE: Duration = Duration::from_millis(5);

/// The wait for the last of them: four ways of 300 ms, as over a satellite, and some time for a busy host. Only where one is
/// missing does it last so long.
const WAIT: Duration = Duration::from_millis(1_500);

/// The wait for an allocation to be gone.
const DELETING: Duration = Duration::from_millis(1_500);

/// In bytes, about a frame of speech.
const SHORT: usize = 100;

/// In bytes, a datagram of video in browsers.
const VIDEO: usize = 1_200;

/// In bytes, the sizes that are tried.
const SIZES: [usize; 4] = [500, VIDEO, 1_400, 1_460];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_twice_is_one_datagram_and_what_was_never_sent_is_none() {
        let left = [Instant::now(); 3];
        let mut tally = Tally::default();
        for number in [0, 0, 2, 3, u32::MAX, 0] {
            tally.take(&datagram(number, SHORT), &left);
        }
        tally.take(b"cut", &left);
        assert_eq!(tally.returned(), 2);
        assert_eq!(tally.round_trips.len(), 2);
    }

    #[test]
    fn round_trips_are_told_from_the_fastest_to_the_slowest() {
        let mut tally = Tally::default();
        assert_eq!(tally.round_trips(), [0.0; 3]);
        tally.round_trips = [9, 2, 5].map(Duration::from_millis).to_vec();
        assert_eq!(tally.round_trips(), [2.0, 5.0, 9.0]);
    }
}
