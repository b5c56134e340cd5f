//! The question for the key of a user, which the core asks and somebody outside the shard answers.

use std::sync::Arc;
use std::time::Instant;

use relay::keys::User;
use relay::{NoKey, ShardId, UserName};

use crate::inbox::Post;

/// A question for the key of a user whose realm is remote ([`relay::Keys::remote`]). The client's
/// request waits for [`KeyRequest::answer`], up to the deadline; nothing else does.
#[derive(Debug)]
pub struct KeyRequest {
    pub(crate) name: UserName,
    pub(crate) deadline: Instant,
    pub(crate) shard: ShardId,
    pub(crate) post: Arc<Post>,
}

impl KeyRequest {
    /// The user.
    pub const fn name(&self) -> &UserName {
        &self.name
    }

    /// When the client's request is given up. A later answer still serves requests that come after
    /// it.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Answers, from any thread. It does not block.
    pub fn answer(self, outcome: Result<User, NoKey>) {
        self.post.bring_key(self.shard, self.name, outcome);
    }
}
