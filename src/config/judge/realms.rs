//! `[[auth.realm]]`: realms beside the default one.

use std::net::SocketAddr;
use std::ops::Range;

use toml::Spanned;

use super::Judge;
use super::auth::realm_flaw;
use super::credentials::Credentials;
use crate::config::caution::Caution;
use crate::config::fault::{Fault, Form, KeyName};
use crate::config::file::{Number, RealmTable, Text};
use crate::config::{Listener, Realm, Relay};

impl Judge<'_> {
    /// `default` is the default realm; every name is used once, and so is every listener.
    pub(super) fn realms(
        &mut self,
        tables: Vec<Spanned<RealmTable>>,
        default: Option<&str>,
        listeners: Option<&[Listener]>,
        relay: Option<&Relay>,
    ) -> Option<Vec<Realm>> {
        let mut names: Vec<(String, Option<Range<usize>>)> = Vec::new();
        names.extend(default.map(|default| (default.to_owned(), None)));
        let mut challenged: Vec<(SocketAddr, Range<usize>)> = Vec::new();
        let mut realms = Some(Vec::new());
        for table in tables {
            let at = table.span();
            let table = table.into_inner();
            let realm = self
                .realm_name(table.name.as_ref(), at.clone(), &mut names)
                .and_then(|name| {
                    let key = |key| KeyName::in_realm(key, Some(name.clone()));
                    let written = &table.listeners;
                    let challenged =
                        self.challenged(&key(LISTENERS), written, listeners, &mut challenged);
                    let per_user = self.realm_quota(&key(PER_USER), table.per_user, relay);
                    let total = self.realm_quota(&key(TOTAL), table.total, relay);
                    let written = Credentials {
                        of: Some(name.clone()),
                        secrets: table.secrets,
                        secret_files: table.secret_files,
                        users: table.users,
                    };
                    let (secrets, users) = self.credentials(written, &name)?;
                    if secrets.is_empty() && users.is_empty() {
                        let key = KeyName::in_realm("[[auth.realm]]", Some(name.clone()));
                        self.say(Caution::EmptyRealm { key }, at);
                    }
                    Some(Realm {
                        name,
                        listeners: challenged?,
                        secrets,
                        users,
                        per_user: per_user?,
                        total: total?,
                    })
                });
            realms = realms.zip(realm).map(|(mut realms, realm)| {
                realms.push(realm);
                realms
            });
        }
        realms
    }

    fn realm_name(
        &mut self,
        written: Option<&Text>,
        at: Range<usize>,
        names: &mut Vec<(String, Option<Range<usize>>)>,
    ) -> Option<String> {
        let Some(written) = written else {
            let table = "[[auth.realm]]";
            let (key, example) = ("name", "name = \"example.net\"");
            return self.refuse(
                Fault::Missing {
                    table,
                    key,
                    example,
                },
                at,
            );
        };
        let name = written.get_ref();
        if let Some(reason) = realm_flaw(name) {
            let key = NAME.into();
            return self.refuse(Fault::Realm { key, reason }, written.span());
        }
        if let Some((_, first)) = names.iter().find(|(other, _)| other == name) {
            let see = first.clone().map(|first| (first, "first here"));
            let key = KeyName::in_realm(NAME, Some(name.clone()));
            return self.refuse_beside(Fault::Duplicate { key }, written.span(), see);
        }
        names.push((name.clone(), Some(written.span())));
        Some(name.clone())
    }

    /// The listeners whose clients are challenged with a realm.
    fn challenged(
        &mut self,
        key: &KeyName,
        written: &[Text],
        listeners: Option<&[Listener]>,
        others: &mut Vec<(SocketAddr, Range<usize>)>,
    ) -> Option<Vec<SocketAddr>> {
        let mut read = Some(Vec::new());
        for written in written {
            let listener = self.challenged_at(key, written, listeners, others);
            others.extend(listener.map(|listener| (listener, written.span())));
            read = read.zip(listener).map(|(mut read, listener)| {
                read.push(listener);
                read
            });
        }
        read
    }

    fn challenged_at(
        &mut self,
        key: &KeyName,
        written: &Text,
        listeners: Option<&[Listener]>,
        others: &[(SocketAddr, Range<usize>)],
    ) -> Option<SocketAddr> {
        let (key, at) = (key.clone(), written.span());
        let Ok(address) = written.get_ref().parse::<SocketAddr>() else {
            let form = Form::SocketAddress;
            return self.refuse(Fault::Form { key, form }, at);
        };
        if let Some((_, first)) = others.iter().find(|(other, _)| *other == address) {
            let see = Some((first.clone(), "first here"));
            return self.refuse_beside(Fault::Duplicate { key }, at, see);
        }
        let is_heard = |listener: &Listener| listener.covers(address);
        if listeners.is_some_and(|listeners| !listeners.iter().any(is_heard)) {
            return self.refuse(Fault::NoListener { key, address }, at);
        }
        Some(address)
    }

    /// A number of allocations; 0 is no limit of the realm's own.
    fn realm_quota(
        &mut self,
        key: &KeyName,
        written: Option<Number>,
        relay: Option<&Relay>,
    ) -> Option<Option<u32>> {
        self.quota(key.clone(), written.as_ref(), relay)
    }
}

const NAME: &str = "[[auth.realm]] name";
const LISTENERS: &str = "[[auth.realm]] listeners";
const PER_USER: &str = "[[auth.realm]] per-user";
const TOTAL: &str = "[[auth.realm]] total";
