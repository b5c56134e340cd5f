//! Why there is no new certificate, and how long that may last.

use std::fmt::Write as _;
use std::time::SystemTime;

pub(crate) use https::chain;
use instant_acme::Problem;

/// Why there is no new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the operator: one line without control characters, of bounded length.
    pub reason: String,
    /// Whether the authority said no. It did not hear the question otherwise, which costs it nothing.
    pub is_refusal: bool,
    /// The authority wants not to be asked before.
    pub(crate) not_before: Option<SystemTime>,
}

impl Failure {
    /// The authority said no, or something that is of no use.
    pub(crate) fn refused(reason: impl AsRef<str>) -> Self {
        Self {
            reason: one_line(reason.as_ref()),
            is_refusal: true,
            not_before: None,
        }
    }

    /// The authority was not reached, or this host is not ready.
    pub(crate) fn unheard(reason: impl AsRef<str>) -> Self {
        Self {
            is_refusal: false,
            ..Self::refused(reason)
        }
    }
}

impl From<instant_acme::Error> for Failure {
    fn from(error: instant_acme::Error) -> Self {
        if let instant_acme::Error::Api(problem) = &error {
            return Self::refused(told(problem));
        }
        let is_unheard = matches!(error, instant_acme::Error::Other(_));
        Self {
            is_refusal: !is_unheard,
            ..Self::refused(chain(&error))
        }
    }
}

/// A problem document in words. RFC 8555 §6.7.
pub(crate) fn told(problem: &Problem) -> String {
    let mut words = problem.detail.clone().unwrap_or_default();
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    if words.is_empty() {
        words.push_str("no reason is told");
    }
    if !kind.is_empty() {
        // Writing to a String does not fail.
        let _ = write!(words, " ({kind})");
    }
    for sub in &problem.subproblems {
        let _ = write!(words, "; {sub}");
    }
    words
}

/// The kind of a problem, without the name space of ACME.
pub(crate) fn kind(error: &instant_acme::Error) -> Option<&str> {
    let instant_acme::Error::Api(problem) = error else {
        return None;
    };
    problem.r#type.as_deref()?.rsplit(':').next()
}

/// The texts of an authority reach the log: on one line, and not without end.
fn one_line(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut line: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

/// As many characters as a problem document of Let's Encrypt for a few names has.
const LONGEST: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_authority_says_is_one_line_of_bounded_length() {
        let failure = Failure::refused("one\n WARN two\u{1b}[1m\r");
        assert_eq!(failure.reason, "one  WARN two [1m ");
        let failure = Failure::refused("x".repeat(100_000));
        assert_eq!(failure.reason.chars().count(), LONGEST + 1);
    }

    #[test]
    fn a_problem_is_told_with_its_kind_and_its_parts() {
        let problem: Problem = serde_json::from_str(
            r#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "Some were refused",
                "subproblems": [{"type": "urn:ietf:params:acme:error:rejectedIdentifier",
                "detail": "not you", "identifier": {"type": "dns", "value": "a.example"}}]}"#,
        )
        .unwrap();
        let words = told(&problem);
        assert!(
            words.starts_with("Some were refused (malformed); "),
            "{words}"
        );
        assert!(
            words.contains("a.example") && words.contains("not you"),
            "{words}"
        );
        let nothing: Problem = serde_json::from_str("{}").unwrap();
        assert_eq!(told(&nothing), "no reason is told");
    }
}
