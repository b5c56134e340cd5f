//! The origin of pages, as browsers write it into `Origin`. RFC 6454 §6.1.

use super::{Flaw, flaw, is_domain};

/// A scheme, a host and a port that is not the scheme's own; or `*` for all pages.
pub(super) fn origin(text: &str) -> Result<(), Flaw> {
    if text == "*" {
        return Ok(());
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return flaw("is not the origin of a page", EXAMPLE);
    };
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return flaw("is not the origin of a page over http or https", EXAMPLE),
    };
    if let Some(bare) = authority.strip_suffix('/') {
        let help = format!("write \"{scheme}://{bare}\"");
        return Err((
            "ends with a slash, which no origin has".to_owned(),
            Some(help),
        ));
    }
    if let Some(bare) = authority.strip_suffix(own_port) {
        let help = format!("write \"{scheme}://{bare}\", as browsers do");
        return Err((format!("has the port of {scheme} itself"), Some(help)));
    }
    if authority.chars().any(|letter| letter.is_ascii_uppercase()) {
        let help = format!(
            "write \"{scheme}://{}\", as browsers do",
            authority.to_ascii_lowercase()
        );
        return Err(("has capital letters".to_owned(), Some(help)));
    }
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = |host: &str| {
        let literal = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        match literal {
            Some(literal) => literal.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_domain(host) || host.parse::<std::net::Ipv4Addr>().is_ok(),
        }
    };
    let is_good = is_host(authority)
        || authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| is_host(host) && is_port(port));
    if is_good {
        return Ok(());
    }
    flaw("is not the origin of a page", EXAMPLE)
}

const EXAMPLE: &str = "write scheme, host and port if need be, such as \"https://app.example.org\", or \"*\" for all pages";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in [
            "*",
            "https://app.example.org",
            "http://localhost:3000",
            "https://192.0.2.1",
            "https://[2001:db8::1]:8443",
        ] {
            assert_eq!(origin(good), Ok(()), "{good}");
        }
        for (bad, instead) in [
            (
                "https://app.example.org/",
                "write \"https://app.example.org\"",
            ),
            ("https://app.example.org:443", "\"https://app.example.org\""),
            ("http://app.example.org:80", "\"http://app.example.org\""),
            ("https://App.example.org", "\"https://app.example.org\""),
            ("app.example.org", "such as"),
            ("https://app.example.org/page", "such as"),
            ("ws://app.example.org", "such as"),
            ("https://", "such as"),
            ("https://a:0", "such as"),
            ("null", "such as"),
            ("https://*.example.org", "such as"),
        ] {
            let (_, help) = origin(bad).unwrap_err();
            assert!(help.unwrap().contains(instead), "{bad}");
        }
    }
}
