//! `hairpin token`: an access token, as an authorization server would seal it.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use relay::keys::{Token, Validity};
use serde::Serialize;

use super::{Failure, print};
use crate::config::{self, Config, Machine, OauthKey};

/// Make an access token for third-party authorization (RFC 7635).
///
/// An authorization server, such as the web service that clients log in to, seals tokens for this
/// server with a key that both have; this command does the same, for tests and to compare with.
/// A client sends the kid as its USERNAME and the token as ACCESS-TOKEN with Allocate and Refresh,
/// and signs every request with the mac_key (MESSAGE-INTEGRITY, no password and no MD5). An
/// allocation lasts no longer than its token, unless it is refreshed with a new one.
///
/// The token is base64 of: the length of the nonce (2 bytes, 12) and the nonce, then the
/// encrypted block with its tag. AES-GCM encrypts, for --server-name as associated data: the
/// length of the mac_key (2 bytes) and the mac_key, the time of issue (8 bytes: seconds since
/// 1970 << 16), the lifetime in seconds (4 bytes). All numbers are big-endian.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct MintToken {
    /// The configuration file, whose [[oauth.key]] seals the token.
    #[arg(long, value_name = "FILE", env = "HAIRPIN_CONFIG", value_parser = super::path())]
    config: PathBuf,

    /// The `id` of the key; the first of the file if it is not given.
    #[arg(long, value_name = "ID")]
    kid: Option<String>,

    /// Time for which the token is accepted.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = lifetime)]
    lifetime: u32,

    /// The server that the token is for, as its challenges name it (THIRD-PARTY-AUTHORIZATION);
    /// the configured one if it is not given.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,

    /// Make a mac_key of 256 bits in place of 160, for clients that sign with
    /// MESSAGE-INTEGRITY-SHA256.
    #[arg(long)]
    sha256: bool,

    /// Print JSON: the answer of an authorization server by RFC 7635, Appendix B.
    #[arg(long)]
    json: bool,
}

impl MintToken {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = config::load(Some(&self.config), &Machine::anywhere())?.config;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let minted = self.mint(&config, now.unwrap_or_default(), rand::random())?;
        print(&if self.json {
            minted.json()
        } else {
            minted.lines()
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn mint(&self, config: &Config, now: Duration, chance: Chance) -> Result<Minted, Failure> {
        let key = self.key(config)?;
        let (nonce, mac_key) = chance;
        let (mac_key, alg) = if self.sha256 {
            (&mac_key[..], "HMAC-SHA-256")
        } else {
            (&mac_key[..20], "HMAC-SHA1")
        };
        let token = Token {
            mac_key: relay::Key::precomputed(mac_key),
            validity: Validity {
                issued: now,
                lifetime: self.lifetime,
            },
        };
        let server_name = self.server_name.as_deref();
        let server_name = server_name.unwrap_or(&config.oauth.server_name);
        let sealed = key.secret.expose().seal(server_name, nonce, &token);
        Ok(Minted {
            access_token: STANDARD.encode(sealed),
            token_type: "pop",
            expires_in: self.lifetime,
            kid: key.id.clone(),
            key: STANDARD.encode(mac_key),
            alg,
        })
    }

    fn key<'c>(&self, config: &'c Config) -> Result<&'c OauthKey, Failure> {
        let mut keys = config.oauth.keys.iter();
        let Some(kid) = &self.kid else {
            return keys.next().ok_or(Failure::Usage(
                "the configuration has no key for tokens: add an [[oauth.key]]",
            ));
        };
        keys.find(|key| key.id == *kid).ok_or(Failure::Usage(
            "no [[oauth.key]] of the configuration has the id that --kid names",
        ))
    }
}

/// A random nonce and mac_key.
type Chance = ([u8; 12], [u8; 32]);

/// The values for the client, under the names of RFC 7635, Appendix B.
#[derive(Serialize)]
struct Minted {
    access_token: String,
    token_type: &'static str,
    /// In seconds.
    expires_in: u32,
    kid: String,
    key: String,
    alg: &'static str,
}

/// The key is left out.
impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl Minted {
    fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("strings and numbers are JSON");
        json + "\n"
    }

    fn lines(&self) -> String {
        let Self {
            kid,
            access_token,
            key,
            ..
        } = self;
        format!("kid {kid}\ntoken {access_token}\nmac_key {key}\n")
    }
}

fn lifetime(text: &str) -> Result<u32, &'static str> {
    let lifetime = humantime::parse_duration(text).ok();
    let seconds = lifetime.and_then(|lifetime| u32::try_from(lifetime.as_secs()).ok());
    seconds
        .filter(|seconds| *seconds > 0)
        .ok_or("write a number and a unit, such as 90s, 30m or 24h; 136 years are the most")
}

const AFTER_HELP: &str = "\
Examples:
  hairpin token --config turnserver.toml
  hairpin token --config turnserver.toml --kid north --lifetime 10m --json

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.";

#[cfg(test)]
mod tests {
    use clap::Parser;
    use relay::keys::Encryption;

    use super::*;
    use crate::config::TokenSecret;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        token: MintToken,
    }

    const NOW: Duration = Duration::from_secs(1_410_984_813);

    /// The key of RFC 7635, Appendix A, and another.
    fn config() -> Config {
        let mut config = Config::defaults(&Machine::anywhere());
        "blackdow.carleon.gov".clone_into(&mut config.oauth.server_name);
        let key = |id: &str, encryption, bytes: &[u8]| OauthKey {
            id: id.to_owned(),
            secret: TokenSecret::new(encryption, bytes.to_vec()).unwrap(),
            valid: Duration::ZERO..Duration::MAX,
        };
        let sample = b"HGkj32KJGiuy098sdfaqbNjOiaz71923";
        config.oauth.keys = vec![
            key("north", Encryption::A256Gcm, sample),
            key("south", Encryption::A128Gcm, &sample[..16]),
        ];
        config
    }

    fn minted(line: &str) -> Result<Minted, Failure> {
        let line = Line::parse_from(line.split(' '));
        let mut mac_key = [7; 32];
        mac_key[..20].copy_from_slice(b"ZksjpweoixXmvn67534m");
        let chance = (*b"h4j3k2l2n4b5", mac_key);
        line.token.mint(&config(), NOW, chance)
    }

    #[test]
    fn a_token_is_that_of_the_rfc_where_everything_else_is() {
        // The two samples of RFC 7635, Appendix A, in base64.
        let lines = minted("token --config -").unwrap().lines();
        assert_eq!(
            lines,
            "kid north\n\
             token AAxoNGozazJsMm40YjVhfvE0o9XkTpoZzH3BBLDAPQOypVHY/fXNO23KbxDPt35bLd7ITSk6XFBJk1nwwuJvdg==\n\
             mac_key WmtzanB3ZW9peFhtdm42NzUzNG0=\n"
        );
        let south = minted("token --config - --kid south").unwrap();
        assert_eq!(
            south.access_token,
            "AAxoNGozazJsMm40YjV/uemfCCe+PfHhvWUUk9MDHTbfVweXhK7l6stl+tTyf6saP5eXS2n4UbJL9a8J7aNX4A=="
        );
    }

    #[test]
    fn json_has_what_a_client_asks_its_authorization_server_for() {
        let minted = minted("token --config - --sha256 --lifetime 90s --json").unwrap();
        let object: serde_json::Value = serde_json::from_str(&minted.json()).unwrap();
        let key = object["key"].as_str().unwrap();
        assert_eq!(STANDARD.decode(key).unwrap().len(), 32);
        assert_eq!(object["expires_in"], 90);
        assert_eq!(object["token_type"], "pop");
        assert_eq!(
            (&object["kid"], &object["alg"]),
            (&"north".into(), &"HMAC-SHA-256".into())
        );
    }

    #[test]
    fn a_token_for_another_server_is_another_token() {
        let own = minted("token --config -").unwrap();
        let other = minted("token --config - --server-name turn.example.org").unwrap();
        assert_ne!(own.access_token, other.access_token);
    }

    #[test]
    fn a_key_that_is_not_there_cannot_seal() {
        let unknown = minted("token --config - --kid west");
        assert!(matches!(unknown, Err(Failure::Usage(_))), "{unknown:?}");
        let line = Line::parse_from(["token", "--config", "-"]);
        let none = line.token.mint(
            &Config::defaults(&Machine::anywhere()),
            NOW,
            ([0; 12], [0; 32]),
        );
        assert!(matches!(none, Err(Failure::Usage(_))), "{none:?}");
    }

    #[test]
    fn a_lifetime_has_a_unit_and_fits_its_field() {
        for wrong in ["60", "0s", "", "soon", "500ms", "200years"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
        assert_eq!(lifetime("1h"), Ok(3600));
    }
}
