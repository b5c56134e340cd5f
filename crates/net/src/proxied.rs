//! Clients whose datagrams come through a proxy: by which one the answers go back.
//!
//! Each datagram has a header of its own (version 2 of the PROXY protocol). One that had it in the
//! first only would have no end: the clients write the others, and could put a header into them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use relay::policy::block;
use relay::{ClientTuple, Server, Transport};

use crate::clock;
use crate::local::Handle;
use crate::proxy::{Beginning, Proxied, is_header};
use crate::seldom::Seldom;
use crate::shard::Shard;

/// The clients of a shard that come through proxies, bounded in number. A client is forgotten when it
/// was silent for two minutes and has no allocation.
#[derive(Debug, Default)]
pub(crate) struct ProxiedClients {
    ways: HashMap<ClientTuple, Way, ahash::RandomState>,
    /// Each client once, the one that was looked at longest ago first.
    order: VecDeque<ClientTuple>,
}

/// The way between a client and this server.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// The socket of the proxy; none if the client has come directly since.
    proxy: Option<SocketAddr>,
    /// The address that the client sent to.
    destination: SocketAddr,
    /// When the last datagram came.
    last: Instant,
}

impl ProxiedClients {
    /// Where datagrams for a client go, if not to itself.
    pub(crate) fn proxy(&self, client: ClientTuple) -> Option<SocketAddr> {
        // Clients over DTLS come by the same datagrams.
        let client = ClientTuple {
            transport: Transport::Udp,
            ..client
        };
        self.ways.get(&client).and_then(|way| way.proxy)
    }

    /// Notes that a datagram of the client came from this socket of a proxy, which took it at
    /// `destination`. Returns whether it may be handled: a client with an allocation stays on its
    /// way, so that nobody turns what it receives aside, and so does one that uses another way at the
    /// same time, from the same port.
    pub(crate) fn note(
        &mut self,
        client: ClientTuple,
        [proxy, destination]: [SocketAddr; 2],
        now: Instant,
        has_allocation: impl Fn(ClientTuple) -> bool,
    ) -> bool {
        let way = Way {
            proxy: Some(proxy),
            destination,
            last: now,
        };
        if let Some(before) = self.ways.get_mut(&client) {
            let is_free = || match before.proxy {
                Some(_) => before.is_silent(now) && !has_allocation(client),
                None => !has_allocation(client),
            };
            let is_the_same = before.proxy.is_some() && before.destination == destination;
            let may_come = is_the_same || is_free();
            if may_come {
                *before = way;
            }
            return may_come;
        }
        let may_come = !has_allocation(client) && self.make_room(now, &has_allocation);
        if may_come {
            self.ways.insert(client, way);
            self.order.push_back(client);
        }
        may_come
    }

    /// The same of a datagram that the client sent to this server itself.
    pub(crate) fn note_direct(
        &mut self,
        client: ClientTuple,
        has_allocation: impl Fn(ClientTuple) -> bool,
    ) -> bool {
        let Some(way) = self.ways.get_mut(&client) else {
            return true;
        };
        if way.proxy.is_some() && has_allocation(client) {
            return false;
        }
        way.proxy = None;
        true
    }

    /// Forgets some of those that are silent, and one that is not if there are too many.
    fn make_room(&mut self, now: Instant, has_allocation: impl Fn(ClientTuple) -> bool) -> bool {
        for _ in 0..LOOKS {
            let Some(client) = self.order.pop_front() else {
                break;
            };
            let is_full = self.order.len() + 1 >= MOST;
            match self.ways.get(&client) {
                Some(way) if !has_allocation(client) && (is_full || way.is_silent(now)) => {
                    self.ways.remove(&client);
                }
                Some(_) => self.order.push_back(client),
                None => {}
            }
        }
        self.order.len() < MOST
    }
}

impl Way {
    fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= SILENT
    }
}

impl Shard {
    /// The client of a datagram and what it sent, without the header of a proxy. `None` if the
    /// datagram is dropped.
    pub(crate) fn introduce<'p>(
        &mut self,
        client: ClientTuple,
        datagram: &'p [u8],
        now: Instant,
    ) -> Option<(ClientTuple, &'p [u8])> {
        let host = client.client.ip();
        if self.proxies.udp.has(host) {
            return self.introduce_proxied(client, datagram, now);
        }
        // Nothing else that is served begins like that.
        if matches!(datagram.first(), Some(b'\r' | b'P')) && is_header(datagram) == Some(true) {
            self.egress.counters.proxy_header_foreign += 1;
            say_foreign(host, now);
            return None;
        }
        let Self { server, egress, .. } = self;
        let may_come = (egress.proxied).note_direct(client, |it| has_allocation(server, it));
        egress.counters.proxied_elsewhere += u64::from(!may_come);
        may_come.then_some((client, datagram))
    }

    fn introduce_proxied<'p>(
        &mut self,
        proxy: ClientTuple,
        datagram: &'p [u8],
        now: Instant,
    ) -> Option<(ClientTuple, &'p [u8])> {
        let Self { server, egress, .. } = self;
        // A line is not written on every datagram: proxies write it on the first only.
        let beginning = match datagram.first() {
            Some(b'\r') => Beginning::of(datagram),
            _ => Beginning::Other,
        };
        let Beginning::Header { length, proxied } = beginning else {
            egress.counters.proxy_header_missing += 1;
            say_missing_in_datagram(proxy.client.ip(), now);
            return None;
        };
        let packet = &datagram[length..];
        let Some(Proxied {
            source,
            destination,
        }) = proxied
        else {
            return Some((proxy, packet));
        };
        let client = ClientTuple {
            client: source,
            ..proxy
        };
        let way = [proxy.client, destination];
        let may_come = (egress.proxied).note(client, way, now, |it| has_allocation(server, it));
        egress.counters.proxied_elsewhere += u64::from(!may_come);
        may_come.then_some((client, packet))
    }
}

/// Whether the client of these datagrams has an allocation, of its own or over DTLS.
pub(crate) fn has_allocation(server: &Server, client: ClientTuple) -> bool {
    let over = |transport| ClientTuple {
        transport,
        ..client
    };
    [Transport::Udp, Transport::Dtls]
        .into_iter()
        .any(|transport| server.has_allocation(over(transport)))
}

/// Counts a connection of a proxy without a header that can be read, and says so.
pub(crate) fn note_missing(shard: &Handle, proxy: IpAddr) {
    static MISSING: Seldom = Seldom::new();
    shard
        .shard
        .borrow_mut()
        .egress
        .counters
        .proxy_header_missing += 1;
    if MISSING.may_log(clock::now().mono) {
        tracing::warn!(
            %proxy,
            "proxy.silent: a connection of a proxy does not begin with a PROXY header and was closed: have the \
             proxy send it, such as `send-proxy-v2` of haproxy or `proxy_protocol on` of nginx, or \
             take its network out of the key `tcp-from` in [proxy-protocol]"
        );
    }
}

/// Counts a connection with the header of a proxy, of a host that is none, and says so.
pub(crate) fn note_foreign(shard: &Handle, host: IpAddr) {
    shard
        .shard
        .borrow_mut()
        .egress
        .counters
        .proxy_header_foreign += 1;
    say_foreign(host, clock::now().mono);
}

fn say_foreign(host: IpAddr, now: Instant) {
    static FOREIGN: Seldom = Seldom::new();
    if FOREIGN.may_log(now) {
        // A proxy is near. The address of a host elsewhere may be a person's.
        let is_near = block(host).is_some_and(|block| !block.is_documentation());
        let near = is_near.then(|| tracing::field::display(host));
        tracing::warn!(
            host = near,
            "proxy.unknown: a PROXY header came from a host that is no proxy, and is not believed: the networks of \
             proxies belong into the key `tcp-from`, or `udp-from`, in [proxy-protocol]"
        );
    }
}

fn say_missing_in_datagram(proxy: IpAddr, now: Instant) {
    static MISSING: Seldom = Seldom::new();
    if MISSING.may_log(now) {
        tracing::warn!(
            %proxy,
            "proxy.silent: a datagram of a proxy does not begin with a PROXY header of version 2 and was dropped: \
             each needs one, and proxies that write it on the first of a client only, as nginx does, \
             cannot be used (key `udp-from` in [proxy-protocol])"
        );
    }
}

/// As long as a NAT keeps a mapping. RFC 4787, REQ-5.
const SILENT: Duration = Duration::from_secs(120);
/// How many clients are remembered: more than one shard has relay ports for. A proxy that lets forged
/// addresses pass makes this server forget strangers, who may need the answer of a moment ago.
const MOST: usize = 1 << 16;
/// How many of those that there are each new one has looked at.
const LOOKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn client(number: u32) -> ClientTuple {
        let ip = std::net::Ipv4Addr::from_bits(0xC000_0000 + number);
        ClientTuple {
            transport: Transport::Udp,
            client: SocketAddr::new(ip.into(), 4711),
            server: socket("10.0.0.5:3478"),
        }
    }

    fn ways() -> [[SocketAddr; 2]; 2] {
        [
            ["10.0.0.1:1", "198.51.100.1:443"].map(socket),
            ["10.0.0.2:2", "198.51.100.2:443"].map(socket),
        ]
    }

    const NOBODY: fn(ClientTuple) -> bool = |_| false;

    #[test]
    fn answers_go_to_the_socket_of_the_proxy_that_sent_last() {
        let (mut clients, now) = (ProxiedClients::default(), Instant::now());
        let [[proxy, destination], _] = ways();
        assert!(clients.note(client(1), [proxy, destination], now, NOBODY));
        assert_eq!(clients.proxy(client(1)), Some(proxy));
        let other_socket = socket("10.0.0.1:9");
        assert!(clients.note(client(1), [other_socket, destination], now, |_| true));
        assert_eq!(clients.proxy(client(1)), Some(other_socket));
        assert_eq!(clients.proxy(client(2)), None);
    }

    #[test]
    fn a_client_is_not_turned_to_another_way_while_it_uses_one() {
        let (mut clients, now) = (ProxiedClients::default(), Instant::now());
        let [first, second] = ways();
        assert!(clients.note(client(1), first, now, NOBODY));
        assert!(!clients.note(client(1), second, now, NOBODY));
        assert!(!clients.note(client(1), second, now + SILENT, |_| true));
        assert_eq!(clients.proxy(client(1)), Some(first[0]));
        assert!(clients.note(client(1), second, now + SILENT, NOBODY));
        assert_eq!(clients.proxy(client(1)), Some(second[0]));
    }

    #[test]
    fn an_allocation_stays_with_the_way_that_its_client_came() {
        let (mut clients, now) = (ProxiedClients::default(), Instant::now());
        let [way, _] = ways();
        // It came directly.
        assert!(!clients.note(client(1), way, now, |_| true));
        assert_eq!(clients.proxy(client(1)), None);
        // It came through a proxy.
        assert!(clients.note(client(2), way, now, NOBODY));
        assert!(!clients.note_direct(client(2), |_| true));
        assert_eq!(clients.proxy(client(2)), Some(way[0]));
        assert!(clients.note_direct(client(2), NOBODY));
        assert_eq!(clients.proxy(client(2)), None);
    }

    #[test]
    fn strangers_without_number_take_bounded_memory_and_no_way_of_an_allocation() {
        let (mut clients, now) = (ProxiedClients::default(), Instant::now());
        let [way, _] = ways();
        let has_allocation = |of: ClientTuple| of == client(7);
        for number in 0..200_000 {
            let is_first = |of: ClientTuple| number != 7 && has_allocation(of);
            assert!(clients.note(client(number), way, now, is_first));
            // It also comes directly: it must not have two places.
            if number % 3 == 0 {
                clients.note_direct(client(number), NOBODY);
            }
        }
        assert!(clients.ways.len() <= MOST && clients.order.len() <= MOST);
        assert_eq!(clients.proxy(client(7)), Some(way[0]));
        // All that are silent are forgotten by those that come after them.
        for number in 300_000..300_000 + 40_000 {
            assert!(clients.note(client(number), way, now + SILENT, has_allocation));
        }
        assert!(clients.ways.len() <= 50_000, "{}", clients.ways.len());
    }

    #[test]
    fn where_all_have_allocations_a_new_client_is_refused() {
        let (mut clients, now) = (ProxiedClients::default(), Instant::now());
        let [way, _] = ways();
        for number in 0..MOST as u32 {
            assert!(clients.note(client(number), way, now, NOBODY));
        }
        let others = |of: ClientTuple| of != client(1 << 20);
        assert!(!clients.note(client(1 << 20), way, now + SILENT, others));
        assert!(clients.note(client(5), way, now + SILENT, others));
    }
}
