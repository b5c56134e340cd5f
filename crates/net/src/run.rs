//! Runs: neighbours of a turn that leave in one call, since they go the same way and are of one length.

use std::io::IoSlice;
use std::net::IpAddr;

use arrayvec::ArrayVec;
use relay::{ClientTuple, Destination, Hop, Outgoing, RelayHeader, Transport};

use crate::marking::Marking;
use crate::sys::BATCH;

/// Datagrams with application data to one receiver, in their order.
pub(crate) struct Run<'d> {
    pub(crate) way: Way,
    pub(crate) marking: Marking,
    /// The length of each but the last, which may be shorter.
    pub(crate) segment: usize,
    pub(crate) datagrams: ArrayVec<Datagram<'d>, BATCH>,
    bytes: usize,
}

/// The way of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a peer, from a relay socket.
    Peer(Hop),
    /// To a client over UDP.
    Client(ClientTuple),
}

impl Way {
    const fn is_v4(&self) -> bool {
        match self {
            Self::Peer(hop) => hop.to.0.is_ipv4(),
            // Datagrams of a client over IPv6 may come from a proxy over IPv4.
            Self::Client(client) => client.server.is_ipv4(),
        }
    }

    /// The host that receives the run. Of a proxied client it is the client: those of one proxy leave by one
    /// route all the same.
    pub(crate) const fn receiver(&self) -> IpAddr {
        match self {
            Self::Peer(hop) => hop.to.0.ip(),
            Self::Client(client) => client.client.ip(),
        }
    }
}

/// A datagram: application data under the header that it leaves with, or a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'d> {
    /// `None` towards peers, and of messages.
    pub(crate) header: Option<RelayHeader>,
    pub(crate) payload: &'d [u8],
}

impl<'d> Run<'d> {
    /// The run that begins with this datagram; `None` if it leaves alone in any case.
    pub(crate) fn begin(outgoing: &Outgoing<&'d [u8]>, marking: Marking) -> Option<Self> {
        let (way, datagram) = way_of(outgoing)?;
        let length = datagram.length();
        let most = if way.is_v4() { WHOLE_V4 } else { MOST_BYTES };
        let mut datagrams = ArrayVec::new();
        datagrams.push(datagram);
        // A datagram without a byte has no place among others.
        (1..=most).contains(&length).then_some(Self {
            way,
            marking,
            segment: length,
            datagrams,
            bytes: length,
        })
    }

    /// Takes the next datagram of the turn, if it may leave with those before.
    pub(crate) fn take(&mut self, outgoing: &Outgoing<&'d [u8]>, marking: Marking) -> bool {
        let Some((way, datagram)) = way_of(outgoing) else {
            return false;
        };
        let length = datagram.length();
        let last = self.datagrams.last().map(Datagram::length);
        let fits = last == Some(self.segment)
            && (1..=self.segment).contains(&length)
            && self.bytes + length <= MOST_BYTES;
        if !fits || way != self.way || marking != self.marking || self.datagrams.is_full() {
            return false;
        }
        self.datagrams.push(datagram);
        self.bytes += length;
        true
    }

    /// The bytes of all, as they leave.
    pub(crate) fn parts(&self) -> ArrayVec<IoSlice<'_>, { 3 * BATCH }> {
        self.datagrams.iter().flat_map(Datagram::parts).collect()
    }
}

impl Datagram<'_> {
    fn length(&self) -> usize {
        let header = self.header.as_ref();
        self.payload.len() + header.map_or(0, |header| header.len() + header.padding())
    }

    /// Its bytes, as they leave.
    pub(crate) fn parts(&self) -> [IoSlice<'_>; 3] {
        let (header, padding): (&[u8], usize) = match &self.header {
            Some(header) => (header, header.padding()),
            None => (&[], 0),
        };
        [header, self.payload, &[0; 3][..padding]].map(IoSlice::new)
    }
}

/// The way of application data over UDP. IPv4 has DF for a whole socket, so a datagram with it goes alone.
fn way_of<'d>(outgoing: &Outgoing<&'d [u8]>) -> Option<(Way, Datagram<'d>)> {
    let payload = outgoing.contents;
    match outgoing.to {
        Destination::Peer(hop) if !hop.dont_fragment => {
            let header = None;
            Some((Way::Peer(hop), Datagram { header, payload }))
        }
        Destination::Client { client, header } if client.transport == Transport::Udp => {
            let header = Some(header);
            Some((Way::Client(client), Datagram { header, payload }))
        }
        Destination::Peer(_)
        | Destination::Relayed(_)
        | Destination::Client { .. }
        | Destination::Answer(_)
        | Destination::Partner(_) => None,
    }
}

/// The most that a device takes at once, less the headers of Ethernet, IPv6 and UDP. The kernel takes a little more in one
/// call, and cuts it up before the device.
pub(crate) const MOST_BYTES: usize = 65_535 - 14 - 40 - 8;

/// The longest payload over IPv4 that no path of today fragments: with its headers it has 1,280 bytes, which
/// every link of IPv6 takes, and so the tunnels that carry both. Media and QUIC's first packets have fewer.
///
/// A longer one leaves alone, for the sake of its identification. Linux numbers what leaves in one call n,
/// n + 1, and so on, and begins the next call at n + 1: the same numbers again, which RFC 6864 §4.3 forbids
/// where a packet may be fragmented. If a fragment were lost, others would be put together in its place.
const WHOLE_V4: usize = 1_280 - 20 - 8;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use relay::{AddressFamily, PeerAddr, RelayId};

    use super::*;

    fn to_peer(port: u16, payload: &[u8]) -> Outgoing<&[u8]> {
        to(([192, 0, 2, 7], port).into(), payload)
    }

    fn to_peer_v6(payload: &[u8]) -> Outgoing<&[u8]> {
        to("[2001:db8::7]:1".parse().unwrap(), payload)
    }

    fn to(peer: SocketAddr, payload: &[u8]) -> Outgoing<&[u8]> {
        let hop = Hop {
            from: RelayId {
                allocation: "0.00000001".parse().unwrap(),
                family: AddressFamily::of(peer.ip()),
            },
            to: PeerAddr(peer),
            dont_fragment: false,
        };
        Outgoing {
            to: Destination::Peer(hop),
            contents: payload,
        }
    }

    /// How many of these, all plain, leave with the first.
    fn taken(all: &[Outgoing<&[u8]>]) -> usize {
        let mut run = Run::begin(&all[0], Marking::PLAIN).unwrap();
        let rest = all[1..].iter();
        rest.take_while(|next| run.take(next, Marking::PLAIN))
            .count()
            + 1
    }

    #[test]
    fn datagrams_of_one_length_to_one_receiver_leave_together_up_to_a_shorter_one() {
        let [a, b] = [[1; 100], [2; 100]];
        let same = [to_peer(1, &a), to_peer(1, &b), to_peer(1, &a)];
        assert_eq!(taken(&same), 3);
        assert_eq!(taken(&[to_peer(1, &a), to_peer(2, &b)]), 1);
        let shorter = [to_peer(1, &a), to_peer(1, &b[..7]), to_peer(1, &a[..7])];
        assert_eq!(taken(&shorter), 2);
        assert_eq!(taken(&[to_peer(1, &b[..7]), to_peer(1, &a)]), 1);
        assert_eq!(taken(&[to_peer(1, &a), to_peer(1, &[])]), 1);
        assert!(Run::begin(&to_peer(1, &[]), Marking::PLAIN).is_none());
    }

    #[test]
    fn the_family_of_a_run_to_a_client_is_that_of_the_listener_behind_a_proxy_too() {
        let to = |client: &str, server: &str| {
            let [client, server] = [client, server].map(|it| it.parse().unwrap());
            let transport = Transport::Udp;
            Way::Client(ClientTuple {
                transport,
                client,
                server,
            })
        };
        assert!(to("[2001:db8::7]:1", "192.0.2.1:3478").is_v4());
        assert!(!to("192.0.2.7:1", "[2001:db8::1]:3478").is_v4());
    }

    #[test]
    fn markings_and_df_part_neighbours() {
        let mut run = Run::begin(&to_peer(1, &[1; 9]), Marking::PLAIN).unwrap();
        assert!(!run.take(&to_peer(1, &[1; 9]), Marking(2)));
        let Destination::Peer(hop) = to_peer(1, &[]).to else {
            panic!("a peer");
        };
        let to = Destination::Peer(Hop {
            dont_fragment: true,
            ..hop
        });
        let contents = &[1; 9][..];
        assert!(!run.take(&Outgoing { to, contents }, Marking::PLAIN));
    }

    #[test]
    fn no_run_is_longer_than_the_kernel_takes() {
        let large = [7; 30_000];
        let all = [to_peer_v6(&large), to_peer_v6(&large), to_peer_v6(&large)];
        assert_eq!(taken(&all), 2);
        let small = [to_peer(1, &large[..50]); 2 * BATCH];
        assert_eq!(taken(&small), BATCH);
    }

    #[test]
    fn no_run_is_longer_than_a_device_takes_at_once() {
        let half = [7; MOST_BYTES / 2 + 1];
        assert_eq!(taken(&[to_peer_v6(&half[1..]), to_peer_v6(&half[1..])]), 2);
        assert_eq!(taken(&[to_peer_v6(&half), to_peer_v6(&half)]), 1);
    }

    #[test]
    fn what_a_path_may_fragment_leaves_alone_over_ipv4() {
        let payload = [7; 1_253];
        assert_eq!(taken(&[to_peer(1, &payload[1..]); 3]), 3);
        assert!(Run::begin(&to_peer(1, &payload), Marking::PLAIN).is_none());
        // Over IPv6 only the sender fragments.
        assert_eq!(taken(&[to_peer_v6(&payload); 3]), 3);
    }
}
