//! The channels that the client asked for. RFC 8656 §12.

use std::net::SocketAddr;

use wire::ChannelNumber;

use crate::{Event, Failure, Request};

/// The channels by number: 0x4000 comes first.
#[derive(Debug, Default)]
pub(crate) struct Channels(Vec<Option<Channel>>);

#[derive(Debug)]
struct Channel {
    peer: SocketAddr,
    /// Whether the server has granted it at least once.
    bound: bool,
}

impl Channels {
    pub(crate) fn peer(&self, number: ChannelNumber) -> Option<SocketAddr> {
        let channel = self.0.get(index(number))?.as_ref()?;
        Some(channel.peer)
    }

    /// The channel of a peer: the one that it has, or else the lowest free one; `None` if all 4,096
    /// are taken. The channel is known from now on, since data may overtake the answer to the bind.
    pub(crate) fn take(&mut self, peer: SocketAddr) -> Option<ChannelNumber> {
        let held = |slot: &Option<Channel>| slot.as_ref().is_some_and(|held| held.peer == peer);
        if let Some(index) = self.0.iter().position(held) {
            return number(index);
        }
        let free = self.0.iter().position(Option::is_none);
        let index = free.unwrap_or(self.0.len());
        let number = number(index)?;
        if index == self.0.len() {
            self.0.push(None);
        }
        self.0[index] = Some(Channel { peer, bound: false });
        Some(number)
    }

    /// Notes the channels that the server granted or refused.
    pub(crate) fn handle_event(&mut self, event: &Event) {
        match event {
            Event::Allocated { .. } => self.0.clear(),
            Event::Refreshed { lifetime } if lifetime.is_zero() => self.0.clear(),
            Event::ChannelBound { number, .. } => self.confirm(*number),
            Event::Failed {
                request: Request::ChannelBind { number, .. },
                failure: Failure::Refused { .. },
            } => self.refuse(*number),
            Event::Bound { .. }
            | Event::Connected { .. }
            | Event::ConnectionAttempt { .. }
            | Event::ConnectionBound { .. }
            | Event::Bytes(_)
            | Event::Refreshed { .. }
            | Event::PermissionCreated { .. }
            | Event::Answered { .. }
            | Event::Data { .. }
            | Event::Lost { .. }
            | Event::Failed { .. }
            | Event::StreamBroken(_) => {}
        }
    }

    fn confirm(&mut self, number: ChannelNumber) {
        if let Some(Some(channel)) = self.0.get_mut(index(number)) {
            channel.bound = true;
        }
    }

    /// Frees a number that the server never bound. One that it bound before stays bound there.
    fn refuse(&mut self, number: ChannelNumber) {
        if let Some(slot) = self.0.get_mut(index(number)) {
            slot.take_if(|channel| !channel.bound);
        }
    }
}

fn index(number: ChannelNumber) -> usize {
    usize::from(number.get() - ChannelNumber::MIN.get())
}

fn number(index: usize) -> Option<ChannelNumber> {
    let offset = u16::try_from(index).ok()?;
    ChannelNumber::new(ChannelNumber::MIN.get().checked_add(offset)?)
        .filter(|number| *number <= ChannelNumber::MAX_NEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_peer_keeps_its_number_and_a_refused_number_is_free_again() {
        let mut channels = Channels::default();
        let first = channels.take(peer(1)).unwrap();
        let second = channels.take(peer(2)).unwrap();
        assert_eq!((first.get(), second.get()), (0x4000, 0x4001));
        assert_eq!(channels.take(peer(1)), Some(first));

        channels.confirm(second);
        channels.refuse(first);
        channels.refuse(second);
        assert_eq!(channels.peer(first), None);
        assert_eq!(channels.peer(second), Some(peer(2)));
        assert_eq!(channels.take(peer(3)), Some(first));
    }

    #[test]
    fn the_numbers_end() {
        let mut channels = Channels::default();
        for port in 0..4096 {
            assert!(channels.take(peer(port)).is_some());
        }
        assert_eq!(channels.take(peer(4096)), None);
        assert!(channels.take(peer(4095)).is_some());
    }
}
