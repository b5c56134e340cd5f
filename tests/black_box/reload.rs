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
    world::{ALTERNATE_V4, PEER_V4, SERVER_V4, World, in_own_world},
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

/// Waits until the server has taken in so many changes. To try a user in between is a guess, and
/// guesses are answered at a pace.
#[track_caller]
fn wait_for_reloads(server: &Server, count: usize) {
    wait_for("a reload", PATIENCE, || {
        let reloads = server.log().matches("configuration.reloaded").count();
        (reloads == count).then_some(())
    });
}

/// Changes the configuration, and has it read again.
fn reload(server: &Server, toml: &str) {
    let config = server.config();
    let directory = Path::new(&config).parent().expect("a directory");
    Setup::default().with(toml).write(directory);
    server.program.signal(Signal::HUP);
}

/// The world's server with these keys of `[auth]` and no other secret, and without a limit of failures:
/// clients that wait until they are known ask more often than people do.
fn auth(toml: &str) -> Setup {
    let auth = format!("[auth]\nsecrets = []\nfailures-per-minute = 0\n{toml}");
    Setup::default().with(&auth)
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
        wait_for_reloads(&server, 1);
        let mut carol = Call::of("carol", "tweedledum").expect("carol is known");
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
        wait_for_reloads(&server, 2);
        Call::of("dave", "jabberwocky").expect("dave is known");
    });
}

/// As a mounted volume changes: the files are written to a new directory, and the link turned to it.
fn mount(mounted: &Path, version: &str, users: &str) {
    fs::create_dir(mounted.join(version)).expect("our directory");
    fs::write(mounted.join(version).join("users.toml"), users).expect("our directory");
    symlink(version, mounted.join("new")).expect("our directory");
    fs::rename(mounted.join("new"), mounted.join("current")).expect("our directory");
}

/// As a container's mounted file changes, and as an editor saves one.
#[test]
fn a_change_of_the_file_itself_is_followed_where_it_should_be() {
    serving(Setup::default().with("reload.watch = true"), |_, server| {
        let mut alice = Call::of("alice", "wonderland").expect("alice is known");
        let config = server.config();
        let path = Path::new(&config);
        let directory = path.parent().expect("a directory");
        let good = fs::read_to_string(path).expect("a configuration");
        let with = |user: &str| {
            let users = format!("auth.users]\n{user} = 'looking-glass'\n");
            good.replacen("auth.users]\n", &users, 1)
        };
        fs::write(path, with("bob")).expect("our directory");
        wait_for_reloads(server, 1);
        Call::of("bob", "looking-glass").expect("bob is known");
        let half = with("carol");
        fs::write(path, &half[..half.len() - 3]).expect("our directory");
        server.wait_for_line(&["configuration.refused"]);
        server.wait_for_line(&["configuration.fault", "turnserver.toml:"]);
        // It is told once, and what it lacks comes by a link that is turned.
        fs::write(directory.join("next.toml"), half).expect("our directory");
        symlink("next.toml", directory.join("new")).expect("our directory");
        fs::rename(directory.join("new"), path).expect("our directory");
        wait_for_reloads(server, 2);
        Call::of("carol", "looking-glass").expect("carol is known");
        let log = server.log();
        assert_eq!(log.matches("configuration.refused").count(), 1, "{log}");
        alice.goes_on();
        alice.refresh().expect("alice is still there");
        // One that is right again is told, although nothing changes by it.
        fs::write(path, "bogus = 1\n").expect("our directory");
        server.wait_for_lines("configuration.refused", 2);
        fs::write(path, with("carol")).expect("our directory");
        wait_for_reloads(server, 3);
        // Nobody has to say so twice.
        fs::write(path, good.replace("watch = true", "watch = false")).expect("our directory");
        wait_for_reloads(server, 4);
        fs::write(path, with("dave")).expect("our directory");
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(Call::of("dave", "looking-glass").err(), Some(Code(401)));
    });
}

/// A server whose file of users is a pipe that nobody writes to, as a file system that does not
/// answer.
fn reading_a_pipe(world: &World, users: &Path) -> Server {
    fs::write(users, "").expect("our directory");
    let server = world.serve(auth(&format!("users-file = {users:?}")));
    let pipe = users.with_extension("pipe");
    let mut mkfifo = here("mkfifo");
    mkfifo.arg(&pipe);
    Program::succeed(mkfifo);
    fs::rename(pipe, users).expect("our directory");
    server.wait_for_line(&["configuration.refused"]);
    server
}

#[test]
fn a_file_that_is_slow_to_read_takes_effect_when_it_is_read() {
    in_own_world(|world| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let users = place.path().join("users.toml");
        let server = reading_a_pipe(world, &users);
        fs::write(&users, "bob = \"looking-glass\"\n").expect("a reader");
        server.wait_for_line(&["configuration.reloaded", "changed=\"[auth] users\""]);
        Call::of("bob", "looking-glass").expect("bob is known");
    });
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_keeps_no_server_from_ending() {
    in_own_world(|world| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let mut server = reading_a_pipe(world, &place.path().join("users.toml"));
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

/// As while a lease is renewed: the address was judged when the server started.
#[test]
fn users_change_also_while_an_address_of_the_host_is_away() {
    in_own_world(|world| {
        let place = tempfile::tempdir().expect("a temporary directory");
        let users = place.path().join("users.toml");
        fs::write(&users, "").expect("our directory");
        // The address that this one stands for is left to the host.
        let setup = auth(&format!("users-file = {users:?}")).without("relay");
        let server = world.serve(setup.with("relay.external = ['203.0.113.77']"));
        let mut away = world.on_server_host("ip");
        away.args([
            "address",
            "del",
            &format!("{SERVER_V4}/24"),
            "dev",
            "server0",
        ]);
        Program::succeed(away);
        fs::write(&users, "bob = \"looking-glass\"\n").expect("our directory");
        server.wait_for_line(&["configuration.reloaded", "changed=\"[auth] users\""]);
        let log = server.log();
        assert!(!log.contains("needs a restart"), "{log}");
    });
}

#[test]
fn an_address_of_the_host_that_was_away_during_a_reload_is_no_peer() {
    in_own_world(|world| {
        world.add_alternates();
        let allowed = "peers.allow = ['198.51.100.0/24']";
        let server = world.serve(Setup::default().with(allowed));
        let alternate = |what: &str| {
            let mut ip = world.on_server_host("ip");
            ip.args([
                "address",
                what,
                &format!("{ALTERNATE_V4}/24"),
                "dev",
                "server0",
            ]);
            Program::succeed(ip);
        };
        alternate("del");
        reload(
            &server,
            &format!("{allowed}\nauth.users.bob = 'looking-glass'"),
        );
        server.wait_for_line(&["configuration.reloaded"]);
        alternate("add");
        let mut session = LiveClient::udp().login("bob", "looking-glass");
        session.allocate().expect("bob is known");
        let ssh = (ALTERNATE_V4, 22).into();
        assert_eq!(session.create_permission(ssh), Err(Code(403)));
    });
}
