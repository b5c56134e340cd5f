//! The ports that browsers open no page at or send no TURN to, and the order in which they should try URIs.

use probe::{Transport, Uri};

/// The browsers that refuse TURN at a port, with their verb, for a sentence. Chromium says nothing and
/// waits for forty seconds; in Firefox a page fails that has such a URI.
pub(crate) fn refusing(port: u16) -> Option<&'static str> {
    let is_others = is_of_other_protocol(port);
    let chromium = match port {
        80 | 443 => false,
        ..1024 => true,
        1024.. => is_others && port != SIEVE,
    };
    // It looks names up there itself, and knows that others hide TURN behind it.
    let firefox = is_others && port != DNS;
    match (chromium, firefox) {
        (true, true) => Some("Chromium and Firefox refuse"),
        (true, false) => Some("Chromium refuses"),
        (false, true) => Some("Firefox refuses"),
        (false, false) => None,
    }
}

/// Whether browsers open no page at a port: it is another protocol's.
pub(crate) const fn open_no_page(port: u16) -> bool {
    is_of_other_protocol(port)
}

/// The place of a URI among others: UDP is the fastest, TCP passes most firewalls, TLS all that
/// anything passes.
pub(crate) fn rank(uri: &Uri) -> u8 {
    match (uri.is_secure, uri.transport) {
        (false, None | Some(Transport::Udp)) => 0,
        (false, Some(Transport::Tcp)) => 1,
        (true, _) => 2,
    }
}

/// Each URI is an allocation of its own, and Firefox warns its users' developers of more.
pub(crate) const MOST_URIS: usize = 4;

/// Whether a port is another protocol's by the Fetch standard, "bad port".
const fn is_of_other_protocol(port: u16) -> bool {
    matches!(
        port,
        0 | 1 | 7 | 9 | 11 | 13 | 15 | 17 | 19..=23 | 25 | 37 | 42 | 43 | DNS | 69 | 77 | 79 | 87 | 95
            | 101..=104 | 109..=111 | 113 | 115 | 117 | 119 | 123 | 135 | 137 | 139 | 143 | 161 | 179
            | 389 | 427 | 465 | 512..=515 | 526 | 530..=532 | 540 | 548 | 554 | 556 | 563 | 587 | 601
            | 636 | 989 | 990 | 993 | 995 | 1719 | 1720 | 1723 | 2049 | 3659 | 4045 | SIEVE | 5060
            | 5061 | 6000 | 6566 | 6665..=6669 | 6679 | 6697 | 10080
    )
}

const DNS: u16 = 53;
const SIEVE: u16 = 4190;

#[cfg(test)]
mod tests {
    use super::*;

    /// As measured with Chromium 156 and Firefox 153.
    #[test]
    fn the_ports_that_browsers_refuse_are_those_that_they_were_seen_to_refuse() {
        for port in [
            80, 443, 1024, 1080, 3306, 3478, 4433, 5349, 5353, 8080, 19302, 65535,
        ] {
            assert_eq!(refusing(port), None, "{port}");
        }
        for port in [53, 81, 444, 500, 853, 1000, 1023] {
            assert_eq!(refusing(port), Some("Chromium refuses"), "{port}");
        }
        for port in [
            1, 25, 110, 161, 993, 1720, 2049, 3659, 5060, 6000, 6667, 10080,
        ] {
            assert_eq!(
                refusing(port),
                Some("Chromium and Firefox refuse"),
                "{port}"
            );
        }
        assert_eq!(refusing(4190), Some("Firefox refuses"));
    }
}
