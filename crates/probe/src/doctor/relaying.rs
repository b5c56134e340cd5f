//! Data through the relay: to another allocation of the same server, and to a plain socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{Client, Credentials, Event, Failure};
use tokio::net::UdpSocket;
use wire::ChannelNumber;

use super::connect::Connector;
use super::credentials::Allocation;
use super::link::{Carrier, Link};
use super::{Code, PATIENCE, Patient, Stopped, is_private};

impl Patient {
    /// Whether peers can reach the relayed address, by its looks.
    pub(super) fn relayed_address(&mut self, server: SocketAddr, relayed: SocketAddr) {
        if is_private(relayed) && !is_private(server) {
            let sentence = format!(
                "the server is at {}, and relays from {relayed}",
                server.ip()
            );
            self.find(Code::RelayedPrivate, sentence);
        } else if relayed.is_ipv4() == server.is_ipv4() && relayed.ip() != server.ip() {
            let sentence = format!(
                "the server is at {}, and relays from {relayed}",
                server.ip()
            );
            self.find(Code::RelayedElsewhere, sentence);
        }
    }

    /// Data from one allocation to another and back.
    pub(super) async fn relay(
        &mut self,
        connector: &Connector,
        credentials: &Credentials,
        near: &mut Allocation,
    ) -> Result<(), Stopped> {
        let mut far = match self.try_allocate(connector, credentials, None).await? {
            Ok(far) => far,
            Err(failure) => {
                self.find(
                    Code::AllocationRefused,
                    format!("a second allocation: {failure}"),
                );
                return Ok(());
            }
        };
        if let Some(channel) = self.join(near, &mut far).await {
            let tally = echo(&mut near.link, &mut far.link, channel).await;
            self.judge(&tally);
            if tally.returned > 0 {
                let largest = largest(&mut near.link, &mut far.link, channel).await;
                self.judge_largest(largest);
            }
        }
        far.end().await;
        Ok(())
    }

    /// Permissions both ways, and a channel one way, so that both framings are used.
    async fn join(&mut self, near: &mut Allocation, far: &mut Allocation) -> Option<ChannelNumber> {
        let (near_peer, far_peer) = (far.relayed, near.relayed);
        let granted = ask(&mut far.link, |client, now| {
            client.create_permission(now, &[far_peer])
        });
        let mut channel = None;
        if let Err(failure) = granted.await {
            self.refused("a permission for another allocation", &failure);
            return None;
        }
        let bound = ask(&mut near.link, |client, now| {
            channel = client.bind_channel(now, near_peer)
        });
        if let Err(failure) = bound.await {
            self.refused("a channel to another allocation", &failure);
            return None;
        }
        channel
    }

    fn refused(&mut self, what: &str, failure: &Failure) {
        self.find(Code::PermissionRefused, format!("{what}: {failure}"));
    }

    fn judge(&mut self, tally: &Tally) {
        let Tally {
            sent,
            arrived,
            returned,
            ..
        } = *tally;
        match (arrived, returned) {
            (0, _) => {
                let sentence = format!("of {sent} datagrams to another allocation none arrived");
                self.find(Code::NoRelay, sentence);
            }
            (_, 0) => {
                let sentence = format!(
                    "{arrived} of {sent} datagrams arrived as ChannelData, none came back as Send indications"
                );
                self.find(Code::OneFramingOnly, sentence);
            }
            _ => {
                let median = tally.median().as_secs_f64() * 1e3;
                let sentence = format!(
                    "{returned} of {sent} datagrams went to another allocation and back, in {median:.1} ms"
                );
                self.find(Code::Relays, sentence);
            }
        }
        if returned > 0 && returned < sent {
            let percent = 100.0 * f64::from(sent - returned) / f64::from(sent);
            self.find(
                Code::Loses,
                format!("{percent:.0} % of {sent} datagrams were lost"),
            );
        }
    }

    fn judge_largest(&mut self, largest: Option<usize>) {
        if largest.is_none_or(|largest| largest < VIDEO) {
            let largest = largest.unwrap_or(SHORT);
            let sentence = format!("{largest} bytes pass, {VIDEO} do not");
            self.find(Code::SmallPayload, sentence);
        }
    }

    /// A datagram from outside, as peers without a relay send it.
    pub(super) async fn outside(&mut self, connector: &Connector, near: &mut Allocation) {
        let Some((socket, reflexive)) = plain_socket(connector).await else {
            return;
        };
        let permission = ask(&mut near.link, |client, now| {
            client.create_permission(now, &[reflexive]);
        });
        match permission.await {
            Ok(()) => {}
            Err(Failure::Refused { code: 403, .. }) => {
                let sentence = format!("peers at {} are forbidden", reflexive.ip());
                self.find(Code::PeerForbidden, sentence);
                return;
            }
            Err(failure) => return self.refused("a permission for this host", &failure),
        }
        let relayed = near.relayed;
        for _ in 0..TRIES {
            // A datagram that cannot leave is as lost as any other.
            let _ = socket.send_to(OUTSIDE, relayed).await;
            let until = Instant::now() + WAIT;
            while let Ok(event) = near.link.next(until).await {
                if matches!(&event, Event::Data { payload, .. } if payload == OUTSIDE) {
                    let sentence = format!("a datagram from {reflexive} reaches {relayed}");
                    return self.find(Code::Relays, sentence);
                }
            }
        }
        let sentence = format!("{TRIES} datagrams from {reflexive} to {relayed} did not arrive");
        self.find(Code::RelayPortsClosed, sentence);
    }

    /// Whether the allocation can be kept, and ended.
    pub(super) async fn lifetime(&mut self, mut allocation: Allocation) {
        let link = &mut allocation.link;
        let refresh = |lifetime| move |client: &mut Client, now| client.refresh(now, lifetime);
        if let Err(failure) = ask(link, refresh(Duration::from_secs(600))).await {
            self.find(Code::NotRefreshed, failure.to_string());
            return;
        }
        let deleted = ask(link, refresh(Duration::ZERO)).await;
        let after = ask(link, refresh(Duration::from_secs(600))).await;
        let is_gone = matches!(after, Err(Failure::Refused { code: 437, .. }));
        if deleted.is_err() || !is_gone {
            let after = after.map_or_else(|failure| failure.to_string(), |()| "granted".to_owned());
            self.find(
                Code::NotDeleted,
                format!("a Refresh after the deletion: {after}"),
            );
        }
    }
}

/// Asks, and waits for the answer; data that comes meanwhile is not what was asked for.
pub(super) async fn ask(
    link: &mut Link,
    question: impl FnOnce(&mut Client, Instant),
) -> Result<(), Failure> {
    let now = Instant::now();
    question(&mut link.client, now);
    loop {
        match link.next(now + PATIENCE).await {
            Ok(Event::Data { .. }) => {}
            Ok(Event::Failed { failure, .. }) => return Err(failure),
            Ok(Event::StreamBroken(why)) => return Err(Failure::StreamBroken(why)),
            Ok(_) => return Ok(()),
            Err(_) => return Err(Failure::Timeout),
        }
    }
}

/// What became of datagrams that were to come back.
#[derive(Debug, Default)]
struct Tally {
    sent: u32,
    arrived: u32,
    returned: u32,
    round_trips: Vec<Duration>,
}

impl Tally {
    fn median(&self) -> Duration {
        let mut sorted = self.round_trips.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// Sends datagrams by a channel, which come back as Send indications.
async fn echo(near: &mut Link, far: &mut Link, channel: ChannelNumber) -> Tally {
    let mut tally = Tally::default();
    let mut arrived = 0;
    let there = async {
        let mut left = Vec::new();
        for number in 0..DATAGRAMS {
            left.push(Instant::now());
            tally.sent += u32::from(
                near.client
                    .send_channel(channel, &datagram(number, SHORT))
                    .is_ok(),
            );
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

/// Takes what comes back, until all of it is there or the time is over.
async fn collect(near: &mut Link, until: Instant, left: &[Instant], tally: &mut Tally) {
    while tally.returned < DATAGRAMS {
        let Ok(event) = near.next(until).await else {
            return;
        };
        if let Event::Data { payload, .. } = event
            && let Some(number) = payload.first_chunk()
            && let Some(left) = left.get(u32::from_be_bytes(*number) as usize)
        {
            tally.returned += 1;
            tally.round_trips.push(left.elapsed());
        }
    }
}

/// Returns whatever comes, without end.
async fn send_back(far: &mut Link, arrived: &mut u32) {
    loop {
        let until = Instant::now() + Duration::from_secs(60);
        let Ok(Event::Data { peer, payload, .. }) = far.next(until).await else {
            continue;
        };
        *arrived += 1;
        // What is too long to return is as lost as any other.
        let _ = far.client.send(peer, &payload);
        let _ = far.flush().await;
    }
}

/// The largest payload that comes back.
async fn largest(near: &mut Link, far: &mut Link, channel: ChannelNumber) -> Option<usize> {
    let mut largest = None;
    let mut arrived = 0;
    let there = async {
        for (number, size) in (DATAGRAMS..).zip(SIZES) {
            // Once more, should it be lost by chance.
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

/// A socket as peers have it, and how the server sees it.
async fn plain_socket(connector: &Connector) -> Option<(UdpSocket, SocketAddr)> {
    let socket = connector.socket().ok()?;
    let server = connector.target.address;
    let mut link = Link::new(Carrier::Udp { socket, server }, None, PATIENCE);
    let mapped = link.binding().await?;
    Some((link.into_socket()?, mapped))
}

/// A common number of datagrams: each that is lost is two in a hundred.
const DATAGRAMS: u32 = 50;

/// Between two of them: the pace of a video call.
const PACE: Duration = Duration::from_millis(5);

/// For the last of them, and for those from outside.
const WAIT: Duration = Duration::from_millis(700);

/// Bytes, about those of a frame of speech.
const SHORT: usize = 100;

/// Bytes of a datagram of video in browsers.
const VIDEO: usize = 1_200;

/// Bytes that are tried.
const SIZES: [usize; 4] = [500, VIDEO, 1_400, 1_460];

/// Datagrams from outside.
const TRIES: u32 = 3;

const OUTSIDE: &[u8] = b"from outside";
