//! `hairpin drain` and `hairpin reload`.

use std::process::ExitCode;

use clap::Args;
use hyper::Method;

use super::{Asking, api};
use crate::cli::Failure;

/// Have the running server grant no new sessions, and end with the last one.
///
/// Sessions that there are go on. New clients are sent to another server by a
/// `[[redirect]]` with when = "draining", or refused. The same as SIGUSR1.
#[derive(Args)]
#[command(after_long_help = "Examples:\n  hairpin drain\n  hairpin drain --undo")]
pub(in crate::cli) struct Drain {
    /// Grant sessions again.
    #[arg(long)]
    undo: bool,

    #[command(flatten)]
    asking: Asking,
}

/// Have the running server read its configuration again, and say what changed.
///
/// The same as SIGHUP, but the answer comes here: the keys that changed, or every
/// fault of the file, which then changes nothing.
#[derive(Args)]
pub(in crate::cli) struct Reload {
    #[command(flatten)]
    asking: Asking,
}

impl Drain {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let method = if self.undo {
            Method::DELETE
        } else {
            Method::POST
        };
        let words = |status: api::Status| match (status.draining, status.allocations) {
            (true, 0) => "draining: no session is left, the server ends\n".to_owned(),
            (true, left) => format!("draining: the server ends with the last of {left} sessions\n"),
            (false, _) => "sessions are granted\n".to_owned(),
        };
        self.asking.run(method, "/v1/drain", &(), words)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Reload {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let words = |reloaded: api::Reloaded| {
            let mut text = match reloaded.changed.join(", ") {
                none if none.is_empty() => "changed: nothing\n".to_owned(),
                keys => format!("changed: {keys}\n"),
            };
            if !reloaded.needs_restart.is_empty() {
                let keys = reloaded.needs_restart.join(", ");
                text += &format!("needs a restart: {keys}\n");
            }
            text
        };
        self.asking.run(Method::POST, "/v1/reload", &(), words)?;
        Ok(ExitCode::SUCCESS)
    }
}
