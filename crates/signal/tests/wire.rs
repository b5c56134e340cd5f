//! Members over real WebSockets.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use signal::{Access, Client, Ice, Limits, Options, Signaling};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn two_members_of_a_room_exchange_signals_and_one_leaves() {
    let (server, _signaling) = serve(Limits::default()).await;
    let (mut alice, joined) = Client::join(server, "blue-fox", "Alice").await.unwrap();
    assert_eq!(joined["id"], "m1");
    assert_eq!(joined["members"], json!([]));
    assert_eq!(
        joined["iceServers"][0]["urls"],
        json!(["turn:203.0.113.7:3478"])
    );
    let (mut bob, joined) = Client::join(server, "blue-fox", "Bob").await.unwrap();
    assert_eq!(joined["members"][0]["name"], "Alice");
    let member = alice.receive().await.unwrap();
    assert_eq!(member["member"]["name"], "Bob");
    alice
        .signal("m2", json!({"description": {"type": "offer"}}))
        .await
        .unwrap();
    let offer = bob.receive().await.unwrap();
    assert_eq!(offer["from"], "m1");
    assert_eq!(offer["data"]["description"]["type"], "offer");
    bob.send(json!({"type": "leave"})).await.unwrap();
    let left = alice.receive().await.unwrap();
    assert_eq!(
        (&left["id"], &left["cause"]),
        (&json!("m2"), &json!("left"))
    );
}

/// As browsers say it for a page that is closed or loaded again.
#[tokio::test]
async fn a_member_whose_connection_is_closed_with_1001_has_left() {
    let (server, _signaling) = serve(Limits::default()).await;
    let (mut alice, _) = Client::join(server, "blue-fox", "Alice").await.unwrap();
    for (code, kind) in [(1001, "left"), (1000, "away")] {
        let (bob, _) = Client::join(server, "blue-fox", "Bob").await.unwrap();
        assert_eq!(alice.receive().await.unwrap()["type"], "member");
        bob.close(code).await.unwrap();
        assert_eq!(alice.receive().await.unwrap()["type"], kind, "{code}");
    }
}

#[tokio::test]
async fn a_request_that_is_no_websocket_is_told_what_is_here() {
    let (server, _signaling) = serve(Limits::default()).await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = b"GET /signal HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("docs/signaling.md"), "{answer}");
}

async fn serve(limits: Limits) -> (SocketAddr, Signaling) {
    let options = Options {
        access: Access::Open,
        limits,
        origins: Vec::new(),
    };
    let signaling = Signaling::new(
        options,
        Arc::new(|user| Ice {
            servers: json!([{"urls": ["turn:203.0.113.7:3478"], "username": user}]),
            lifetime: Duration::from_secs(3600),
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let router = signaling.router();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (server, signaling)
}
