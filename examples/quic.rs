//! QUIC through an allocation: the client crate as quinn's socket.
//!
//! A host whose network lets nothing out but TURN fetches a greeting from an ordinary QUIC server. The server needs to
//! know nothing of it: to the server the client is at the relayed address.
//!
//! ```text
//!  quinn ── Relayed ══ ChannelData over UDP ══ hairpin ── QUIC over UDP ── quinn
//! ```
//!
//! Try it on one machine, in three terminals. The relay is told to reach this one port of the loopback network, which
//! is closed to it otherwise:
//!
//! ```text
//! cat > quic.toml <<'END'
//! realm = "example.org"
//! auth.users.alice = "wonderland"
//! relay.addresses = ["127.0.0.1"]
//! peers.allow = ["127.0.0.0/8:4433"]
//! [[listener]]
//! transport = "udp"
//! listen = "127.0.0.1:3478"
//! END
//! cargo run -- serve --config quic.toml
//! cargo run --example quic -- serve 127.0.0.1:4433 --certificate quic.der
//! cargo run --example quic -- fetch 127.0.0.1:4433 --certificate quic.der \
//!     --turn 127.0.0.1:3478 --user alice --password wonderland
//! ```
//!
//! To copy: [`Relayed`]. It asks for the allocation and the channels, and is then a socket in quinn's eyes; the packets
//! of a peer wait in no queue of ours, and quinn's own calls drive the client's timers.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use client::{AllocateOptions, Client, Config, Credentials, Event, Transport};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, TokioRuntime, UdpPoller};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::Sleep;
use wire::{AddressFamily, ChannelNumber};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// QUIC through a TURN server's relay.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Serves a greeting to QUIC clients, without any relay
    Serve {
        /// The address and port to listen at
        listen: SocketAddr,
        /// The file that the certificate is written to, for the client
        #[arg(long)]
        certificate: PathBuf,
    },
    /// Fetches the greeting through the relay
    Fetch {
        /// The address and port of the QUIC server, as the TURN server reaches it
        server: SocketAddr,
        /// The file of its certificate
        #[arg(long)]
        certificate: PathBuf,
        /// The address and port of the TURN server, over UDP
        #[arg(long)]
        turn: SocketAddr,
        /// The user of the TURN server
        #[arg(long)]
        user: String,
        /// The user's password
        #[arg(long)]
        password: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().part {
        Part::Serve {
            listen,
            certificate,
        } => serve(listen, &certificate).await,
        Part::Fetch {
            server,
            certificate,
            turn,
            user,
            password,
        } => {
            let credentials = Credentials::new(&user, &password)?;
            let file = fs::read(&certificate);
            let file = file.map_err(|error| format!("{}: {error}", certificate.display()))?;
            fetch(server, file.into(), turn, credentials).await
        }
    }
}

/// The client: all but how the relayed socket comes about is what quinn's own documentation shows.
async fn fetch(
    server: SocketAddr,
    certificate: CertificateDer<'static>,
    turn: SocketAddr,
    credentials: Credentials,
) -> Result<()> {
    let family = AddressFamily::of(server.ip());
    let relayed = Relayed::allocate(turn, credentials, family).await;
    let relayed = relayed.map_err(|error| format!("TURN server {turn}: {error}"))?;
    let reached = relayed.reach(server).await;
    reached.map_err(|error| format!("the way to {server}: {error}"))?;
    println!("relayed at {}", relayed.address);

    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let config = quinn::ClientConfig::with_root_certificates(Arc::new(roots))?;
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new_with_abstract_socket(
        EndpointConfig::default(),
        None,
        Arc::new(relayed),
        runtime,
    )?;
    let connection = endpoint.connect_with(config, server, NAME)?.await?;
    let (mut ask, mut answer) = connection.open_bi().await?;
    ask.write_all(b"Can you hear me?").await?;
    ask.finish()?;
    let answer = answer.read_to_end(LONGEST).await?;
    println!("{}", String::from_utf8_lossy(&answer));
    connection.close(0_u8.into(), b"");
    endpoint.wait_idle().await;
    Ok(())
}

/// The server: nothing in it knows of a relay.
async fn serve(listen: SocketAddr, certificate: &Path) -> Result<()> {
    let issued = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    fs::write(certificate, issued.cert.der())?;
    let chain = vec![issued.cert.der().clone()];
    let config = quinn::ServerConfig::with_single_cert(chain, key)?;
    let endpoint = Endpoint::server(config, listen)?;
    println!("serving at {}", endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Err(error) = greet(incoming).await {
                println!("a client was not greeted: {error}");
            }
        });
    }
    Ok(())
}

async fn greet(incoming: quinn::Incoming) -> Result<()> {
    let connection = incoming.await?;
    let client = connection.remote_address();
    let (mut answer, mut ask) = connection.accept_bi().await?;
    let asked = ask.read_to_end(LONGEST).await?;
    println!("{client} asks: {:?}", String::from_utf8_lossy(&asked));
    let greeting = format!("Yes. To me you are at {client}.");
    answer.write_all(greeting.as_bytes()).await?;
    answer.finish()?;
    // The client closes when it has read all of it.
    connection.closed().await;
    Ok(())
}

/// An allocation at a TURN server, as quinn's socket.
struct Relayed {
    /// The address that peers see.
    address: SocketAddr,
    link: Arc<Link>,
}

/// The way to the TURN server.
struct Link {
    socket: UdpSocket,
    state: Mutex<State>,
}

/// The client as a value, and the timer that calls it.
struct State {
    client: Client,
    channels: HashMap<SocketAddr, ChannelNumber>,
    timer: Pin<Box<Sleep>>,
}

impl Relayed {
    /// Asks the TURN server for a relayed address of this family.
    async fn allocate(
        turn: SocketAddr,
        credentials: Credentials,
        family: AddressFamily,
    ) -> Result<Self> {
        let any = match turn {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(turn).await?;
        let mut config = Config::new(Transport::Udp);
        config.credentials = Some(credentials);
        // The client itself refreshes the allocation and its channels.
        config.keep_alive = true;
        let link = Link {
            socket,
            state: Mutex::new(State {
                client: Client::new(config, rand::random()),
                channels: HashMap::new(),
                timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            }),
        };
        let options = AllocateOptions {
            family: Some(family),
            ..AllocateOptions::default()
        };
        link.change(|client, now| client.allocate(now, options));
        let event = poll_fn(|cx| link.poll_event(cx, &mut [0; PACKET])).await?;
        let Event::Allocated { relayed, .. } = event else {
            return Err(format!("no allocation: {event:?}").into());
        };
        Ok(Self {
            address: relayed,
            link: Arc::new(link),
        })
    }

    /// Binds a channel to a peer; without one packets to it go nowhere. A TURN server that is not allowed to relay to
    /// the peer refuses it here, with 403.
    async fn reach(&self, peer: SocketAddr) -> Result<()> {
        let bind = |client: &mut Client, now| client.bind_channel(now, peer);
        let channel = self.link.change(bind).ok_or("all channels are taken")?;
        let event = poll_fn(|cx| self.link.poll_event(cx, &mut [0; PACKET])).await?;
        let Event::ChannelBound { .. } = event else {
            return Err(format!("no channel: {event:?}").into());
        };
        self.link.state().channels.insert(peer, channel);
        Ok(())
    }
}

impl Link {
    /// Sends a packet of quinn's on the channel of its peer.
    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.state();
        let peer = transmit.destination;
        let Some(number) = state.channels.get(&peer).copied() else {
            // Quinn takes it for a lost packet.
            return Ok(());
        };
        let sent = state.client.send_channel(number, transmit.contents);
        sent.map_err(io::Error::other)?;
        let packet = state.client.poll_transmit().unwrap_or_default();
        self.socket.try_send(&packet).map(drop)
    }

    /// Changes the client, then sends what it wants sent and sets the timer that it wants set.
    fn change<T>(&self, change: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state.client, Instant::now());
        // A request that the kernel does not take now is sent again by the client's timer.
        while let Some(packet) = state.client.poll_transmit() {
            let _ = self.socket.try_send(&packet);
        }
        changed
    }

    /// The next event of the client. Until there is one this reads the socket and keeps the client's time. A request that
    /// fails is an error of the socket: without its allocation it is of no use.
    fn poll_event(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Event>> {
        loop {
            let event = self.state().client.poll_event();
            if let Some(Event::Failed { request, failure }) = event {
                let method = request.method();
                return Poll::Ready(Err(io::Error::other(format!("{method:?}: {failure}"))));
            }
            if let Some(event) = event {
                return Poll::Ready(Ok(event));
            }
            if self.poll_timer(cx).is_ready() {
                self.change(Client::handle_timeout);
                continue;
            }
            let mut packet = ReadBuf::new(buffer);
            ready!(self.socket.poll_recv(cx, &mut packet))?;
            self.change(|client, now| client.handle_input(now, packet.filled()));
        }
    }

    /// Ready when the client's time has come.
    fn poll_timer(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let Some(deadline) = state.client.poll_timeout() else {
            return Poll::Pending;
        };
        if state.timer.deadline().into_std() != deadline {
            state.timer.as_mut().reset(deadline.into());
        }
        state.timer.as_mut().poll(cx)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The functions that quinn asks of a socket.
impl AsyncUdpSocket for Relayed {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable(self.link.clone()))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.link.send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = [0; PACKET];
        loop {
            let event = ready!(self.link.poll_event(cx, &mut buffer))?;
            // An answer of the TURN server is of no interest to quinn, and a datagram that does not fit would not be
            // quinn's.
            if let Event::Data { peer, payload, .. } = event
                && let Some(room) = buffers[0].get_mut(..payload.len())
            {
                room.copy_from_slice(&payload);
                meta[0] = RecvMeta {
                    addr: peer,
                    len: payload.len(),
                    stride: payload.len(),
                    ..RecvMeta::default()
                };
                return Poll::Ready(Ok(1));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A task of quinn that waits until it may send.
#[derive(Debug)]
struct Writable(Arc<Link>);

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.socket.poll_send_ready(cx)
    }
}

impl fmt::Debug for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "relayed at {}", self.address)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

/// The name in the certificate.
const NAME: &str = "quic.test";
/// In bytes: the longest question or greeting.
const LONGEST: usize = 1024;
/// In bytes: no datagram is longer.
const PACKET: usize = 65_536;
