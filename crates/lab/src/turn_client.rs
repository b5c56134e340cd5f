//! A client of the `turn` crate, for the targets that name this file: the others would have it unused.

use std::{net::Ipv4Addr, sync::Arc};

use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};

use crate::{
    server::{REALM, Setup},
    world::SERVER_V4,
};

/// Of the lab's server, over UDP; it listens already.
pub async fn turn_client(user: &str, password: &str) -> Client {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .await
        .expect("a free port");
    let server = format!("{SERVER_V4}:{}", Setup::default().port);
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.clone(),
        turn_serv_addr: server,
        username: user.to_owned(),
        password: password.to_owned(),
        realm: REALM.to_owned(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    })
    .await
    .expect("a client");
    client.listen().await.expect("a client that listens");
    client
}
