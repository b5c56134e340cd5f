//! The configuration read again while clients are served.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    os::unix::{fs::symlink, net::UnixDatagram},
    path::Path,
    time::Duration,
};

use lab::{
    PATIENCE,
    live::{Code, LiveClient},
    program::{Program, here},
    server::{PORT, SECRET, Server, serving},
    setup::Setup,
    socket::peer_at,
    wait_for,
    world::{PEER_V4, SERVER_V4, World, in_own_world},
};
use tempfile::TempDir;

use crate::credentials::VALID_UNTIL_2038;

/// A client with an allocation, and a peer with a permission.
struct Call {
    session: LiveClient,
    peer: (UdpSocket, SocketAddr),
    relayed: SocketAddr,
}

impl Call {
    fn of(user: &str, password: &str) -> Result<Self, Code> {
        let mut session = LiveClient::udp().login(user, password);
        let relayed = session.allocate()?;
        let peer = peer_at(PEER_V4);
        session.create_permission(peer.1)?;
        Ok(Self {
            session,
            peer,
            relayed,
        })
    }

    #[track_caller]
    fn goes_on(&mut self) {
        let (peer, address) = &self.peer;
        peer.send_to(b"hello", self.relayed).expect("a route");
        assert_eq!(self.session.receive(), (*address, b"hello".to_vec()));
    }

    #[track_caller]
    fn refresh(&mut self) -> Result<(), Code> {
        self.session.refresh(Duration::from_secs(600))
    }
}

/// A call of a user whom the server knows only after a while.
#[track_caller]
fn call_before_long(user: &str, password: &str) -> Call {
    wait_for(user, PATIENCE, || Call::of(user, password).ok())
}

/// The world's server with files of its own beside its configuration.
fn serve_among(world: &World, setup: Setup, prepare: impl FnOnce(&Path)) -> Server {
    let files = TempDir::new().expect("a temporary directory");
    prepare(files.path());
    Server::start_among(files, |program| world.on_server_host(program), setup)
}

#[test]
fn at_sighup_new_rules_hold_and_calls_go_on() {
    serving(Setup::default(), |_, server| {
        let mut alice = Call::of("alice", "wonderland").expect("alice is known");
        assert_eq!(Call::of("bob", "looking-glass").err(), Some(Code(401)));
        let changed = "threads = 7\nauth.users.bob = 'looking-glass'\nlog.level = 'warn'";
        server.reload(&Setup::default().with(changed));
        server.wait_for_line(&["needs a restart"]);
        server.wait_for_line(&["configuration.reloaded"]);
        Call::of("bob", "looking-glass").expect("bob is known");
        alice.goes_on();
        alice.refresh().expect("alice is still there");
        let log = server.log();
        let changed = "changed=\"[auth] users, [log] level\"";
        assert!(
            log.contains(changed) && log.contains("key=\"threads\""),
            "{log}"
        );
        assert!(!log.contains("looking-glass"), "{log}");
        // Bob's allocation is an event, and events are no longer logged.
        assert_eq!(log.matches("allocation.opened").count(), 1, "{log}");
    });
}

#[test]
fn a_faulty_configuration_is_told_in_full_and_changes_nothing() {
    serving(Setup::default(), |_, server| {
        let mut alice = Call::of("alice", "wonderland").expect("alice is known");
        let faulty = "allocation.per-usr = 1\nallocation.permissions = 'many'\n[auth.users]";
        server.reload(&Setup::default().without("auth").with(faulty));
        server.wait_for_line(&["configuration.refused"]);
        let log = server.log();
        for words in [
            "unknown key `per-usr`",
            "did you mean `per-user`?",
            "`[allocation] permissions` is a string, expected a whole number",
            "turnserver.toml:",
        ] {
            assert!(log.contains(words), "{words} in {log}");
        }
        alice.goes_on();
        Call::of("alice", "wonderland").expect("the old users");
    });
}

#[test]
fn systemd_hears_of_a_reload_and_of_its_end() {
    in_own_world(|world| {
        let place = TempDir::new().expect("a temporary directory");
        let path = place.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("our directory");
        systemd.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let heard = || {
            let mut message = [0; 256];
            let length = systemd.recv(&mut message).expect("a message");
            String::from_utf8_lossy(&message[..length]).into_owned()
        };
        let setup = Setup::at(&[(SERVER_V4, PORT).into()], &[SERVER_V4.into()]);
        let on_host = |program: &str| {
            let mut command = world.on_server_host(program);
            command.env("NOTIFY_SOCKET", &path);
            command
        };
        let server = Server::start_by(on_host, setup.clone());
        assert_eq!(heard().trim(), "READY=1");
        for change in ["", "nonsense = true\n"] {
            server.reload(&setup.clone().with(change));
            assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
            assert_eq!(heard().trim(), "READY=1");
        }
        server.wait_for_line(&["unknown key `nonsense`"]);
    });
}

/// A file that Kubernetes mounts is a link into a directory that is a link, too, and turned to
/// another directory at every change.
#[test]
fn users_come_and_go_with_their_file() {
    in_own_world(|world| {
        let setup = "auth.users-file = 'mounted/users.toml'\nauth.secrets = []";
        let server = serve_among(world, Setup::default().with(setup), |files| {
            fs::create_dir(files.join("mounted")).expect("our directory");
            mount(files, "first", "bob = \"looking-glass\"\n");
            symlink("current/users.toml", files.join("mounted/users.toml")).expect("our directory");
        });
        let mut alice = Call::of("alice", "wonderland").expect("alice is known");
        let mut bob = Call::of("bob", "looking-glass").expect("bob is known");
        assert_eq!(Call::of("carol", "tweedledum").err(), Some(Code(401)));

        mount(server.files(), "second", "carol = \"tweedledum\"\n");
        let mut carol = call_before_long("carol", "tweedledum");
        // Bob is gone: what there is goes on to its end.
        bob.goes_on();
        assert_eq!(bob.refresh(), Err(Code(401)));
        bob.goes_on();
        assert_eq!(Call::of("bob", "looking-glass").err(), Some(Code(401)));
        bob.session.refresh(Duration::ZERO).expect("an end");

        mount(
            server.files(),
            "third",
            "carol = \"tweedledum\"\ndave = \"short\nerin",
        );
        server.wait_for_line(&["users.toml:2:"]);
        server.wait_for_line(&["configuration.refused"]);
        for call in [&mut alice, &mut carol] {
            call.goes_on();
            call.refresh().expect("the old users");
        }
        let log = server.log();
        assert_eq!(log.matches("configuration.refused").count(), 1, "{log}");
        assert!(!log.contains("tweedledum"), "{log}");
        fs::remove_file(server.files().join("mounted/current")).expect("our directory");
        server.wait_for_line(&["users.toml, which cannot be read"]);
        alice.goes_on();
        mount(server.files(), "fourth", "dave = \"jabberwocky\"\n");
        call_before_long("dave", "jabberwocky");
    });
}

/// As a mounted volume changes: the files are written to a new directory, and the link turned to it.
fn mount(files: &Path, version: &str, users: &str) {
    let mounted = files.join("mounted");
    fs::create_dir(mounted.join(version)).expect("our directory");
    fs::write(mounted.join(version).join("users.toml"), users).expect("our directory");
    symlink(version, mounted.join("new")).expect("our directory");
    fs::rename(mounted.join("new"), mounted.join("current")).expect("our directory");
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_keeps_no_server_from_ending() {
    in_own_world(|world| {
        let setup = Setup::default().with("auth.users-file = 'users.toml'");
        let mut server = serve_among(world, setup, |files| {
            fs::write(files.join("users.toml"), "").expect("our directory");
        });
        // A pipe that nobody writes to, as a file system that does not answer.
        let pipe = server.files().join("pipe");
        let mut mkfifo = here("mkfifo");
        mkfifo.arg(&pipe);
        Program::succeed(mkfifo);
        fs::rename(pipe, server.files().join("users.toml")).expect("our directory");
        server.wait_for_line(&["configuration.refused"]);
        let mut alice = Call::of("alice", "wonderland").expect("alice is known");
        alice.goes_on();
        let ended = server.stop();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
    });
}

#[test]
fn secrets_are_rotated_without_the_end_of_a_call() {
    in_own_world(|world| {
        let setup = "auth.secret-files = ['secret']\nauth.secrets = []";
        let server = serve_among(world, Setup::default().with(setup), |files| {
            fs::write(files.join("secret"), SECRET).expect("our directory");
        });
        let (user, password) = VALID_UNTIL_2038;
        let mut old = Call::of(user, password).expect("a good credential");
        // As a careful program does it: the old content or the new one is there at any time.
        let new = server.files().join("new");
        fs::write(&new, "a new secret of the web application").expect("our directory");
        fs::rename(new, server.files().join("secret")).expect("our directory");
        server.wait_for_line(&["configuration.reloaded"]);
        assert_eq!(Call::of(user, password).err(), Some(Code(401)));
        old.goes_on();
        old.refresh().expect("what it has opened is prolonged");
        let log = server.log();
        assert!(!log.contains("secret of the web"), "{log}");
    });
}
