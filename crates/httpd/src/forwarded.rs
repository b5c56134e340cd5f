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
    // All lines are one list. Only the entries behind the one that is sought are read, for what stands
    // before it may be any bytes.
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for entry in entries {
        let ip = address(entry)?;
        if !is_proxy(ip) {
            return Some(ip);
        }
    }
    None
}

/// Whether there is such a header.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    headers.contains_key(NAME)
}

/// `192.0.2.1`, `2001:db8::1`, and both with a port, as some proxies write them.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let ip = bare.unwrap_or(text).parse::<IpAddr>();
    let ip = ip.or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

const NAME: &str = "x-forwarded-for";

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(lines: &[&str]) -> Option<String> {
        of_bytes(lines.iter().map(|line| line.as_bytes()))
    }

    fn of_bytes<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, HeaderValue::from_bytes(line).unwrap());
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
    fn bytes_that_a_visitor_puts_before_its_address_do_not_hide_it() {
        for lines in [
            &[&b"\xff, 192.0.2.1"[..]][..],
            &[b"\xff,\xfe\xfd,192.0.2.1, 10.0.0.2"],
            &[b"\xff", b"192.0.2.1"],
            &[b"", b",,", b"\t192.0.2.1 ", b"10.0.0.2"],
        ] {
            let visitor = of_bytes(lines.iter().copied());
            assert_eq!(visitor.as_deref(), Some("192.0.2.1"), "{lines:?}");
        }
        assert_eq!(of_bytes([&b"192.0.2.1, \xff"[..]].into_iter()), None);
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
