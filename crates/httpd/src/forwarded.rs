//! `X-Forwarded-For`: the visitor behind a proxy.
//!
//! `Forwarded` (RFC 7239) is not read: a proxy that does not know it passes on what its client wrote.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

/// The visitor: the last address that is no proxy's, as each proxy writes the one that it saw behind
/// those that it was told. Whatever stands before it may be the visitor's invention. `None` if no such
/// address is there.
pub(crate) fn visitor(headers: &HeaderMap, is_proxy: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let lines = headers.get_all(NAME).iter().rev();
    for line in lines {
        for entry in line.to_str().ok()?.rsplit(',') {
            let ip = address(entry.trim())?;
            if !is_proxy(ip) {
                return Some(ip);
            }
        }
    }
    None
}

/// Whether there is such a header.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    headers.contains_key(NAME)
}

/// `192.0.2.1`, `2001:db8::1`, and both with a port, as some proxies write them.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse::<IpAddr>();
    let ip = ip.or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

const NAME: &str = "x-forwarded-for";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, line.parse().unwrap());
        }
        let is_proxy = |ip: IpAddr| ip.to_string().starts_with("10.");
        visitor(&headers, is_proxy).map(|ip| ip.to_string())
    }

    #[test]
    fn the_visitor_is_the_last_address_that_is_no_proxy() {
        for (lines, visitor) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
            (&["203.0.113.9,192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["203.0.113.9", "192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1", "10.0.0.3, 10.0.0.2"], "192.0.2.1"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
        ] {
            assert_eq!(of(lines).as_deref(), Some(visitor), "{lines:?}");
        }
    }

    #[test]
    fn what_stands_before_something_unreadable_is_not_believed() {
        for lines in [
            &[][..],
            &["10.0.0.1"],
            &["unknown"],
            &["192.0.2.1, unknown"],
            &["192.0.2.1, _hidden, 10.0.0.2"],
            &[""],
        ] {
            assert_eq!(of(lines), None, "{lines:?}");
        }
    }
}
