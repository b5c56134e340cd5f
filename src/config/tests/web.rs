//! `[proxy-protocol]` and `[web]`.

use net::WebOptions;

use super::{config, fault, refused};

const AUTO: &str = "[[tls.certificates]]\ncert = \"fullchain.pem\"\nkey = \"privkey.pem\"\n\
    [[listener]]\ntransport = \"auto\"\nlisten = \"10.0.0.5:443\"\n";

#[test]
fn proxies_are_networks_or_single_hosts() {
    let config = config(
        "[proxy-protocol]\ntcp-from = [\"10.0.0.0/8\", \"2001:db8::7\"]\nudp-from = [\"::ffff:192.0.2.7\"]\n",
    );
    let [tcp, udp] = [&config.proxies.tcp, &config.proxies.udp];
    for (host, of_tcp, of_udp) in [
        ("10.1.2.3", true, false),
        ("2001:db8::7", true, false),
        ("2001:db8::8", false, false),
        ("192.0.2.7", false, true),
    ] {
        let host = host.parse().unwrap();
        assert_eq!((tcp.has(host), udp.has(host)), (of_tcp, of_udp), "{host}");
    }
}

#[test]
fn a_web_server_has_what_is_not_for_this_one() {
    let config = config(&format!(
        "{AUTO}[web]\nhttps-backend = \"127.0.0.1:8443\"\nproxy-protocol = true\n\
         quic-backend = \"[2001:db8::80]:443\"\n"
    ));
    let web = WebOptions {
        https: Some("127.0.0.1:8443".parse().unwrap()),
        proxy_protocol: true,
        quic: Some("[2001:db8::80]:443".parse().unwrap()),
    };
    assert_eq!(config.web, web);
}

#[test]
fn an_entry_that_is_no_network_is_shown_one() {
    fault("[proxy-protocol]\ntcp-from = [\"haproxy\"]\n").is(
        "error: `[proxy-protocol] tcp-from` holds an entry that is not a network or an IP address",
        "2:13",
        "\"haproxy\"",
        "write \"10.0.0.0/8\", \"2001:db8::/32\" or one address",
    );
}

#[test]
fn not_every_host_can_be_a_proxy() {
    let told = fault("[proxy-protocol]\ntcp-from = [\"0.0.0.0/0\"]\n");
    assert_eq!(
        told.sentence,
        "error: `[proxy-protocol] tcp-from` names 0.0.0.0/0: every host is believed to be a proxy"
    );
}

#[test]
fn proxies_need_listeners_of_their_protocol() {
    let udp = "[[listener]]\ntransport = \"udp\"\nlisten = \"10.0.0.5:3478\"\n";
    fault(&format!(
        "{udp}[proxy-protocol]\ntcp-from = [\"10.0.0.1\"]\n"
    ))
    .is(
        "error: `[proxy-protocol] tcp-from` means nothing: no `[[listener]]` takes TCP",
        "5:13",
        "\"10.0.0.1\"",
        "leave it out, or add a listener",
    );
}

#[test]
fn a_web_server_needs_listeners_that_tell_its_clients_apart() {
    let tcp = "[[listener]]\ntransport = \"tcp\"\nlisten = \"10.0.0.5:443\"\n";
    let of = |key| format!("{tcp}[web]\n{key} = \"127.0.0.1:8443\"\n");
    fault(&of("https-backend")).is(
        "error: `[web] https-backend` means nothing: no `[[listener]]` takes TLS",
        "5:17",
        "\"127.0.0.1:8443\"",
        "write transport = \"auto\" or \"tls\" at one, such as that on port 443",
    );
    fault(&of("quic-backend")).is(
        "error: `[web] quic-backend` means nothing: no `[[listener]]` takes QUIC",
        "5:16",
        "\"127.0.0.1:8443\"",
        "write transport = \"auto\" at one, such as that on port 443",
    );
}

#[test]
fn a_listener_is_no_web_server() {
    let everywhere = AUTO.replace("10.0.0.5", "0.0.0.0");
    let everywhere = everywhere.as_str();
    for (listeners, backend) in [
        (AUTO, "10.0.0.5:443"),
        (everywhere, "127.0.0.1:443"),
        (everywhere, "10.0.0.6:443"),
    ] {
        let text = format!("{listeners}[web]\nhttps-backend = \"{backend}\"\n");
        let told = fault(&text);
        let sentence = "error: `[web] https-backend` is a `[[listener]]` of this server";
        assert_eq!(told.sentence, sentence, "{backend}");
    }
    let behind_nat = "[relay]\naddresses = [\"10.0.0.5\"]\nexternal = [\"198.41.0.5\"]\n";
    let text = format!("{AUTO}{behind_nat}[web]\nhttps-backend = \"198.41.0.5:443\"\n");
    assert!(fault(&text).sentence.contains("is a `[[listener]]`"));
    // Another host's port is no listener, nor is a port of the other protocol.
    config(&format!(
        "{everywhere}[web]\nhttps-backend = \"192.0.2.80:443\"\n"
    ));
    let tcp = "[[listener]]\ntransport = \"tcp\"\nlisten = \"10.0.0.5:8443\"\n";
    config(&format!(
        "{AUTO}{tcp}[web]\nquic-backend = \"10.0.0.5:8443\"\n"
    ));
}

#[test]
fn a_backend_is_one_address_and_port() {
    for (backend, sentence) in [
        ("localhost:8443", "is not an IP address and a port"),
        ("127.0.0.1:0", "has port 0, which no client can send to"),
        (
            "0.0.0.0:8443",
            "cannot be 0.0.0.0: that is the unspecified address",
        ),
    ] {
        let told = fault(&format!("{AUTO}[web]\nhttps-backend = \"{backend}\"\n"));
        assert_eq!(
            told.sentence,
            format!("error: `[web] https-backend` {sentence}")
        );
    }
}

#[test]
fn nobody_is_told_of_clients_without_a_web_server() {
    let told = refused("[web]\nproxy-protocol = true\n");
    let sentences: Vec<&str> = told.iter().map(|it| it.sentence.as_str()).collect();
    assert_eq!(
        sentences,
        ["error: `[web] proxy-protocol` means nothing without `https-backend`"]
    );
}
