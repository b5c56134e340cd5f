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
    credentials::password_of,
    live::{Code, LiveClient},
    program::{Program, here},
    server::{SECRET, Server, serving},
    setup::Setup,
    socket::peer_at,
    wait_for,
    world::{PEER_V4, in_own_world},
};
use rustix::process::Signal;

/// A client with an allocation, and a peer with a permission.
struct Call {
    session: LiveClient,
    peer: UdpSocket,
    address: SocketAddr,
    relayed: SocketAddr,
}

impl Call {
    fn of(user: &str, password: &str) -> Result<Self, Code> {
        let mut session = LiveClient::udp().login(user, password);
        let relayed = session.allocate()?;
        let (peer, address) = peer_at(PEER_V4);
        session.create_permission(address)?;
        Ok(Self {
            session,
            peer,
            address,
            relayed,
        })
    }

    #[track_caller]
    fn goes_on(&mut self) {
        self.peer.send_to(b"hello", self.relayed).expect("a route");
        assert_eq!(self.session.receive(), (self.address, b"hello".to_vec()));
    }

    fn refresh(&mut self) -> Result<(), Code> {
        self.session.refresh(Duration::from_secs(600))
    }
}

/// A call of a user whom the server knows only after a while.
#[track_caller]
fn call_before_long(user: &str, password: &str) -> Call {
    wait_for(user, PATIENCE, || Call::of(user, password).ok())
}

/// Changes the configuration, and has it read again.
fn reload(server: &Server, toml: &str) {
    let config = server.config();
    let directory = Path::new(&config).parent().expect("a directory");
    Setup::default().with(toml).write(directory);
    server.program.signal(Signal::HUP);
}

/// The world's server with these keys of `[auth]` and no other secret.
fn auth(toml: &str) -> Setup {
    Setup::default().with(&format!("[auth]\nsecrets = []\n{toml}"))
}

#[test]
fn at_sighup_new_rules_hold_and_calls_go_on() {
    serving(Setup::default(), |_, server| {
        let mut alice = Call::of("alice", "wonderland").expect("alice is known");
        assert_eq!(Call::of("bob", "looking-glass").err(), Some(Code(401)));
        reload(
            server,
            "threads = 7\nauth.users.bob = 'looking-glass'\nlog.level = 'warn'",
        );
        server.wait_for_line(&["needs a restart", "key=\"threads\""]);
        server.wait_for_line(&[
            "configuration.reloaded",
            "changed=\"[auth] users, [log] level\"",
        ]);
        Call::of("bob", "looking-glass").expect("bob is known");
        alice.goes_on();
        alice.refresh().expect("alice is still there");
        let log = server.log();
        assert!(!log.contains("looking-glass"), "{log}");
        // Bob's allocation is an event, and events are no longer logged.
        assert_eq!(log.matches("allocation.opened").count(), 1, "{log}");
    });
}

#[test]
fn a_faulty_configuration_is_told_in_full_and_changes_nothing() {
    serving(Setup::default(), |_, server| {
        let mut alice = Call::of("alice", "wonderland").expect("alice is known");
        reload(
            server,
            "auth.users.alice = 'looking-glass'\n\
             allocation.per-usr = 1\nallocation.permissions = 'many'",
        );
        server.wait_for_line(&["configuration.refused"]);
        server.wait_for_line(&[
            "turnserver.toml:",
            "unknown key `per-usr`",
            "did you mean `per-user`?",
        ]);
        server.wait_for_line(&["`[allocation] permissions` is a string, expected a whole number"]);
        alice.goes_on();
        Call::of("alice", "wonderland").expect("the old users");
    });
}

#[test]
fn systemd_hears_of_a_reload_and_of_its_end() {
    in_own_world(|world| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("our directory");
        systemd.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let heard = || {
            let mut message = [0; 256];
            let length = systemd.recv(&mut message).expect("a message");
            String::from_utf8_lossy(&message[..length]).into_owned()
        };
        let on_host = |program: &str| {
            let mut command = world.on_server_host(program);
            command.env("NOTIFY_SOCKET", &path);
            command
        };
        let server = Server::start_by(on_host, Setup::default());
        assert_eq!(heard().trim(), "READY=1");
        for change in ["", "nonsense = true"] {
            reload(&server, change);
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
        let place = tempfile::tempdir().expect("a temporary directory");
        let mounted = place.path();
        let users = mounted.join("users.toml");
        mount(mounted, "first", "bob = \"looking-glass\"\n");
        symlink("current/users.toml", &users).expect("our directory");
        let server = world.serve(auth(&format!("users-file = {users:?}")));
        let mut alice = Call::of("alice", "wonderland").expect("alice is known");
        let mut bob = Call::of("bob", "looking-glass").expect("bob is known");
        assert_eq!(Call::of("carol", "tweedledum").err(), Some(Code(401)));

        mount(mounted, "second", "carol = \"tweedledum\"\n");
        let mut carol = call_before_long("carol", "tweedledum");
        // Bob is gone: what there is goes on to its end.
        bob.goes_on();
        assert_eq!(bob.refresh(), Err(Code(401)));
        bob.goes_on();
        assert_eq!(Call::of("bob", "looking-glass").err(), Some(Code(401)));
        bob.session.refresh(Duration::ZERO).expect("an end");

        mount(
            mounted,
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
        fs::remove_file(mounted.join("current")).expect("our directory");
        server.wait_for_line(&["users.toml, which cannot be read"]);
        alice.goes_on();
        mount(mounted, "fourth", "dave = \"jabberwocky\"\n");
        call_before_long("dave", "jabberwocky");
    });
}

/// As a mounted volume changes: the files are written to a new directory, and the link turned to it.
fn mount(mounted: &Path, version: &str, users: &str) {
    fs::create_dir(mounted.join(version)).expect("our directory");
    fs::write(mounted.join(version).join("users.toml"), users).expect("our directory");
    symlink(version, mounted.join("new")).expect("our directory");
    fs::rename(mounted.join("new"), mounted.join("current")).expect("our directory");
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_keeps_no_server_from_ending() {
    in_own_world(|world| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let users = place.path().join("users.toml");
        fs::write(&users, "").expect("our directory");
        let mut server = world.serve(auth(&format!("users-file = {users:?}")));
        // A pipe that nobody writes to, as a file system that does not answer.
        let pipe = place.path().join("pipe");
        let mut mkfifo = here("mkfifo");
        mkfifo.arg(&pipe);
        Program::succeed(mkfifo);
        fs::rename(pipe, users).expect("our directory");
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
        let place = tempfile::tempdir().expect("a temporary directory");
        let file = place.path().join("secret");
        fs::write(&file, SECRET).expect("our directory");
        let server = world.serve(auth(&format!("secret-files = [{file:?}]")));
        let user = "2147483647:alice";
        let password = &password_of(SECRET, user);
        let mut old = Call::of(user, password).expect("a good credential");
        fs::write(&file, "a new secret of the web application").expect("our directory");
        server.wait_for_line(&["configuration.reloaded"]);
        assert_eq!(Call::of(user, password).err(), Some(Code(401)));
        old.goes_on();
        old.refresh().expect("what it has opened is prolonged");
        assert!(
            !server.log().contains("secret of the web"),
            "{}",
            server.log()
        );
    });
}
