//! Set-ups: a server's configuration, of which a test writes only what it is about.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use toml::{Table, Value};

use crate::{
    authority::{Authority, Issued, Wish},
    server::{PASSWORD, PORT, REALM, SECRET, TLS_PORT, USER, serve},
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

    /// The server at all its addresses over TLS as well, on `TLS_PORT`, with a certificate of the lab's
    /// authority that has all its names.
    pub fn with_tls(self) -> Self {
        self.with_secure("tls")
    }

    /// The server at all its addresses over DTLS as well, on `TLS_PORT`, with such a certificate.
    pub fn with_dtls(self) -> Self {
        self.with_secure("dtls")
    }

    fn with_secure(self, transport: &str) -> Self {
        let ips: Vec<IpAddr> = self.listeners().iter().map(SocketAddr::ip).collect();
        let setup = self.with_certificates(&[Wish::RIGHT]);
        ips.into_iter().fold(setup, |setup, ip| {
            let listen = SocketAddr::new(ip, TLS_PORT);
            setup.with(&format!(
                "[[listener]]\ntransport = '{transport}'\nlisten = '{listen}'"
            ))
        })
    }

    /// Gives the server these certificates of the lab's authority, after those that it has. The first is
    /// its default.
    pub fn with_certificates(self, wishes: &[Wish<'_>]) -> Self {
        // The files are written beside the configuration.
        let tables = wishes.iter().map(|wish| {
            let Issued { chain, key } = Authority::lab().issue(*wish);
            Table::from_iter([
                ("cert".to_owned(), chain.into()),
                ("key".to_owned(), key.into()),
            ])
        });
        let tables = tables.collect::<Vec<Table>>();
        let mut setup = self;
        join(
            &mut setup.0,
            Table::from_iter([(
                "tls".to_owned(),
                Table::from_iter([("certificates".to_owned(), tables.into())]).into(),
            )]),
        );
        setup
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
        write_certificates(&mut table, directory);
        fs::write(&path, table.to_string()).expect("the directory is ours");
        path
    }

    /// Writes the first certificate into a directory; returns the files of its chain and of its key.
    pub(crate) fn write_certificate(&self, directory: &Path) -> Option<[String; 2]> {
        let mut table = self.0.clone();
        write_certificates(&mut table, directory);
        let first = table.get("tls")?.get("certificates")?.get(0)?;
        Some(["cert", "key"].map(|key| first[key].as_str().expect("a path").to_owned()))
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

/// Writes the certificates of a configuration into a directory, and puts the paths in their place.
fn write_certificates(table: &mut Table, directory: &Path) {
    let certificates = table
        .get_mut("tls")
        .and_then(|it| it.get_mut("certificates"));
    let Some(Value::Array(certificates)) = certificates else {
        return;
    };
    for (number, certificate) in certificates.iter_mut().enumerate() {
        let text = |key: &str| certificate[key].as_str().expect("a text").to_owned();
        if !text("cert").starts_with("-----BEGIN") {
            continue;
        }
        let issued = Issued {
            chain: text("cert"),
            key: text("key"),
        };
        let [cert, key] = issued.write(directory, &certificate_name(number));
        certificate["cert"] = cert.into();
        certificate["key"] = key.into();
    }
}

/// The name, without its end, of the files of the certificate with this number, from 0 on.
pub fn certificate_name(number: usize) -> String {
    format!("certificate-{number}")
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
