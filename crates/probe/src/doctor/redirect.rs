//! Servers that send clients to another one. RFC 8489 §10.

use std::time::Instant;

use client::{Credentials, Event};
use wire::attributes::{AlternateServer, RequestedTransport};
use wire::{Message, Method};

use super::connect::Connector;
use super::{Code, PATIENCE, Patient, Stopped};

impl Patient {
    /// The finding about a 300, and the server that it names.
    pub(super) fn redirected(&mut self, connector: &Connector, answer: &Message<'_>) -> Stopped {
        let other = answer.get::<AlternateServer>().ok().flatten();
        let other = other.map(|AlternateServer(other)| other);
        let (code, sentence) = match other {
            Some(itself) if itself == connector.target.address => (
                Code::RedirectsNowhere,
                format!("to {itself}, where they are"),
            ),
            Some(other) => (Code::Redirects, format!("to {other}")),
            None => (Code::RedirectsNowhere, "the 300 names none".to_owned()),
        };
        self.find(code, format!("clients are sent away: {sentence}"));
        Stopped
    }

    /// The same where only users are redirected. Their request is sent once more, for the answer as
    /// it came.
    pub(super) async fn redirected_user(
        &mut self,
        connector: &Connector,
        credentials: &Credentials,
    ) -> Stopped {
        let mut dialogue = match self.connect(connector, Some(credentials.clone())).await {
            Ok(dialogue) => dialogue,
            Err(stopped) => return stopped,
        };
        let asked = Instant::now();
        dialogue.client.request(asked, Method::Allocate, |writer| {
            writer.put(&RequestedTransport::UDP);
        });
        // The challenge takes a round of its own.
        if let Ok(Event::Answered {
            code: Some(300),
            message,
            ..
        }) = dialogue.next(asked + PATIENCE * 2).await
            && let Ok(answer) = Message::parse(&message)
        {
            return self.redirected(connector, &answer);
        }
        self.find(Code::Redirects, "clients are sent to another server");
        Stopped
    }
}
