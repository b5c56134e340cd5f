//! Sessions over a real connection, whose bytes come in any pieces.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, ConnectionTrafficSecrets};

use super::super::state::OVERHEAD_OF_PEERS;
use super::*;
use crate::tls::tests::{client_of, server_config_for};

/// Both ends of one connection; the client's is driven by hand.
struct Pair {
    client: ClientConnection,
    wire: std::net::TcpStream,
    session: TlsSession,
}

impl Pair {
    /// The handshake, in pieces of this many bytes.
    async fn shake_hands(is_old: bool, piece: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut wire = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        for end in [&wire, &stream] {
            end.set_nonblocking(true).unwrap();
            end.set_nodelay(true).unwrap();
        }
        let version = [if is_old { &TLS12 } else { &TLS13 }];
        let mut client = client_of(&version, "one.test");
        let stream = TcpStream::from_std(stream).unwrap();
        let room = Rc::new(Room::new());
        let mut handshake = Handshake::new(stream, server_config_for("one.test"), room).unwrap();
        while client.is_handshaking() || handshake.is_going_on() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            for piece in bytes.chunks(piece) {
                handshake.take(piece).unwrap();
            }
            // The runtime looks whether the kernel has room.
            tokio::task::yield_now().await;
            handshake.flush().unwrap();
            while client.is_handshaking() && client.read_tls(&mut wire).is_ok() {
                client.process_new_packets().unwrap();
            }
        }
        let session = handshake.done();
        Self {
            client,
            wire,
            session,
        }
    }

    /// Reads what is there.
    async fn read_all(&mut self, buffer: &mut [u8], read: &mut Vec<u8>) {
        tokio::task::yield_now().await;
        loop {
            match self.session.try_read(buffer, &Cell::new(false)) {
                Ok(length) => read.extend_from_slice(&buffer[..length]),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return;
                }
            }
        }
    }
}

/// A client that has its own hands on the records.
struct Forger {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Forger {
    fn of(client: ClientConnection) -> Self {
        let (sequence, secrets) = client.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            panic!("another cipher than rustls likes best");
        };
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap();
        Self {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().unwrap(),
            sequence,
        }
    }

    /// A record of TLS 1.3 with a part of a handshake message. RFC 8446 §5.2.
    fn handshake(&mut self, part: &[u8], padding: usize) -> Vec<u8> {
        let mut inner = [part, &[22], &vec![0; padding]].concat();
        let mut header = vec![23, 3, 3];
        header.extend(u16::try_from(inner.len() + 16).unwrap().to_be_bytes());
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(&header), &mut inner)
            .unwrap();
        [header, inner].concat()
    }
}

impl TlsSession {
    /// Reads until there is an outcome or nothing more to read.
    async fn reads(&self) -> io::Result<usize> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
            match self.try_read(&mut [0; 4096], &Cell::new(false)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }
}

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_io().build().unwrap().block_on(test);
}

/// Panics on this thread while something is done: those that were caught, too.
async fn panics_during(work: impl Future<Output = ()>) -> usize {
    let (own, count) = (std::thread::current().id(), Arc::new(AtomicUsize::new(0)));
    let before = Arc::new(panic::take_hook());
    let (counted, others) = (Arc::clone(&count), Arc::clone(&before));
    panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == own {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        others(info);
    }));
    work.await;
    panic::set_hook(Box::new(move |info| before(info)));
    count.load(Ordering::Relaxed)
}

#[test]
fn a_record_that_was_changed_is_answered_by_an_alert_and_no_more_asked_of_the_engine() {
    run(async {
        for is_old in [false, true] {
            let mut pair = Pair::shake_hands(is_old, 4_096).await;
            let panics = panics_during(async {
                let record = [&[23, 3, 3, 0, 32][..], &[0x5A; 32]].concat();
                pair.wire.write_all(&record).unwrap();
                let error = pair.session.reads().await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                // The shard ends it, and may have been about to answer.
                let error = pair.session.try_write(&[[IoSlice::new(b"too late")]]);
                assert_eq!(error.unwrap_err().kind(), ErrorKind::BrokenPipe);
                pair.session.close();
                while pair
                    .client
                    .read_tls(&mut pair.wire)
                    .is_ok_and(|length| length > 0)
                {
                    if let Err(error) = pair.client.process_new_packets() {
                        let alert = rustls::AlertDescription::BadRecordMac;
                        return assert_eq!(error, rustls::Error::AlertReceived(alert));
                    }
                }
                panic!("no alert");
            });
            assert_eq!(panics.await, 0);
        }
    });
}

#[test]
fn a_part_of_a_message_whose_rest_never_comes_hinders_neither_answers_nor_the_end() {
    run(async {
        let mut pair = Pair::shake_hands(false, 4_096).await;
        let mut forger = Forger::of(pair.client);
        pair.wire.write_all(&forger.handshake(&[24], 0)).unwrap();
        let error = pair.session.reads().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let answer = [[IoSlice::new(b"an answer")]];
        assert_eq!(pair.session.try_write(&answer).unwrap(), 9);
        assert_eq!(pair.session.try_write(&answer).unwrap(), 9);
        pair.session.close();
        pair.wire.write_all(&[23, 3, 3, 0, 1, 0]).unwrap();
        let error = pair.session.reads().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        pair.session.close();
    });
}

#[test]
fn a_message_in_endless_parts_ends_the_session_before_it_costs_memory() {
    run(async {
        let mut pair = Pair::shake_hands(false, 4_096).await;
        let mut forger = Forger::of(pair.client);
        // A message of 65,520 bytes, a byte of it in each record.
        let mut parts = [4, 0, 0xFF, 0xF0].into_iter().chain(std::iter::repeat(0));
        let ended = loop {
            let part = [parts.next().unwrap()];
            pair.wire
                .write_all(&forger.handshake(&part, 2_000))
                .unwrap();
            match pair.session.reads().await {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => break outcome.unwrap_err().kind(),
            }
            let kept = pair.session.state.borrow().partial.len();
            assert!(kept <= RECORD + OVERHEAD_OF_PEERS, "{kept} bytes");
        };
        assert_eq!(ended, ErrorKind::InvalidData);
    });
}

#[test]
fn a_part_of_a_message_and_then_an_error_end_a_handshake_and_nothing_else() {
    run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _wire = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(stream).unwrap();
        let room = Rc::new(Room::new());
        let mut handshake = Handshake::new(stream, server_config_for("one.test"), room).unwrap();
        let mut bytes = Vec::new();
        client_of(&[&TLS12], "one.test")
            .write_tls(&mut bytes)
            .unwrap();
        bytes.extend([22, 3, 3, 0, 2, 16, 0]);
        handshake.take(&bytes).unwrap();
        let error = handshake.take(&[23, 3, 3, 0, 1, 0]).unwrap_err();
        let is_the_engines_own = matches!(error, rustls::Error::General(_));
        assert!(!is_the_engines_own, "{error}");
    });
}

#[test]
fn each_frame_is_a_record_of_its_own_however_many_leave_together() {
    run(async {
        for is_old in [false, true] {
            let mut pair = Pair::shake_hands(is_old, 4_096).await;
            let lengths = [4, 1_204, 0x4000 - 4, 8, 172];
            let frames = lengths.map(|length| vec![length as u8; length]);
            let parts: Vec<_> = (frames.iter())
                .map(|frame| [&frame[..4], &frame[4..], &[]].map(IoSlice::new))
                .collect();
            let all = frames.concat();
            assert_eq!(pair.session.try_write(&parts).unwrap(), all.len());
            let mut heard: Vec<Vec<u8>> = Vec::new();
            let deadline = Instant::now() + Duration::from_secs(10);
            while heard.concat().len() < all.len() {
                assert!(Instant::now() < deadline, "{} records", heard.len());
                // The runtime looks whether the kernel has room again.
                tokio::task::yield_now().await;
                pair.session.flush().unwrap();
                // Byte by byte, so that each record shows by itself.
                let mut byte = (&pair.wire).take(1);
                while pair.client.read_tls(&mut byte).is_ok_and(|read| read > 0) {
                    let state = pair.client.process_new_packets().unwrap();
                    let mut plain = vec![0; state.plaintext_bytes_to_read()];
                    pair.client.reader().read_exact(&mut plain).unwrap();
                    if !plain.is_empty() {
                        heard.push(plain);
                    }
                    byte.set_limit(1);
                }
            }
            assert!(heard == frames, "{} records", heard.len());
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn however_the_clients_bytes_are_cut_the_session_reads_what_it_wrote(
        is_old: bool,
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..2_000), 1..4),
        piece in prop_oneof![1usize..30, 30usize..4_000],
        room in 1usize..6_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::shake_hands(is_old, piece).await;
            let mut bytes = Vec::new();
            for record in &records {
                pair.client.writer().write_all(record).unwrap();
                pair.client.write_tls(&mut bytes).unwrap();
            }
            let (mut buffer, mut read) = (vec![0; room], Vec::new());
            for piece in bytes.chunks(piece) {
                pair.wire.write_all(piece).unwrap();
                pair.read_all(&mut buffer, &mut read).await;
            }
            while read.len() < records.concat().len() {
                pair.read_all(&mut buffer, &mut read).await;
            }
            assert_eq!(read, records.concat());
            let state = pair.session.state.borrow();
            assert_eq!((state.partial.len(), state.plain.len()), (0, 0));
        });
    }

    #[test]
    fn a_client_that_reads_in_pieces_gets_every_byte_in_order(
        is_old: bool,
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40_000), 1..12),
        piece in 500usize..60_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::shake_hands(is_old, 4_096).await;
            let all = frames.concat();
            let (mut sent, mut read) = (0, Vec::new());
            while read.len() < all.len() {
                while sent < all.len() {
                    let part = &all[sent..all.len().min(sent + 20_000)];
                    match pair.session.try_write(&[[IoSlice::new(part)]]) {
                        Ok(length) => sent += length,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::WouldBlock);
                            break;
                        }
                    }
                }
                // The runtime looks whether the kernel has room again.
                tokio::task::yield_now().await;
                pair.session.flush().unwrap();
                let mut some = (&pair.wire).take(piece as u64);
                if pair.client.read_tls(&mut some).is_ok() {
                    let state = pair.client.process_new_packets().unwrap();
                    let mut plain = vec![0; state.plaintext_bytes_to_read()];
                    pair.client.reader().read_exact(&mut plain).unwrap();
                    read.extend(plain);
                }
            }
            assert_eq!(read, all);
            assert!(!pair.session.has_unsent());
        });
    }
}
