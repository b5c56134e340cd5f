//! Several realms on one server: each with its own users, by listener or by the name that a client
//! gives.

use lab::{
    server::{PASSWORD, REALM, USER, serving},
    setup::Setup,
    world::{PEER_V4, SERVER_V4},
};

use crate::uclient::Uclient;

#[test]
fn two_listeners_serve_two_realms() {
    serving(two_listeners(), |_, server| {
        let client = || Uclient::to(PEER_V4);
        let other = || client().flags("-p 3479");
        client().relays_everything();
        other().credential(USER, OTHER_PASSWORD).relays_everything();
        other().credential(USER, PASSWORD).gets_nothing();
        client().credential(USER, OTHER_PASSWORD).gets_nothing();
        let log = server.log();
        for realm in [REALM, "example.net"] {
            let opened = format!("realm=\"{realm}\" user=\"{USER}\"");
            assert!(log.contains(&opened), "{log}");
        }
    });
}

#[test]
fn a_user_with_a_realm_in_the_name_is_known_at_every_listener() {
    serving(two_listeners(), |_, _| {
        let client = || {
            let client = Uclient::to(PEER_V4);
            client.credential("alice@example.net", OTHER_PASSWORD)
        };
        client().relays_everything();
        client().flag("-t").relays_everything();
    });
}

fn two_listeners() -> Setup {
    Setup::default().with(&another_realm())
}

/// `example.net` with a listener on port 3479 and another alice.
pub(crate) fn another_realm() -> String {
    format!(
        "[[listener]]\ntransport = 'udp'\nlisten = '{SERVER_V4}:3479'\n\
         [[auth.realm]]\nname = 'example.net'\nlisteners = ['{SERVER_V4}:3479']\n\
         users.{USER} = '{OTHER_PASSWORD}'\n"
    )
}

/// A realm that no listener challenges with.
pub(crate) const REALMS: &str =
    "[[auth.realm]]\nname = \"example.net\"\n[auth.realm.users]\nalice = \"looking-glass\"\n";

pub(crate) const OTHER_PASSWORD: &str = "looking-glass";
