//! Access tokens (RFC 7635) with coturn's tools, which are an authorization server and a client.
//!
//! coturn's client differs from the RFC in one point: with MESSAGE-INTEGRITY it uses the first 16
//! of the mac_key's 20 bytes. Hairpin takes both. It seals a token of its own for every Allocate
//! and every Refresh, each time with one of three keys at random, so all allocations are renewed
//! with another token. `turnutils_oauth` prints the mac_key as it is where the RFC has base64.

use std::{
    net::UdpSocket,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use lab::{
    program::{Program, here},
    server::{PASSWORD, PORT, USER, hairpin_by, serving},
    setup::Setup,
    socket::udp_to,
    world::{PEER_V4, SERVER_V4, in_own_world},
};
use serde_json::Value;
use tempfile::NamedTempFile;
use wire::attributes::{
    AccessToken, Lifetime, Nonce, Realm, RequestedTransport, ThirdPartyAuthorization, Username,
};
use wire::{Algorithm, Class, Key, MacKey, Message, Method, TransactionId, Writer};

use crate::uclient::Uclient;

#[test]
fn coturns_client_relays_with_tokens_of_three_keys_over_udp() {
    serving(with_tokens(), |_, server| {
        for _ in 0..3 {
            with_token(Uclient::to(PEER_V4)).relays_everything();
        }
        let log = server.log();
        let opened = |line: &&str| line.contains("allocation.opened");
        let opened: Vec<&str> = log.lines().filter(opened).collect();
        let by_token = |line: &&str| KIDS.iter().any(|kid| line.contains(&user(kid)));
        assert!(!opened.is_empty() && opened.iter().all(by_token), "{log}");
    });
}

#[test]
fn coturns_client_relays_with_tokens_over_tcp() {
    serving(with_tokens(), |_, _| {
        with_token(Uclient::to(PEER_V4))
            .flags("-t -s")
            .relays_everything();
    });
}

#[test]
fn who_has_a_password_needs_no_token() {
    serving(with_tokens(), |_, server| {
        Uclient::to(PEER_V4).relays_everything();
        assert!(server.log().contains(&user(USER)), "{}", server.log());
    });
}

#[test]
fn without_the_right_key_coturns_tokens_open_nothing() {
    in_own_world(|world| {
        // The ids that coturn's client uses, with other keys.
        let other = "ccQYbo3PSwCWXWzxvBBRhZqgsuOErrPAXcQgdJ5tC8g=";
        let more = tokens([(other, "A256GCM"); 3]);
        let _server = world.serve(Setup::default().with(&more));
        with_token(Uclient::to(PEER_V4)).gets_nothing();
    });
}

#[test]
fn a_token_that_coturn_sealed_opens_an_allocation_for_as_long_as_it_says() {
    serving(with_tokens(), |_, _| {
        let mac_key = STANDARD.encode(MAC_KEY);
        let issued = SystemTime::now().duration_since(UNIX_EPOCH);
        let issued = (issued.expect("after 1970").as_secs() << 16).to_string();
        let sealed = turnutils_oauth(&[
            "-e",
            "--token-mac-key",
            &mac_key,
            "--token-timestamp",
            &issued,
            "--token-lifetime",
            "300",
        ]);
        let object: Value = serde_json::from_str(&sealed).expect("JSON");
        let token = object["access_token"].as_str().expect("a token");
        let token = STANDARD.decode(token).expect("base64");

        let mut client = Bearer::new(token);
        let challenge = client.ask(None);
        let (server_name, nonce, realm) = {
            let message = Message::parse(&challenge).expect("a message");
            let ThirdPartyAuthorization(name) = message.get().unwrap().expect("a server name");
            let Nonce(nonce) = message.get().unwrap().expect("a nonce");
            let Realm(realm) = message.get().unwrap().expect("a realm");
            (name.to_owned(), nonce.to_owned(), realm.to_owned())
        };
        assert_eq!(server_name, SERVER_NAME);
        let opened = client.ask(Some((&realm, &nonce)));
        let opened = Message::parse(&opened).expect("a message");
        assert_eq!(opened.class(), Class::Success);
        assert_eq!(opened.verify(&mac_key_of(MAC_KEY)), Ok(()));
        let Lifetime(lifetime) = opened.get().unwrap().expect("a lifetime");
        assert!((290..=300).contains(&lifetime), "{lifetime}");
    });
}

#[test]
fn coturn_opens_a_token_that_we_sealed() {
    let file = NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), tokens(KEYS)).expect("the temporary file is ours");
    let mut command = hairpin_by(here);
    command.args(["token", "--json", "--kid", "north", "--lifetime", "10m"]);
    command.arg("--config").arg(file.path());
    let minted = command.output().expect("the binary runs");
    let object: Value = serde_json::from_slice(&minted.stdout).expect("JSON");
    let token = object["access_token"].as_str().expect("a token");
    let opened = turnutils_oauth(&["-d", "-v", "--token", token]);
    for line in ["Valid token", "mac key length: 20", "lifetime: 600"] {
        assert!(opened.contains(line), "{opened}");
    }
}

/// `turnutils_oauth`, with the key and the server name of the tests.
#[track_caller]
fn turnutils_oauth(arguments: &[&str]) -> String {
    let mut command = Command::new("turnutils_oauth");
    command.args(["--server-name", SERVER_NAME]);
    command.args(["--auth-key-id", "north", "--auth-key", NORTH]);
    // The time when the key is good: from long ago, for long.
    command.args(["--auth-key-timestamp", "1000000000"]);
    command.args(["--auth-key-lifetime", "2000000000"]);
    command.args(arguments);
    Program::succeed(command)
}

/// A client over UDP that has a token and no password.
struct Bearer {
    socket: UdpSocket,
    token: Vec<u8>,
    transactions: u8,
}

impl Bearer {
    fn new(token: Vec<u8>) -> Self {
        Self {
            socket: udp_to((SERVER_V4, PORT).into()),
            token,
            transactions: 0,
        }
    }

    /// Sends Allocate, signed with realm and nonce if they are known, and returns the answer.
    fn ask(&mut self, challenge: Option<(&str, &str)>) -> Vec<u8> {
        self.transactions += 1;
        let transaction = TransactionId::new([self.transactions; 12]);
        let mut request = Vec::new();
        let mut writer = Writer::new(&mut request, Method::Allocate, Class::Request, transaction);
        writer.put(&RequestedTransport::UDP);
        if let Some((realm, nonce)) = challenge {
            writer
                .put(&Username("north"))
                .put(&Realm(realm))
                .put(&Nonce(nonce))
                .put(&AccessToken(&self.token))
                .sign(&mac_key_of(MAC_KEY));
        }
        self.socket.send(&request).expect("a route");
        let mut answer = vec![0; 1500];
        let length = self.socket.recv(&mut answer).expect("an answer");
        answer.truncate(length);
        answer
    }
}

fn mac_key_of(bytes: &[u8]) -> MacKey {
    Key::precomputed(bytes).schedule(Algorithm::Sha1)
}

/// The keys of `turnutils_uclient -J`. In its source each has a line end as well, which it ignores.
fn with_tokens() -> Setup {
    Setup::default().with(&tokens(KEYS))
}

fn tokens(keys: [(&str, &str); 3]) -> String {
    let mut table = format!("[oauth]\nserver-name = \"{SERVER_NAME}\"\n");
    for (kid, (key, algorithm)) in KIDS.into_iter().zip(keys) {
        table.push_str(&format!(
            "[[oauth.key]]\nid = \"{kid}\"\nkey = \"{key}\"\nalgorithm = \"{algorithm}\"\n"
        ));
    }
    table
}

/// coturn's client with a password that opens nothing, so that only the token can open an
/// allocation.
fn with_token(client: Uclient) -> Uclient {
    assert_ne!(PASSWORD, "no password");
    client.credential(USER, "no password").flag("-J")
}

/// The name in the log of the user who opened an allocation.
fn user(name: &str) -> String {
    format!("user=\"{name}\"")
}

const SERVER_NAME: &str = "turn.hairpin.test";
const KIDS: [&str; 3] = ["north", "union", "oldempire"];
const NORTH: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const KEYS: [(&str, &str); 3] = [
    (NORTH, "A256GCM"),
    ("MTIzNDU2Nzg5MDEyMzQ1Ng==", "A128GCM"),
    ("MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=", "A256GCM"),
];
/// 160 bits, none of them zero: `turnutils_oauth` takes it for a C string.
const MAC_KEY: &[u8] = b"ZksjpweoixXmvn67534m";
