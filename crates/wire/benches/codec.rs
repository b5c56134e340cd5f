//! The cost of the codec per packet. The numbers are kept in docs/performance.md.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use wire::attributes::{
    Fingerprint, Lifetime, Nonce, Realm, RequestedTransport, Username, XorMappedAddress,
};
use wire::{
    Algorithm, Attribute, ChannelData, ChannelNumber, Class, Key, MacKey, Message, Method,
    RelayHeader, TransactionId, Writer,
};

const USERNAME: &str = "1700000000:alice";
const REALM: &str = "turn.example.org";
const NONCE: &str = "5f1c9a2b7d3e4f60718293a4b5c6d7e8";
const ID: TransactionId = TransactionId::new([7; 12]);

fn key() -> MacKey {
    Key::md5(USERNAME, REALM, "wonderland").schedule(Algorithm::Sha1)
}

/// A request as clients send it once they know realm and nonce.
fn signed<'a>(method: Method, attribute: &impl Attribute<'a>) -> Vec<u8> {
    let mut packet = Vec::new();
    Writer::new(&mut packet, method, Class::Request, ID)
        .put(attribute)
        .put(&Username(USERNAME))
        .put(&Realm(REALM))
        .put(&Nonce(NONCE))
        .sign(&key());
    packet
}

/// The boundaries of an Allocate and its first attribute.
fn parse(c: &mut Criterion) {
    let packet = signed(Method::Allocate, &RequestedTransport::UDP);
    c.bench_function("parse an Allocate", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&packet)).ok()?;
            message.get::<RequestedTransport>().ok()?
        });
    });
}

/// All that a server reads of a Refresh, with a key schedule that it kept.
fn verify(c: &mut Criterion) {
    let key = key();
    let packet = signed(Method::Refresh, &Lifetime(600));
    c.bench_function("decode and verify a Refresh", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&packet)).ok()?;
            let username = message.get::<Username<'_>>().ok()??;
            let realm = message.get::<Realm<'_>>().ok()??;
            let nonce = message.get::<Nonce<'_>>().ok()??;
            let lifetime = message.get::<Lifetime>().ok()??;
            message.verify(&key).ok()?;
            Some((username.0.len(), realm.0.len(), nonce.0.len(), lifetime.0))
        });
    });
}

/// A Binding request and its answer, written into a buffer that is used again.
fn answer(c: &mut Criterion) {
    let mut packet = Vec::new();
    Writer::new(&mut packet, Method::Binding, Class::Request, ID);
    let client = SocketAddr::from(([192, 0, 2, 7], 50_000));
    let mut answer = Vec::with_capacity(1500);
    c.bench_function("answer a Binding", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&packet)).ok()?;
            answer.clear();
            let (method, id) = (message.method(), message.transaction());
            Writer::new(&mut answer, method, Class::Success, id).put(&XorMappedAddress(client));
            Some(answer.len())
        });
    });
}

/// The data path: the header of 1,200 bytes of media, read and written.
fn channel_data(c: &mut Criterion) {
    let mut packet = vec![0x40, 0x01, 0x04, 0xB0];
    packet.resize(4 + 1200, 0xAA);
    c.bench_function("parse ChannelData", |b| {
        b.iter(|| ChannelData::parse(black_box(&packet)).map(|data| data.payload.len()));
    });
    c.bench_function("write a ChannelData header", |b| {
        b.iter(|| RelayHeader::channel_data(black_box(ChannelNumber::MIN), black_box(1200)));
    });
    let peer = SocketAddr::from(([203, 0, 113, 5], 4000));
    c.bench_function("write a Data indication's header", |b| {
        b.iter(|| RelayHeader::data_indication(black_box(peer), black_box(1200), ID));
    });
}

/// FINGERPRINT over the bytes of a signed request.
fn fingerprint(c: &mut Criterion) {
    let packet = signed(Method::Allocate, &RequestedTransport::UDP);
    c.bench_function("fingerprint an Allocate", |b| {
        b.iter(|| Fingerprint::of(black_box(&packet)));
    });
}

criterion_group!(codec, parse, verify, answer, channel_data, fingerprint);
criterion_main!(codec);
