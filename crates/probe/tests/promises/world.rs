//! A server on the Internet, and a host behind a NAT that asks it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probe::{Config, Discovery, Findings, Socket};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use webrtc_util::Conn;
use webrtc_util::vnet::nat::NatType;
use webrtc_util::vnet::net::{Net, NetConfig};
use webrtc_util::vnet::router::{Router, RouterConfig};

use crate::servers::{self, FIRST, Manner, SECOND};

/// The address of the NAT.
pub(crate) const PUBLIC: &str = "198.51.100.7";
const PRIVATE: &str = "192.168.0.2";

/// The findings of a host that asks `servers`.
pub(crate) async fn discover(nat: Option<NatType>, manner: Manner, servers: &[&str]) -> Findings {
    let (_routers, server, host, address) = world(nat).await;
    servers::serve(&server, manner).await;
    let config = Config {
        servers: servers
            .iter()
            .map(|server| server.parse().unwrap())
            .collect(),
        timeout: Duration::from_secs(3),
        lifetime: None,
    };
    run(config, &host, address).await
}

async fn world(nat: Option<NatType>) -> (Arc<Mutex<Router>>, Net, Net, &'static str) {
    let internet = Arc::new(Mutex::new(
        Router::new(RouterConfig {
            cidr: "0.0.0.0/0".to_owned(),
            ..Default::default()
        })
        .unwrap(),
    ));
    let server = host(&internet, vec![FIRST.to_owned(), SECOND.to_owned()]).await;
    let (client, address) = match nat {
        None => (host(&internet, vec![PUBLIC.to_owned()]).await, PUBLIC),
        Some(nat) => {
            let home = Router::new(RouterConfig {
                cidr: "192.168.0.0/24".to_owned(),
                static_ips: vec![PUBLIC.to_owned()],
                nat_type: Some(nat),
                ..Default::default()
            });
            let home = Arc::new(Mutex::new(home.unwrap()));
            {
                let mut internet = internet.lock().await;
                internet.add_router(Arc::clone(&home)).await.unwrap();
            }
            let nic =
                Arc::clone(&home) as Arc<Mutex<dyn webrtc_util::vnet::router::Nic + Send + Sync>>;
            nic.lock()
                .await
                .set_router(Arc::clone(&internet))
                .await
                .unwrap();
            (host(&home, vec![PRIVATE.to_owned()]).await, PRIVATE)
        }
    };
    internet.lock().await.start().await.unwrap();
    (internet, server, client, address)
}

async fn host(router: &Arc<Mutex<Router>>, static_ips: Vec<String>) -> Net {
    let net = Net::new(Some(NetConfig {
        static_ips,
        ..Default::default()
    }));
    let nic = net.get_nic().unwrap();
    router.lock().await.add_net(Arc::clone(&nic)).await.unwrap();
    nic.lock()
        .await
        .set_router(Arc::clone(router))
        .await
        .unwrap();
    net
}

/// The loop of a real host, with its sockets and clock exchanged.
async fn run(config: Config, host: &Net, address: &str) -> Findings {
    let (heard, mut inbox) = mpsc::unbounded_channel();
    let mut conns: Vec<(Socket, Arc<dyn Conn + Send + Sync>)> = Vec::new();
    for (index, socket) in Socket::all(config.lifetime.is_some()).enumerate() {
        let port = 50_000 + index as u16 * 2;
        let conn = host
            .bind(SocketAddr::new(address.parse().unwrap(), port))
            .await
            .unwrap();
        conns.push((socket, Arc::clone(&conn)));
        let heard = heard.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = conn.recv_from(&mut buffer).await {
                let _ = heard.send((socket, from, buffer[..length].to_vec()));
            }
        });
    }
    let locals = conns
        .iter()
        .map(|(socket, conn)| (*socket, conn.local_addr().unwrap()));
    let now = || Instant::now().into_std();
    let mut discovery = Discovery::new(now(), config, locals.collect(), [9; 32]);
    loop {
        while let Some(transmit) = discovery.poll_transmit() {
            // A virtual net has no hops.
            if transmit.ttl.is_none() {
                let (_, conn) = conns
                    .iter()
                    .find(|(socket, _)| *socket == transmit.from)
                    .unwrap();
                conn.send_to(&transmit.payload, transmit.to).await.unwrap();
            }
        }
        let Some(deadline) = discovery.poll_timeout() else {
            break;
        };
        tokio::select! {
            Some((socket, from, packet)) = inbox.recv() => {
                discovery.handle_input(now(), socket, from, &packet);
            }
            () = tokio::time::sleep_until(deadline.into()) => discovery.handle_timeout(now()),
        }
    }
    discovery.findings()
}
