//! A client, as tests and examples need it: it joins, sends, receives and resumes.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

/// A connection to `/signal`, and what is needed to resume it.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The last `seq` that came.
    seen: u64,
    /// The session, once `joined` has come.
    session: Option<String>,
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server closed by this code.
    #[error("closed by the server, code {0}")]
    Closed(u16),
    /// No connection, or no WebSocket.
    #[error(transparent)]
    Socket(#[from] Box<tungstenite::Error>),
    /// The bytes that came are no message.
    #[error("not a message: {0}")]
    Strange(String),
}

impl Client {
    /// Connects, and sends nothing.
    pub async fn connect(server: SocketAddr) -> Result<Self, ClientError> {
        let request = Request::get(format!("ws://{server}/signal"))
            .header("Host", server.to_string())
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key())
            .header("Sec-WebSocket-Protocol", "hairpin.signal.1")
            .body(())
            .map_err(|error| boxed(error.into()))?;
        let stream = TcpStream::connect(server)
            .await
            .map_err(|error| boxed(error.into()))?;
        let (socket, _) = client_async(request, stream).await.map_err(boxed)?;
        Ok(Self {
            socket,
            seen: 0,
            session: None,
        })
    }

    /// Connects and enters an open room; returns `joined` as well.
    pub async fn join(
        server: SocketAddr,
        room: &str,
        name: &str,
    ) -> Result<(Self, Value), ClientError> {
        let mut client = Self::connect(server).await?;
        let join = json!({"type": "join", "room": room, "name": name});
        client.send(join).await?;
        let joined = client.receive().await?;
        Ok((client, joined))
    }

    /// Takes up the session of a connection that broke; `resumed` comes first.
    pub async fn resume(self, server: SocketAddr) -> Result<Self, ClientError> {
        let Self { seen, session, .. } = self;
        let mut client = Self::connect(server).await?;
        let resume = json!({"type": "resume", "session": session, "ack": seen});
        client.send(resume).await?;
        Ok(Self {
            seen,
            session,
            ..client
        })
    }

    /// Sends a message, and with it what was received.
    pub async fn send(&mut self, mut message: Value) -> Result<(), ClientError> {
        if let Some(fields) = message.as_object_mut()
            && !fields.contains_key("ack")
        {
            fields.insert("ack".to_owned(), self.seen.into());
        }
        self.send_text(message.to_string()).await
    }

    /// Sends data to a member.
    pub async fn signal(&mut self, to: &str, data: Value) -> Result<(), ClientError> {
        self.send(json!({"type": "signal", "to": to, "data": data}))
            .await
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: String) -> Result<(), ClientError> {
        let text = Message::Text(text.into());
        self.socket.send(text).await.map_err(boxed)
    }

    /// Closes the connection with this code.
    pub async fn close(mut self, code: u16) -> Result<(), ClientError> {
        let frame = CloseFrame {
            code: code.into(),
            reason: Default::default(),
        };
        self.socket.close(Some(frame)).await.map_err(boxed)
    }

    /// The next message.
    pub async fn receive(&mut self) -> Result<Value, ClientError> {
        loop {
            let frame = self.socket.next().await;
            match frame.ok_or(ClientError::Closed(1006))?.map_err(boxed)? {
                Message::Text(text) => return self.take(&text),
                Message::Close(frame) => {
                    let code = frame.map_or(1005, |frame| frame.code.into());
                    return Err(ClientError::Closed(code));
                }
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    fn take(&mut self, text: &str) -> Result<Value, ClientError> {
        let strange = |_| ClientError::Strange(text.to_owned());
        let message: Value = serde_json::from_str(text).map_err(strange)?;
        if let Some(seq) = message["seq"].as_u64() {
            self.seen = seq;
        }
        if let Some(session) = message["session"].as_str() {
            self.session = Some(session.to_owned());
        }
        Ok(message)
    }
}

fn boxed(error: tungstenite::Error) -> ClientError {
    ClientError::Socket(Box::new(error))
}
