//! Attributes in a form that both sides understand.

use std::net::SocketAddr;

use proptest::prelude::*;
use stun_rs::attributes::{discovery, stun, turn};
use stun_rs::{AddressFamily as TheirFamily, ErrorCode as TheirError, StunAttribute};
use wire::attributes::*;
use wire::{AddressFamily, Attribute, Malformed, RawAttribute, TransactionId, Writer};

/// An attribute in a form that both sides understand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sample {
    Username(String),
    Realm(String),
    Nonce(String),
    Software(String),
    ErrorCode(u16, String),
    UnknownAttributes(Vec<u16>),
    Mapped(SocketAddr),
    XorMapped(SocketAddr),
    Peer(SocketAddr),
    Relayed(SocketAddr),
    Origin(SocketAddr),
    OtherAddress(SocketAddr),
    Alternate(SocketAddr),
    Lifetime(u32),
    ChannelNumber(u16),
    Transport(u8),
    Family(AddressFamily),
    EvenPort(bool),
    Token([u8; 8]),
    AddressError(AddressFamily, u16, String),
    Data(Vec<u8>),
    DontFragment,
    /// One that has no name here.
    Other(u16, Vec<u8>),
}

impl Sample {
    /// The attribute of a message of ours.
    pub(crate) fn read(raw: RawAttribute<'_>, id: TransactionId) -> Result<Self, Malformed> {
        let value = raw.value;
        Ok(match raw.kind {
            Username::TYPE => Self::Username(Username::decode(value, id)?.0.to_owned()),
            Realm::TYPE => Self::Realm(Realm::decode(value, id)?.0.to_owned()),
            Nonce::TYPE => Self::Nonce(Nonce::decode(value, id)?.0.to_owned()),
            Software::TYPE => Self::Software(Software::decode(value, id)?.0.to_owned()),
            ErrorCode::TYPE => {
                let error = ErrorCode::decode(value, id)?;
                Self::ErrorCode(error.code, error.reason.to_owned())
            }
            UnknownAttributes::TYPE => {
                Self::UnknownAttributes(UnknownAttributes::decode(value, id)?.0)
            }
            MappedAddress::TYPE => Self::Mapped(MappedAddress::decode(value, id)?.0),
            XorMappedAddress::TYPE => Self::XorMapped(XorMappedAddress::decode(value, id)?.0),
            XorPeerAddress::TYPE => Self::Peer(XorPeerAddress::decode(value, id)?.0),
            XorRelayedAddress::TYPE => Self::Relayed(XorRelayedAddress::decode(value, id)?.0),
            AlternateServer::TYPE => Self::Alternate(AlternateServer::decode(value, id)?.0),
            ResponseOrigin::TYPE => Self::Origin(ResponseOrigin::decode(value, id)?.0),
            OtherAddress::TYPE => Self::OtherAddress(OtherAddress::decode(value, id)?.0),
            Lifetime::TYPE => Self::Lifetime(Lifetime::decode(value, id)?.0),
            ChannelNumberAttribute::TYPE => {
                Self::ChannelNumber(ChannelNumberAttribute::decode(value, id)?.0)
            }
            RequestedTransport::TYPE => Self::Transport(RequestedTransport::decode(value, id)?.0),
            RequestedAddressFamily::TYPE => match RequestedAddressFamily::decode(value, id)?.0 {
                Ok(family) => Self::Family(family),
                Err(_) => Self::Other(raw.kind, value.to_vec()),
            },
            EvenPort::TYPE => Self::EvenPort(EvenPort::decode(value, id)?.reserve_next),
            ReservationToken::TYPE => Self::Token(ReservationToken::decode(value, id)?.0),
            AddressErrorCode::TYPE => {
                let error = AddressErrorCode::decode(value, id)?;
                Self::AddressError(error.family, error.code, error.reason.to_owned())
            }
            Data::TYPE => Self::Data(Data::decode(value, id)?.0.to_vec()),
            DontFragment::TYPE => {
                DontFragment::decode(value, id)?;
                Self::DontFragment
            }
            kind => Self::Other(kind, value.to_vec()),
        })
    }

    /// Writes it our way.
    pub(crate) fn put(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Username(text) => writer.put(&Username(text)),
            Self::Realm(text) => writer.put(&Realm(text)),
            Self::Nonce(text) => writer.put(&Nonce(text)),
            Self::Software(text) => writer.put(&Software(text)),
            Self::ErrorCode(code, reason) => writer.put(&ErrorCode {
                code: *code,
                reason,
            }),
            Self::UnknownAttributes(kinds) => writer.put(&UnknownAttributes(kinds.clone())),
            Self::Mapped(address) => writer.put(&MappedAddress(*address)),
            Self::XorMapped(address) => writer.put(&XorMappedAddress(*address)),
            Self::Peer(address) => writer.put(&XorPeerAddress(*address)),
            Self::Relayed(address) => writer.put(&XorRelayedAddress(*address)),
            Self::Alternate(address) => writer.put(&AlternateServer(*address)),
            Self::Origin(address) => writer.put(&ResponseOrigin(*address)),
            Self::OtherAddress(address) => writer.put(&OtherAddress(*address)),
            Self::Lifetime(seconds) => writer.put(&Lifetime(*seconds)),
            Self::ChannelNumber(number) => writer.put(&ChannelNumberAttribute(*number)),
            Self::Transport(protocol) => writer.put(&RequestedTransport(*protocol)),
            Self::Family(family) => writer.put(&RequestedAddressFamily(Ok(*family))),
            Self::EvenPort(reserve_next) => writer.put(&EvenPort {
                reserve_next: *reserve_next,
            }),
            Self::Token(token) => writer.put(&ReservationToken(*token)),
            Self::AddressError(family, code, reason) => writer.put(&AddressErrorCode {
                family: *family,
                code: *code,
                reason,
            }),
            Self::Data(data) => writer.put(&Data(data)),
            Self::DontFragment => writer.put(&DontFragment),
            Self::Other(kind, value) => writer.put_raw(*kind, value),
        };
    }

    /// The same for stun-rs, `None` where stun-rs cannot express it.
    pub(crate) fn theirs(&self) -> Option<StunAttribute> {
        Some(match self {
            Self::Username(text) => stun::UserName::new(text).ok()?.into(),
            Self::Realm(text) => stun::Realm::new(text).ok()?.into(),
            Self::Nonce(text) => stun::Nonce::new(text).ok()?.into(),
            Self::Software(text) => stun::Software::new(text).ok()?.into(),
            Self::ErrorCode(code, reason) => {
                stun::ErrorCode::new(TheirError::new(*code, reason).ok()?).into()
            }
            Self::UnknownAttributes(kinds) => stun::UnknownAttributes::from(&kinds[..]).into(),
            Self::Mapped(address) => stun::MappedAddress::from(*address).into(),
            Self::XorMapped(address) => stun::XorMappedAddress::from(*address).into(),
            Self::Peer(address) => turn::XorPeerAddress::from(*address).into(),
            Self::Relayed(address) => turn::XorRelayedAddress::from(*address).into(),
            Self::Alternate(address) => stun::AlternateServer::from(*address).into(),
            Self::Origin(address) => discovery::ResponseOrigin::from(*address).into(),
            Self::OtherAddress(address) => discovery::OtherAddress::from(*address).into(),
            Self::Lifetime(seconds) => turn::LifeTime::new(*seconds).into(),
            Self::ChannelNumber(number) => turn::ChannelNumber::new(*number).into(),
            Self::Transport(17) => turn::RequestedTrasport::default().into(),
            Self::Transport(_) => return None,
            Self::Family(family) => turn::RequestedAddressFamily::new(their_family(*family)).into(),
            Self::EvenPort(reserve_next) => turn::EvenPort::new(*reserve_next).into(),
            Self::Token(token) => turn::ReservationToken::from(token).into(),
            Self::AddressError(family, code, reason) => {
                let error = TheirError::new(*code, reason).ok()?;
                turn::AddressErrorCode::new(their_family(*family), error).into()
            }
            Self::Data(data) => turn::Data::new(data).into(),
            Self::DontFragment => turn::DontFragment::default().into(),
            Self::Other(..) => return None,
        })
    }

    /// Whether stun-rs read the same.
    pub(crate) fn is(&self, theirs: &StunAttribute) -> bool {
        match self {
            // Compared as prepared, since stun-rs normalises the texts that it reads.
            Self::Username(text) => theirs.as_user_name().is_ok_and(|it| *it == **text),
            Self::Realm(text) => theirs.as_realm().is_ok_and(|it| it.as_str() == text),
            Self::Nonce(text) => theirs.as_nonce().is_ok_and(|it| it.as_str() == text),
            Self::Software(text) => theirs.as_software().is_ok_and(|it| it.as_str() == text),
            Self::ErrorCode(code, reason) => theirs.as_error_code().is_ok_and(|it| {
                let error = it.error_code();
                (error.error_code(), error.reason()) == (*code, reason)
            }),
            // Each type once, since stun-rs leaves out those that came before.
            Self::UnknownAttributes(kinds) => theirs
                .as_unknown_attributes()
                .is_ok_and(|it| *it == stun::UnknownAttributes::from(&kinds[..])),
            Self::Mapped(address) => theirs
                .as_mapped_address()
                .is_ok_and(|it| it.socket_address() == address),
            Self::XorMapped(address) => theirs
                .as_xor_mapped_address()
                .is_ok_and(|it| it.socket_address() == address),
            Self::Peer(address) => theirs
                .as_xor_peer_address()
                .is_ok_and(|it| it.socket_address() == address),
            Self::Relayed(address) => theirs
                .as_xor_relayed_address()
                .is_ok_and(|it| it.socket_address() == address),
            Self::Alternate(address) => theirs
                .as_alternate_server()
                .is_ok_and(|it| it.socket_address() == address),
            Self::Origin(address) => theirs
                .as_response_origin()
                .is_ok_and(|it| it.socket_address() == address),
            Self::OtherAddress(address) => theirs
                .as_other_address()
                .is_ok_and(|it| it.socket_address() == address),
            Self::Lifetime(seconds) => theirs
                .as_life_time()
                .is_ok_and(|it| it.as_u32() == *seconds),
            Self::ChannelNumber(number) => theirs
                .as_channel_number()
                .is_ok_and(|it| it.number() == *number),
            Self::Transport(protocol) => theirs
                .as_requested_trasport()
                .is_ok_and(|it| it.protocol() == *protocol),
            Self::Family(family) => theirs
                .as_requested_address_family()
                .is_ok_and(|it| it.family() == their_family(*family)),
            Self::EvenPort(reserve_next) => theirs
                .as_even_port()
                .is_ok_and(|it| it.reserve() == *reserve_next),
            Self::Token(token) => theirs
                .as_reservation_token()
                .is_ok_and(|it| it.token() == token),
            Self::AddressError(family, code, reason) => {
                theirs.as_address_error_code().is_ok_and(|it| {
                    let error = it.error_code();
                    it.family() == their_family(*family)
                        && (error.error_code(), error.reason()) == (*code, reason)
                })
            }
            Self::Data(data) => theirs.as_data().is_ok_and(|it| it.as_bytes() == data),
            Self::DontFragment => theirs.is_dont_fragment(),
            Self::Other(kind, value) => {
                let data = theirs.as_unknown().ok().and_then(|it| it.attribute_data());
                theirs.attribute_type().as_u16() == *kind && data.is_none_or(|data| data == value)
            }
        }
    }
}

fn their_family(family: AddressFamily) -> TheirFamily {
    match family {
        AddressFamily::V4 => TheirFamily::IPv4,
        AddressFamily::V6 => TheirFamily::IPv6,
    }
}

/// Attributes of every kind, with values that both sides accept.
pub(crate) fn sample() -> impl Strategy<Value = Sample> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..50);
    let kinds = prop::collection::btree_set(any::<u16>(), 0..9);
    prop_oneof![
        "[a-z0-9:.@\u{fc}\u{30DE}]{1,60}".prop_map(Sample::Username),
        "[a-zA-Z0-9.]{1,60}".prop_map(Sample::Realm),
        "[a-zA-Z0-9/+=]{1,60}".prop_map(Sample::Nonce),
        ".{0,60}".prop_map(Sample::Software),
        (300u16..700, ".{0,60}").prop_map(|(code, reason)| Sample::ErrorCode(code, reason)),
        kinds.prop_map(|kinds| Sample::UnknownAttributes(kinds.into_iter().collect())),
        any::<SocketAddr>().prop_map(|it| Sample::Mapped(bare(it))),
        any::<SocketAddr>().prop_map(|it| Sample::XorMapped(bare(it))),
        any::<SocketAddr>().prop_map(|it| Sample::Peer(bare(it))),
        any::<SocketAddr>().prop_map(|it| Sample::Relayed(bare(it))),
        any::<SocketAddr>().prop_map(|it| Sample::Alternate(bare(it))),
        any::<SocketAddr>().prop_map(|it| Sample::Origin(bare(it))),
        any::<SocketAddr>().prop_map(|it| Sample::OtherAddress(bare(it))),
        any::<u32>().prop_map(Sample::Lifetime),
        any::<u16>().prop_map(Sample::ChannelNumber),
        any::<u8>().prop_map(Sample::Transport),
        prop::sample::select(vec![AddressFamily::V4, AddressFamily::V6]).prop_map(Sample::Family),
        any::<bool>().prop_map(Sample::EvenPort),
        any::<[u8; 8]>().prop_map(Sample::Token),
        (any::<bool>(), 300u16..700, ".{0,60}").prop_map(|(v6, code, reason)| {
            let family = if v6 {
                AddressFamily::V6
            } else {
                AddressFamily::V4
            };
            Sample::AddressError(family, code, reason)
        }),
        bytes().prop_map(Sample::Data),
        Just(Sample::DontFragment),
        (0x7A00u16..0x7B00, bytes()).prop_map(|(kind, value)| Sample::Other(kind, value)),
    ]
}

/// An address without flow label and scope, which STUN does not carry.
fn bare(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}
