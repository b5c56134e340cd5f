//! `[http]` and `[demo]`: what is served to browsers beside the relay.

use net::Transports;

use super::Review;
use super::net::socket;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    pub(super) fn http(&mut self, file: &Table<'_>) {
        let table = file.table("http");
        let key = table.name("listen");
        for text in table.texts("listen") {
            let Some((listen, at)) = socket(text) else {
                continue;
            };
            if !self.is_on_host(&key, listen.ip(), &at) {
                continue;
            }
            let mut listeners = self.config.listeners.iter();
            let takes_tcp = |transports: Transports| transports.are_streams();
            if listeners.any(|other| takes_tcp(other.transports) && other.covers(listen)) {
                let sentence = format!("{key} is a `[[listener]]` of the relay");
                let help = "give it a port of its own, such as \"0.0.0.0:8080\"";
                self.say(Remark::fault(at, sentence).help(help));
                continue;
            }
            self.config.http.listen.push(listen);
        }
        let demo = file.table("demo");
        if self.config.demo
            && self.config.http.listen.is_empty()
            && let Some(at) = demo.at("enabled")
            && self.is_good(&table, &["listen"])
        {
            let sentence = format!("{} serves pages nowhere", demo.name("enabled"));
            let help = "write listen = [\"0.0.0.0:8080\", \"[::]:8080\"] under [http]";
            self.say(Remark::fault(at, sentence).help(help));
        }
    }
}
