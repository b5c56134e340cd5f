//! One 5-tuple with a server: a client and its connection.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{Client, Credentials, Event, Retransmission};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::PATIENCE;
use super::dtls::DtlsSession;

/// A client and its connection.
pub(crate) struct Dialogue {
    pub(crate) client: Client,
    carrier: Carrier,
    buffer: Vec<u8>,
    /// Bytes of everything sent and received, as UDP payload or stream.
    pub(crate) bytes: Sizes,
}

/// The connection that carries a client's messages.
pub(crate) enum Carrier {
    /// Datagrams from and to one server.
    Udp {
        socket: UdpSocket,
        server: SocketAddr,
        /// Another sender whose datagrams came to this socket, if there was one.
        stranger: Option<SocketAddr>,
    },
    /// Datagrams inside DTLS.
    Dtls(Box<DtlsSession>),
    /// TCP or TLS.
    Stream(Box<dyn Stream>),
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How many bytes were sent and how many came in answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl Dialogue {
    pub(crate) fn new(
        carrier: Carrier,
        credentials: Option<Credentials>,
        timeout: Duration,
    ) -> Self {
        let transport = match carrier {
            Carrier::Udp { .. } | Carrier::Dtls(_) => client::Transport::Udp,
            Carrier::Stream(_) => client::Transport::Tcp,
        };
        let mut config = client::Config::new(transport);
        config.credentials = credentials;
        config.retransmission = Retransmission {
            rto: timeout / 6,
            requests: 3,
            last_wait: 3,
            stream_timeout: timeout,
        };
        Self {
            client: Client::new(config, rand::random()),
            carrier,
            buffer: vec![0; 65_536],
            bytes: Sizes::default(),
        }
    }

    /// The reflexive address.
    ///
    /// # Errors
    /// `TimedOut` when the server does not tell it, or the error that ended the connection.
    pub(crate) async fn binding(&mut self) -> io::Result<SocketAddr> {
        let now = Instant::now();
        self.client.binding(now);
        if let Event::Bound { mapped } = self.next(now + PATIENCE).await? {
            Ok(mapped)
        } else {
            Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"))
        }
    }

    /// The socket, for use with other peers.
    pub(crate) fn into_socket(self) -> Option<UdpSocket> {
        match self.carrier {
            Carrier::Udp { socket, .. } => Some(socket),
            Carrier::Dtls(_) | Carrier::Stream(_) => None,
        }
    }

    /// The address that answered in place of the server, if one did.
    pub(crate) const fn stranger(&self) -> Option<SocketAddr> {
        match self.carrier {
            Carrier::Udp { stranger, .. } => stranger,
            Carrier::Dtls(_) | Carrier::Stream(_) => None,
        }
    }

    /// Sends the client's packets and returns its next event, at the latest at `until`.
    ///
    /// # Errors
    /// `TimedOut` when there was none, or the error that ended the connection.
    pub(crate) async fn next(&mut self, until: Instant) -> io::Result<Event> {
        loop {
            self.flush().await?;
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
            // The time is checked each round: a sender without pauses makes the socket always
            // readable.
            let now = Instant::now();
            if now >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let own = self.client.poll_timeout();
            if own.is_some_and(|own| own <= now) {
                self.client.handle_timeout(now);
                continue;
            }
            let deadline = own.map_or(until, |own| own.min(until));
            let read = self.carrier.read(&mut self.buffer);
            // The next round finds out which of the two times is over.
            if let Ok(length) = tokio::time::timeout_at(deadline.into(), read).await {
                let length = length?;
                self.bytes.received += length;
                let bytes = &self.buffer[..length];
                self.client.handle_input(Instant::now(), bytes);
            }
        }
    }

    /// Sends the client's packets.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.client.poll_transmit() {
            self.bytes.sent += bytes.len();
            self.carrier.write(&bytes).await?;
        }
        Ok(())
    }
}

impl Carrier {
    pub(crate) const fn udp(socket: UdpSocket, server: SocketAddr) -> Self {
        Self::Udp {
            socket,
            server,
            stranger: None,
        }
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp {
                socket,
                server,
                stranger,
            } => loop {
                // These are errors of single datagrams that we sent.
                let Ok((length, from)) = socket.recv_from(buffer).await else {
                    continue;
                };
                if from == *server {
                    return Ok(length);
                }
                stranger.get_or_insert(from);
            },
            Self::Dtls(session) => session.read(buffer).await,
            Self::Stream(stream) => match stream.read(buffer).await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                length => Ok(length),
            },
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp { socket, server, .. } => socket.send_to(bytes, *server).await.map(drop),
            Self::Dtls(session) => session.write(bytes).await,
            Self::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }
}
