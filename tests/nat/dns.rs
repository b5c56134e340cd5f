//! A DNS server on the Internet, with the records that a test gives it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    thread,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{NAPTR, SRV},
    },
};
use lab::{
    internet::{RESOLVER, server_v4},
    machine::resolve_by,
};

/// Names, and the records of each.
#[derive(Default)]
pub(crate) struct Zone(Vec<Record>);

impl Zone {
    /// An address of `host`.
    pub(crate) fn a(mut self, host: &str, ip: Ipv4Addr) -> Self {
        self.add(host, RData::A(ip.into()));
        self
    }

    /// The same over IPv6.
    pub(crate) fn aaaa(mut self, host: &str, ip: Ipv6Addr) -> Self {
        self.add(host, RData::AAAA(ip.into()));
        self
    }

    /// The server of `service`; the least priority is preferred.
    pub(crate) fn srv(mut self, service: &str, priority: u16, target: &str, port: u16) -> Self {
        self.add(
            service,
            RData::SRV(SRV::new(priority, 0, port, name(target))),
        );
        self
    }

    /// The relays of `host`: `flags` say what kind of name `target` is.
    pub(crate) fn naptr(mut self, host: &str, flags: &str, service: &str, target: &str) -> Self {
        let bytes = |text: &str| text.as_bytes().into();
        let pointer = NAPTR::new(
            10,
            10,
            bytes(flags),
            bytes(service),
            bytes(""),
            name(target),
        );
        self.add(host, RData::NAPTR(pointer));
        self
    }

    /// Publishes the zone through the only resolver that the test's programs have.
    pub(crate) fn publish(self) {
        let address = server_v4(RESOLVER);
        let socket = UdpSocket::bind((address, 53)).expect("a namespace of our own");
        thread::spawn(move || self.serve(&socket));
        resolve_by(&[address]);
    }

    fn add(&mut self, owner: &str, data: RData) {
        self.0.push(Record::from_rdata(name(owner), 60, data));
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).expect("a socket of ours");
            let query = Message::from_vec(&buffer[..length]).expect("a query");
            let answer = self.answer(query).to_vec().expect("a message");
            socket.send_to(&answer, from).expect("a way back");
        }
    }

    fn answer(&self, query: Message) -> Message {
        let question = query.queries[0].clone();
        let known = || self.0.iter().filter(|record| record.name == question.name);
        let answers: Vec<_> = known()
            .filter(|record| record.record_type() == question.query_type)
            .cloned()
            .collect();
        let mut answer = query.into_response();
        answer.metadata.recursion_available = true;
        if known().next().is_none() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.add_answers(answers);
        answer
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name");
    name.set_fqdn(true);
    name
}
