//! ConnectionBind: makes the connection that it comes on the other end of a peer's. RFC 6062 §5.4.

use super::Outcome;
use crate::auth::Signed;
use crate::{ConnectionId, Effect, Now, Reject, Server};

/// RFC 6062 §5.4. Bytes behind this request on the connection are data.
pub(super) fn connection_bind(
    server: &mut Server,
    _: Now,
    request: &Signed<'_>,
) -> Result<Outcome, Reject> {
    let client = request.client;
    if !client.transport.is_stream() {
        return Err(Reject::NotAStream);
    }
    let connection: ConnectionId = request.require()?;
    // It would be the end of the control connection that it is.
    if server.has_allocation(client) {
        return Err(Reject::AllocationExists);
    }
    let entry = server.shared.connections.bind(connection, request)?;
    server.counters.bound += 1;
    server.effects.push(Effect::Splice {
        client,
        connection,
        passage: entry.passage,
    });
    server.claim(connection, entry.shard);
    Ok(Outcome::Granted)
}
