//! `hairpin health`, as a container or a person asks it.

use lab::{
    program::{Ended, Program},
    server::{binary, serving},
    setup::Setup,
    world::World,
};
use std::time::Duration;

use crate::admin::{operated, place};

#[test]
fn health_asks_the_listeners_and_the_socket_of_the_configuration_that_is_named() {
    let place = place();
    serving(operated(&place, ""), |world, server| {
        server.wait_for_line(&["admin.listening"]);
        let told = health(world, &["--config", &server.config()]);
        assert!(told.status.success(), "{}", told.output);
        assert!(told.output.contains("0 sessions"), "{}", told.output);
    });
}

#[test]
fn health_without_a_configuration_says_that_it_asked_the_default_ports() {
    serving(Setup::default(), |world, _| {
        // The server's addresses are those of its world, and none is loopback.
        let told = health(world, &["--timeout", "300ms"]);
        assert_eq!(told.status.code(), Some(1), "{}", told.output);
        let hint = "without --config the default ports are asked";
        assert!(told.output.contains(hint), "{}", told.output);
    });
}

/// Its words on the server's host, where nothing of the environment names a server.
fn health(world: &World, arguments: &[&str]) -> Ended {
    let mut health = world.on_server_host(&binary());
    health.arg("health").args(arguments);
    for variable in ["HAIRPIN_CONFIG", "HAIRPIN_SOCKET", "XDG_RUNTIME_DIR"] {
        health.env_remove(variable);
    }
    Program::run(health, Duration::from_secs(20))
}
