//! One 5-tuple with a server: a client and what carries its messages.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use client::{Client, Credentials, Event, Retransmission};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::PATIENCE;
use super::dtls::Session;

/// A client and its connection.
pub(super) struct Link {
    pub(super) client: Client,
    carrier: Carrier,
    buffer: Vec<u8>,
    /// Bytes of all that was sent and of all that came, as UDP payload or stream.
    pub(super) bytes: Sizes,
}

/// What carries a client's messages.
pub(super) enum Carrier {
    /// Datagrams from and to one server.
    Udp {
        socket: UdpSocket,
        server: SocketAddr,
        /// Who else sent to this socket, if anybody did.
        stranger: Option<SocketAddr>,
    },
    /// Datagrams inside DTLS.
    Dtls(Box<Session>),
    /// TCP or TLS.
    Stream(Box<dyn Stream>),
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How much was sent and how much came for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub(super) sent: usize,
    pub(super) received: usize,
}

impl Link {
    pub(super) fn new(
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

    /// The reflexive address, if the server tells it.
    pub(super) async fn binding(&mut self) -> Option<SocketAddr> {
        let now = Instant::now();
        self.client.binding(now);
        let event = self.next(now + PATIENCE).await.ok()?;
        if let Event::Bound { mapped } = event {
            Some(mapped)
        } else {
            None
        }
    }

    /// The socket, free for other peers.
    pub(super) fn into_socket(self) -> Option<UdpSocket> {
        match self.carrier {
            Carrier::Udp { socket, .. } => Some(socket),
            Carrier::Dtls(_) | Carrier::Stream(_) => None,
        }
    }

    /// Who answered in place of the server, if anybody did.
    pub(super) const fn stranger(&self) -> Option<SocketAddr> {
        match self.carrier {
            Carrier::Udp { stranger, .. } => stranger,
            Carrier::Dtls(_) | Carrier::Stream(_) => None,
        }
    }

    /// Sends what the client has to say and returns the next thing that it has to tell, at the
    /// latest at `until`.
    ///
    /// # Errors
    /// `TimedOut` when nothing came, or what ended the connection.
    pub(super) async fn next(&mut self, until: Instant) -> io::Result<Event> {
        loop {
            self.flush().await?;
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
            // Asked for each time: who sends without end is always ready to be read.
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
            // Whose time it is if it is over shows above.
            if let Ok(length) = tokio::time::timeout_at(deadline.into(), read).await {
                let length = length?;
                self.bytes.received += length;
                let bytes = &self.buffer[..length];
                self.client.handle_input(Instant::now(), bytes);
            }
        }
    }

    /// Sends what the client has to say.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.client.poll_transmit() {
            self.bytes.sent += bytes.len();
            self.carrier.write(&bytes).await?;
        }
        Ok(())
    }
}

impl Carrier {
    pub(super) const fn udp(socket: UdpSocket, server: SocketAddr) -> Self {
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
                // Errors are those of single datagrams that we sent.
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
