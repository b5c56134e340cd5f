//! Coturn on the server's host, with any fault that a test gives it.

use lab::{
    server::{PORT, REALM, Server, USER_AND_PASSWORD},
    world::{SERVER_V4, World},
};

/// With a user.
pub(crate) fn with_user(world: &World, options: &[&str]) -> Server {
    let with_user = ["--lt-cred-mech", "--user", USER_AND_PASSWORD];
    bare(world, &[&with_user, options].concat())
}

/// With a shared secret.
pub(crate) fn with_secret(world: &World, secret: &str) -> Server {
    let secret = format!("--static-auth-secret={secret}");
    bare(world, &["--use-auth-secret", &secret])
}

/// Without anything that lets users in.
pub(crate) fn bare(world: &World, options: &[&str]) -> Server {
    let (how, relay) = (
        |program: &str| world.on_server_host(program),
        SERVER_V4.to_string(),
    );
    let common = ["--realm", REALM, "--relay-ip", &relay];
    Server::coturn(
        how,
        &[(SERVER_V4, PORT).into()],
        &[&common, options].concat(),
    )
}
