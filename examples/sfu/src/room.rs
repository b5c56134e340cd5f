//! The room at the signaling server: `docs/signaling.md`.

use std::error::Error;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Arguments;

/// This program's place in the room.
pub struct Room {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The last message of the server, which the next one of ours acknowledges.
    received: u64,
    acknowledged: u64,
}

/// Another member.
pub struct Member {
    /// Its id, which no other member of the room ever has.
    pub id: String,
    /// Whether this program gives way to it when both offer at the same time.
    pub polite: bool,
}

/// A description of what a member sends and takes, in SDP.
pub enum Description {
    /// A proposal.
    Offer(String),
    /// The answer to one.
    Answer(String),
}

/// News that the SFU hears from the room.
pub enum News {
    /// Somebody has come.
    Joined(Member),
    /// The member with this id has gone for good.
    Left(String),
    /// A member has sent a description.
    Described(String, Description),
    /// Nothing for an SFU. Candidates are among it: the SFU sends to where members' packets come from.
    Other,
}

impl Room {
    /// Enters the room, and returns who is there already.
    pub async fn join(arguments: &Arguments) -> Result<(Self, Vec<Member>), Box<dyn Error>> {
        let connected = connect_async(&arguments.signal).await;
        let (socket, _) =
            connected.map_err(|why| format!("no signaling at {}: {why}", arguments.signal))?;
        let mut room = Self {
            socket,
            received: 0,
            acknowledged: 0,
        };
        let mut join = json!({ "type": "join", "room": arguments.room, "name": arguments.name });
        if let Some(secret) = &arguments.secret {
            join["secret"] = json!(secret);
        }
        room.say(join).await?;
        let answer = room
            .hear()
            .await?
            .ok_or("the signaling server said nothing")?;
        if answer["type"] != "joined" {
            return Err(format!("not let into the room: {answer}").into());
        }
        let members = answer["members"].as_array().into_iter().flatten();
        let members = members.filter_map(member).collect();
        Ok((room, members))
    }

    /// The next news of the room; `None` at its end. Nothing is lost if this is given up while it waits.
    pub async fn next(&mut self) -> Result<Option<News>, Box<dyn Error>> {
        // The server keeps what is not acknowledged, and cuts off members that never do.
        if self.received >= self.acknowledged + 16 {
            self.say(json!({ "type": "ack" })).await?;
        }
        Ok(self.hear().await?.map(|message| news(&message)))
    }

    /// Sends a description to a member.
    pub async fn send(
        &mut self,
        to: &str,
        description: &Description,
    ) -> Result<(), Box<dyn Error>> {
        let (kind, sdp) = match description {
            Description::Offer(sdp) => ("offer", sdp),
            Description::Answer(sdp) => ("answer", sdp),
        };
        let data = json!({ "description": { "type": kind, "sdp": sdp } });
        self.say(json!({ "type": "signal", "to": to, "data": data }))
            .await
    }

    /// Leaves the room at once.
    pub async fn leave(&mut self) -> Result<(), Box<dyn Error>> {
        self.say(json!({ "type": "leave" })).await
    }

    async fn say(&mut self, mut message: Value) -> Result<(), Box<dyn Error>> {
        if self.received > 0 {
            message["ack"] = json!(self.received);
            self.acknowledged = self.received;
        }
        let message = Message::text(message.to_string());
        Ok(self.socket.send(message).await?)
    }

    async fn hear(&mut self) -> Result<Option<Value>, Box<dyn Error>> {
        // The WebSocket itself answers the server's pings, and these come between the messages.
        while let Some(message) = self.socket.next().await {
            if let Message::Text(text) = message? {
                let message: Value = serde_json::from_str(&text)?;
                self.received = message["seq"].as_u64().unwrap_or(self.received);
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

fn news(message: &Value) -> News {
    let text = |key: &str| message[key].as_str().map(str::to_owned);
    let news = match message["type"].as_str() {
        Some("member") => member(&message["member"]).map(News::Joined),
        Some("left") => text("id").map(News::Left),
        Some("signal") => described(message),
        Some("error") => {
            println!("the signaling server says: {message}");
            None
        }
        _ => None,
    };
    news.unwrap_or(News::Other)
}

fn described(message: &Value) -> Option<News> {
    let from = message["from"].as_str()?.to_owned();
    let description = &message["data"]["description"];
    let sdp = description["sdp"].as_str()?.to_owned();
    let description = match description["type"].as_str()? {
        "offer" => Description::Offer(sdp),
        "answer" => Description::Answer(sdp),
        _ => return None,
    };
    Some(News::Described(from, description))
}

fn member(member: &Value) -> Option<Member> {
    Some(Member {
        id: member["id"].as_str()?.to_owned(),
        polite: member["polite"].as_bool()?,
    })
}
