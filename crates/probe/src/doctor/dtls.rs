//! DTLS over a UDP socket, as far as an examination needs it. RFC 6347, RFC 7350 §4.
//!
//! One rule: after every call on the engine it is drained.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate, Output};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use tokio::net::UdpSocket;

/// A connection with one server, and the datagrams that wait to be sent and read.
pub(crate) struct DtlsSession {
    engine: Dtls,
    socket: UdpSocket,
    server: SocketAddr,
    timer: Instant,
    outbox: VecDeque<Vec<u8>>,
    inbox: VecDeque<Vec<u8>>,
    /// The server's own certificate, in DER: the engine shows no other.
    leaf: Option<Vec<u8>>,
    is_connected: bool,
    is_closed: bool,
    /// Whether anything came from the server.
    is_answered: bool,
    packet: Vec<u8>,
    record: Vec<u8>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoDtls {
    /// Nothing came back.
    #[error("no answer")]
    Silent,
    /// Answers came, but the handshake did not end.
    #[error("something answers, but the DTLS handshake is never completed")]
    Unfinished,
    /// The two have no algorithms in common; an RSA certificate is the usual reason.
    #[error("no handshake without an ECDSA certificate ({0})")]
    NoHandshake(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl DtlsSession {
    /// Makes a handshake, at the latest at `until`; returns the server's own certificate with the
    /// session.
    pub(super) async fn connect(
        socket: UdpSocket,
        server: SocketAddr,
        until: Instant,
    ) -> Result<(Self, Vec<u8>), NoDtls> {
        let mut engine = Dtls::new_12(Arc::new(Config::default()), nobody()?, Instant::now());
        engine.set_active(true);
        let mut session = Self {
            engine,
            socket,
            server,
            timer: until,
            outbox: VecDeque::new(),
            inbox: VecDeque::new(),
            leaf: None,
            is_connected: false,
            is_closed: false,
            is_answered: false,
            packet: vec![0; LARGEST],
            record: vec![0; LARGEST],
        };
        session.handle_timeout().map_err(no_handshake)?;
        while !session.is_connected {
            let step = tokio::time::timeout_at(until.into(), session.step()).await;
            match step {
                Ok(Ok(())) if !session.is_closed => {}
                Ok(Ok(())) => return Err(NoDtls::NoHandshake("closed".to_owned())),
                Ok(Err(why)) if why.kind() == io::ErrorKind::Other => {
                    return Err(NoDtls::NoHandshake(why.to_string()));
                }
                Ok(Err(why)) => return Err(NoDtls::Io(why)),
                Err(_) if session.is_answered => {
                    return Err(NoDtls::Unfinished);
                }
                Err(_) => return Err(NoDtls::Silent),
            }
        }
        let leaf = session.leaf.take().unwrap_or_default();
        Ok((session, leaf))
    }

    /// The next datagram. Nothing is lost if the caller gives up waiting.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(datagram) = self.inbox.pop_front() {
                let length = datagram.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram[..length]);
                return Ok(length);
            }
            if self.is_closed {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.step().await?;
        }
    }

    pub(super) async fn write(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.engine
            .send_application_data(datagram)
            .map_err(io::Error::other)?;
        self.drain();
        self.send().await
    }

    /// Sends everything that waits, and takes one datagram or the end of the timer.
    async fn step(&mut self) -> io::Result<()> {
        self.send().await?;
        let received = self.socket.recv_from(&mut self.packet);
        match tokio::time::timeout_at(self.timer.into(), received).await {
            Ok(Ok((length, from))) if from == self.server => {
                self.is_answered = true;
                let packet = &self.packet[..length];
                self.engine
                    .handle_packet(packet)
                    .map_err(io::Error::other)?;
                self.drain();
                Ok(())
            }
            // Datagrams of strangers, and errors of single datagrams.
            Ok(_) => Ok(()),
            Err(_) => self.handle_timeout().map_err(io::Error::other),
        }
    }

    fn handle_timeout(&mut self) -> Result<(), dimpl::Error> {
        self.engine.handle_timeout(Instant::now())?;
        self.drain();
        Ok(())
    }

    async fn send(&mut self) -> io::Result<()> {
        while let Some(packet) = self.outbox.front() {
            self.socket.send_to(packet, self.server).await?;
            self.outbox.pop_front();
        }
        Ok(())
    }

    fn drain(&mut self) {
        loop {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is the library's, and open; keys for SRTP are nothing to TURN"
            )]
            match self.engine.poll_output(&mut self.record) {
                Output::Packet(packet) => self.outbox.push_back(packet.to_vec()),
                Output::ApplicationData(datagram) => self.inbox.push_back(datagram.to_vec()),
                Output::PeerCert(leaf) => self.leaf = Some(leaf.to_vec()),
                Output::Connected => self.is_connected = true,
                Output::CloseNotify => self.is_closed = true,
                Output::BufferTooSmall { needed } => self.record.resize(needed, 0),
                Output::Timeout(at) => {
                    self.timer = at;
                    return;
                }
                _ => {}
            }
        }
    }
}

fn no_handshake(why: dimpl::Error) -> NoDtls {
    NoDtls::NoHandshake(why.to_string())
}

/// A certificate for the engine, should a server ask for one, which TURN servers do not: a key of
/// its own, and no name.
fn nobody() -> io::Result<DtlsCertificate> {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new());
    let key = key.map_err(|_| io::Error::other("no randomness"))?;
    Ok(DtlsCertificate {
        certificate: EMPTY_SEQUENCE.to_vec(),
        private_key: key.as_ref().to_vec(),
    })
}

/// In DER: a certificate without content.
const EMPTY_SEQUENCE: [u8; 2] = [0x30, 0];

/// In bytes.
const LARGEST: usize = 65_536;
