//! `[[auth.realm]]`: realms beside the default one.

use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;

use super::auth::realm_flaw;
use super::credentials::Credentials;
use super::{Judge, Surroundings};
use crate::config::caution::Caution;
use crate::config::fault::{AuthFault, Fault, Form, KeyName};
use crate::config::file::{RealmTable, Text};
use crate::config::{Listener, Realm};

/// What realms have used up, and where: each name and each listener is had once.
#[derive(Default)]
struct Used {
    /// The default realm has no place.
    names: Vec<(String, Option<Range<usize>>)>,
    listeners: Vec<(SocketAddr, Range<usize>)>,
}

impl Judge<'_> {
    pub(super) fn realms(
        &mut self,
        tables: Vec<Spanned<RealmTable>>,
        around: Surroundings<'_>,
    ) -> Option<Vec<Realm>> {
        let default = around.realms.first();
        let mut used = Used {
            names: default
                .map(|name| (name.clone(), None))
                .into_iter()
                .collect(),
            ..Used::default()
        };
        let read: Vec<_> = tables
            .into_iter()
            .map(|table| self.other_realm(table, around, &mut used))
            .collect();
        read.into_iter().collect()
    }

    fn other_realm(
        &mut self,
        table: Spanned<RealmTable>,
        around: Surroundings<'_>,
        used: &mut Used,
    ) -> Option<Realm> {
        let at = table.span();
        let table = table.into_inner();
        let name = self.realm_name(table.name.as_ref(), at.clone(), used)?;
        let key = |key| KeyName::in_realm(key, Some(name.clone()));
        let listeners = self.challenged(&key(LISTENERS), &table.listeners, around, used);
        let (one, all) = (table.per_user.as_ref(), table.total.as_ref());
        let quotas = self.quotas([PER_USER, TOTAL].map(key), one, all, around.relay);
        let written = Credentials {
            of: Some(name.clone()),
            secrets: table.secrets,
            secret_files: table.secret_files,
            users: table.users,
            users_file: table.users_file,
        };
        let (secrets, users) = self.credentials(written, &name, around.realms)?;
        if secrets.is_empty() && users.is_empty() {
            self.say(Caution::EmptyRealm { key: key(TABLE) }, at);
        }
        let (per_user, total) = quotas?;
        Some(Realm {
            name,
            listeners: listeners?,
            secrets,
            users,
            per_user,
            total,
        })
    }

    fn realm_name(
        &mut self,
        written: Option<&Text>,
        at: Range<usize>,
        used: &mut Used,
    ) -> Option<String> {
        let Some(written) = written else {
            let fault = Fault::Missing {
                table: TABLE,
                key: "name",
                example: "name = \"example.net\"",
            };
            return self.refuse(fault, at);
        };
        let name = written.get_ref();
        if let Some(reason) = realm_flaw(name) {
            let key = NAME.into();
            return self.refuse(AuthFault::Realm { key, reason }, written.span());
        }
        if let Some((_, first)) = used.names.iter().find(|(other, _)| other == name) {
            let see = first.clone().map(|first| (first, "first here"));
            let key = KeyName::in_realm(NAME, Some(name.clone()));
            return self.refuse_beside(Fault::Duplicate { key }, written.span(), see);
        }
        self.caution_long(&NAME.into(), written);
        used.names.push((name.clone(), Some(written.span())));
        Some(name.clone())
    }

    /// The listeners whose clients are challenged with a realm.
    fn challenged(
        &mut self,
        key: &KeyName,
        written: &[Text],
        around: Surroundings<'_>,
        used: &mut Used,
    ) -> Option<Vec<SocketAddr>> {
        let mut read = Vec::new();
        for written in written {
            let listener = self.challenged_at(key, written, around, used);
            used.listeners
                .extend(listener.map(|listener| (listener, written.span())));
            read.push(listener);
        }
        read.into_iter().collect()
    }

    fn challenged_at(
        &mut self,
        key: &KeyName,
        written: &Text,
        around: Surroundings<'_>,
        used: &Used,
    ) -> Option<SocketAddr> {
        let (key, at) = (key.clone(), written.span());
        let Ok(address) = written.get_ref().parse::<SocketAddr>() else {
            let form = Form::SocketAddress;
            return self.refuse(Fault::Form { key, form }, at);
        };
        if let Some((_, first)) = used.listeners.iter().find(|(other, _)| *other == address) {
            let see = Some((first.clone(), "first here"));
            return self.refuse_beside(Fault::Duplicate { key }, at, see);
        }
        let is_heard = |listener: &Listener| listener.covers(address);
        let listeners = around.listeners;
        if listeners.is_some_and(|listeners| !listeners.iter().any(is_heard)) {
            return self.refuse(AuthFault::NoListener { key, address }, at);
        }
        Some(address)
    }
}

const TABLE: &str = "[[auth.realm]]";
const NAME: &str = "[[auth.realm]] name";
const LISTENERS: &str = "[[auth.realm]] listeners";
const PER_USER: &str = "[[auth.realm]] per-user";
const TOTAL: &str = "[[auth.realm]] total";
