//! TLS clients of rustls against a server that runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use relay::Transport;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use super::*;
use crate::tests::{BINDING, LOCAL, config};
use crate::{Options, Running, StreamLimits, Transports, start};

fn certificate(name: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Certificate::new(vec![name.to_owned()], vec![made.cert.der().clone()], key).unwrap()
}

/// A server at one listener, with certificates for these names.
fn server(transports: Transports, names: &[&str]) -> (Running, SocketAddr, Certificates) {
    let names = names.iter().map(|name| certificate(name));
    let certificates = Certificates::new(names.collect());
    let (running, listener) = serve(transports, options(certificates.clone()));
    (running, listener, certificates)
}

/// A server at one listener.
fn serve(transports: Transports, tls: TlsOptions) -> (Running, SocketAddr) {
    let running = start(Options {
        tls: Some(tls),
        ..Options::new([(transports, (LOCAL, 0).into())], config(vec![]))
    })
    .unwrap();
    let (_, listener) = running.listeners()[0];
    (running, listener)
}

/// Takes any certificate: which one it was is what the tests look at.
#[derive(Debug)]
struct Trusting(SignatureScheme);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![self.0]
    }
}

/// The configuration of a server with one certificate.
pub(super) fn server_config_for(name: &str) -> Arc<ServerConfig> {
    let tls = Tls::new(
        options(Certificates::new(vec![certificate(name)])),
        StreamLimits::default(),
    );
    tls.unwrap().config
}

fn options(certificates: Certificates) -> TlsOptions {
    TlsOptions {
        certificates,
        minimum: TlsVersion::V1_2,
        dtls: false,
        tickets: rustls::crypto::ring::Ticketer::new().unwrap(),
        tell: Arc::new(|_| ()),
    }
}

pub(super) fn client_of(
    versions: &[&'static SupportedProtocolVersion],
    name: &str,
) -> ClientConnection {
    client_with(versions, name, SignatureScheme::ECDSA_NISTP256_SHA256)
}

/// A client that can check signatures of one kind.
fn client_with(
    versions: &[&'static SupportedProtocolVersion],
    name: &str,
    scheme: SignatureScheme,
) -> ClientConnection {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(scheme)))
        .with_no_client_auth();
    // For clients that forge.
    config.enable_secret_extraction = true;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// The bytes of a Binding's answer.
fn ask(mut stream: impl Read + Write) {
    stream.write_all(BINDING).unwrap();
    let mut answer = [0; 32];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..2], [1, 1]);
}

#[test]
fn clients_of_both_versions_are_served_by_name() {
    let names = ["one.test", "two.test"];
    let (_running, listener, certificates) = server(Transports::Streams, &names);
    for version in [&TLS12, &TLS13] {
        for (asked, shown) in [
            ("one.test", 0),
            ("two.test", 1),
            ("three.test", 0),
            ("127.0.0.1", 0),
        ] {
            let mut client = client_of(&[version], asked);
            let mut stream = TcpStream::connect(listener).unwrap();
            ask(rustls::Stream::new(&mut client, &mut stream));
            let seen = client.peer_certificates().unwrap()[0].clone();
            assert_eq!(seen, certificates.all()[shown].certified.cert[0], "{asked}");
        }
    }
    ask(TcpStream::connect(listener).unwrap());
}

#[test]
fn a_hello_that_comes_byte_by_byte_is_answered() {
    let (_running, listener, _) = server(Transports::Only(Transport::Tls), &["one.test"]);
    let mut client = client_of(&[&TLS13], "one.test");
    let mut stream = TcpStream::connect(listener).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    for byte in hello {
        stream.write_all(&[byte]).unwrap();
    }
    ask(rustls::Stream::new(&mut client, &mut stream));
}

#[test]
fn clients_with_nothing_in_common_are_told_of_by_what_is_lacking() {
    let certificates = Certificates::new(vec![certificate("one.test")]);
    let (told, events) = mpsc::channel();
    let tls = TlsOptions {
        minimum: TlsVersion::V1_3,
        tell: Arc::new(move |event| told.send(event).unwrap_or_default()),
        ..options(certificates)
    };
    let (_running, listener) = serve(Transports::Streams, tls);
    let (ecdsa, rsa) = (
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::RSA_PSS_SHA256,
    );
    for (version, scheme, expected) in
        [(&TLS12, ecdsa, Lack::Version), (&TLS13, rsa, Lack::KeyType)]
    {
        let mut client = client_with(&[version], "one.test", scheme);
        let mut stream = TcpStream::connect(listener).unwrap();
        let mut stream = rustls::Stream::new(&mut client, &mut stream);
        stream.write_all(BINDING).unwrap_err();
        match events.recv_timeout(Duration::from_secs(5)).unwrap() {
            TlsEvent::Unserved { lack, .. } => assert_eq!(lack, expected),
            other @ (TlsEvent::Refused { .. } | TlsEvent::Plain { .. }) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_client_over_dtls_that_is_off_is_told_of_once() {
    let certificates = Certificates::new(vec![certificate("one.test")]);
    let (told, events) = mpsc::channel();
    let tls = TlsOptions {
        tell: Arc::new(move |event| told.send(event).unwrap_or_default()),
        ..options(certificates)
    };
    let (_running, listener) = serve(Transports::Datagrams, tls);
    let client = UdpSocket::bind((LOCAL, 0)).unwrap();
    // The header of a record with a hello of 36 bytes, and of that; the version; no session, no cookie.
    let mut hello = vec![22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 48];
    hello.extend([1, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 36, 0xFE, 0xFD]);
    hello.extend([7; 32]);
    hello.extend([0, 0]);
    for _ in 0..2 {
        client.send_to(&hello, listener).unwrap();
    }
    let event = events.recv_timeout(Duration::from_secs(60)).unwrap();
    let client = client.local_addr().unwrap();
    assert!(
        matches!(event, TlsEvent::Unserved { lack: Lack::Dtls, client: told } if told.client == client),
        "{event:?}"
    );
    events.recv_timeout(Duration::from_millis(200)).unwrap_err();
}
