//! Time-limited credentials, computed in another way than the server does.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The password of a user name that says when it expires: base64(HMAC-SHA1(secret, name)), as in the
/// TURN REST convention.
pub fn password_of(secret: &str, name: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(name.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
