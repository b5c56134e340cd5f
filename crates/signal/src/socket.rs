//! One WebSocket: a task that reads, writes, and knows nothing of rooms.

use std::time::Duration;

use axum::Error;
use axum::extract::ws::{CloseFrame, Message as Raw, Utf8Bytes, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite;

use crate::signaling::Connection;
use crate::{Frame, Message, Refusal};

/// Serves a client until one of both has enough.
pub(crate) async fn run(socket: WebSocket, connection: Connection) {
    let (sink, stream) = socket.split();
    // The writer ends by itself only after the last frame. From then on, and from the end of a client
    // that takes nothing, the close frame of the client is waited for a little.
    let write = async {
        match write(sink, &connection).await {
            Ok(()) => tokio::time::sleep(LINGER).await,
            // Otherwise the socket is broken.
            Err(error) => {
                if let Some(refusal @ Refusal::TooSlow) = flaw(error) {
                    refuse(&connection, refusal);
                }
            }
        }
    };
    let over = async {
        connection.wakes.over.notified().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        () = read(stream, &connection) => {}
        () = write => {}
        () = over => {}
    }
}

/// Takes what comes until the client has closed.
async fn read(mut stream: SplitStream<WebSocket>, connection: &Connection) {
    let Connection { host, id, .. } = connection;
    let mut last = Utf8Bytes::default();
    while let Some(frame) = next(&mut stream, &mut last).await {
        let wait = match frame {
            Ok(Raw::Text(text)) => {
                let message = Message::decode(&text);
                let length = text.len();
                last = text;
                host.with(|rooms, now| rooms.handle_message(now, *id, message, length))
            }
            Ok(Raw::Ping(data) | Raw::Pong(data)) => {
                host.with(|rooms, now| rooms.handle_control(now.mono, *id, data.len()))
            }
            Ok(Raw::Binary(_)) => refuse(connection, Refusal::Binary),
            // A browser closes so when the page goes, and Firefox sends nothing that the page says then:
            // there is nobody who would take up the session.
            Ok(Raw::Close(Some(frame))) if frame.code == close_code::AWAY => {
                refuse(connection, Refusal::Left)
            }
            // The answer to it is on its way.
            Ok(Raw::Close(_)) => Duration::ZERO,
            Err(error) => match flaw(error) {
                Some(refusal) => {
                    refuse(connection, refusal);
                    // Nothing can be read any more; the writer says why, and ends.
                    return std::future::pending().await;
                }
                None => return,
            },
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// The next frame. `last` is a part of the buffer that was read into, which would stay as large as a
/// long text made it: so the text is kept until a buffer was made for the next frame.
async fn next(
    stream: &mut SplitStream<WebSocket>,
    last: &mut Utf8Bytes,
) -> Option<Result<Raw, Error>> {
    tokio::select! {
        biased;
        frame = stream.next() => frame,
        () = std::future::ready(()) => {
            drop(std::mem::take(last));
            stream.next().await
        }
    }
}

async fn write(mut sink: SplitSink<WebSocket, Raw>, connection: &Connection) -> Result<(), Error> {
    let Connection { host, id, wakes } = connection;
    loop {
        wakes.frames.notified().await;
        while let Some(frame) = host.with(|rooms, _| rooms.poll_frame(*id)) {
            match frame {
                Frame::Text(text) => sink.send(Raw::Text(text.into())).await?,
                Frame::Ping => sink.send(Raw::Ping(Default::default())).await?,
                Frame::Close(code, reason) => {
                    let reason = reason.into();
                    let close = Raw::Close(Some(CloseFrame { code, reason }));
                    return sink.send(close).await;
                }
            }
        }
    }
}

fn refuse(connection: &Connection, refusal: Refusal) -> Duration {
    let Connection { host, id, .. } = connection;
    host.with(|rooms, now| rooms.handle_refused(now.mono, *id, refusal));
    Duration::ZERO
}

/// The flaw of a client's bytes; none if the connection is broken, and nothing can be said.
fn flaw(error: Error) -> Option<Refusal> {
    use tungstenite::Error as Flaw;
    match *error.into_inner().downcast::<Flaw>().ok()? {
        Flaw::Capacity(_) => Some(Refusal::TooLarge),
        Flaw::Utf8(_) => Some(Refusal::NotUtf8),
        Flaw::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => None,
        Flaw::Protocol(_) => Some(Refusal::Protocol),
        // Answers to its pings are in it.
        Flaw::WriteBufferFull(_) => Some(Refusal::TooSlow),
        Flaw::ConnectionClosed
        | Flaw::AlreadyClosed
        | Flaw::Io(_)
        | Flaw::Tls(_)
        | Flaw::AttackAttempt
        | Flaw::Url(_)
        | Flaw::Http(_)
        | Flaw::HttpFormat(_) => None,
    }
}

/// How long a client has for its close frame.
const LINGER: Duration = Duration::from_secs(2);
