//! `hairpin end`: end sessions of the running server.

use std::process::ExitCode;

use clap::Args;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::sessions::{FILTERS, Filter};
use super::{Asking, Fault, api};
use crate::cli::Failure;

/// End sessions of the running server.
///
/// A client whose session is ended hears nothing; its next request is refused (437),
/// and most clients then open a new session. To keep somebody out, take away the user or the
/// secret first.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(in crate::cli) struct End {
    /// The session of this id, as `hairpin sessions` and the log have it.
    #[arg(value_name = "ID", conflicts_with_all = FILTERS)]
    id: Option<String>,

    #[command(flatten)]
    filter: Filter,

    /// All sessions.
    #[arg(long, conflicts_with = "id", conflicts_with_all = FILTERS)]
    all: bool,

    #[command(flatten)]
    asking: Asking,
}

impl End {
    pub(in crate::cli) fn run(self) -> Result<ExitCode, Failure> {
        if self.id.is_none() && !self.all && self.filter.is_empty() {
            return Err(Failure::Usage(
                "which session is to end? Name its ID (`hairpin sessions` lists them), or several by \
                 --user, --credential, --realm, --client or --peer, or --all",
            ));
        }
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
            let session = self.asking.ask(Method::GET, &path, &())?;
            if !session["ended"].is_null() {
                let sentence = format!("there is no session {id} any more: it has ended already");
                return Err(Fault::Refused(sentence).into());
            }
        }
        let words = |ended: &api::Ended| match ended.ended {
            1 => "1 session ended\n".to_owned(),
            count => format!("{count} sessions ended\n"),
        };
        let answer = self.asking.ask(Method::POST, "/v1/sessions/end", &end)?;
        let ended: api::Ended = serde_json::from_value(answer).map_err(Fault::from)?;
        // One that has ended is shown for a while, and cannot end again.
        if let Some(id) = end.id.filter(|_| ended.ended == 0) {
            let sentence = format!("there is no session {id} any more");
            return Err(Fault::Refused(sentence).into());
        }
        self.asking.print(&ended, words)?;
        Ok(ExitCode::SUCCESS)
    }
}

const AFTER_HELP: &str = "\
Examples:
  hairpin end 0.be76a450
  hairpin end --user alice
  hairpin end --client 198.51.100.0/24
  hairpin end --all";
