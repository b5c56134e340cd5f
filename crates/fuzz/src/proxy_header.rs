//! A PROXY header: however it arrives the outcome is the same, and it is known in time.

use net::proxy::{Beginning, LONGEST};

/// The bytes are the beginning of a stream.
pub(crate) fn run(bytes: &[u8]) {
    let mut known = Beginning::Unfinished;
    for end in 0..=bytes.len() {
        let beginning = Beginning::of(&bytes[..end]);
        match known {
            Beginning::Unfinished => known = beginning,
            Beginning::Other | Beginning::Header { .. } | Beginning::Malformed => {
                assert_eq!(beginning, known);
            }
        }
    }
    if let Beginning::Header { length, proxied } = known {
        assert!(length <= bytes.len().min(LONGEST));
        let families = proxied.map(|it| [it.source, it.destination].map(|it| it.is_ipv4()));
        assert!(families.is_none_or(|[source, destination]| source == destination));
    }
    assert!(bytes.len() < LONGEST || known != Beginning::Unfinished);
}
