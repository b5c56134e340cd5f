//! A client of the `turn` crate.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{net::UdpSocket, runtime, time::timeout};
use turn::client::{Client, ClientConfig};

use crate::{
    server::{PORT, REALM},
    world::SERVER_V4,
};

/// Of the world's server, over UDP; it listens already.
pub async fn turn_client(user: &str, password: &str) -> Client {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .await
        .expect("a free port");
    let server = format!("{SERVER_V4}:{PORT}");
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

/// Runs such a client, which must hear in time what it waits for.
pub fn within(patience: Duration, promise: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let in_time = async { timeout(patience, promise).await };
    let in_time = runtime.expect("a runtime").block_on(in_time);
    in_time.expect("the client hears what it waits for");
}
