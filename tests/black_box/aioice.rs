//! aioice, an ICE agent in Python with a TURN client of its own. It drops any response without
//! MESSAGE-INTEGRITY other than a 401 or 438, so it also proves that responses are signed.

use lab::{
    PATIENCE,
    authority::Authority,
    foreign::{python, script, trust},
    program::{Program, here},
    server::{PASSWORD, PORT, TLS_PORT, USER},
    setup::Setup,
    world::{SERVER_V4, SERVER_V6, World, in_own_world},
};

use crate::realms::REALMS;

#[test]
fn two_agents_meet_relay_to_relay_over_udp() {
    in_own_world(|world| two_agents_meet(world, &SERVER_V4.to_string(), "udp"));
}

/// Like browsers, the agents give up on a second challenge.
#[test]
fn two_agents_of_another_realm_meet_after_one_challenge_each() {
    in_own_world(|world| {
        let setup = Setup::closed().with(REALMS);
        let user = ["alice@example.net", "looking-glass"];
        agents_of(user, world, setup, &SERVER_V4.to_string(), "udp");
    });
}

#[test]
fn two_agents_meet_relay_to_relay_over_tcp() {
    in_own_world(|world| two_agents_meet(world, &SERVER_V4.to_string(), "tcp"));
}

#[test]
fn two_agents_meet_relay_to_relay_over_tls() {
    in_own_world(|world| {
        let setup = Setup::closed().with_tls();
        let user = [USER, PASSWORD];
        agents_of(user, world, setup, &SERVER_V4.to_string(), "tls");
    });
}

#[test]
fn two_agents_that_reach_the_server_over_ipv6_meet_on_ipv4_relays() {
    in_own_world(|world| two_agents_meet(world, &SERVER_V6.to_string(), "udp"));
}

fn two_agents_meet(world: &World, server: &str, transport: &str) {
    agents_of([USER, PASSWORD], world, Setup::closed(), server, transport);
}

fn agents_of(
    [user, password]: [&str; 2],
    world: &World,
    setup: Setup,
    server: &str,
    transport: &str,
) {
    let _server = world.serve(setup);

    let port = if transport == "tls" { TLS_PORT } else { PORT };
    let root = Authority::lab().root_file();
    let mut client = script(here, &python(), "aioice_relay.py");
    trust(&mut client, root.path());
    client.args([server, &port.to_string(), user, password, transport]);
    let ended = Program::run(client, PATIENCE);

    assert!(
        !ended.output.contains("No module named 'aioice'"),
        "HAIRPIN_TEST_PYTHON must name a Python with aioice; `cargo xtask test` makes one"
    );
    let whole = ended.status.success() && ended.output.ends_with("100 messages each way\n");
    assert!(whole, "{} {}", ended.status, ended.output);
}
