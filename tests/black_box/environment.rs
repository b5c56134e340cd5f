//! A server as containers run it: the environment has its configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use lab::{
    credentials::password_of,
    live::{Code, LiveClient},
    server::{REALM, SECRET, Server, serving},
    setup::Setup,
    world::in_own_world,
};
use rustix::process::Signal;

#[test]
fn a_server_that_the_environment_configures_serves_and_follows_its_secret_file() {
    in_own_world(|world| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let file = place.path().join("secret");
        fs::write(&file, SECRET).expect("our directory");
        let in_container = |program: &str| {
            let mut command = world.on_server_host(program);
            command.env("HAIRPIN_REALM", REALM);
            command.env("HAIRPIN_SECRET_FILE", &file);
            command
        };
        let server = Server::unconfigured(in_container, place.path(), &[]);
        let user = "2147483647:alice";
        let allocate = |secret| {
            let mut client = LiveClient::udp().login(user, &password_of(secret, user));
            client.allocate().map(drop)
        };
        assert_eq!(allocate(SECRET), Ok(()));
        let log = server.log();
        let first = log.lines().next().unwrap_or_default();
        let source = "no configuration file, HAIRPIN_REALM, HAIRPIN_SECRET_FILE";
        let source = format!("starting version=\"0.1.0\" configuration=\"{source}\"");
        assert!(first.ends_with(&source), "{first}");
        assert!(!log.contains("iceServers"), "{log}");

        let new = "a new secret of the web application";
        fs::write(&file, new).expect("our directory");
        server.wait_for_line(&["configuration.reloaded", "changed=\"[auth] secrets\""]);
        assert_eq!(allocate(new), Ok(()));
        assert_eq!(allocate(SECRET), Err(Code(401)));
        server.program.signal(Signal::HUP);
        server.wait_for_line(&["file=\"the environment\" changed=\"nothing\""]);
        assert_eq!(allocate(new), Ok(()));
    });
}

#[test]
fn clients_that_come_through_the_gateway_of_the_host_are_warned_of_once() {
    let setup = Setup::default().with("relay.external = ['9.9.9.9', '2620:fe::9']");
    serving(setup, |_, server| {
        let allocate = |count| {
            for _ in 0..count {
                LiveClient::udp().allocate().expect("an allocation");
            }
        };
        allocate(40);
        server.wait_for_line(&["WARN", "clients.hidden", "the gateway of this host"]);
        allocate(40);
        assert_eq!(server.log().matches("clients.hidden").count(), 1);
    });
}

#[test]
fn the_secret_that_the_server_made_is_not_for_others_to_read() {
    in_own_world(|world| {
        let home = tempfile::tempdir().expect("a temporary directory");
        drop(world.serve_unconfigured(home.path()));
        let secret = home.path().join(".local/state/hairpin/secret");
        for path in secret
            .ancestors()
            .take_while(|path| path.starts_with(home.path()))
        {
            fs::set_permissions(path, Permissions::from_mode(0o755)).expect("our directory");
        }
        let server = world.serve_unconfigured(home.path());
        server.wait_for_line(&["every user of this host may read the secret"]);
    });
}
