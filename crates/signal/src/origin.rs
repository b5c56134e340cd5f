//! The page that a connection comes from. RFC 6454, RFC 6455 §10.2.
//!
//! A browser lets every page connect to every server, and says which page it is. Programs that are no
//! browsers say nothing, and could say anything: what keeps them out is the access to rooms.

use axum::http::{HeaderMap, header};

/// Whether a page may connect: it comes from this host and port, or from one that is listed. The list
/// has origins such as `https://example.org`, or `*` for all.
pub fn is_welcome(headers: &HeaderMap, listed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return true;
    };
    let (Ok(origin), None) = (origin.to_str(), origins.next()) else {
        return false;
    };
    let is_listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
    if listed.iter().any(is_listed) {
        return true;
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.is_some_and(|host| is_same(origin, host))
}

/// The scheme is not compared: TLS may end at a proxy before this server.
fn is_same(origin: &str, host: &str) -> bool {
    let (page, port) = if let Some(page) = origin.strip_prefix("https://") {
        (page, ":443")
    } else if let Some(page) = origin.strip_prefix("http://") {
        (page, ":80")
    } else {
        return false;
    };
    let bare = |authority: &str| {
        let authority = authority.to_ascii_lowercase();
        authority
            .strip_suffix(port)
            .map(str::to_owned)
            .unwrap_or(authority)
    };
    !page.is_empty() && bare(page) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome(origin: &[&str], host: Option<&str>, listed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origin {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        if let Some(host) = host {
            headers.insert(header::HOST, host.parse().unwrap());
        }
        let listed: Vec<String> = listed.iter().map(|&listed| listed.to_owned()).collect();
        is_welcome(&headers, &listed)
    }

    #[test]
    fn a_page_of_this_host_is_welcome_and_another_is_not() {
        for (origin, host) in [
            ("https://turn.example.org", "turn.example.org"),
            ("https://turn.example.org", "TURN.example.org:443"),
            ("https://turn.example.org:8443", "turn.example.org:8443"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://localhost", "localhost:80"),
        ] {
            assert!(welcome(&[origin], Some(host), &[]), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "turn.example.org"),
            ("https://turn.example.org.evil.example", "turn.example.org"),
            ("https://turn.example.org:444", "turn.example.org"),
            ("https://turn.example.org:80", "turn.example.org"),
            ("null", "turn.example.org"),
            ("https://", ""),
            ("file://", "turn.example.org"),
        ] {
            assert!(!welcome(&[origin], Some(host), &[]), "{origin} {host}");
        }
        assert!(!welcome(&["https://a.example"], None, &[]));
        assert!(!welcome(
            &["https://a.example", "https://b.example"],
            Some("a.example"),
            &[]
        ));
    }

    #[test]
    fn a_listed_origin_is_welcome_and_so_is_a_program_without() {
        assert!(welcome(
            &["https://a.example"],
            Some("b"),
            &["https://A.example"]
        ));
        assert!(!welcome(
            &["http://a.example"],
            Some("b"),
            &["https://a.example"]
        ));
        assert!(welcome(&["https://a.example"], Some("b"), &["*"]));
        assert!(welcome(&["null"], Some("b"), &["null"]));
        assert!(welcome(&[], Some("b"), &[]));
    }
}
