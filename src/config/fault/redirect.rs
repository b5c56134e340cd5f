//! What can be wrong with a `[[redirect]]`.

use std::borrow::Cow;

use relay::Target;

/// A mistake in a `[[redirect]]`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedirectFault {
    /// Clients would be sent back to where they are.
    #[error("`[[redirect]] to` names {target}, where this server listens itself")]
    Itself {
        /// As written.
        target: Target,
    },
    /// Nobody can send to port 0.
    #[error("`[[redirect]] to` has port 0, which no client can send to")]
    PortZero,
    /// Chromium would be lost by every rule that needs to know who a client is.
    #[error(
        "`[[redirect]] realm` needs `[auth] nonce-secret-file`: of which realm a client is shows \
         when it has signed, and from then on Chromium signs to the next server with a nonce of \
         this one"
    )]
    RealmWithoutNonceSecret,
    /// A rule for nobody.
    #[error("`[[redirect]] realm` is none of this server's")]
    UnknownRealm {
        /// Those that there are.
        known: Vec<String>,
    },
}

impl RedirectFault {
    /// What to write instead.
    pub(crate) fn help(&self) -> Cow<'static, str> {
        match self {
            Self::Itself { .. } => "name another server, as its clients reach it".into(),
            Self::PortZero => "3478 is the usual one".into(),
            Self::RealmWithoutNonceSecret => {
                "give all servers the same secret, such as nonce-secret-file = \"nonce.secret\" in \
                 [auth]; or remove `realm`, and everyone is sent on at the first request"
                    .into()
            }
            Self::UnknownRealm { known } => format!("there is {}", known.join(", ")).into(),
        }
    }
}
