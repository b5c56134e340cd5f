//! Tells what a stream is by its first bytes, in whatever pieces they come. The verdict does not
//! depend on the pieces, and no more than [`MOST`] bytes are kept for it.

use bytes::{Buf, BytesMut};
use rustls::server::{AcceptedAlert, Acceptor};

use crate::Certificates;
use crate::first_bytes::{self, Stream};
use crate::proxy::{self, Beginning, Proxied};
use crate::tls::{ACME_PROTOCOL, OWN_PROTOCOLS};

/// The first bytes of a stream, and how far they have been read.
pub(crate) struct Demultiplexer {
    bytes: BytesMut,
    step: Step,
}

/// The part that is looked for next.
enum Step {
    /// The header of a proxy.
    Header,
    /// The byte that tells the protocol.
    Protocol,
    /// The hello of a TLS client. Its reader has had so many bytes.
    Hello(Box<Acceptor>, usize),
    /// The signature of a proxy's header, from one who is no proxy.
    Signature,
}

/// News that the bytes tell, in the order in which they come.
pub(crate) enum Told {
    /// A proxy has said whose bytes follow; `None` if it speaks for itself. More is told of these.
    Header(Option<Proxied>),
    /// A proxy has not said whose bytes these are.
    NoHeader,
    /// STUN or ChannelData in the clear.
    Plain,
    /// A TLS handshake. Its hello is told of next.
    Tls,
    /// The hello of a TLS client is there.
    Hello(Hello),
    /// The bytes in a hello's place are no hello.
    BadHello(Box<(rustls::Error, AcceptedAlert)>),
    /// The hello is longer than [`MOST`].
    LongHello,
    /// Another protocol.
    Other {
        /// Whether it is the header of a proxy.
        is_header: bool,
    },
}

impl Demultiplexer {
    /// For the stream of a proxy, or of a client.
    pub(crate) fn new(is_proxy: bool) -> Self {
        Self {
            bytes: BytesMut::new(),
            step: if is_proxy {
                Step::Header
            } else {
                Step::Protocol
            },
        }
    }

    /// Tells what can be told; `None` if more bytes must come first.
    pub(crate) fn tell(&mut self) -> Option<Told> {
        match &mut self.step {
            Step::Header => self.tell_header(),
            Step::Protocol => match first_bytes::stream(&self.bytes)? {
                Stream::Stun | Stream::ChannelData => Some(Told::Plain),
                Stream::Tls => {
                    self.step = Step::Hello(Box::default(), 0);
                    Some(Told::Tls)
                }
                Stream::Other => {
                    self.step = Step::Signature;
                    self.tell()
                }
            },
            Step::Hello(acceptor, seen) => {
                *seen += feed(acceptor, &self.bytes[*seen..]);
                match acceptor.accept() {
                    Ok(Some(accepted)) => Some(Told::Hello(Hello::of(&accepted.client_hello()))),
                    Ok(None) => (self.room() == 0).then_some(Told::LongHello),
                    Err(bad) => Some(Told::BadHello(Box::new(bad))),
                }
            }
            Step::Signature => {
                let is_header = proxy::is_header(&self.bytes)?;
                Some(Told::Other { is_header })
            }
        }
    }

    fn tell_header(&mut self) -> Option<Told> {
        match Beginning::of(&self.bytes) {
            Beginning::Header { length, proxied } => {
                self.bytes.advance(length);
                self.step = Step::Protocol;
                Some(Told::Header(proxied))
            }
            Beginning::Unfinished => None,
            Beginning::Other | Beginning::Malformed => Some(Told::NoHeader),
        }
    }

    /// How many more bytes are taken: there is room while [`tell`](Self::tell) wants more.
    pub(crate) fn room(&self) -> usize {
        MOST.saturating_sub(self.bytes.len())
    }

    /// Where what comes next is put, [`room`](Self::room) bytes at most.
    pub(crate) const fn bytes_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The bytes of the client that have come so far.
    pub(crate) fn into_bytes(self) -> BytesMut {
        self.bytes
    }
}

/// Gives the reader of hellos bytes; returns how many it took.
fn feed(acceptor: &mut Acceptor, mut bytes: &[u8]) -> usize {
    let all = bytes.len();
    while !bytes.is_empty() {
        match acceptor.read_tls(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    all - bytes.len()
}

/// The parts of a hello that decide who serves it.
#[derive(Debug)]
pub(crate) struct Hello {
    /// The name that the client asks for. RFC 6066 §3.
    pub(crate) name: Option<String>,
    /// Whether an authority looks for the proof of a name. RFC 8737 §3.
    pub(crate) is_challenge: bool,
    /// Whether the client names protocols, and none of them is this server's.
    is_of_other_protocol: bool,
    /// Whether it names HTTP/1.1, as browsers do. RFC 7301 §6.
    is_of_http: bool,
}

impl Hello {
    fn of(hello: &rustls::server::ClientHello<'_>) -> Self {
        let protocols: Vec<&[u8]> = hello.alpn().into_iter().flatten().collect();
        let is_own = |protocol: &&[u8]| OWN_PROTOCOLS.contains(protocol);
        Self {
            name: hello.server_name().map(str::to_owned),
            is_challenge: protocols.contains(&ACME_PROTOCOL),
            is_of_http: protocols.contains(&HTTP),
            is_of_other_protocol: !protocols.is_empty() && !protocols.iter().any(is_own),
        }
    }

    /// Whether the hello is for the server for browsers. Where a web server is behind this one, a name
    /// that no certificate is for is its.
    pub(crate) fn is_browsers(&self, certificates: Option<&Certificates>, has_web: bool) -> bool {
        let name = self.name.as_deref();
        let is_own = |name: &str| certificates.is_some_and(|certificates| certificates.has(name));
        self.is_of_http && self.is_of_other_protocol && (!has_web || name.is_none_or(is_own))
    }

    /// Whether the hello is for this server and not for a web server that has the same port. Clients
    /// of TURN name no protocol, and some no host. The web server may prove its own names to an
    /// authority.
    pub(crate) fn is_ours(&self, certificates: Option<&Certificates>) -> bool {
        let name = self.name.as_deref();
        certificates.is_some_and(|certificates| {
            if self.is_challenge {
                return name.is_some_and(|name| certificates.is_challenged(name));
            }
            !self.is_of_other_protocol && name.is_none_or(|name| certificates.has(name))
        })
    }
}

const HTTP: &[u8] = b"http/1.1";

/// The most bytes until it is known what a stream is: the longest hello, with what comes behind it.
/// Hellos of browsers have some 2,500 bytes, of which post-quantum key shares are most.
pub(crate) const MOST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello with so many bytes of padding, in records of so many bytes. RFC 8446 §4.1.2, RFC 7685.
    fn hello(padding: usize, record: usize) -> Vec<u8> {
        let two = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
        let groups: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 29];
        let signatures: &[u8] = &[0, 13, 0, 4, 0, 2, 4, 3];
        let padding = [&[0, 21], &two(padding)[..], &vec![0; padding]].concat();
        let extensions = [groups, signatures, &padding].concat();
        let mut body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xC0, 0x2B, 1, 0]].concat();
        body.extend(two(extensions.len()));
        body.extend(extensions);
        let message = [&[1, 0], &two(body.len())[..], &body].concat();
        let records = message.chunks(record).map(|part| {
            let header = [&[22, 3, 1], &two(part.len())[..]].concat();
            [header, part.to_vec()].concat()
        });
        records.collect::<Vec<_>>().concat()
    }

    /// The last news, as bytes come in pieces.
    fn told<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Told> {
        let mut first = Demultiplexer::new(false);
        for mut piece in pieces {
            while !piece.is_empty() {
                let (now, later) = piece.split_at(first.room().min(piece.len()));
                first.bytes_mut().extend_from_slice(now);
                piece = later;
                match first.tell() {
                    Some(Told::Tls) | None => {}
                    told => return told,
                }
                if let told @ Some(_) = first.tell() {
                    return told;
                }
            }
        }
        None
    }

    #[test]
    fn a_hello_is_told_once_it_is_whole_in_whatever_records_and_pieces() {
        for (padding, record) in [(0, 1_000), (3_000, 100), (3_000, 5_000), (16_000, 16_000)] {
            let hello = hello(padding, record);
            for piece in [1, 1_400, 4_096, hello.len()] {
                assert!(matches!(told(hello.chunks(piece)), Some(Told::Hello(_))));
            }
            let cut = &hello[..hello.len() - 1];
            assert!(told(cut.chunks(cut.len())).is_none());
        }
    }

    #[test]
    fn a_hello_longer_than_the_bound_is_refused_however_it_comes() {
        let hello = hello(MOST, 16_000);
        for piece in [1, 1_400, 4_096, hello.len()] {
            let told = told(hello.chunks(piece));
            assert!(
                matches!(told, Some(Told::LongHello)),
                "in pieces of {piece}"
            );
        }
    }
}
