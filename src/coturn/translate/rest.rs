//! Redirects, metrics and the log.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::draft::Value;
use super::super::lines::Line;
use super::{Translation, from};

impl Translation<'_> {
    pub(super) fn rest(&mut self) {
        self.redirects();
        self.metrics();
        if let Some(line) = self
            .file
            .last(&["Verbose"])
            .filter(|line| matches!(line.flag(), Ok(true)))
        {
            let table = self.draft.table("[log]");
            table.set("level", Value::Text("debug".to_owned()), from([line]));
            self.mapped(line, "[log] level");
        }
    }

    fn redirects(&mut self) {
        let mut to = Vec::new();
        let mut lines: Vec<&Line> = Vec::new();
        for line in self.file.all("alternate-server") {
            let text = line.value.trim();
            let socket = text.parse::<SocketAddr>().ok();
            let socket = socket.or_else(|| Some(SocketAddr::new(text.parse().ok()?, 3478)));
            match socket {
                Some(socket) => {
                    to.push(socket.to_string());
                    lines.push(line);
                    self.mapped(line, "[[redirect]] to");
                }
                None => self.undecided(line, "here an IP address and a port are wanted"),
            }
        }
        if to.is_empty() {
            return;
        }
        let mut comments = from(lines);
        comments.push(
            "Pion, webrtc-rs, aiortc, PJSIP and others do not follow: to them this is an error."
                .to_owned(),
        );
        let table = self.draft.another("[[redirect]]");
        table.set("to", Value::Texts(to), comments);
        table.set("when", Value::Text("always".to_owned()), Vec::new());
    }

    fn metrics(&mut self) {
        let Some(line) = self.file.last(&["prometheus"]) else {
            return;
        };
        let port = self
            .file
            .last(&["prometheus-port"])
            .and_then(Line::port)
            .unwrap_or(9641);
        let address = self
            .file
            .text_of("prometheus-address")
            .and_then(|text| text.parse().ok());
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let ip = address.filter(IpAddr::is_loopback).unwrap_or(loopback);
        let names = ["prometheus", "prometheus-port", "prometheus-address"];
        let lines = names.iter().filter_map(|name| self.file.last(&[name]));
        let listen = SocketAddr::new(ip, port).to_string();
        let mut comments = from(lines);
        comments.push("On other addresses than loopback metrics need a token.".to_owned());
        let table = self.draft.table("[metrics]");
        table.set("listen", Value::Texts(vec![listen.clone()]), comments);
        self.mapped_all(&names, "[metrics] listen");
        if address.is_none_or(|ip| !ip.is_loopback()) {
            let what = format!(
                "coturn shows metrics to everybody; here to this host at {listen}, and elsewhere with [metrics] token. Their names are others: docs/metrics.md"
            );
            self.ask(line, &what);
        }
    }
}
