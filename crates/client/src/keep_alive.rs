//! Requests that are repeated before the state that they created expires.

use std::time::{Duration, Instant};

use crate::{Event, Request};

/// A permission lives five minutes, and a ChannelBind renews that of its peer too.
/// RFC 8656 §9, §12.1.
const PERMISSION_REPEAT: Duration = Duration::from_secs(4 * 60);

/// How long before its end an allocation is refreshed: longer than a transaction can take, so that
/// a server that is away for a moment does not end it.
const ALLOCATION_MARGIN: Duration = Duration::from_secs(60);

/// The requests to repeat, and when.
#[derive(Debug, Default)]
pub(crate) struct KeepAlive(Vec<Repeat>);

#[derive(Debug)]
struct Repeat {
    due: Instant,
    request: Request,
}

impl KeepAlive {
    /// Notes the lifetimes that the server granted.
    pub(crate) fn handle_event(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Allocated { lifetime, .. } => {
                self.clear();
                self.schedule_refresh(now, *lifetime);
            }
            Event::Refreshed { lifetime } if lifetime.is_zero() => self.clear(),
            Event::Refreshed { lifetime } => self.schedule_refresh(now, *lifetime),
            Event::PermissionCreated { peers } => {
                let peers = peers.clone();
                self.schedule(now + PERMISSION_REPEAT, Request::CreatePermission { peers });
            }
            Event::ChannelBound { number, peer } => {
                let (number, peer) = (*number, *peer);
                self.schedule(
                    now + PERMISSION_REPEAT,
                    Request::ChannelBind { number, peer },
                );
            }
            Event::Bound { .. }
            | Event::Connected { .. }
            | Event::ConnectionAttempt { .. }
            | Event::ConnectionBound { .. }
            | Event::Bytes(_)
            | Event::Answered { .. }
            | Event::Data { .. }
            | Event::Lost { .. }
            | Event::Failed { .. }
            | Event::StreamBroken(_) => {}
        }
    }

    /// When [`KeepAlive::take_due`] has a request next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|repeat| repeat.due).min()
    }

    /// A request whose time has come. It is scheduled again only when the server grants it.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Request> {
        let index = self.0.iter().position(|repeat| repeat.due <= now)?;
        Some(self.0.remove(index).request)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn schedule_refresh(&mut self, now: Instant, lifetime: Duration) {
        let margin = ALLOCATION_MARGIN.min(lifetime / 2);
        self.schedule(now + (lifetime - margin), Request::Refresh { lifetime });
    }

    fn schedule(&mut self, due: Instant, request: Request) {
        self.0
            .retain(|repeat| !is_replaced(&repeat.request, &request));
        self.0.push(Repeat { due, request });
    }
}

/// There is one allocation to refresh, whatever its lifetime.
fn is_replaced(old: &Request, new: &Request) -> bool {
    let both_refresh =
        matches!(old, Request::Refresh { .. }) && matches!(new, Request::Refresh { .. });
    both_refresh || old == new
}
