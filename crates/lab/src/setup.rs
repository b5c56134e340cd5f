//! Set-ups: a server's configuration, of which a test writes only what it is about.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use toml::{Table, Value};

use crate::{
    server::{PASSWORD, PORT, REALM, SECRET, USER, serve},
    world::{FAR_V4, FAR_V6, PEER_V4, PEER_V6, SERVER_V4, SERVER_V6},
};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Setup(Table);

impl Setup {
    /// A server that listens at these addresses, over UDP and TCP, relays from those, and knows the
    /// lab's user.
    pub fn at(listeners: &[SocketAddr], relays: &[IpAddr]) -> Self {
        let mut setup = Self(Table::new()).with(&format!(
            "realm = '{REALM}'\nauth.users.{USER} = '{PASSWORD}'\nrelay.addresses = {:?}",
            relays.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
        ));
        for listen in listeners {
            for transport in ["udp", "tcp"] {
                setup = setup.with(&format!(
                    "[[listener]]\ntransport = '{transport}'\nlisten = '{listen}'"
                ));
            }
        }
        setup
    }

    /// The world's server on another port. It relays to `PEER_V4`, `PEER_V6` and the far host, which
    /// have documentation addresses.
    pub fn on_port(port: u16) -> Self {
        let addresses = [SERVER_V4.into(), SERVER_V6.into()];
        let peers = [PEER_V4.into(), FAR_V4.into(), PEER_V6.into(), FAR_V6.into()];
        Self::at(&addresses.map(|ip| SocketAddr::new(ip, port)), &addresses).with(&format!(
            "auth.secrets = ['{SECRET}']\nallocation.mobility = true\npeers.allow = {:?}",
            peers.map(|ip: IpAddr| ip.to_string()),
        ))
    }

    /// The world's server, which relays only to its own relayed addresses.
    pub fn closed() -> Self {
        Self::default().with("peers.allow = []")
    }

    /// Changes keys, given in TOML: tables are joined, lists of tables too, and any other value takes
    /// the place of the one before.
    #[track_caller]
    pub fn with(mut self, toml: &str) -> Self {
        let more = toml.parse::<Table>();
        join(
            &mut self.0,
            more.unwrap_or_else(|why| panic!("{why}: {toml}")),
        );
        self
    }

    /// Takes a table away.
    pub fn without(mut self, table: &str) -> Self {
        self.0.remove(table);
        self
    }

    /// Sends clients on to this address, as the rest of the rule says.
    #[track_caller]
    pub fn redirecting(self, to: &str, rule: &str) -> Self {
        self.with(&format!("[[redirect]]\nto = ['{to}']\n{rule}"))
    }

    /// Gives the server the content of the file of `[auth] nonce-secret-file`.
    pub fn nonce_secret(self, secret: &str) -> Self {
        // The file itself is written beside the configuration.
        self.with(&format!("auth.nonce-secret-file = '{secret}'"))
    }

    /// Writes the configuration into a directory.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("turnserver.toml");
        let mut table = self.0.clone();
        if let Some(secret) = table
            .get_mut("auth")
            .and_then(|it| it.get_mut("nonce-secret-file"))
        {
            let file = directory.join("nonce.secret");
            let content = secret.as_str().expect("a secret");
            fs::write(&file, content).expect("the directory is ours");
            *secret = file.display().to_string().into();
        }
        fs::write(&path, table.to_string()).expect("the directory is ours");
        path
    }

    /// `hairpin serve`, run by `how`, with the configuration in this directory.
    pub fn command(&self, how: impl FnOnce(&str) -> Command, directory: &Path) -> Command {
        let mut command = serve(how);
        command.arg("--config").arg(self.write(directory));
        command
    }

    /// The addresses of the listeners for UDP, in the order in which they were given.
    pub(crate) fn listeners(&self) -> Vec<SocketAddr> {
        let all = self.0["listener"].as_array().expect("a list");
        let udp = all
            .iter()
            .filter(|it| it["transport"].as_str() == Some("udp"));
        let text = udp.filter_map(|it| it["listen"].as_str());
        text.map(|it| it.parse().expect("an address")).collect()
    }

    /// `[relay] ports`, first and last.
    pub(crate) fn relay_ports(&self) -> Option<(&str, &str)> {
        self.0["relay"].get("ports")?.as_str()?.split_once('-')
    }
}

/// The world's server.
impl Default for Setup {
    fn default() -> Self {
        Self::on_port(PORT)
    }
}

fn join(table: &mut Table, more: Table) {
    for (key, value) in more {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => join(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if new.iter().any(Value::is_table) => {
                old.extend(new);
            }
            (_, value) => drop(table.insert(key, value)),
        }
    }
}
