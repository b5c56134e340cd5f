//! Answers without an end, such as events as they happen.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::Refusal;

/// The mark of an answer without an end, in its extensions: whoever serves it sets it no limit of time.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

/// An answer of parts that are sent as they come, until their sender is dropped. A client that goes closes
/// the channel.
///
/// `pulse` is sent where no part came for 15 seconds, so that a client that is gone without a word is noticed:
/// what its reader skips, such as an empty line, or `":\n\n"` among server-sent events.
pub fn endless(
    content_type: &'static str,
    pulse: &'static str,
    parts: mpsc::Receiver<Bytes>,
) -> Response {
    let parts = unfold(parts, move |mut parts| async move {
        let part = match timeout(SILENCE, parts.recv()).await {
            Ok(part) => part?,
            Err(_) => Bytes::from_static(pulse.as_bytes()),
        };
        Some((Ok::<_, Infallible>(part), parts))
    });
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut answer = (headers, Body::from_stream(parts)).into_response();
    answer.extensions_mut().insert(Endless);
    answer
}

/// The routes, of which no more than 16 answers without an end are sent at a time. One more is refused (503).
pub fn bound_endless(routes: Router) -> Router {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    routes.layer(from_fn(move |request: Request, next: Next| {
        let places = Arc::clone(&places);
        async move {
            let answer = next.run(request).await;
            if answer.extensions().get::<Endless>().is_none() {
                return answer;
            }
            let Ok(place) = places.try_acquire_owned() else {
                return Refusal(StatusCode::SERVICE_UNAVAILABLE, FULL.to_owned()).into_response();
            };
            // It is given back with the body, sent or not.
            answer.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _held = &place;
                    frame
                }))
            })
        }
    }))
}

const SILENCE: Duration = Duration::from_secs(15);
const AT_A_TIME: usize = 16;
const FULL: &str = "16 answers without an end are being sent, and that is as many as there may be: end one, such \
                    as a `hairpin top`";

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tower_service::Service;

    use super::*;

    async fn ask(routes: &Router) -> Response {
        let request = Request::builder().uri("/events").body(Body::empty());
        routes.clone().call(request.unwrap()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn parts_come_as_they_are_made_and_a_pulse_where_there_are_none() {
        let (sender, parts) = mpsc::channel(4);
        let mut body = endless("text/plain", "\n", parts).into_body();
        sender.send("one\n".into()).await.unwrap();
        let mut next = async || {
            let frame = body.frame().await?.unwrap();
            Some(frame.into_data().unwrap())
        };
        assert_eq!(next().await.unwrap(), "one\n");
        assert_eq!(next().await.unwrap(), "\n");
        drop(sender);
        assert_eq!(next().await, None);
    }

    #[tokio::test]
    async fn there_are_so_many_at_a_time_and_one_that_ends_makes_room() {
        let held = Arc::new(std::sync::Mutex::new(Vec::new()));
        let routes = Router::new().route(
            "/events",
            get(move || {
                let (sender, parts) = mpsc::channel(1);
                held.lock().unwrap().push(sender);
                async { endless("text/plain", "\n", parts) }
            }),
        );
        let routes = bound_endless(routes);
        let mut answers = Vec::new();
        for _ in 0..AT_A_TIME {
            answers.push(ask(&routes).await);
        }
        assert!(
            answers
                .iter()
                .all(|answer| answer.status() == StatusCode::OK)
        );
        assert_eq!(ask(&routes).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        answers.pop();
        assert_eq!(ask(&routes).await.status(), StatusCode::OK);
    }
}
