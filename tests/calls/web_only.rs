//! Calls of clients whose firewall lets only TCP to port 443 pass.

use std::time::Duration;

use lab::{
    authority::{Authority, Name, Wish},
    daemons::nginx,
    internet::{Internet, on_the_internet, server_v4},
    program::{Program, here},
    servers::hairpin_on_443,
};
use tempfile::TempDir;

use crate::{
    call::{Call, close_relay_ports},
    stack::{
        End,
        Stack::{Aioice, Aiortc, Chromium, Firefox, Libnice, NodeDatachannel, Pion, Werift},
    },
};

#[test]
fn chromium_calls_pion_and_both_may_use_only_port_443() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Chromium.over_tls(), Pion.over_tls()])
    });
}

#[test]
fn firefox_calls_chromium_and_both_may_use_only_port_443() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Firefox.over_tls(), Chromium.over_tls()]);
    });
}

#[test]
fn aiortc_that_may_use_only_port_443_calls_werift() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Aiortc.over_tls(), Werift.over_tcp()])
    });
}

#[test]
fn werift_that_may_use_only_port_443_calls_node_datachannel() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Werift.over_tls(), NodeDatachannel.over_udp()]);
    });
}

/// libnice speaks in the clear to the port of TLS.
#[test]
fn libnice_calls_aioice_and_both_may_use_only_port_443() {
    on_the_internet(|internet| {
        a_call_goes_through(internet, [Libnice.over_tls(), Aioice.over_tls()]);
    });
}

/// The page is nginx's, behind the server.
#[test]
fn a_page_comes_through_the_one_open_port_while_a_call_goes_on_through_it() {
    on_the_internet(|internet| {
        let (files, authority) = (TempDir::new().expect("a directory"), Authority::lab());
        let issued = authority.issue(Wish {
            names: &[Name::Host(WEB)],
            ..Wish::RIGHT
        });
        let [chain, key] = issued.write(files.path(), "web");
        let block = format!(
            "http {{ server {{ listen 127.0.0.1:8443 ssl http2; ssl_certificate {chain}; \
             ssl_certificate_key {key}; location / {{ return 200 'a page'; }} }} }}"
        );
        let _nginx = nginx(here, &block);
        let _server = hairpin_on_443(1, "web.https-backend = '127.0.0.1:8443'");
        close_relay_ports(internet);
        let mut call = Call::connect(internet, [Aiortc.over_tls(), Werift.over_tcp()]);
        let root = authority.root_file();
        let mut curl = call.homes[0].host.command("curl");
        curl.args(["-sS", "--http2", "--resolve"])
            .arg(format!("{WEB}:443:{}", server_v4(1)))
            .arg("--cacert")
            .arg(root.path())
            .arg(format!("https://{WEB}/"));
        assert_eq!(Program::succeed(curl), "a page");
        call.goes_on_for(Duration::from_secs(3));
        call.hang_up();
    });
}

/// Both ends receive from each other for three seconds, and hang up.
fn a_call_goes_through(internet: &Internet, ends: [End; 2]) {
    let _server = hairpin_on_443(1, "");
    close_relay_ports(internet);
    let mut call = Call::connect(internet, ends);
    call.goes_on_for(Duration::from_secs(3));
    call.hang_up();
}

/// A name that the TURN server has no certificate for.
const WEB: &str = "www.test";
