//! The demultiplexer of streams.

use std::fmt;

use crate::demultiplexer::{self, Demultiplexer, Told};

/// The most bytes that are kept.
pub const MOST: usize = demultiplexer::MOST;

/// The first bytes of a stream, in whatever pieces they come.
pub struct FirstBytes {
    demultiplexer: Demultiplexer,
    told: Vec<String>,
    has_ended: bool,
}

impl FirstBytes {
    /// Of the stream of a proxy, or of a client.
    pub fn new(is_proxy: bool) -> Self {
        Self {
            demultiplexer: Demultiplexer::new(is_proxy),
            told: Vec::new(),
            has_ended: false,
        }
    }

    /// Takes bytes, as many as a stream is read further; returns how many these were.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        self.tell();
        if self.has_ended {
            return 0;
        }
        let length = self.demultiplexer.room().min(bytes.len());
        let kept = self.demultiplexer.bytes_mut();
        kept.extend_from_slice(&bytes[..length]);
        self.tell();
        length
    }

    fn tell(&mut self) {
        while !self.has_ended
            && let Some(told) = self.demultiplexer.tell()
        {
            self.has_ended = !matches!(told, Told::Header(_) | Told::Tls);
            self.told.push(words(&told));
        }
    }

    /// All that was told so far.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Whether it is known whose the stream is.
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// How many bytes are kept.
    pub fn kept(&mut self) -> usize {
        self.demultiplexer.bytes_mut().len()
    }
}

impl fmt::Debug for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstBytes")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

fn words(told: &Told) -> String {
    match told {
        Told::Header(proxied) => format!("header {proxied:?}"),
        Told::NoHeader => "no header".to_owned(),
        Told::Plain => "plain".to_owned(),
        Told::Tls => "tls".to_owned(),
        Told::Hello(hello) => format!("{hello:?}"),
        Told::BadHello(bad) => format!("bad hello {:?}", bad.0),
        Told::LongHello => "long hello".to_owned(),
        Told::Other { is_header } => format!("other {is_header}"),
    }
}
