//! Certificates in files while clients are served over TLS: they change, go, end, and are refused.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use lab::{
    PATIENCE,
    server::{BINDING, Server, serving},
    setup::Setup,
    tls::trusting_root,
    wait_for,
    world::{SERVER_V4, World, in_own_world},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

const NAME: &str = "turn.example.org";

/// An authority that clients of a test trust, and the directory of its certificates.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    place: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        Self::named("an authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self {
            root: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
            place: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Signs a certificate that ends after `left`; returns chain and key.
    fn sign(&self, name: &str, left: Duration) -> [String; 2] {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(3600)).into();
        params.not_after = (now + left).into();
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.root).expect("a certificate");
        [leaf.pem() + &self.root.pem(), key.serialize_pem()]
    }

    /// Writes a new certificate into a directory, each file by a rename.
    fn renew(&self, directory: &Path, name: &str, left: Duration) {
        fs::create_dir_all(directory).expect("our directory");
        for (file, text) in ["chain.pem", "key.pem"].iter().zip(self.sign(name, left)) {
            let new = directory.join("new");
            fs::write(&new, text).expect("our directory");
            fs::rename(&new, directory.join(file)).expect("our directory");
        }
    }

    /// A client that trusts it; several connections of one resume each other's sessions.
    fn client(&self) -> Client {
        Client::trusting(self.root.der().clone())
    }
}

#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

pub(crate) type Session = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    pub(crate) fn trusting(root: CertificateDer<'static>) -> Self {
        Self(Arc::new(trusting_root(root)))
    }

    /// A session that has had an answer; or why there is none.
    fn connect(&self, name: &str) -> std::io::Result<Session> {
        self.connect_to(listener(), name)
    }

    /// The same at another listener.
    pub(crate) fn connect_to(&self, listener: SocketAddr, name: &str) -> std::io::Result<Session> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = TcpStream::connect(listener)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let client = ClientConnection::new(Arc::clone(&self.0), name).expect("a name");
        let mut session = StreamOwned::new(client, stream);
        ask(&mut session)?;
        Ok(session)
    }
}

fn listener() -> SocketAddr {
    (SERVER_V4, 5349).into()
}

/// A Binding and its answer.
pub(crate) fn ask(session: &mut (impl Read + Write)) -> std::io::Result<()> {
    session.write_all(&BINDING)?;
    let mut answer = [0; 32];
    session.read_exact(&mut answer)?;
    assert_eq!(answer[..2], [1, 1]);
    Ok(())
}

pub(crate) fn shown(session: &Session) -> CertificateDer<'static> {
    let chain = session.conn.peer_certificates().expect("a chain");
    chain[0].clone().into_owned()
}

fn first_of(chain: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(chain).expect("a certificate")
}

/// The world's server, at one listener for TLS besides, with the certificate in this directory.
fn serving_tls(directory: &Path) -> Setup {
    Setup::default().with(&format!(
        "[[listener]]\ntransport = 'tls'\nlisten = '{}'\n{}",
        listener(),
        entry(directory)
    ))
}

fn entry(directory: &Path) -> String {
    let [chain, key] = ["chain.pem", "key.pem"].map(|file| directory.join(file));
    format!("[[tls.certificates]]\ncert = {chain:?}\nkey = {key:?}\n")
}

/// Waits until new clients are shown this certificate. Each shakes hands in full: a session that is
/// resumed has the certificate of the first.
#[track_caller]
fn wait_for_certificate(authority: &Authority, chain: &Path) -> Session {
    let wanted = first_of(chain);
    wait_for("the new certificate", PATIENCE, || {
        let session = authority
            .client()
            .connect(NAME)
            .expect("a good certificate");
        (shown(&session) == wanted).then_some(session)
    })
}

const LONG: Duration = Duration::from_secs(90 * 24 * 60 * 60);

#[test]
fn new_files_are_shown_to_new_clients_and_sessions_go_on_when_the_old_are_gone() {
    in_own_world(|world| {
        let authority = Authority::new();
        let current = authority.path("current");
        authority.renew(&authority.path("first"), NAME, LONG);
        symlink("first", &current).expect("our directory");
        let server = world.serve(serving_tls(&current));
        let mut sessions = vec![
            authority
                .client()
                .connect(NAME)
                .expect("a good certificate"),
        ];
        server.wait_for_line(&[
            "certificate.shown",
            "certificate=\"turn.example.org ECDSA\"",
        ]);

        authority.renew(&authority.path("first"), NAME, LONG);
        sessions.push(wait_for_certificate(&authority, &current.join("chain.pem")));

        // As Kubernetes does it, and then certbot, whose links of the files are turned one by one.
        authority.renew(&authority.path("second"), NAME, LONG);
        symlink("second", authority.path("new")).expect("our directory");
        fs::rename(authority.path("new"), &current).expect("our directory");
        sessions.push(wait_for_certificate(&authority, &current.join("chain.pem")));

        let last = shown(&sessions[2]);
        fs::remove_dir_all(authority.path("second")).expect("our directory");
        server.wait_for_line(&[
            "WARN",
            "which cannot be read",
            "the certificate from before stays",
        ]);
        sessions.push(
            authority
                .client()
                .connect(NAME)
                .expect("the old certificate"),
        );
        assert_eq!(shown(&sessions[3]), last);
        for session in &mut sessions {
            ask(session).expect("sessions go on");
        }
        authority.renew(&authority.path("second"), NAME, LONG);
        wait_for_certificate(&authority, &current.join("chain.pem"));
        let log = server.log();
        assert_eq!(log.matches("stays").count(), 1, "{log}");
        assert!(!log.contains("configuration.refused"), "{log}");
    });
}

/// A server that follows a certificate and a file of users.
fn serve_with_users(
    world: &World,
    authority: &Authority,
    directory: &Path,
    users: &Path,
) -> Server {
    authority.renew(directory, NAME, LONG);
    fs::write(users, "").expect("our directory");
    let setup = serving_tls(directory).with(&format!("auth.users-file = {users:?}"));
    world.serve(setup)
}

#[test]
fn a_wrong_certificate_is_told_once_and_holds_up_nothing_else() {
    in_own_world(|world| {
        let authority = Authority::new();
        let [directory, users] = ["certificate", "users.toml"].map(|name| authority.path(name));
        let server = serve_with_users(world, &authority, &directory, &users);
        let before = shown(
            &authority
                .client()
                .connect(NAME)
                .expect("a good certificate"),
        );
        let [_, other_key] = authority.sign(NAME, LONG);
        fs::write(directory.join("key.pem"), other_key).expect("our directory");
        server.wait_for_line(&["ERROR", "whose key is not that of the certificate", "stays"]);
        fs::write(&users, "bob = \"looking-glass\"\n").expect("our directory");
        server.wait_for_line(&["configuration.reloaded", "changed=\"[auth] users\""]);
        server.program.signal(Signal::HUP);
        server.wait_for_line(&["configuration.reloaded", "changed=\"nothing\""]);
        let session = authority
            .client()
            .connect(NAME)
            .expect("the old certificate");
        assert_eq!(shown(&session), before);
        let log = server.log();
        assert_eq!(log.matches("whose key is not").count(), 1, "{log}");
        assert!(!log.contains("PRIVATE"), "{log}");
    });
}

#[test]
fn a_faulty_file_of_users_does_not_hold_up_a_certificate() {
    in_own_world(|world| {
        let authority = Authority::new();
        let [directory, users] = ["certificate", "users.toml"].map(|name| authority.path(name));
        let server = serve_with_users(world, &authority, &directory, &users);
        fs::write(&users, "bob = 7\n").expect("our directory");
        server.wait_for_line(&["configuration.refused"]);
        authority.renew(&directory, NAME, LONG);
        wait_for_certificate(&authority, &directory.join("chain.pem"));
        fs::write(&users, "bob = \"looking-glass\"\n").expect("our directory");
        server.wait_for_line(&["configuration.reloaded", "changed=\"[auth] users\""]);
    });
}

#[test]
fn a_reload_adds_a_certificate_which_clients_are_shown_by_its_name() {
    in_own_world(|world| {
        let authority = Authority::new();
        let [first, second] = ["first", "second"].map(|name| authority.path(name));
        authority.renew(&first, NAME, LONG);
        authority.renew(&second, "turn.example.net", LONG);
        let setup = serving_tls(&first);
        let server = world.serve(setup.clone());
        let client = authority.client();
        client
            .connect("turn.example.net")
            .expect_err("another name");
        let config = server.config();
        let directory = Path::new(&config).parent().expect("a directory");
        setup.with(&entry(&second)).write(directory);
        server.program.signal(Signal::HUP);
        server.wait_for_line(&["configuration.reloaded", "[[tls.certificates]]"]);
        client
            .connect("turn.example.net")
            .expect("its own certificate");
        client.connect(NAME).expect("the first certificate");
    });
}

#[test]
fn a_reload_that_names_an_expired_certificate_leaves_the_good_one_in_its_place() {
    in_own_world(|world| {
        let authority = Authority::new();
        let [good, expired] = ["good", "expired"].map(|name| authority.path(name));
        authority.renew(&good, NAME, LONG);
        authority.renew(&expired, NAME, Duration::ZERO);
        let server = world.serve(serving_tls(&good));
        // Until the second is over in which it ends.
        std::thread::sleep(Duration::from_millis(1100));
        let config = server.config();
        let directory = Path::new(&config).parent().expect("a directory");
        serving_tls(&expired).write(directory);
        server.program.signal(Signal::HUP);
        server.wait_for_line(&["ERROR", "expired on", "the certificate from before stays"]);
        server.wait_for_line(&["configuration.reloaded"]);
        let client = authority.client();
        client.connect(NAME).expect("the good certificate");
        authority.renew(&expired, NAME, LONG);
        server.wait_for_line(&["configuration.reloaded", "[[tls.certificates]]"]);
        authority
            .client()
            .connect(NAME)
            .expect("the renewed certificate");
    });
}

#[test]
fn a_client_resumes_its_session_after_a_restart_of_the_server() {
    in_own_world(|world| {
        let authority = Authority::new();
        let directory = authority.path("certificate");
        authority.renew(&directory, NAME, LONG);
        let state = authority.path("state");
        let start = |world: &World| {
            let with_state = |program: &str| {
                let mut command = world.on_server_host("env");
                command.arg(format!("STATE_DIRECTORY={}", state.display()));
                command.arg(program);
                command
            };
            Server::start_by(with_state, serving_tls(&directory))
        };
        let client = authority.client();
        let kind = |session: Session| session.conn.handshake_kind();
        let mut server = start(world);
        let first = client.connect(NAME).expect("a good certificate");
        assert_eq!(kind(first), Some(HandshakeKind::Full));
        let second = client.connect(NAME).expect("a good certificate");
        assert_eq!(kind(second), Some(HandshakeKind::Resumed));
        server.stop();
        let _server = start(world);
        let third = client.connect(NAME).expect("a good certificate");
        assert_eq!(kind(third), Some(HandshakeKind::Resumed));
    });
}

#[test]
fn the_end_of_a_certificate_is_told_before_and_when_it_comes_and_it_stays() {
    in_own_world(|world| {
        let authority = Authority::new();
        let directory = authority.path("certificate");
        // The server has started by then, also on a busy machine.
        authority.renew(&directory, NAME, Duration::from_secs(30));
        let server = world.serve(serving_tls(&directory));
        server.wait_for_line(&["WARN", "certificate.ends-soon", "days=0"]);
        wait_for("the end", 3 * PATIENCE, || {
            server.log().contains("certificate.expired").then_some(())
        });
        authority
            .client()
            .connect(NAME)
            .expect_err("an expired certificate");
        server.wait_for_line(&["certificate.refused", "alert=45", "certificate_expired"]);
        authority.renew(&directory, NAME, LONG);
        server.wait_for_line(&["configuration.reloaded"]);
        authority
            .client()
            .connect(NAME)
            .expect("a good certificate");
    });
}

#[test]
fn clients_that_refuse_the_certificate_are_told_of_once_an_hour_and_without_their_address() {
    in_own_world(|world| {
        let (authority, stranger) = (Authority::new(), Authority::named("another"));
        let directory = authority.path("certificate");
        authority.renew(&directory, NAME, LONG);
        let server = world.serve(serving_tls(&directory));
        for _ in 0..3 {
            stranger
                .client()
                .connect(NAME)
                .expect_err("an unknown authority");
            authority
                .client()
                .connect("turn.example.com")
                .expect_err("another name");
        }
        let unknown = [
            "certificate.refused",
            "alert=48",
            "certificate=\"turn.example.org\"",
        ];
        server.wait_for_line(&unknown);
        server.wait_for_line(&[
            "certificate.refused",
            "alert=42",
            "asked=\"turn.example.com\"",
        ]);
        authority
            .client()
            .connect(NAME)
            .expect("a good certificate");
        let log = server.log();
        assert_eq!(log.matches("certificate.refused").count(), 2, "{log}");
        assert!(!log.contains("client="), "{log}");
    });
}

#[test]
fn a_client_in_the_clear_is_closed_by_a_listener_for_tls_with_a_line() {
    let authority = Authority::new();
    let directory = authority.path("certificate");
    authority.renew(&directory, NAME, LONG);
    serving(serving_tls(&directory), |_, server| {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(listener()).expect("a listener");
            stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
            stream.write_all(&BINDING).expect("a connection");
            assert_eq!(stream.read(&mut [0; 64]).unwrap_or(0), 0);
        }
        server.wait_for_line(&["tls.plain", "listener=", "transport = \"auto\" takes both"]);
        let log = server.log();
        assert_eq!(log.matches("tls.plain").count(), 1, "{log}");
    });
}

#[test]
fn for_trying_a_certificate_is_made_that_a_browser_can_be_told_to_trust() {
    in_own_world(|world| {
        let home = tempfile::tempdir().expect("a temporary directory");
        let on_host = |program: &str| world.on_server_host(program);
        let server = Server::unconfigured(on_host, home.path(), &["--dev"]);
        server.wait_for_line(&["certificate.made", "spki=", "names=\"localhost, "]);
        server.wait_for_line(&["--ignore-certificate-errors-spki-list="]);
        let root = home.path().join(".local/state/hairpin/dev-root.pem");
        let client = Client::trusting(first_of(&root));
        for name in ["localhost", "127.0.0.1", &SERVER_V4.to_string()] {
            client.connect(name).expect("a certificate for this host");
        }
    });
}
