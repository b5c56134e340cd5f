//! `users-file`: users in a file of their own, which is a table of names as `[auth.users]` is.

use std::collections::BTreeMap;
use std::mem;

use super::Review;
use super::credentials::Seen;
use crate::config::remark::Remarks;
use crate::config::table::{Table, Text};
use crate::config::{Secret, UserKey, mask, read};

impl Review<'_> {
    /// The users in a file. The remarks about it are about its own text.
    pub(super) fn users_in_file(
        &mut self,
        key: &str,
        written: &Text<'_>,
        realm: &str,
        seen: &mut Seen,
    ) -> BTreeMap<String, UserKey> {
        let mut users = BTreeMap::new();
        let Some(text) = self.file(key, written, Secret::text, |_| USERS_FILE) else {
            return users;
        };
        let text = text.expose();
        let of_this_file = mem::take(&mut self.remarks);
        let known = self.secrets.len();
        let mut hidden = Vec::new();
        match read::tree(text) {
            Ok(tree) => {
                // Names are the keys there, so all values are secret.
                mask::secrets(&tree, "auth.users", &mut hidden);
                let read = read::users(&tree, key, self.host);
                let is_right = read.is_ok();
                let remarks = read.unwrap_or_else(|remarks| remarks);
                self.remarks = remarks.into_iter().collect();
                if is_right {
                    users = self.users(&Table::top(&tree), key, realm, seen);
                }
            }
            Err(fault) => {
                hidden.push(0..text.len());
                self.say(fault);
            }
        }
        for secret in &mut self.secrets[known..] {
            secret.at = written.span();
        }
        let remarks = mem::replace(&mut self.remarks, of_this_file);
        let path = self.path(written).unwrap_or_default();
        let path = path.display().to_string();
        self.others
            .append(Remarks::new(path, text, &hidden, remarks.in_order()));
        users
    }
}

const USERS_FILE: &str = "a relative path starts at the directory of the configuration file; the \
                          file holds a line such as alice = \"password\" for each user, and the \
                          user that runs the server must be able to read it";
