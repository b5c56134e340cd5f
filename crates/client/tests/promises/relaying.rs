//! Data to and from peers. RFC 8656 §11, §12.

use std::net::SocketAddr;
use std::time::Duration;

use client::{
    AllocateOptions, Client, Config, DropReason, Event, Failure, Request, TooLong, Transport,
};
use wire::attributes::{ChannelNumberAttribute, Data, DontFragment, Icmp, XorPeerAddress};
use wire::{
    ChannelData, ChannelNumber, Class, Message, Method, RelayHeader, TransactionId, Writer,
};

use crate::server::{Answer, key};
use crate::world::{World, failed, peer, refused};

/// A Data indication as a server writes it.
pub(crate) fn data_indication(from: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let id = TransactionId::new([9; 12]);
    Writer::new(&mut packet, Method::Data, Class::Indication, id)
        .put(&XorPeerAddress(from))
        .put(&Data(payload));
    packet
}

#[test]
fn permissions_are_asked_for_in_one_request() {
    let mut world = World::udp();
    world.allocate();
    world
        .client
        .create_permission(world.now, &[peer(1), peer(2)]);
    world.exchange();
    let peers = vec![peer(1), peer(2)];
    assert_eq!(world.event(), Event::PermissionCreated { peers });
}

#[test]
fn data_leaves_in_a_send_indication() {
    let mut world = World::udp();
    world.client.send(peer(1), b"hello").unwrap();
    let packet = world.packet();
    let message = Message::parse(&packet).unwrap();
    assert_eq!(
        (message.method(), message.class()),
        (Method::Send, Class::Indication)
    );
    assert_eq!(message.get(), Ok(Some(XorPeerAddress(peer(1)))));
    assert_eq!(message.get(), Ok(Some(Data(b"hello"))));
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn data_that_must_not_be_fragmented_says_so() {
    let mut world = World::udp();
    let options = AllocateOptions {
        dont_fragment: true,
        ..AllocateOptions::default()
    };
    world.client.allocate(world.now, options);
    let request = world.packet();
    let message = Message::parse(&request).unwrap();
    assert_eq!(message.get(), Ok(Some(DontFragment)));
    for (whole, expected) in [(false, None), (true, Some(DontFragment))] {
        let send = if whole {
            Client::send_unfragmented
        } else {
            Client::send
        };
        send(&mut world.client, peer(1), b"hello").unwrap();
        let packet = world.packet();
        let message = Message::parse(&packet).unwrap();
        assert_eq!(message.get(), Ok(expected));
        assert_eq!(message.get(), Ok(Some(Data(b"hello"))));
    }
}

#[test]
fn a_loss_is_told_with_what_icmp_said_of_it() {
    let mut world = World::udp();
    let icmp = Icmp {
        kind: 3,
        code: 4,
        data: 1400,
    };
    let id = TransactionId::new([9; 12]);
    world.input(&RelayHeader::icmp_indication(peer(1), icmp, id));
    let peer = peer(1);
    assert_eq!(world.event(), Event::Lost { peer, icmp });
}

#[test]
fn data_leaves_on_a_channel_as_soon_as_it_was_asked_for() {
    let mut world = World::udp();
    world.allocate();
    let number = world.client.bind_channel(world.now, peer(1)).unwrap();
    world.client.send_channel(number, b"hello").unwrap();

    let bind = world.client.poll_transmit().unwrap();
    let message = Message::parse(&bind).unwrap();
    assert_eq!(
        message.get(),
        Ok(Some(ChannelNumberAttribute(number.get())))
    );
    assert_eq!(message.get(), Ok(Some(XorPeerAddress(peer(1)))));
    let data = world.packet();
    assert_eq!(data, [b"\x40\x00\x00\x05", &b"hello"[..]].concat());
}

#[test]
fn data_arrives_in_indications_and_on_channels() {
    let mut world = World::udp();
    world.allocate();
    let number = world.client.bind_channel(world.now, peer(1)).unwrap();
    world.exchange();
    let bound = Event::ChannelBound {
        number,
        peer: peer(1),
    };
    assert_eq!(world.event(), bound);

    world.input(b"\x40\x00\x00\x05hello");
    let expected = Event::Data {
        peer: peer(1),
        payload: b"hello".to_vec(),
        channel: Some(number),
    };
    assert_eq!(world.event(), expected);

    world.input(&data_indication(peer(2), b"world"));
    let expected = Event::Data {
        peer: peer(2),
        payload: b"world".to_vec(),
        channel: None,
    };
    assert_eq!(world.event(), expected);
}

#[test]
fn data_that_overtakes_the_answer_to_its_bind_arrives() {
    let mut world = World::udp();
    world.allocate();
    world.client.bind_channel(world.now, peer(1)).unwrap();
    world.input(b"\x40\x00\x00\x00");
    assert!(matches!(world.event(), Event::Data { payload, .. } if payload.is_empty()));
}

#[test]
fn data_on_a_channel_nobody_asked_for_is_ignored_and_counted() {
    let mut world = World::udp();
    world.input(b"\x40\x00\x00\x00");
    assert_eq!(world.client.poll_event(), None);
    assert_eq!(world.client.dropped(DropReason::NoChannel), 1);
}

#[test]
fn data_that_names_no_peer_or_demands_more_understanding_is_ignored_and_counted() {
    let mut world = World::udp();
    let id = TransactionId::new([9; 12]);
    let mut nameless = Vec::new();
    Writer::new(&mut nameless, Method::Data, Class::Indication, id).put(&Data(b"x"));
    world.input(&nameless);
    assert_eq!(world.client.dropped(DropReason::Malformed), 1);

    let mut demanding = data_indication(peer(1), b"x");
    demanding.extend_from_slice(&[0x7A, 0xBC, 0, 0]);
    demanding[3] += 4;
    world.input(&demanding);
    assert_eq!(world.client.dropped(DropReason::UnknownAttribute), 1);
    assert_eq!(world.client.poll_event(), None);
}

#[test]
fn a_peer_keeps_its_channel_and_another_gets_another() {
    let mut world = World::udp();
    world.allocate();
    let mut bind = |port| {
        let number = world.client.bind_channel(world.now, peer(port)).unwrap();
        world.exchange();
        world.event();
        number.get()
    };
    assert_eq!([bind(1), bind(2), bind(1)], [0x4000, 0x4001, 0x4000]);
}

#[test]
fn a_refused_channel_is_free_again_and_a_lost_one_is_not() {
    let mut world = World::udp();
    world.allocate();
    let number = world.client.bind_channel(world.now, peer(1)).unwrap();
    let request = world.packet();
    world.input(&Answer::error(&request, 403, "Forbidden").signed(&key()));
    let bind = Request::ChannelBind {
        number,
        peer: peer(1),
    };
    assert_eq!(
        world.event(),
        failed(bind.clone(), refused(403, "Forbidden"))
    );
    world.input(b"\x40\x00\x00\x00");
    assert_eq!(world.client.dropped(DropReason::NoChannel), 1);

    // The request was not answered, so the server may have bound it: the number must not go to
    // another peer.
    assert_eq!(world.client.bind_channel(world.now, peer(1)), Some(number));
    while world.sleep().is_some() {}
    assert_eq!(world.event(), failed(bind, Failure::Timeout));
    let other = world.client.bind_channel(world.now, peer(2));
    assert_eq!(other, ChannelNumber::new(0x4001));
}

#[test]
fn channels_end_with_their_allocation() {
    let mut world = World::udp();
    world.allocate();
    world.client.bind_channel(world.now, peer(1));
    world.exchange();
    world.event();
    world.client.refresh(world.now, Duration::ZERO);
    world.exchange();
    world.event();
    world.input(b"\x40\x00\x00\x00");
    assert_eq!(world.client.dropped(DropReason::NoChannel), 1);
}

#[test]
fn data_that_no_message_holds_is_refused() {
    const TOO_MUCH: usize = RelayHeader::MAX_PAYLOAD + 1;
    let mut client = World::udp().client;
    let number = ChannelNumber::MIN;
    assert_eq!(client.send(peer(1), &[0; TOO_MUCH]), Err(TooLong(TOO_MUCH)));
    assert_eq!(
        client.send_channel(number, &[0; 65_536]),
        Err(TooLong(65_536))
    );
    assert_eq!(client.poll_transmit(), None);

    let v6 = "[2001:db8::1]:1".parse().unwrap();
    client.send(v6, &[0; RelayHeader::MAX_PAYLOAD]).unwrap();
    assert!(Message::parse(&client.poll_transmit().unwrap()).is_ok());
    client.send_channel(number, &[0; 65_535]).unwrap();
    assert!(ChannelData::parse(&client.poll_transmit().unwrap()).is_ok());
}

#[test]
fn channel_data_is_padded_on_streams_only() {
    for (transport, length) in [(Transport::Udp, 5), (Transport::Tcp, 8)] {
        let mut world = World::new(Config::new(transport));
        world.client.send_channel(ChannelNumber::MIN, b"x").unwrap();
        assert_eq!(world.packet().len(), length);
    }
}
