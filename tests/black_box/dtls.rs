//! DTLS, as `openssl s_client` and coturn's client see it.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use lab::{
    PATIENCE,
    authority::Authority,
    foreign::assert_says,
    program::{Ended, Program},
    raw::forge,
    server::{TLS_PORT, serving},
    setup::Setup,
    world::{PEER_V4, PEER_V6, SERVER_V4, SERVER_V6},
};

use crate::uclient::Uclient;

#[test]
fn channels_and_send_indications_carry_data_over_dtls() {
    serving(Setup::default().with_dtls(), |_, server| {
        Uclient::to(PEER_V4).over_dtls().relays_everything();
        Uclient::to(PEER_V6)
            .at(SERVER_V6)
            .over_dtls()
            .flags("-x -s -m 5")
            .relays_everything();
        let ended = server.stop();
        assert!(ended.sockets("dtls-sessions") >= 6, "{}", ended.output);
        assert_eq!(ended.sockets("dtls-failed"), 0, "{}", ended.output);
    });
}

/// The listener of the other test takes DTLS alone.
#[test]
fn one_port_serves_udp_and_dtls_where_dtls_is_enabled() {
    serving(on_auto(true), |_, _| {
        Uclient::to(PEER_V4).over_dtls().relays_everything();
        Uclient::to(PEER_V4)
            .flags(&format!("-p {TLS_PORT}"))
            .relays_everything();
    });
}

#[test]
fn records_are_dropped_and_counted_where_dtls_is_not_enabled() {
    serving(on_auto(false), |_, server| {
        let _client = Uclient::to(PEER_V4).over_dtls().start();
        // A record is counted before it is told of.
        server.wait_for_line(&["tls.unserved", "DTLS, which is off"]);
        let ended = server.stop();
        assert!(ended.sockets("dtls-dropped") > 0, "{}", ended.output);
    });
}

/// The chain has an intermediate certificate, which the client does not know.
#[test]
fn openssl_verifies_the_certificate_of_a_dtls_server() {
    serving(Setup::default().with_dtls(), |_, _| {
        for server in [format!("{SERVER_V4}"), format!("[{SERVER_V6}]")] {
            let shaken = openssl(&server, &["-dtls1_2", "-verify_return_error"]);
            assert!(shaken.status.success(), "{shaken:?}");
            assert_says(&shaken.output, "Protocol version: DTLSv1.2");
            assert_says(&shaken.output, "Verification: OK");
        }
        // The path takes small packets only.
        let shaken = openssl(&SERVER_V4.to_string(), &["-dtls1_2", "-mtu", "296"]);
        assert!(shaken.status.success(), "{shaken:?}");
        let refused = openssl(
            &SERVER_V4.to_string(),
            &["-dtls1", "-cipher", "DEFAULT@SECLEVEL=0"],
        );
        assert!(!refused.status.success(), "{refused:?}");
        assert_says(&refused.output, "alert protocol version");
    });
}

/// A hello without a cookie leaves nothing, whoever may have sent it.
#[test]
fn hellos_of_forged_senders_cost_a_session_nothing() {
    serving(Setup::default().with_dtls(), |_, server| {
        let (before, is_over) = (server.program.memory(), AtomicBool::new(false));
        thread::scope(|scope| {
            let forging = scope.spawn(|| {
                let mut count = 0_u16;
                while !is_over.load(Ordering::Relaxed) || count < FORGED {
                    send_forged(count);
                    count += 1;
                    thread::sleep(Duration::from_millis(2));
                }
                count
            });
            Uclient::to(PEER_V4)
                .over_dtls()
                .messages(300)
                .relays_everything();
            is_over.store(true, Ordering::Relaxed);
            assert!(forging.join().expect("it sends") >= FORGED);
        });
        let grown = server.program.memory().saturating_sub(before);
        assert!(grown < MOST_GROWN, "{grown} bytes more");
        let ended = server.stop();
        assert!(ended.sockets("dtls-cookies") >= u64::from(FORGED));
        assert_eq!(ended.sockets("dtls-refused"), 0);
        assert_eq!(ended.sockets("dtls-half-open-dropped"), 0);
    });
}

/// The server on `TLS_PORT` for every transport.
fn on_auto(is_enabled: bool) -> Setup {
    Setup::default()
        .with_certificates(&[lab::authority::Wish::RIGHT])
        .with(&format!(
            "dtls.enabled = {is_enabled}\n\
             [[listener]]\ntransport = 'auto'\nlisten = '{SERVER_V4}:{TLS_PORT}'"
        ))
}

/// Shakes hands with the world's server at this address.
#[track_caller]
fn openssl(server: &str, arguments: &[&str]) -> Ended {
    let root = Authority::lab().root_file();
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-brief", "-connect"]);
    openssl.arg(format!("{server}:{TLS_PORT}"));
    openssl.arg("-CAfile").arg(root.path()).args(arguments);
    Program::run(openssl, PATIENCE)
}

/// A hello in the name of one of many networks.
fn send_forged(number: u16) {
    let [network, host] = number.to_be_bytes();
    let source = SocketAddrV4::new(Ipv4Addr::new(198, 18, network, host), 40_000);
    let destination = SocketAddrV4::new(SERVER_V4, TLS_PORT);
    forge(&hello(host), source, destination);
}

/// A ClientHello of DTLS 1.2 without cookie. RFC 6347 §4.2.1.
fn hello(random: u8) -> Vec<u8> {
    let body = [
        &[0xFE, 0xFD][..],
        &[random; 32],
        &[0, 0, 0, 2, 0xC0, 0x2B, 1, 0],
    ]
    .concat();
    let length = body.len() as u8;
    [
        &[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, length + 12][..],
        &[1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length],
        &body,
    ]
    .concat()
}

const FORGED: u16 = 1_000;
const MOST_GROWN: u64 = 8 * 1024 * 1024;
