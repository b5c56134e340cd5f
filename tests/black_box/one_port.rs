//! TCP and UDP port 443 for TURN and for the web at once: HTTP/2 by Debian's nginx, HTTP/3 by quinn.

use std::{
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::{Buf, Bytes};
use client::Transport;
use lab::{
    PATIENCE,
    authority::{Authority, Name, Wish},
    daemons::{Daemon, haproxy, nginx},
    live::LiveClient,
    program::Program,
    setup::Setup,
    socket::{assert_hears, peer_at},
    world::{CLIENT_V4, PEER_V4, SERVER_V4, World, in_own_world},
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::{NamedTempFile, TempDir};

use crate::uclient::Uclient;

/// A server for everything on port 443.
fn setup(web: &str) -> Setup {
    Setup::default()
        .with_certificates(&[Wish::RIGHT])
        .with(&format!(
            "[[listener]]\ntransport = 'auto'\nlisten = '{SERVER_V4}:443'\n[web]\n{web}"
        ))
}

/// nginx behind the server, which greets each client by its address.
fn web_server(world: &World, authority: &Authority, more: &str, greeting: &str) -> Web {
    let files = TempDir::new().expect("a temporary directory");
    let issued = authority.issue(Wish {
        names: &[Name::Host("www.test")],
        ..Wish::RIGHT
    });
    let [chain, key] = issued.write(files.path(), "www");
    let block = format!(
        "http {{ server {{ listen 127.0.0.1:8443 ssl http2{more}; ssl_certificate {chain}; \
         ssl_certificate_key {key}; location / {{ return 200 'hello {greeting}'; }} }} }}"
    );
    let nginx = nginx(|it| world.on_server_host(it), &block);
    Web {
        _nginx: nginx,
        _files: files,
        root: authority.root_file(),
    }
}

/// A web server that runs, and the file of the authority that its clients trust.
struct Web {
    _nginx: Daemon,
    _files: TempDir,
    root: NamedTempFile,
}

impl Web {
    fn root(&self) -> &str {
        self.root.path().to_str().expect("a path of ASCII")
    }
}

/// The page at a port, and the version of HTTP that it came by.
#[track_caller]
fn fetch(port: u16, ca: &str, version: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", version, "--cacert", ca]);
    curl.args(["--resolve", &format!("www.test:{port}:{SERVER_V4}")]);
    curl.args(["--write-out", " by HTTP/%{http_version}"]);
    curl.arg(format!("https://www.test:{port}/"));
    Program::succeed(curl)
}

/// A client with an allocation on port 443, a channel, and its peer.
struct Call {
    client: LiveClient,
    channel: wire::ChannelNumber,
    peer: UdpSocket,
    relayed: SocketAddr,
}

impl Call {
    #[track_caller]
    fn over(transport: Transport) -> Self {
        let client = LiveClient::to((SERVER_V4, 443), transport);
        let ((mut client, relayed), (peer, at)) = (client.allocated(), peer_at(PEER_V4));
        let channel = client.bind_channel(at).expect("a channel");
        Self {
            client,
            channel,
            peer,
            relayed,
        }
    }

    #[track_caller]
    fn goes_on(&mut self) {
        self.client.post_on(self.channel, b"ping");
        assert_hears(&self.peer, self.relayed, b"ping");
        self.peer.send_to(b"pong", self.relayed).expect("a route");
        assert_eq!(self.client.receive().1, b"pong");
    }
}

#[test]
fn a_page_comes_by_http_2_through_the_port_of_a_call_over_tcp() {
    in_own_world(|world| {
        let authority = Authority::make();
        let web = web_server(world, &authority, "", "$remote_addr");
        let setup = setup("https-backend = '127.0.0.1:8443'");
        let mut server = world.serve(setup);
        let mut call = Call::over(Transport::Tcp);
        for (version, told) in [("--http2", "2"), ("--http1.1", "1.1")] {
            call.goes_on();
            let page = fetch(443, web.root(), version);
            assert_eq!(page, format!("hello 127.0.0.1 by HTTP/{told}"));
        }
        call.goes_on();
        drop(call);
        let ended = server.stop();
        assert_eq!(ended.sockets("web-connections"), 2);
        assert_eq!(ended.sockets("web-unreachable"), 0);
    });
}

/// coturn's client names nobody, as some browsers do not.
#[test]
fn pages_come_by_http_2_through_the_port_of_a_session_over_tls() {
    in_own_world(|world| {
        let authority = Authority::make();
        let web = web_server(world, &authority, "", "visitor");
        let setup = setup("https-backend = '127.0.0.1:8443'");
        let mut server = world.serve(setup);
        let pages = || {
            for _ in 0..10 {
                let page = fetch(443, web.root(), "--http2");
                assert_eq!(page, "hello visitor by HTTP/2");
            }
        };
        thread::scope(|scope| {
            let pages = scope.spawn(pages);
            let session = Uclient::to(PEER_V4).flags("-t -S -p 443").messages(1000);
            session.relays_everything();
            pages.join().expect("ten pages");
        });
        let ended = server.stop();
        assert_eq!(ended.sockets("web-connections"), 10);
        assert!(ended.sockets("handshakes") >= 1);
    });
}

/// haproxy is on the server's own host, from where nobody may allocate.
#[test]
fn a_session_over_tls_goes_through_haproxy_that_says_whose_it_is() {
    in_own_world(|world| {
        let proxies = format!("[proxy-protocol]\ntcp-from = ['{SERVER_V4}']");
        let setup = setup("https-backend = '127.0.0.1:8443'");
        let mut server = world.serve(setup.with(&proxies));
        let at = SocketAddr::new(SERVER_V4.into(), 5005);
        let section =
            format!("listen tls\n bind {at}\n server hairpin {SERVER_V4}:443 send-proxy-v2\n");
        let _haproxy = haproxy(|it| world.on_server_host(it), &section, at);
        Uclient::to(PEER_V4)
            .flags("-t -S -p 5005")
            .relays_everything();
        assert!(server.stop().sockets("handshakes") >= 1);
    });
}

/// haproxy in front, nginx behind, and a header of its own between each two.
#[test]
fn a_web_server_behind_this_one_and_a_proxy_before_it_know_the_client() {
    in_own_world(|world| {
        let authority = Authority::make();
        let web = web_server(world, &authority, " proxy_protocol", "$proxy_protocol_addr");
        let table = "https-backend = '127.0.0.1:8443'\nproxy-protocol = true\n";
        let proxies = format!("[proxy-protocol]\ntcp-from = ['{SERVER_V4}']");
        let setup = setup(table);
        let _server = world.serve(setup.with(&proxies));
        let section = format!(
            "listen web\n bind {SERVER_V4}:8443\n server hairpin {SERVER_V4}:443 send-proxy-v2\n"
        );
        let at = (SERVER_V4, 8443).into();
        let _haproxy = haproxy(|it| world.on_server_host(it), &section, at);
        let page = fetch(8443, web.root(), "--http2");
        assert_eq!(page, format!("hello {CLIENT_V4} by HTTP/2"));
    });
}

#[test]
fn a_web_server_that_is_down_is_logged_with_the_key() {
    in_own_world(|world| {
        let setup = setup("https-backend = '127.0.0.1:8443'");
        let server = world.serve(setup);
        let mut curl = Command::new("curl");
        // It names a protocol, which TURN clients do not.
        curl.args([
            "--insecure",
            "--http2",
            &format!("https://{SERVER_V4}:443/"),
        ]);
        assert!(!Program::run(curl, PATIENCE).status.success());
        server.wait_for_line(&["web server cannot be reached", "`https-backend`"]);
    });
}

#[test]
fn pages_come_by_http_3_through_the_port_of_a_call_over_udp() {
    in_own_world(|world| {
        let (socket, at) = world.server_side_socket(Ipv4Addr::LOCALHOST);
        let setup = setup(&format!("quic-backend = '{at}'"));
        let mut server = world.serve(setup);
        let mut call = Call::over(Transport::Udp);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let made = rcgen::generate_simple_self_signed(vec!["www.test".to_owned()]).expect("a key");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let page: Bytes = vec![7; 1 << 20].into();
        runtime.spawn(web_server_3(socket, certificate.clone(), key, page.clone()));
        for _ in 0..3 {
            call.goes_on();
            let fetched = async { tokio::time::timeout(PATIENCE, fetch_3(&certificate)).await };
            let fetched = runtime.block_on(fetched).expect("a page in time");
            assert!(fetched == page);
        }
        call.goes_on();
        drop(call);
        runtime.shutdown_timeout(Duration::from_secs(1));
        let ended = server.stop();
        assert_eq!(ended.sockets("quic-flows"), 3);
        assert_eq!(ended.sockets("quic-refused"), 0);
        assert_eq!(ended.sockets("quic-held-back"), 0);
    });
}

#[test]
fn a_client_with_an_allocation_has_no_quic_and_loses_what_it_had() {
    in_own_world(|world| {
        let (web, at) = world.server_side_socket(Ipv4Addr::LOCALHOST);
        let setup = setup(&format!("quic-backend = '{at}'"));
        let mut server = world.serve(setup);
        let mut beginning = b"\xC3\0\0\0\x01\x08invented\x03own".to_vec();
        beginning.resize(1200, 0);

        let mut early = LiveClient::to((SERVER_V4, 443), Transport::Udp);
        early.socket.send(&beginning);
        let (_, flow) = web.recv_from(&mut [0; 2048]).expect("the first datagram");
        early.allocate().expect("an allocation");
        web.send_to(b"\x40\0\0\x04lost", flow).expect("a socket");
        early.assert_nothing_else_comes();

        let mut call = Call::over(Transport::Udp);
        call.client.socket.send(&beginning);
        call.goes_on();
        web.set_nonblocking(true).expect("a socket");
        assert!(web.recv(&mut [0; 2048]).is_err());
        drop((early, call));
        assert_eq!(server.stop().sockets("quic-flows"), 1);
    });
}

/// Serves one page to everybody, by HTTP/3.
async fn web_server_3(
    socket: UdpSocket,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    page: Bytes,
) {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    config.alpn_protocols = vec![b"h3".to_vec()];
    let config = QuicServerConfig::try_from(config).expect("a configuration");
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = endpoint(socket, Some(config));
    while let Some(incoming) = endpoint.accept().await {
        let page = page.clone();
        tokio::spawn(async move {
            let connection = h3_quinn::Connection::new(incoming.await?);
            let mut connection = h3::server::Connection::new(connection).await?;
            while let Some(request) = connection.accept().await? {
                let (_, mut stream) = request.resolve_request().await?;
                stream.send_response(http::Response::new(())).await?;
                stream.send_data(page.clone()).await?;
                stream.finish().await?;
            }
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
}

/// Fetches the page on a connection of its own.
async fn fetch_3(certificate: &CertificateDer<'static>) -> Vec<u8> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let config = QuicClientConfig::try_from(config).expect("a configuration");
    let config = quinn::ClientConfig::new(Arc::new(config));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a free port");
    let endpoint = endpoint(socket, None);
    let connecting = endpoint.connect_with(config, (SERVER_V4, 443).into(), "www.test");
    let connection = connecting.expect("an address").await.expect("a connection");
    let quinn = h3_quinn::Connection::new(connection);
    let (mut driver, mut requests) = h3::client::new(quinn).await.expect("HTTP/3");
    let driven = tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    let request = http::Request::get("https://www.test/")
        .body(())
        .expect("a request");
    let mut stream = requests.send_request(request).await.expect("a stream");
    stream.finish().await.expect("a stream");
    stream.recv_response().await.expect("an answer");
    let mut page = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.expect("data") {
        let length = piece.remaining();
        page.extend_from_slice(&piece.copy_to_bytes(length));
    }
    driven.abort();
    page
}

fn endpoint(socket: UdpSocket, server: Option<quinn::ServerConfig>) -> quinn::Endpoint {
    let runtime = Arc::new(quinn::TokioRuntime);
    let config = quinn::EndpointConfig::default();
    quinn::Endpoint::new(config, server, socket, runtime).expect("a runtime")
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
