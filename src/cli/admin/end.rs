//! `hairpin end`: end sessions of the running server.

use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::sessions::Filter;
use super::{Asking, api};
use crate::cli::Failure;

/// End sessions of the running server.
///
/// A client whose session is ended hears nothing; its next request is refused (437),
/// and most clients then begin anew. To keep somebody out, take away the user or the
/// secret first.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(in crate::cli) struct End {
    /// The session of this id, as `hairpin sessions` and the log have it.
    #[arg(value_name = "ID", required_unless_present_any = ["realm", "user", "credential", "client", "peer", "all"])]
    id: Option<String>,

    #[command(flatten)]
    filter: Filter,

    /// All sessions.
    #[arg(long, conflicts_with_all = ["id", "realm", "user", "credential", "client", "peer"])]
    all: bool,

    #[command(flatten)]
    asking: Asking,
}

impl End {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        let Filter {
            realm,
            user,
            credential,
            client,
            peer,
        } = self.filter;
        let end = api::End {
            id: self.id,
            realm,
            user,
            credential,
            client,
            peer,
            all: self.all,
        };
        if let Some(id) = &end.id {
            // Says so if there is none.
            let path = format!("/v1/sessions/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
            self.asking.ask(Method::GET, &path, &())?;
        }
        let words = |ended: api::Ended| match ended.ended {
            1 => "1 session ended\n".to_owned(),
            count => format!("{count} sessions ended\n"),
        };
        self.asking
            .run(Method::POST, "/v1/sessions/end", &end, words)?;
        Ok(ExitCode::SUCCESS)
    }
}

const AFTER_HELP: &str = "\
Examples:
  hairpin end 0.be76a450
  hairpin end --user alice
  hairpin end --client 198.51.100.0/24
  hairpin end --all";
