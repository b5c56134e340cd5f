//! Bundles: datagrams of a turn that leave one listener in one call, whichever clients receive them.

use std::io::IoSlice;

use arrayvec::ArrayVec;
use relay::{ClientTuple, Destination, Outgoing, Transport};

use crate::run::Datagram;
use crate::sys::{BATCH, Label};

/// Datagrams to clients over UDP, in their order.
#[derive(Default)]
pub(crate) struct Bundle<'d> {
    /// The place of the listener.
    pub(crate) listener: usize,
    datagrams: ArrayVec<(Label, Datagram<'d>), BATCH>,
}

impl<'d> Bundle<'d> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Takes a datagram that is to leave this listener. If it leaves another one than those before, or there is no room,
    /// they are to leave first: false, then.
    pub(crate) fn take(&mut self, listener: usize, label: Label, datagram: Datagram<'d>) -> bool {
        if self.is_empty() {
            self.listener = listener;
        }
        self.listener == listener && self.datagrams.try_push((label, datagram)).is_ok()
    }

    /// Each, as it leaves.
    pub(crate) fn parts(&self) -> ArrayVec<(Label, [IoSlice<'_>; 3]), BATCH> {
        let each = self.datagrams.iter();
        each.map(|(label, datagram)| (*label, datagram.parts()))
            .collect()
    }

    pub(crate) fn clear(&mut self) {
        self.datagrams.clear();
    }
}

/// The client of a datagram that can be one of a bundle.
pub(crate) fn client_of<'d>(outgoing: &Outgoing<&'d [u8]>) -> Option<(ClientTuple, Datagram<'d>)> {
    let (client, header) = match outgoing.to {
        Destination::Client { client, header } => (client, Some(header)),
        Destination::Answer(client) => (client, None),
        Destination::Peer(_) | Destination::Relayed(_) | Destination::Partner(_) => return None,
    };
    let payload = outgoing.contents;
    (client.transport == Transport::Udp).then_some((client, Datagram { header, payload }))
}
