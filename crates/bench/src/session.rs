//! A client with its socket, and the requests that prepare a load.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use client::{AllocateOptions, Client, Config, Event, Failure};
use wire::{AddressFamily, ChannelNumber};

use crate::carrier::{Carrier, PATIENCE};
use crate::lane::Framing;
use crate::trial::{MOMENT, TRIALS, Trial};
use crate::{Fault, Plan, Transport};

/// A client of the server.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) carrier: Carrier,
    server: SocketAddr,
    /// The relayed transport address, while there is an allocation.
    relayed: Option<SocketAddr>,
}

impl Session {
    pub(crate) fn open(plan: &Plan) -> Result<Self, Fault> {
        Self::open_at(plan, 0)
    }

    /// The same over UDP at a port of this host; 0 is any.
    pub(crate) fn open_at(plan: &Plan, port: u16) -> Result<Self, Fault> {
        let transport = match plan.transport {
            Transport::Udp => client::Transport::Udp,
            Transport::Tcp => client::Transport::Tcp,
            Transport::Tls => client::Transport::Tls,
        };
        let mut config = Config::new(transport);
        config.credentials.clone_from(&plan.credentials);
        config.keep_alive = true;
        Ok(Self {
            client: Client::new(config, rand::random()),
            carrier: Carrier::connect(plan, port)?,
            server: plan.server,
            relayed: None,
        })
    }

    /// The relayed transport address of a new allocation.
    pub(crate) fn allocate(&mut self, peer: SocketAddr) -> Result<SocketAddr, Fault> {
        let options = AllocateOptions {
            family: peer.is_ipv6().then_some(AddressFamily::V6),
            ..AllocateOptions::default()
        };
        let start = |client: &mut Client, now| client.allocate(now, options);
        let relayed = self.ask("Allocate", None, start, |event| {
            let Event::Allocated { relayed, .. } = event else {
                return None;
            };
            Some(*relayed)
        })?;
        self.relayed = Some(relayed);
        Ok(relayed)
    }

    /// Whether data of the client comes out where the server says: `arrives` waits a moment for it at `peer`.
    pub(crate) fn try_way(
        &mut self,
        framing: &Framing,
        peer: SocketAddr,
        mut arrives: impl FnMut(Trial) -> bool,
    ) -> Result<(), Fault> {
        let trial = Trial::new();
        for _ in 0..TRIALS {
            // A payload of a few bytes fits any message.
            let _ = match framing {
                Framing::Channel(number) | Framing::PaddedChannel(number) => {
                    self.client.send_channel(*number, &trial.payload())
                }
                Framing::Indication(_) | Framing::None => self.client.send(peer, &trial.payload()),
            };
            let server = self.server;
            let sent = self.send_out();
            sent.map_err(|source| Fault::Connect { server, source })?;
            if arrives(trial) {
                return Ok(());
            }
        }
        Err(Fault::NoWay {
            from: self.carrier.local(),
            relayed: self.relayed.unwrap_or(self.server),
            to: peer,
        })
    }

    /// Whether the client receives what its peer sends to the relayed address. Nobody is put under load by an address
    /// that a server only named: whoever has it must have handed the trial to the server.
    pub(crate) fn try_way_back(&mut self, peer: &UdpSocket) -> Result<(), Fault> {
        let trial = Trial::new();
        for _ in 0..TRIALS {
            // An error here is that of the last trial, which nobody took.
            let _ = peer.send(&trial.payload());
            if self.hears(trial) {
                return Ok(());
            }
        }
        let peer = peer.local_addr();
        Err(Fault::NoWayBack {
            from: peer.map_err(Fault::host("see the address of a peer"))?,
            relayed: self.relayed.unwrap_or(self.server),
            to: self.carrier.local(),
        })
    }

    /// Whether a trial comes within a moment.
    pub(crate) fn hears(&mut self, trial: Trial) -> bool {
        let until = Instant::now() + MOMENT;
        while let Ok(Some(message)) = self.carrier.wait(until) {
            self.client.handle_input(Instant::now(), &message);
            while let Some(event) = self.client.poll_event() {
                if let Event::Data { payload, .. } = event
                    && trial.is_in(&payload)
                {
                    return true;
                }
            }
        }
        false
    }

    /// A channel to a peer.
    pub(crate) fn bind(&mut self, peer: SocketAddr) -> Result<ChannelNumber, Fault> {
        let start = |client: &mut Client, now| {
            // A new client has every number free.
            client.bind_channel(now, peer);
        };
        self.ask("ChannelBind", Some(peer), start, |event| {
            let Event::ChannelBound { number, .. } = event else {
                return None;
            };
            Some(*number)
        })
    }

    /// A permission for a peer.
    pub(crate) fn permit(&mut self, peer: SocketAddr) -> Result<(), Fault> {
        let start = |client: &mut Client, now| client.create_permission(now, &[peer]);
        self.ask("CreatePermission", Some(peer), start, |event| {
            matches!(event, Event::PermissionCreated { .. }).then_some(())
        })
    }

    /// Another lifetime of the allocation; zero ends it.
    pub(crate) fn refresh(&mut self, lifetime: Duration) -> Result<(), Fault> {
        let start = |client: &mut Client, now| client.refresh(now, lifetime);
        self.ask("Refresh", None, start, |event| {
            matches!(event, Event::Refreshed { .. }).then_some(())
        })?;
        if lifetime.is_zero() {
            self.relayed = None;
        }
        Ok(())
    }

    /// Asks, and waits for the event that answers.
    fn ask<T>(
        &mut self,
        what: &'static str,
        peer: Option<SocketAddr>,
        start: impl FnOnce(&mut Client, Instant),
        answered: impl Fn(&Event) -> Option<T>,
    ) -> Result<T, Fault> {
        let server = self.server;
        let broken = |source: io::Error| Fault::Connect { server, source };
        let deadline = Instant::now() + PATIENCE;
        start(&mut self.client, Instant::now());
        loop {
            self.send_out().map_err(broken)?;
            while let Some(event) = self.client.poll_event() {
                if let Some(answer) = answered(&event) {
                    return Ok(answer);
                }
                if let Event::Failed { failure: why, .. } = event {
                    return Err(if why == Failure::Timeout {
                        Fault::Silent { server, what }
                    } else {
                        Fault::Refused { what, why, peer }
                    });
                }
            }
            let until = self.client.poll_timeout();
            let until = until.map_or(deadline, |until| until.min(deadline));
            let came = self.carrier.wait(until).map_err(broken)?;
            let now = Instant::now();
            match came {
                Some(message) => self.client.handle_input(now, &message),
                None if now >= deadline => return Err(Fault::Silent { server, what }),
                None => self.client.handle_timeout(now),
            }
        }
    }

    /// Does what is due without waiting: refreshes, and what was asked again.
    pub(crate) fn keep_alive(&mut self, now: Instant) -> io::Result<()> {
        if self.client.poll_timeout().is_some_and(|due| due <= now) {
            self.client.handle_timeout(now);
        }
        // A failure is seen by the data that does not arrive.
        while self.client.poll_event().is_some() {}
        self.send_out()
    }

    fn send_out(&mut self) -> io::Result<()> {
        while let Some(message) = self.client.poll_transmit() {
            self.carrier.send(&message)?;
        }
        Ok(())
    }
}

impl Drop for Session {
    /// Gives back what the server granted, also where the load could not be prepared.
    fn drop(&mut self) {
        if self.relayed.is_some() {
            self.client.refresh(Instant::now(), Duration::ZERO);
            // It ends by itself, if the server does not hear.
            let _ = self.send_out();
        }
    }
}
