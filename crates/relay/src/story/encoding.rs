//! Events as bytes: a kind and a method in one, the time in milliseconds, flags, and what the flags say
//! is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use wire::{AddressFamily, ChannelNumber, Method, Transport};

use super::Event;
use crate::{EndCause, Refusal};

/// The bytes of an event; `None` if no story has such an event.
pub(super) fn encode(at: Duration, event: &Event) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(LONGEST);
    let head = |bytes: &mut Vec<u8>, kind: u8, method: u16, flags: u8| {
        bytes.push(kind << 4 | (method & 0x0F) as u8);
        put_number(bytes, u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        bytes.push(flags);
    };
    match *event {
        Event::Granted {
            method,
            lifetime,
            channel,
            peer,
            more,
        } => {
            let flags = family(peer)
                | if lifetime.is_some() { LIFETIME } else { 0 }
                | if channel.is_some() { CHANNEL } else { 0 }
                | if more > 0 { MORE } else { 0 };
            head(&mut bytes, GRANTED, method.code(), flags);
            if let Some(lifetime) = lifetime {
                put_number(&mut bytes, lifetime.into());
            }
            if let Some(channel) = channel {
                bytes.extend(channel.get().to_be_bytes());
            }
            put_address(&mut bytes, peer);
            if more > 0 {
                bytes.push(more);
            }
        }
        Event::Refused {
            method,
            refusal,
            peer,
            signed,
            times,
        } => {
            let flags = family(peer) | if signed { SIGNED } else { 0 };
            head(&mut bytes, REFUSED, method.code(), flags);
            bytes.push(number_of(Refusal::ALL, &refusal));
            put_address(&mut bytes, peer);
            bytes.extend(times.to_be_bytes());
        }
        Event::PermissionOver { peer, denied } => {
            let peer = Some(SocketAddr::new(peer, 0));
            head(&mut bytes, PERMISSION_OVER, 0, over(peer, denied));
            put_address(&mut bytes, peer);
        }
        Event::ChannelOver {
            channel,
            peer,
            denied,
        } => {
            let peer = Some(peer);
            head(&mut bytes, CHANNEL_OVER, 0, over(peer, denied));
            bytes.extend(channel.get().to_be_bytes());
            put_address(&mut bytes, peer);
        }
        Event::Icmp {
            peer,
            kind,
            code,
            times,
        } => {
            head(&mut bytes, ICMP, 0, family(Some(peer)));
            bytes.extend([kind, code]);
            put_address(&mut bytes, Some(peer));
            bytes.extend(times.to_be_bytes());
        }
        Event::Moved { transport, client } => {
            head(&mut bytes, MOVED, 0, family(Some(client)));
            bytes.push(number_of(&Transport::ALL, &transport));
            put_address(&mut bytes, Some(client));
        }
        Event::Away => head(&mut bytes, AWAY, 0, 0),
        Event::PeerConnected { peer } => {
            head(&mut bytes, PEER_CONNECTED, 0, family(Some(peer)));
            put_address(&mut bytes, Some(peer));
        }
        Event::FamilyOver { family, cause } => {
            let flags = match family {
                AddressFamily::V4 => V4,
                AddressFamily::V6 => V6,
            };
            head(&mut bytes, FAMILY_OVER, 0, flags);
            bytes.push(number_of(EndCause::ALL, &cause));
        }
        Event::Ended { cause } => {
            head(&mut bytes, ENDED, 0, 0);
            bytes.push(number_of(EndCause::ALL, &cause));
        }
        Event::Unanswered { .. } => return None,
    }
    Some(bytes)
}

/// Counts an event of others up, in the bytes that [`encode`] made of it.
pub(super) fn count_up(bytes: &mut [u8], event: &Event) {
    let (Event::Refused { times, .. } | Event::Icmp { times, .. }) = event else {
        return;
    };
    // The number stands last.
    if let Some(last) = bytes.last_chunk_mut() {
        *last = times.saturating_add(1).to_be_bytes();
    }
}

/// The first event of these bytes: how many of them it has, its time, and itself.
pub(super) fn decode(bytes: &[u8]) -> Option<(usize, Duration, Event)> {
    let mut rest = Rest(bytes);
    let [first] = rest.take()?;
    let at = Duration::from_millis(rest.number()?);
    let [flags] = rest.take()?;
    let method = Method::from_code(u16::from(first & 0x0F));
    let denied = flags & DENIED != 0;
    let event = match first >> 4 {
        GRANTED => Event::Granted {
            method,
            lifetime: if flags & LIFETIME == 0 {
                None
            } else {
                Some(u32::try_from(rest.number()?).ok()?)
            },
            channel: if flags & CHANNEL == 0 {
                None
            } else {
                Some(rest.channel()?)
            },
            peer: rest.address(flags)?,
            more: if flags & MORE == 0 {
                0
            } else {
                rest.take().map(|[more]| more)?
            },
        },
        REFUSED => Event::Refused {
            method,
            refusal: rest.one_of(Refusal::ALL)?,
            peer: rest.address(flags)?,
            signed: flags & SIGNED != 0,
            times: u16::from_be_bytes(rest.take()?),
        },
        PERMISSION_OVER => Event::PermissionOver {
            peer: rest.address(flags)??.ip(),
            denied,
        },
        CHANNEL_OVER => Event::ChannelOver {
            channel: rest.channel()?,
            peer: rest.address(flags)??,
            denied,
        },
        ICMP => {
            let [kind, code] = rest.take()?;
            Event::Icmp {
                peer: rest.address(flags)??,
                kind,
                code,
                times: u16::from_be_bytes(rest.take()?),
            }
        }
        MOVED => Event::Moved {
            transport: rest.one_of(&Transport::ALL)?,
            client: rest.address(flags)??,
        },
        AWAY => Event::Away,
        PEER_CONNECTED => Event::PeerConnected {
            peer: rest.address(flags)??,
        },
        FAMILY_OVER => Event::FamilyOver {
            family: match flags & FAMILY {
                V4 => AddressFamily::V4,
                V6 => AddressFamily::V6,
                _ => return None,
            },
            cause: rest.one_of(EndCause::ALL)?,
        },
        ENDED => Event::Ended {
            cause: rest.one_of(EndCause::ALL)?,
        },
        _ => return None,
    };
    Some((bytes.len() - rest.0.len(), at, event))
}

/// The bytes that are still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// Seven bits in each byte, the lowest first; the last byte has no highest bit.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.take()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn channel(&mut self) -> Option<ChannelNumber> {
        ChannelNumber::new(u16::from_be_bytes(self.take()?))
    }

    /// The address that the flags announce, if they do. The outer `None` is for bytes that are none.
    fn address(&mut self, flags: u8) -> Option<Option<SocketAddr>> {
        let ip: IpAddr = match flags & FAMILY {
            0 => return Some(None),
            V4 => Ipv4Addr::from(self.take()?).into(),
            V6 => Ipv6Addr::from(self.take::<16>()?).into(),
            _ => return None,
        };
        let port = u16::from_be_bytes(self.take()?);
        Some(Some(SocketAddr::new(ip, port)))
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let [number] = self.take()?;
        all.get(usize::from(number)).copied()
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

const fn family(address: Option<SocketAddr>) -> u8 {
    match address {
        None => 0,
        Some(SocketAddr::V4(_)) => V4,
        Some(SocketAddr::V6(_)) => V6,
    }
}

const fn over(peer: Option<SocketAddr>, denied: bool) -> u8 {
    family(peer) | if denied { DENIED } else { 0 }
}

fn put_address(bytes: &mut Vec<u8>, address: Option<SocketAddr>) {
    let Some(address) = address else {
        return;
    };
    match address.ip() {
        IpAddr::V4(ip) => bytes.extend(ip.octets()),
        IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
    bytes.extend(address.port().to_be_bytes());
}

/// The place of a value in the list of all.
fn number_of<T: PartialEq>(all: &[T], value: &T) -> u8 {
    let place = all.iter().position(|it| it == value);
    place
        .and_then(|it| u8::try_from(it).ok())
        .unwrap_or(u8::MAX)
}

const GRANTED: u8 = 0;
const REFUSED: u8 = 1;
const PERMISSION_OVER: u8 = 2;
const CHANNEL_OVER: u8 = 3;
const ICMP: u8 = 4;
const MOVED: u8 = 5;
const AWAY: u8 = 6;
const PEER_CONNECTED: u8 = 7;
const FAMILY_OVER: u8 = 8;
const ENDED: u8 = 9;

/// The family of the address that is there, or of the relay socket.
const FAMILY: u8 = 0b11;
const V4: u8 = 0b01;
const V6: u8 = 0b10;
const LIFETIME: u8 = 0b100;
const CHANNEL: u8 = 0b1000;
const MORE: u8 = 0b1_0000;
const SIGNED: u8 = 0b100;
const DENIED: u8 = 0b100;

/// Bytes that any event has room in.
const LONGEST: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let v4: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:5".parse().unwrap();
        let channel = ChannelNumber::new(0x4001).unwrap();
        let mut events = vec![
            Event::granted(Method::ConnectionBind, None, None),
            Event::PermissionOver {
                peer: v6.ip(),
                denied: true,
            },
            Event::ChannelOver {
                channel,
                peer: v4,
                denied: false,
            },
            Event::Icmp {
                peer: v6,
                kind: 3,
                code: 1,
                times: 7,
            },
            Event::Moved {
                transport: Transport::Dtls,
                client: v4,
            },
            Event::Away,
            Event::PeerConnected { peer: v4 },
            Event::FamilyOver {
                family: AddressFamily::V6,
                cause: EndCause::Expired,
            },
        ];
        for more in [0, 3, u8::MAX] {
            for lifetime in [None, Some(0), Some(u32::MAX)] {
                events.push(Event::Granted {
                    method: Method::Refresh,
                    lifetime,
                    channel: lifetime.map(|_| channel),
                    peer: (more > 0).then_some(v6),
                    more,
                });
            }
        }
        for refusal in Refusal::ALL {
            events.push(Event::Refused {
                method: Method::Allocate,
                refusal: *refusal,
                peer: Some(v4),
                signed: refusal.code() != 401,
                times: 300,
            });
        }
        let ended = EndCause::ALL
            .iter()
            .map(|cause| Event::Ended { cause: *cause });
        events.extend(ended);
        for (number, event) in events.iter().enumerate() {
            let at = Duration::from_millis(1 << (number % 40));
            let bytes = encode(at, event).unwrap();
            assert!(bytes.len() <= LONGEST);
            assert_eq!(decode(&bytes), Some((bytes.len(), at, *event)));
            for length in 0..bytes.len() {
                assert_eq!(decode(&bytes[..length]), None);
            }
        }
    }
}
