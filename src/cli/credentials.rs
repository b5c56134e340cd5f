//! `hairpin credentials`: a user name and a password that expire by themselves.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use probe::Uri;
use relay::keys::{self, Mint};
use relay::policy::block;

use super::{Failure, given_secret, print};
use crate::config::{self, Config, Loaded, Machine, Secret};
use crate::ice_servers::{self, IceServer, PublicName};

/// Make a time-limited user name and password from a shared secret.
///
/// Prints an object to hand to `new RTCPeerConnection(…)`. Any server that knows
/// the secret accepts the credential until it expires: nothing is stored, so a web
/// service can make its own in the same way. The user name is `EXPIRY:USER` or
/// `EXPIRY`, in seconds since 1970, and the password is
/// base64(HMAC-SHA1(secret, user name)). Hairpin also takes `USER:EXPIRY`, and an
/// expiry with a fraction.
///
/// The secret is taken from one of --secret, --secret-file and --config, or else from the place
/// that `serve` reads: the file in $HAIRPIN_CONFIG, then $HAIRPIN_SECRET or
/// $HAIRPIN_SECRET_FILE.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Credentials {
    /// The secret itself. Every user of this host can see it in the list of
    /// processes: prefer --secret-file or $HAIRPIN_SECRET.
    #[arg(long, value_name = "SECRET", group = "source")]
    secret: Option<String>,

    /// A file that holds the secret; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "source")]
    secret_file: Option<PathBuf>,

    /// A configuration file: its first secret is used, and its listeners are the URLs.
    #[arg(long, value_name = "FILE", group = "source")]
    config: Option<PathBuf>,

    /// The user that the credential is for; shown in logs and counted in quotas.
    #[arg(long, value_name = "NAME", value_parser = user_name)]
    user: Option<String>,

    /// A realm of --config or $HAIRPIN_CONFIG: its first secret is used, and the user name ends
    /// in it, as in `EXPIRY:USER@REALM`.
    #[arg(long, value_name = "REALM")]
    realm: Option<String>,

    /// Time for which the credential is accepted.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = ttl)]
    ttl: Duration,

    /// The server's name in the URLs: HOST, or HOST:PORT if clients see another port and all
    /// listeners have the same one. Without it the URLs are those of `[advertise] uris`, or
    /// else have the relay addresses, as peers see them; those for TLS have the realm if a
    /// certificate is for it, or else the first name of a certificate.
    #[arg(long, value_name = "HOST")]
    host: Option<PublicName>,

    /// Derive the password with HMAC-SHA256 instead of HMAC-SHA1. Hairpin takes both; other
    /// servers may not.
    #[arg(long)]
    sha256: bool,

    /// Print lines instead of JSON: the URIs, user name, password, and each URI once more with
    /// both in it, as some SDKs take it: `turn://USER:PASSWORD@HOST:PORT?transport=udp`,
    /// `turns://USER:PASSWORD@HOST:PORT?transport=tcp`.
    #[arg(long)]
    uri: bool,
}

impl Credentials {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (secret, config) = self.secret(&Machine::anywhere())?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let server = self.server(&secret, &config, now)?;
        print(&if self.uri {
            server.lines()
        } else {
            server.json()
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn server(
        &self,
        secret: &Secret,
        config: &Config,
        now: Duration,
    ) -> Result<IceServer, Failure> {
        let Some(expiry) = now.checked_add(self.ttl) else {
            return Err(Failure::Usage("--ttl reaches beyond the end of time"));
        };
        let uris = self.uris(config)?;
        let mint = if self.sha256 {
            Mint::Sha256
        } else {
            Mint::Sha1
        };
        let user = match (&self.user, &self.realm) {
            (Some(user), Some(realm)) => Some(format!("{user}@{realm}")),
            (Some(user), None) => Some(user.clone()),
            (None, Some(_)) => return Err(Failure::Usage("--realm needs --user")),
            (None, None) => None,
        };
        let secret = secret.expose().as_bytes();
        let credential = keys::mint(mint, secret, user.as_deref(), expiry.as_secs());
        Ok(IceServer::new(&uris, credential))
    }

    /// The URIs for browsers, with notes on those that not all take.
    fn uris(&self, config: &Config) -> Result<Vec<Uri>, Failure> {
        let host = self.host.as_ref();
        if host.is_some_and(|host| host.hides_ports(config)) {
            return Err(Failure::Usage(SEVERAL_PORTS));
        }
        let uris = ice_servers::uris(config, host);
        if uris.is_empty() {
            return Err(Failure::Usage(match host {
                None => "no URI for a browser: give --host or `[advertise] uris`",
                // A name alone makes none of DTLS, the only transport that is left out.
                Some(_) => "no URI for a browser, which takes no DTLS: give `[advertise] uris`",
            }));
        }
        for uri in &uris {
            if ice_servers::note(uri).is_some() {
                eprintln!(
                    "note: {uri} is for all clients but Firefox, which opens TLS to names only"
                );
            }
            // Of what is advertised `check` says so.
            if host.is_some() && ice_servers::is_uncertified(config, uri) {
                let name = &uri.host;
                eprintln!("note: no certificate is for {name}: clients refuse {uri}");
            }
        }
        if host.is_none()
            && let Some(doubt) = self.doubt(config, &uris)
        {
            eprintln!("note: {doubt}");
        }
        Ok(uris)
    }

    /// Why clients may not reach the server by the addresses that this host gave the URIs.
    fn doubt(&self, config: &Config, uris: &[Uri]) -> Option<String> {
        let ip = ice_servers::guessed(config, uris)?;
        if self.secret.is_some() || self.secret_file.is_some() {
            return Some(format!(
                "{ip} is this host's own address: if the server is another host, name it by --host"
            ));
        }
        if config.relay.tellers.is_some() {
            return Some(format!(
                "{ip} is this host's own address: the public one, which the running server finds out \
                 (`[relay] external`), is not known here; name the server by --host"
            ));
        }
        block(ip).is_some().then(|| {
            format!("only its own network reaches {ip}: name the server by --host, or see `[relay] external`")
        })
    }

    /// The secret, and the configuration with the server's addresses.
    fn secret(&self, host: &Machine) -> Result<(Secret, Config), Failure> {
        let given = given_secret(self.secret.as_deref(), self.secret_file.as_deref())?;
        if let Some(secret) = given {
            if self.realm.is_some() {
                return Err(Failure::Usage(
                    "--realm chooses a secret of a configuration: name one with --config",
                ));
            }
            return Ok((secret, Config::defaults(host)));
        }
        let variable = || env::var_os("HAIRPIN_CONFIG").filter(|name| !name.is_empty());
        let path = self
            .config
            .clone()
            .or_else(|| variable().map(PathBuf::from));
        let Loaded {
            config,
            ungenerated,
            ..
        } = config::load(path.as_deref(), host)?;
        let secret = match (&self.realm, path) {
            (Some(realm), _) => first_of_realm(&config, realm)?,
            (None, Some(_)) => {
                let why = no_secret_of(ungenerated.as_deref());
                config.auth.secrets.first().ok_or(Failure::Usage(why))?
            }
            (None, None) => config
                .auth
                .secrets
                .first()
                .ok_or(Failure::Usage(NO_SECRET))?,
        };
        Ok((secret.clone(), config))
    }
}

/// The remedy for a configuration without a secret; `ungenerated` is the file of one to come.
const fn no_secret_of(ungenerated: Option<&Path>) -> &'static str {
    match ungenerated {
        None => "the configuration has no secret: add one to `[auth] secrets`",
        Some(_) => {
            "there is no secret yet: the server generates it when it starts for the first time \
             (`[auth] generated-secret-file`)"
        }
    }
}

fn first_of_realm<'c>(config: &'c Config, realm: &str) -> Result<&'c Secret, Failure> {
    let mut others = config.auth.realms.iter();
    let secrets = if realm == config.realm {
        &config.auth.secrets
    } else {
        let other = others.find(|other| other.name == realm);
        let other = other.ok_or(Failure::Usage(
            "the configuration has no realm of this name",
        ))?;
        &other.secrets
    };
    let none = Failure::Usage("the realm has no secret: add one to its `secrets`");
    secrets.first().ok_or(none)
}

fn user_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("a user name has letters, and no control characters");
    }
    // RFC 8489 §14.3 ends the whole user name at 508 bytes; expiry and colon need their share.
    if text.len() > 480 {
        return Err("a user name has at most 480 bytes");
    }
    Ok(text.to_owned())
}

fn ttl(text: &str) -> Result<Duration, &'static str> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl >= Duration::from_secs(1) => Ok(ttl),
        Ok(_) | Err(_) => Err("write a number and a unit, such as 90s, 30m, 24h or 7days"),
    }
}

const NO_SECRET: &str = "no secret is given: use --secret-file, --config, or set HAIRPIN_SECRET; the log \
    of a `serve` without a configuration says in `path=` in which file it keeps its own";

const SEVERAL_PORTS: &str = "--host has a port, and the listeners have several: give the name alone, \
    or write the URIs as clients see them into `[advertise] uris`";

const AFTER_HELP: &str = "\
Examples:
  hairpin credentials --config turnserver.toml --user alice --host turn.example.org
  openssl rand -base64 32 > secret; hairpin credentials --secret-file secret --ttl 1h
  printf %s \"$SECRET\" | hairpin credentials --secret-file - --uri

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.";

#[cfg(test)]
mod tests {
    use clap::Parser;
    use net::Transports;
    use relay::Transport;

    use super::*;
    use crate::config::Listener;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        credentials: Credentials,
    }

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    /// The configuration of the tests, which does not depend on this host.
    fn config() -> Config {
        let mut config = Config::defaults(&Machine::anywhere());
        config.relay.addresses.clear();
        "turn.example.org".clone_into(&mut config.realm);
        config
    }

    fn minted(line: &str) -> String {
        let line = Line::parse_from(line.split(' '));
        let secret = Secret::new("a secret of many bytes");
        let server = line.credentials.server(&secret, &config(), NOW).unwrap();
        server.lines()
    }

    #[track_caller]
    fn assert_pair(lines: &str, [user, password]: [&str; 2]) {
        let pair = format!("username {user}\npassword {password}\n");
        assert!(lines.contains(&pair), "{lines}");
    }

    #[test]
    fn the_password_is_what_openssl_makes_of_secret_and_user_name() {
        // printf %s 1700003600:alice | openssl dgst -sha1 -hmac 'a secret of many bytes' -binary | base64
        let lines = minted("credentials --user alice --ttl 1h --host turn.example.org:443");
        assert_pair(&lines, ["1700003600:alice", "3UylplD1Vi/YNlB4Yz1jAqe0Qn8="]);
    }

    #[test]
    fn without_a_user_the_name_is_the_expiry_alone_a_day_ahead() {
        // printf %s 1700086400 | openssl dgst -sha1 -hmac 'a secret of many bytes' -binary | base64
        let lines = minted("credentials");
        assert_pair(&lines, ["1700086400", "IIk6CH8MHEJd/vGrjJQtHg9R8D4="]);
    }

    #[test]
    fn the_user_name_ends_in_the_realm() {
        // printf %s 1700003600:alice@example.net | openssl dgst -sha1 -hmac 'a secret of many bytes' -binary | base64
        let lines = minted("credentials --user alice --realm example.net --ttl 1h");
        let pair = [
            "1700003600:alice@example.net",
            "hRVEXZOWWzd3qofEgRSSGWbIZek=",
        ];
        assert_pair(&lines, pair);
        let line = Line::parse_from(["credentials", "--realm", "example.net"]);
        let server = line.credentials.server(&Secret::new("s"), &config(), NOW);
        assert!(matches!(server, Err(Failure::Usage(_))), "{server:?}");
    }

    #[test]
    fn a_realm_has_a_secret_of_its_own() {
        let text = "realm = \"example.org\"\n[auth]\nsecrets = [\"3vQ0cW1hZ2ljIG51bWJlcnM=\"]\n\
                    [[auth.realm]]\nname = \"example.net\"\nsecrets = [\"5qLqO1tM0lYcN3S0\"]\n\
                    [[auth.realm]]\nname = \"example.com\"\n[auth.realm.users]\nbob = \"wonderland\"\n";
        let config = config::read(text, Path::new("x"), &Machine::anywhere());
        let config = config.unwrap().config;
        let first = |realm| first_of_realm(&config, realm).map(Secret::expose).ok();
        assert_eq!(first("example.org"), Some("3vQ0cW1hZ2ljIG51bWJlcnM="));
        assert_eq!(first("example.net"), Some("5qLqO1tM0lYcN3S0"));
        assert_eq!(first("example.com"), None);
        assert_eq!(first("example.edu"), None);
    }

    #[test]
    fn what_gives_a_browser_no_uri_is_refused() {
        let mut config = config();
        let mut refused = |line: &str, listeners: &[(Transport, &str)]| {
            let listener = |&(transport, listen): &(Transport, &str)| Listener {
                transports: Transports::Only(transport),
                listen: listen.parse().unwrap(),
            };
            config.listeners = listeners.iter().map(listener).collect();
            let line = Line::parse_from(line.split(' '));
            let server = line.credentials.server(&Secret::new("s"), &config, NOW);
            let Err(Failure::Usage(why)) = server else {
                panic!("{server:?}");
            };
            why
        };
        let tls = (Transport::Tls, "0.0.0.0:443");
        let udp = (Transport::Udp, "0.0.0.0:3478");
        assert!(refused("credentials", &[tls]).contains("--host"));
        let several = refused("credentials --host a:8443", &[tls, udp]);
        assert_eq!(several, SEVERAL_PORTS);
        let dtls = (Transport::Dtls, "0.0.0.0:5349");
        assert!(refused("credentials --host a", &[dtls]).contains("DTLS"));
    }

    #[test]
    fn an_address_that_clients_may_not_reach_is_doubted_unless_the_server_is_named() {
        let mut config = config();
        config.listeners = vec![Listener {
            transports: Transports::Datagrams,
            listen: "0.0.0.0:3478".parse().unwrap(),
        }];
        let doubt = |line: &str, config: &Config| {
            let line = Line::parse_from(line.split(' ')).credentials;
            line.doubt(config, &ice_servers::uris(config, line.host.as_ref()))
        };
        let relay = |local: &str, external: &str| relay::RelayAddress {
            local: local.parse().unwrap(),
            external: external.parse().unwrap(),
        };
        config.relay.addresses = vec![relay("10.9.0.5", "10.9.0.5")];
        let private = doubt("credentials --config a", &config).unwrap();
        assert!(private.contains("10.9.0.5") && private.contains("--host"));
        let elsewhere = doubt("credentials --secret a", &config).unwrap();
        assert!(elsewhere.contains("another host"), "{elsewhere}");
        assert_eq!(doubt("credentials --secret a --host b", &config), None);
        config.relay.tellers = Some(Vec::new());
        let unknown = doubt("credentials --config a", &config).unwrap();
        assert!(
            unknown.contains("the running server finds out"),
            "{unknown}"
        );
        config.advertised = vec!["turn:turn.example.org".parse().unwrap()];
        assert_eq!(doubt("credentials --config a", &config), None);
        config.advertised.clear();
        config.relay.tellers = None;
        // A public address as such, and one that was written.
        for external in ["9.9.9.9", "10.9.0.6"] {
            config.relay.addresses = vec![relay("10.9.0.5", external)];
            assert_eq!(doubt("credentials --config a", &config), None);
        }
        config.relay.addresses = vec![relay("9.9.9.9", "9.9.9.9")];
        assert_eq!(doubt("credentials --config a", &config), None);
    }

    #[test]
    fn a_credential_cannot_outlive_time() {
        let line = Line::parse_from(["credentials", "--ttl", "18446744073709551615s"]);
        let server = line.credentials.server(&Secret::new("s"), &config(), NOW);
        assert!(matches!(server, Err(Failure::Usage(_))), "{server:?}");
    }

    #[test]
    fn a_lifetime_has_a_unit_and_is_not_nothing() {
        for wrong in ["24", "0s", "", "soon"] {
            assert!(ttl(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ttl("24h"), Ok(Duration::from_secs(86400)));
    }

    #[test]
    fn a_user_name_fits_into_username() {
        for wrong in ["", "a\nb", &"a".repeat(481)] {
            assert!(user_name(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            user_name("alice@example.org"),
            Ok("alice@example.org".to_owned())
        );
    }
}
