//! REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY. RFC 8656 §18.6, §18.11.

use crate::{AddressFamily, Attribute, Malformed, TransactionId};

macro_rules! family {
    ($(#[$doc:meta])* $name:ident = $code:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub Result<AddressFamily, u8>);

        impl Attribute<'_> for $name {
            const TYPE: u16 = $code;

            fn decode(value: &[u8], _: TransactionId) -> Result<Self, Malformed> {
                let &[family, _, _, _] = value else {
                    return Err(Malformed::Value(Self::TYPE));
                };
                Ok(Self(AddressFamily::from_code(family).ok_or(family)))
            }

            fn encode(&self, value: &mut Vec<u8>, _: TransactionId) {
                let family = self.0.map_or_else(|code| code, AddressFamily::code);
                value.extend_from_slice(&[family, 0, 0, 0]);
            }
        }
    };
}

family! {
    /// REQUESTED-ADDRESS-FAMILY: the family by its number, or `Err` with a number that is neither,
    /// which the server answers with 440 and not with 400.
    RequestedAddressFamily = 0x0017
}
family! {
    /// ADDITIONAL-ADDRESS-FAMILY: asks for an address of this family beside the IPv4 one. The server
    /// judges whether it makes sense: only IPv6 does.
    AdditionalAddressFamily = 0x8000
}
family! {
    /// ADDITIONAL-ADDRESS-FAMILY under the number that drafts of RFC 8656 gave it. coturn's clients
    /// up to 4.7 know no other number; IANA has not assigned it to anything else.
    DraftAdditionalAddressFamily = 0x8032
}
