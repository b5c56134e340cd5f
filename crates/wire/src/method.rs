//! The message type: a method and a class. RFC 8489 §5.

/// The subject of a message. RFC 8489 §18.2, RFC 8656 §17, RFC 6062 §6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Ask for the reflexive address. RFC 8489 §3.
    Binding,
    /// Open an allocation. RFC 8656 §7.
    Allocate,
    /// Prolong or delete an allocation. RFC 8656 §8.
    Refresh,
    /// Data from a client to a peer, as an indication. RFC 8656 §11.
    Send,
    /// Data from a peer to a client, as an indication. RFC 8656 §11.
    Data,
    /// Let peers reach the allocation. RFC 8656 §10.
    CreatePermission,
    /// Bind a channel to a peer. RFC 8656 §12.
    ChannelBind,
    /// Connect to a peer of a TCP allocation. RFC 6062 §4.3.
    Connect,
    /// Make a connection of the client the other end of a peer's. RFC 6062 §4.3.
    ConnectionBind,
    /// A peer has connected to a TCP allocation, as an indication. RFC 6062 §4.4.
    ConnectionAttempt,
    /// A method that this codec has no name for.
    Other(u16),
}

impl Method {
    /// The method with this twelve-bit code.
    pub const fn from_code(code: u16) -> Self {
        match code {
            0x001 => Self::Binding,
            0x003 => Self::Allocate,
            0x004 => Self::Refresh,
            0x006 => Self::Send,
            0x007 => Self::Data,
            0x008 => Self::CreatePermission,
            0x009 => Self::ChannelBind,
            0x00A => Self::Connect,
            0x00B => Self::ConnectionBind,
            0x00C => Self::ConnectionAttempt,
            other => Self::Other(other),
        }
    }

    /// The twelve-bit code.
    pub const fn code(self) -> u16 {
        match self {
            Self::Binding => 0x001,
            Self::Allocate => 0x003,
            Self::Refresh => 0x004,
            Self::Send => 0x006,
            Self::Data => 0x007,
            Self::CreatePermission => 0x008,
            Self::ChannelBind => 0x009,
            Self::Connect => 0x00A,
            Self::ConnectionBind => 0x00B,
            Self::ConnectionAttempt => 0x00C,
            Self::Other(code) => code,
        }
    }

    /// The RFC's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binding => "Binding",
            Self::Allocate => "Allocate",
            Self::Refresh => "Refresh",
            Self::Send => "Send",
            Self::Data => "Data",
            Self::CreatePermission => "CreatePermission",
            Self::ChannelBind => "ChannelBind",
            Self::Connect => "Connect",
            Self::ConnectionBind => "ConnectionBind",
            Self::ConnectionAttempt => "ConnectionAttempt",
            Self::Other(_) => "unknown",
        }
    }
}

/// The part of a message in a transaction. RFC 8489 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It wants an answer.
    Request,
    /// It wants none.
    Indication,
    /// The answer that grants the request.
    Success,
    /// The answer that refuses it, with a code.
    Error,
}

/// Interleaves method and class into the fourteen bits of a message type:
/// `M11..M7 C1 M6..M4 C0 M3..M0`.
pub(crate) const fn encode(method: Method, class: Class) -> u16 {
    let method = method.code();
    let class = match class {
        Class::Request => 0b00,
        Class::Indication => 0b01,
        Class::Success => 0b10,
        Class::Error => 0b11,
    };
    (method & 0x00F)
        | (method & 0x070) << 1
        | (method & 0xF80) << 2
        | (class & 0b01) << 4
        | (class & 0b10) << 7
}

/// The inverse of [`encode`]; the two leading bits of `bits` must be zero.
pub(crate) const fn decode(bits: u16) -> (Method, Class) {
    let method = (bits & 0x000F) | (bits >> 1 & 0x0070) | (bits >> 2 & 0x0F80);
    let class = match (bits & 0x0100 != 0, bits & 0x0010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    };
    (Method::from_code(method), class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_type_survives_the_round_trip() {
        for bits in 0..0x4000 {
            let (method, class) = decode(bits);
            assert_eq!(encode(method, class), bits);
        }
    }

    #[test]
    fn message_types_are_those_of_the_rfc() {
        assert_eq!(encode(Method::Binding, Class::Request), 0x0001);
        assert_eq!(encode(Method::Binding, Class::Success), 0x0101);
        assert_eq!(encode(Method::Allocate, Class::Error), 0x0113);
        assert_eq!(encode(Method::Data, Class::Indication), 0x0017);
        assert_eq!(encode(Method::Connect, Class::Request), 0x000A);
        assert_eq!(encode(Method::ConnectionBind, Class::Success), 0x010B);
        assert_eq!(encode(Method::ConnectionAttempt, Class::Indication), 0x001C);
    }
}
