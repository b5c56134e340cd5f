//! USERNAME, REALM, NONCE, SOFTWARE, ALTERNATE-DOMAIN and THIRD-PARTY-AUTHORIZATION: text with a
//! limit. RFC 8489 §14.3, §14.9, §14.10, §14.14, §14.16; RFC 7635 §6.1.

use crate::{Attribute, Malformed, TransactionId};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident = $code:literal, at most $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a>(pub &'a str);

        impl $name<'_> {
            /// The longest value that is read, in bytes.
            pub const LIMIT: usize = $limit;
        }

        impl<'a> Attribute<'a> for $name<'a> {
            const TYPE: u16 = $code;

            fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, Malformed> {
                let malformed = Malformed::Value(Self::TYPE);
                if value.len() > Self::LIMIT {
                    return Err(malformed);
                }
                std::str::from_utf8(value).map(Self).map_err(|_| malformed)
            }

            fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
                value.extend_from_slice(self.0.as_bytes());
            }
        }
    };
}

text! {
    /// USERNAME: the signer, as UTF-8. RFC 5389 allowed 763 bytes, RFC 8489 reads as many and
    /// writes at most [`Username::WRITTEN`].
    Username = 0x0006, at most 763
}
impl Username<'_> {
    /// The longest value that may be written, in bytes. RFC 8489 §14.3.
    pub const WRITTEN: usize = 508;
}
text! {
    /// REALM: the realm that the user belongs to.
    Realm = 0x0014, at most 763
}
text! {
    /// NONCE: the server's proof of freshness.
    Nonce = 0x0015, at most 763
}
text! {
    /// SOFTWARE: the name of the sender's program.
    Software = 0x8022, at most 763
}
text! {
    /// ALTERNATE-DOMAIN: the name that the certificate of the alternate server holds.
    AlternateDomain = 0x8003, at most 255
}
text! {
    /// THIRD-PARTY-AUTHORIZATION: the name by which authorization servers know this server. The RFC
    /// sets no limit; this is that of coturn's client.
    ThirdPartyAuthorization = 0x802E, at most 255
}
