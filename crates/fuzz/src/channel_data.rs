//! ChannelData: the payload read is a slice of the packet, and its header is written the same.

use wire::{ChannelData, Kind, RelayHeader};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(data) = ChannelData::parse(bytes) else {
        return;
    };
    assert_eq!(Kind::of(bytes), Some(Kind::ChannelData));
    let header = RelayHeader::channel_data(data.number, data.payload.len());
    assert_eq!(bytes[..ChannelData::HEADER], header[..]);
    assert!(bytes[ChannelData::HEADER..].starts_with(data.payload));
}
