//! How listeners come and go while the shards work.

use std::io;
use std::net::SocketAddr;

use tokio::time::{Instant, timeout_at};

use super::Running;
use crate::listeners::{Listener, Prepared, Relistened};
use crate::{Fault, ListenerOptions, Transports};

impl Running {
    /// Binds what these listeners need beyond those that there are. Sockets that are prepared and not served are
    /// closed again.
    ///
    /// # Errors
    /// [`Fault`], if an address cannot be had, calls would break, or TLS is wanted of a server that was
    /// started without it. Nothing has changed then.
    pub fn prepare(&self, wanted: &[ListenerOptions]) -> Result<Prepared, Fault> {
        if !self.serves_tls
            && let Some(&ListenerOptions { listen, .. }) = wanted.iter().find(|it| it.needs_tls())
        {
            return Err(Fault::NoCertificate { listen });
        }
        self.listeners.prepare(wanted)
    }

    /// From now on these listeners are served by every shard, and by each that begins anew. A listener
    /// that is not among them retires: it serves the allocations on it to their end, if its clients
    /// send datagrams; the rules are to refuse new ones ([`relay::Rules::retiring`]). One for streams closes,
    /// and its connections live on.
    ///
    /// # Errors
    /// [`Fault::Listeners`], if a shard cannot take a socket. All is as it was then.
    pub async fn listen(&self, prepared: Prepared) -> Result<Relistened, Fault> {
        let before = self.listeners.noted();
        let (changes, gone) = self.listeners.adopt(prepared);
        if let Err(error) = self.relisten().await {
            self.listeners.restore(&before, gone);
            // They have had these sockets before.
            let _ = self.relisten().await;
            return Err(Fault::Listeners(error));
        }
        Ok(changes)
    }

    /// Closes the listeners that retire and have no allocation in any shard; returns them.
    pub async fn close_unused(&self) -> Vec<(Transports, SocketAddr)> {
        // An allocation that moves from shard to shard is in one of two surveys.
        for _ in 0..2 {
            if self.listeners.those(true).is_empty() {
                return Vec::new();
            }
            let (survey, silent) = self.survey().await;
            let is_used = |it: &Listener| survey.listeners.keys().any(|server| it.has(*server));
            if !silent.is_empty() || self.listeners.are_all_used(is_used) {
                return Vec::new();
            }
        }
        let (survey, _) = self.survey().await;
        let closed = self
            .listeners
            .close(|it| survey.listeners.keys().any(|server| it.has(*server)));
        // A shard that stands still lets go when it goes on.
        let _ = self.relisten().await;
        // The sockets of all shards close here, together.
        closed
            .into_iter()
            .map(|it| (it.transports, it.listen))
            .collect()
    }

    /// Has every shard follow the list, and waits for those that turn.
    async fn relisten(&self) -> io::Result<()> {
        let deadline = Instant::now() + Self::PATIENCE;
        let mut outcome = Ok(());
        for answered in self.post.relisten() {
            if let Ok(Ok(Err(error))) = timeout_at(deadline, answered).await {
                outcome = Err(error);
            }
        }
        outcome
    }
}
