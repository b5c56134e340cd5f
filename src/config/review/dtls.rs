//! `[dtls]`, and the listeners that take DTLS: it asks more of a certificate than TLS does.

use net::Transports;
use relay::Transport;

use super::Review;
use crate::config::remark::Remark;
use crate::config::table::Table;

impl Review<'_> {
    /// The listeners and certificates were reviewed before.
    pub(super) fn dtls(&mut self, file: &Table<'_>) {
        let table = file.table("dtls");
        let is_on_auto = self.config.dtls && self.has(Transports::Datagrams);
        let is_alone = self.has(Transports::Only(Transport::Dtls));
        if let Some(at) = table.at("enabled").filter(|_| self.config.dtls)
            && !is_on_auto
        {
            let sentence = format!(
                "{} does nothing: no listener has transport = \"auto\"",
                table.name("enabled")
            );
            let help = "a listener with transport = \"dtls\" takes DTLS without it";
            self.say(Remark::caution(at, sentence).help(help));
        }
        // Where there is none at all, that was said already.
        let has_some = !self.config.tls.certificates.is_empty();
        if !(is_on_auto || is_alone) || !has_some {
            return;
        }
        let shown = self.config.tls.certificates.iter();
        let mut shown = shown.map(|filed| filed.certificate.shown());
        if !shown.any(|shown| shown.suits_dtls()) {
            self.say_that_no_key_suits(file, is_alone);
        }
    }

    /// Whether there is a listener for these.
    fn has(&self, transports: Transports) -> bool {
        let mut listeners = self.config.listeners.iter();
        listeners.any(|listener| listener.transports == transports)
    }

    /// For a listener that takes nothing else that is a fault.
    fn say_that_no_key_suits(&mut self, file: &Table<'_>, is_alone: bool) {
        let help = "add a certificate with an ECDSA key of P-256 or P-384: `certbot --key-type ecdsa` \
                    asks for one; one with an RSA key may stay beside it for TLS";
        let needs = "DTLS needs a certificate with an ECDSA key, and [[tls.certificates]] has none";
        if is_alone {
            let listeners = file.tables("listener");
            let words = listeners.iter().filter_map(|table| table.text("transport"));
            for word in words.filter(|word| *word.get_ref() == "dtls") {
                self.say(Remark::fault(word.span(), needs.to_owned()).help(help));
            }
        } else if let Some(at) = file.table("dtls").at("enabled") {
            let sentence = format!("{needs}: it is not served");
            self.say(Remark::caution(at, sentence).help(help));
        }
    }
}
