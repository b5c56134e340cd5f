//! `[[http.token]]`: who may have credentials made, how many, and for whom.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use httpd::{Rate, Rates};
use subtle::ConstantTimeEq;

use crate::config::HttpToken;

/// The tokens that are good.
#[derive(Debug)]
pub(super) struct Tokens {
    all: Vec<Arc<Token>>,
    /// Wrong tokens, by the network that they come from. They are kept when the tokens change.
    failures: Arc<Rates>,
}

/// One token, and how much of its rate is left.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) terms: HttpToken,
    rate: Option<Rate>,
}

/// The token and the address that come with a request.
#[derive(Clone, Copy)]
pub(super) struct Shown<'r> {
    /// The token that it means, if it says so.
    pub(super) id: Option<&'r str>,
    pub(super) secret: Option<&'r str>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotLetIn {
    /// It shows no token, or one that is not good.
    Wrong,
    /// The same, once too often from its network.
    TooOften(Duration),
    /// Its token has made as many credentials as it may, for so long.
    TooFast(Duration),
}

impl Tokens {
    pub(super) fn new(terms: &[HttpToken]) -> Self {
        Self {
            all: terms.iter().map(|terms| Token::new(terms).into()).collect(),
            failures: Arc::new(Rates::new(FAILURES, MINUTE)),
        }
    }

    /// Other tokens in place of these. One that stays as it is keeps its rate.
    pub(super) fn with(&self, terms: &[HttpToken]) -> Self {
        let same = |terms: &HttpToken| {
            let mut all = self.all.iter();
            let same = all.find(|token| token.terms == *terms);
            same.map_or_else(|| Token::new(terms).into(), Arc::clone)
        };
        Self {
            all: terms.iter().map(same).collect(),
            failures: Arc::clone(&self.failures),
        }
    }

    pub(super) const fn are_none(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a token has this id.
    pub(super) fn know(&self, id: &str) -> bool {
        self.all.iter().any(|token| token.terms.id == id)
    }

    /// The token that a request shows, of which one credential is taken. A request with a token is let in
    /// however often a neighbour did not.
    pub(super) fn let_in(&self, from: IpAddr, shown: Shown<'_>) -> Result<Arc<Token>, NotLetIn> {
        let Some(token) = self.find(shown) else {
            return Err(match self.failures.take(from, 1) {
                Ok(()) => NotLetIn::Wrong,
                Err(wait) => NotLetIn::TooOften(wait),
            });
        };
        if let Some(rate) = &token.rate {
            rate.take().map_err(NotLetIn::TooFast)?;
        }
        Ok(token)
    }

    /// Every token is compared, in a time that does not depend on how much of it is right.
    fn find(&self, shown: Shown<'_>) -> Option<Arc<Token>> {
        let secret = shown.secret?.as_bytes();
        let mut found = None;
        for token in &self.all {
            let is_meant = shown.id.is_none_or(|id| id == token.terms.id);
            let own = token.terms.secret.expose().as_bytes();
            if bool::from(own.ct_eq(secret)) && is_meant {
                found = Some(Arc::clone(token));
            }
        }
        found
    }
}

impl Token {
    fn new(terms: &HttpToken) -> Self {
        Self {
            terms: terms.clone(),
            rate: terms.per_minute.map(|many| Rate::new(many.get(), MINUTE)),
        }
    }

    /// Whether a user may have a credential by this token.
    pub(super) fn is_for(&self, user: &str) -> bool {
        match self.terms.users.split_once('*') {
            Some((first, last)) => {
                let rest = user.strip_prefix(first);
                rest.is_some_and(|rest| rest.ends_with(last))
            }
            None => user == self.terms.users,
        }
    }

    /// A user whom nobody has named.
    pub(super) fn nobody(&self) -> String {
        let made_up = format!("{:016x}", rand::random::<u64>());
        self.terms.users.replacen('*', &made_up, 1)
    }
}

/// How many wrong tokens a network may show in a minute before it is told to wait.
const FAILURES: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroU32;

    use super::super::refusal::Refusal;
    use super::super::told::Refused;
    use super::*;
    use crate::config::Secret;

    fn terms(id: &str, secret: &str, users: &str) -> HttpToken {
        HttpToken {
            id: id.to_owned(),
            secret: Secret::new(secret),
            realm: "example.org".to_owned(),
            max_lifetime: Duration::from_secs(3600),
            per_minute: NonZeroU32::new(2),
            users: users.to_owned(),
        }
    }

    fn shown<'r>(id: impl Into<Option<&'r str>>, secret: &'r str) -> Shown<'r> {
        Shown {
            id: id.into(),
            secret: Some(secret),
        }
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_token_is_let_in_by_its_own_secret_and_no_other() {
        let tokens = Tokens::new(&[terms("a", "one", "*"), terms("b", "two", "*")]);
        let let_in = |shown| {
            tokens
                .let_in(HERE, shown)
                .map(|token| token.terms.id.clone())
        };
        assert_eq!(let_in(shown("a", "one")), Ok("a".to_owned()));
        assert_eq!(let_in(shown(None, "two")), Ok("b".to_owned()));
        for wrong in [shown("a", "two"), shown("c", "one"), shown(None, "")] {
            assert_eq!(let_in(wrong), Err(NotLetIn::Wrong));
        }
        let nothing = Shown {
            id: Some("a"),
            secret: None,
        };
        assert_eq!(let_in(nothing), Err(NotLetIn::Wrong));
    }

    #[test]
    fn a_refusal_names_the_token_that_it_concerns_and_nothing_else_that_a_request_says() {
        let tokens = Tokens::new(&[terms("a", "one", "*")]);
        for (id, token) in [(Some("a"), Some("a")), (Some("one"), None), (None, None)] {
            let refused = Refused::of(&tokens, id, Refusal::Wrong);
            assert_eq!(refused.token.as_deref(), token);
        }
    }

    #[test]
    fn a_network_that_guesses_is_told_to_wait_and_its_neighbour_with_a_token_is_not() {
        let tokens = Tokens::new(&[terms("a", "one", "*")]);
        let guess = || tokens.let_in(HERE, shown("a", "guess")).unwrap_err();
        for _ in 0..FAILURES {
            assert_eq!(guess(), NotLetIn::Wrong);
        }
        assert!(matches!(guess(), NotLetIn::TooOften(_)));
        assert!(tokens.let_in(HERE, shown("a", "one")).is_ok());
    }

    #[test]
    fn a_token_has_its_rate_and_keeps_it_when_others_change() {
        let tokens = Tokens::new(&[terms("a", "one", "*")]);
        let let_in = |tokens: &Tokens| tokens.let_in(HERE, shown("a", "one"));
        assert!(let_in(&tokens).is_ok());
        let tokens = tokens.with(&[terms("a", "one", "*"), terms("b", "two", "*")]);
        assert!(let_in(&tokens).is_ok());
        assert!(matches!(let_in(&tokens), Err(NotLetIn::TooFast(_))));
    }

    #[test]
    fn a_star_is_any_text() {
        for (users, good, bad) in [
            ("*", &["a", ""][..], &[][..]),
            ("shop-*", &["shop-", "shop-7"], &["shop", "x-shop-7"]),
            ("*@shop", &["a@shop"], &["a@shop2", "shop"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("one", &["one"], &["", "one1"]),
        ] {
            let token = Token::new(&terms("a", "one", users));
            assert!(good.iter().all(|user| token.is_for(user)), "{users}");
            assert!(!bad.iter().any(|user| token.is_for(user)), "{users}");
            assert!(token.is_for(&token.nobody()));
        }
        let token = Token::new(&terms("a", "one", "shop-*"));
        assert_ne!(token.nobody(), token.nobody());
    }
}
