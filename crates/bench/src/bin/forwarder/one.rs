//! One datagram a call.

use std::io;
use std::net::UdpSocket;

use wire::ChannelData;

use crate::flows::Flows;
use crate::{HEADER, Moves, is_for_later};

/// Room for a datagram, and a header before it.
pub(crate) struct Mover(Vec<u8>);

impl Mover {
    pub(crate) fn new() -> Self {
        Self(vec![0; HEADER + usize::from(u16::MAX)])
    }
}

impl Moves for Mover {
    const JOINS: bool = false;

    fn up(&mut self, listener: &UdpSocket, flows: &mut Flows) -> io::Result<()> {
        for _ in 0..MOST {
            let (length, client) = match listener.recv_from(&mut self.0) {
                Ok(received) => received,
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            let packet = &self.0[..length];
            let Ok(data) = ChannelData::parse(packet) else {
                flows.handle_request(listener, client, packet)?;
                continue;
            };
            if let Some(flow) = flows.of(client) {
                // A datagram that the kernel has no room for is lost, as on any way.
                let _ = flow.relay.send_to(data.payload, flow.peer);
            }
        }
        Ok(())
    }

    /// One a turn: to ask whether there is another would be a call for nothing, as the socket stays ready.
    fn down(&mut self, listener: &UdpSocket, flows: &mut Flows, place: usize) -> io::Result<()> {
        let Some(flow) = flows.at(place) else {
            return Ok(());
        };
        let (length, peer) = match flow.relay.recv_from(&mut self.0[HEADER..]) {
            Ok(received) => received,
            Err(error) if is_for_later(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        if peer == flow.peer {
            self.0[..HEADER].copy_from_slice(&flow.header(length));
            let _ = listener.send_to(&self.0[..HEADER + length], flow.client);
        }
        Ok(())
    }
}

/// So many datagrams of clients before peers have their turn.
const MOST: usize = 64;
