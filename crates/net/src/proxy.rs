//! The PROXY protocol, versions 1 and 2: the header by which a proxy says whose bytes follow.
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>
//!
//! A header is believed only of a proxy that the configuration names: everybody can write one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use proxy_header::{Error, ParseConfig, ProxiedAddress, ProxyHeader};

/// The networks whose hosts are proxies. A proxy always sends a header, and its own addresses are
/// those of no client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// The networks, in the order in which they were given.
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }

    /// Whether a host is one.
    pub fn has(&self, host: IpAddr) -> bool {
        let host = host.to_canonical();
        self.0.iter().any(|network| network.contains(&host))
    }
}

impl FromIterator<IpNet> for Proxies {
    fn from_iter<T: IntoIterator<Item = IpNet>>(networks: T) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// The beginning of a stream or of a datagram, as far as this protocol goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The first bytes of a header, perhaps; in a datagram these are no header.
    Unfinished,
    /// Bytes of another protocol.
    Other,
    /// A header of so many bytes.
    Header {
        /// Where the bytes of the client begin.
        length: usize,
        /// The client; none if the proxy speaks for itself, as in a health check.
        proxied: Option<Proxied>,
    },
    /// A header that says nothing.
    Malformed,
}

/// The ends of a connection to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client sent to.
    pub destination: SocketAddr,
}

/// Whether bytes begin with the signature of a header, as soon as it can be told.
pub(crate) fn is_header(bytes: &[u8]) -> Option<bool> {
    let mut signatures = [VERSION_1, VERSION_2].into_iter();
    let is_unknown = signatures.any(|it| it.len() > bytes.len() && it.starts_with(bytes));
    let is_known = bytes.starts_with(VERSION_1) || bytes.starts_with(VERSION_2);
    (!is_unknown).then_some(is_known)
}

impl Beginning {
    /// Reads the bytes that came so far. Of a header of [`LONGEST`] bytes or less each part is
    /// unfinished until the whole is there, and a longer one is malformed: nobody has to keep more.
    pub fn of(bytes: &[u8]) -> Self {
        if is_header(bytes).is_none() {
            Self::Unfinished
        } else if bytes.starts_with(VERSION_1) {
            Self::version_1(bytes)
        } else if bytes.starts_with(VERSION_2) {
            Self::version_2(bytes)
        } else {
            Self::Other
        }
    }

    /// A line. Section 2.1.
    fn version_1(bytes: &[u8]) -> Self {
        let line = &bytes[..bytes.len().min(LONGEST_LINE)];
        if line.windows(2).any(|end| end == b"\r\n") {
            Self::parse(line)
        } else if bytes.len() < LONGEST_LINE {
            Self::Unfinished
        } else {
            Self::Malformed
        }
    }

    /// The signature, version and command, family, and the length of the rest. Section 2.2.
    fn version_2(bytes: &[u8]) -> Self {
        let Some(&[high, low]) = bytes.get(14..16).and_then(|rest| rest.first_chunk()) else {
            return Self::Unfinished;
        };
        let length = 16 + usize::from(u16::from_be_bytes([high, low]));
        if length > LONGEST {
            return Self::Malformed;
        }
        bytes.get(..length).map_or(Self::Unfinished, Self::parse)
    }

    /// The bytes of a whole header, and perhaps more.
    fn parse(bytes: &[u8]) -> Self {
        let wanted = ParseConfig {
            include_tlvs: false,
            allow_v1: true,
            allow_v2: true,
        };
        match ProxyHeader::parse(bytes, wanted) {
            Ok((header, length)) => match header.proxied_address().map(Proxied::of) {
                Some(None) => Self::Malformed,
                Some(proxied @ Some(_)) => Self::Header { length, proxied },
                None => Self::Header {
                    length,
                    proxied: None,
                },
            },
            // All of it is there.
            Err(
                Error::BufferTooShort
                | Error::Invalid
                | Error::V1UnsupportedTlv
                | Error::V1UnsupportedProtocol
                | Error::HeaderTooBig
                | Error::AddressFamilyMismatch,
            ) => Self::Malformed,
        }
    }
}

impl Proxied {
    fn of(addresses: &ProxiedAddress) -> Option<Self> {
        // A proxy that takes IPv4 on an IPv6 socket writes IPv4-mapped addresses.
        let [source, destination] = [addresses.source, addresses.destination]
            .map(|it| SocketAddr::new(it.ip().to_canonical(), it.port()));
        let is_one_host = |it: SocketAddr| {
            let (ip, is_broadcast) = (it.ip(), it.ip() == Ipv4Addr::BROADCAST);
            it.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
        };
        let is_good = source.is_ipv4() == destination.is_ipv4() && is_one_host(source);
        is_good.then_some(Self {
            source,
            destination,
        })
    }

    /// A header of version 2 for a stream that says so.
    pub(crate) fn header(self) -> Vec<u8> {
        let addresses = ProxiedAddress::stream(self.source, self.destination);
        let mut header = Vec::with_capacity(16 + 36);
        // Addresses of two families, which no connection has, would be the only error.
        let _ = ProxyHeader::with_address(addresses).encode_v2(&mut header);
        header
    }
}

/// The longest header that is read, with all that a proxy adds to the addresses: 108 bytes are the
/// usual most, a certificate's name may make it longer.
pub const LONGEST: usize = 4096;
/// The longest of version 1, in which a receiver may rely on it.
const LONGEST_LINE: usize = 107;

const VERSION_1: &[u8] = b"PROXY ";
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(length: usize, source: &str, destination: &str) -> Beginning {
        let proxied = Proxied {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        };
        Beginning::Header {
            length,
            proxied: Some(proxied),
        }
    }

    const LOCAL: fn(usize) -> Beginning = |length| Beginning::Header {
        length,
        proxied: None,
    };

    /// A header of version 2 with this command, family and rest.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [VERSION_2, &[command, family], &length, rest].concat()
    }

    #[test]
    fn a_line_names_the_client() {
        for (line, beginning) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n",
                header(44, "192.0.2.1:4711", "198.51.100.1:443"),
            ),
            (
                "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n",
                header(45, "[2001:db8::1]:4711", "[2001:db8::2]:443"),
            ),
            (
                "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 1 2\r\n",
                header(53, "192.0.2.1:1", "198.51.100.1:2"),
            ),
            ("PROXY UNKNOWN\r\n", LOCAL(15)),
            ("PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n", LOCAL(43)),
        ] {
            assert_eq!(Beginning::of(line.as_bytes()), beginning, "{line}");
            let and_more = format!("{line}\0\u{1}");
            assert_eq!(Beginning::of(and_more.as_bytes()), beginning, "{line}");
        }
    }

    #[test]
    fn a_binary_header_names_the_client_or_says_that_there_is_none() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 1, 0xBB];
        let told = |length| header(length, "192.0.2.1:4711", "198.51.100.1:443");
        assert_eq!(Beginning::of(&binary(0x21, 0x11, &v4)), told(28));
        assert_eq!(Beginning::of(&binary(0x21, 0x12, &v4)), told(28));
        let with_more = [&v4[..], &[0x04, 0, 2, 0, 0]].concat();
        assert_eq!(Beginning::of(&binary(0x21, 0x11, &with_more)), told(33));
        assert_eq!(Beginning::of(&binary(0x20, 0x00, &[])), LOCAL(16));
        assert_eq!(Beginning::of(&binary(0x20, 0x11, &v4)), LOCAL(28));
        assert_eq!(Beginning::of(&binary(0x21, 0x00, &[0; 20])), LOCAL(36));
        assert_eq!(Beginning::of(&binary(0x21, 0x31, &[0; 216])), LOCAL(232));
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_known() {
        let long = format!("PROXY TCP4 {}", "1".repeat(200));
        for malformed in [
            &b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n"[..],
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 99999\r\n",
            b"PROXY TCP4 1.1.1.1 ::1 1 2\r\n",
            b"PROXY TCP6 ::ffff:1.1.1.1 ::1 1 2\r\n",
            b"PROXY TCP4 0.0.0.0 2.2.2.2 1 2\r\n",
            b"PROXY TCP4 224.0.0.1 2.2.2.2 1 2\r\n",
            b"PROXY TCP4 255.255.255.255 2.2.2.2 1 2\r\n",
            b"PROXY TCP6 ff02::1 2::2 1 2\r\n",
            b"PROXY TCP4 1.1.1.1 2.2.2.2 0 2\r\n",
            b"PROXY \r\n",
            b"PROXY UNKNOWN\rPROXY \r\n",
            &long.as_bytes()[..LONGEST_LINE],
            &binary(0x31, 0x11, &[0; 12]),
            &binary(0x22, 0x11, &[0; 12]),
            &binary(0x21, 0x11, &[0; 11]),
            &binary(0x21, 0x21, &[0; 12]),
            &binary(0x21, 0x41, &[0; 36]),
            &binary(0x21, 0x11, &[0; LONGEST])[..16],
        ] {
            let text = malformed.escape_ascii();
            assert_eq!(Beginning::of(malformed), Beginning::Malformed, "{text}");
        }
        for other in [
            &b"\x00\x01\x00\x00\x21\x12\xA4\x42"[..],
            b"\x16\x03\x01",
            b"POST / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"\r\n\r\n\r\n",
        ] {
            assert_eq!(Beginning::of(other), Beginning::Other);
        }
    }

    #[test]
    fn the_longest_headers_are_read() {
        let ip = "2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let line = format!("PROXY TCP6 {ip} {ip} 65535 65535\r\n");
        let beginning = Beginning::of(line.as_bytes());
        assert!(matches!(beginning, Beginning::Header { length: 104, .. }));
        let mut rest = [0; LONGEST - 16];
        rest[..12].copy_from_slice(&[192, 0, 2, 1, 198, 51, 100, 1, 18, 103, 1, 187]);
        let beginning = Beginning::of(&binary(0x21, 0x11, &rest));
        assert!(matches!(
            beginning,
            Beginning::Header {
                length: LONGEST,
                ..
            }
        ));
    }

    #[test]
    fn a_header_that_is_written_is_read() {
        for (source, destination) in [
            ("192.0.2.1:4711", "198.51.100.1:443"),
            ("[2001:db8::1]:4711", "[2001:db8::2]:443"),
        ] {
            let told = Proxied {
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
            };
            let written = told.header();
            let read = header(written.len(), source, destination);
            assert_eq!(Beginning::of(&written), read);
        }
    }

    #[test]
    fn only_hosts_of_the_networks_are_proxies() {
        let networks = ["10.0.0.0/8", "2001:db8::/32"];
        let proxies: Proxies = networks.iter().map(|it| it.parse().unwrap()).collect();
        for (host, is_proxy) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(proxies.has(host.parse().unwrap()), is_proxy, "{host}");
        }
    }

    proptest! {
        /// A verdict stays: a part is unfinished, or already what the whole is.
        #[test]
        fn however_a_header_comes_in_pieces_the_outcome_is_the_same(
            signature in prop::sample::select(vec![VERSION_1, VERSION_2, b"PROXY TCP4 ", b""]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [signature, &rest].concat();
            let mut known = Beginning::Unfinished;
            for end in 0..=bytes.len() {
                let beginning = Beginning::of(&bytes[..end]);
                if known != Beginning::Unfinished {
                    prop_assert_eq!(beginning, known);
                }
                if let Beginning::Header { length, .. } = beginning {
                    prop_assert!(length <= end);
                }
                known = beginning;
            }
        }
    }
}
