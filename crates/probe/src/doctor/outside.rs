//! Data between the relay and a plain socket, such as peers without a relay have.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{Event, Failure};
use tokio::net::UdpSocket;

use super::connect::Connector;
use super::credentials::Allocation;
use super::dialogue::{Carrier, Dialogue};
use super::relaying::ask;
use super::{Code, PATIENCE, Patient, is_private};

impl Patient {
    /// Sends a datagram from outside, and one back in each framing.
    pub(super) async fn outside(&mut self, connector: &Connector, near: &mut Allocation) {
        let relayed = near.relayed;
        let mut server = connector.target.address;
        let is_other = server.is_ipv4() != relayed.is_ipv4();
        if is_other && !self.examination.families.has(relayed) {
            // The other family was left out by the command line.
            return;
        }
        if is_other {
            // Most servers take clients at the address that they relay.
            server = SocketAddr::new(relayed.ip(), server.port());
        }
        let Some((socket, reflexive)) = plain_socket(connector, server).await else {
            if is_other {
                let option = if relayed.is_ipv4() { "-4" } else { "-6" };
                let sentence = format!(
                    "peers of {relayed} have another family than {}: {option} tries it",
                    connector.target.address
                );
                return self.find(Code::OutsideUntried, sentence);
            }
            let sentence = format!("{server} does not tell over UDP what address this host has");
            return self.find(Code::OutsideUntried, sentence);
        };
        if [server.ip(), relayed.ip()].contains(&reflexive.ip()) {
            let sentence = format!("this host has the server's address {}", reflexive.ip());
            return self.find(Code::OutsideUntried, sentence);
        }
        let permission = ask(&mut near.dialogue, |client, now| {
            client.create_permission(now, &[reflexive]);
        });
        match permission.await {
            Ok(()) => {}
            Err(Failure::Refused { code: 403, .. }) => {
                let sentence = format!("peers at {} are forbidden", reflexive.ip());
                return self.find(Code::OutsideUntried, sentence);
            }
            Err(failure) => return self.refused("a permission for this host", &failure),
        }
        if let Some(peer) = way_in(&socket, near).await {
            self.way_out(&socket, near, peer).await;
        } else if is_private(reflexive.ip()) && !is_private(relayed.ip()) {
            // Many NATs do not let their own side in by the public address.
            let sentence = format!(
                "{reflexive} is an address of a private network, {relayed} is a public one"
            );
            self.find(Code::OutsideUntried, sentence);
        } else {
            let sentence = format!("{TRIES} from {reflexive} to {relayed} did not arrive");
            self.find(Code::RelayPortsClosed, sentence);
        }
    }

    /// Sends from the relay to the source of the datagram, whose port a NAT may have changed.
    async fn way_out(&mut self, socket: &UdpSocket, near: &mut Allocation, peer: SocketAddr) {
        let relayed = near.relayed;
        let mut channel = None;
        let bound = ask(&mut near.dialogue, |client, now| {
            channel = client.bind_channel(now, peer);
        });
        if let Err(failure) = bound.await {
            return self.refused("a channel to this host", &failure);
        }
        let by_send = came_out(socket, near, |near| {
            // These bytes are never too long.
            let _ = near.dialogue.client.send(peer, OUTWARD);
        });
        let by_send = by_send.await;
        let by_channel = came_out(socket, near, |near| {
            if let Some(channel) = channel {
                let _ = near.dialogue.client.send_channel(channel, OUTWARD);
            }
        });
        let (code, sentence) = match (by_send, by_channel.await) {
            (true, true) => (Code::ReachesOutside, "pass both ways, in both framings"),
            (false, false) => (
                Code::NothingOut,
                "arrive at the relay, but none of the answers comes back",
            ),
            (true, false) => (
                Code::OneFramingOnly,
                "come back by Send, not as ChannelData",
            ),
            (false, true) => (
                Code::OneFramingOnly,
                "come back as ChannelData, not by Send",
            ),
        };
        let sentence = format!("datagrams between {peer} and {relayed} {sentence}");
        self.find(code, sentence);
    }
}

/// Sends to the relayed address; returns the source that the relay reports.
async fn way_in(socket: &UdpSocket, near: &mut Allocation) -> Option<SocketAddr> {
    for _ in 0..TRIES {
        // A datagram that cannot be sent is as lost as any other.
        let _ = socket.send_to(INWARD, near.relayed).await;
        let until = Instant::now() + WAIT;
        while let Ok(event) = near.dialogue.next(until).await {
            if let Event::Data { peer, payload, .. } = event
                && payload == INWARD
            {
                return Some(peer);
            }
        }
    }
    None
}

/// Whether the client's data comes to the socket, from the relayed address.
async fn came_out(
    socket: &UdpSocket,
    near: &mut Allocation,
    send: impl Fn(&mut Allocation),
) -> bool {
    let mut buffer = [0; 64];
    for _ in 0..TRIES {
        send(near);
        if near.dialogue.flush().await.is_err() {
            return false;
        }
        let until = Instant::now() + WAIT;
        while let Ok(Ok((length, from))) =
            tokio::time::timeout_at(until.into(), socket.recv_from(&mut buffer)).await
        {
            if from == near.relayed && &buffer[..length] == OUTWARD {
                return true;
            }
        }
    }
    false
}

/// A socket like those of peers, and its address as the server sees it.
async fn plain_socket(
    connector: &Connector,
    server: SocketAddr,
) -> Option<(UdpSocket, SocketAddr)> {
    let socket = connector.socket(server).ok()?;
    let mut dialogue = Dialogue::new(Carrier::udp(socket, server), None, PATIENCE);
    let mapped = dialogue.binding().await.ok()?;
    Some((dialogue.into_socket()?, mapped))
}

/// Datagrams in one direction, before the direction counts as closed. One that is late counts for the next.
const TRIES: u32 = 3;

/// The wait after each.
const WAIT: Duration = Duration::from_millis(700);

const INWARD: &[u8] = b"from outside";
const OUTWARD: &[u8] = b"from within";
