//! `users-file`: users in a file of their own, which is a table of names as `[auth.users]` is.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Range;

use super::Judge;
use crate::config::fault::{AuthFault, KeyName};
use crate::config::file::Text;
use crate::config::report::Report;
use crate::config::secret::{NoSecret, Secret};
use crate::config::{UserKey, shape};

impl Judge<'_> {
    /// The users in a file. Its findings are about its own text.
    pub(super) fn users_in_file(
        &mut self,
        key: &KeyName,
        written: &Text,
        realms: (&str, &[String]),
        seen: &mut BTreeMap<String, Option<Range<usize>>>,
    ) -> Option<BTreeMap<String, UserKey>> {
        let path = self.directory.join(written.get_ref());
        let text = match self.file(key, written) {
            Ok(text) => text,
            // Nobody yet.
            Err(NoSecret::Empty) => Secret::new(""),
            Err(source @ (NoSecret::Unreadable(_) | NoSecret::Binary)) => {
                let key = key.clone();
                return self.refuse(AuthFault::UsersFile { key, path, source }, written.span());
            }
        };
        let shaped = shape::read_users(text.expose());
        let of_this_file = mem::take(&mut self.findings);
        let known = self.secrets.len();
        let users = match shaped.file {
            Ok(users) => self.users(key, users, realms, seen),
            Err(findings) => {
                self.findings = findings;
                None
            }
        };
        for secret in &mut self.secrets[known..] {
            secret.move_to(&written.span());
        }
        let findings = mem::replace(&mut self.findings, of_this_file);
        let path = path.display().to_string();
        let report = Report::new(path, text.expose(), &shaped.hidden, findings);
        self.others.append(report);
        users
    }
}
