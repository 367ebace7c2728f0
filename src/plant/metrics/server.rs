use crate::run::{Feed, Status, now};
use axum::Router;
use axum::extract::State as Of;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mudenet_board::{Micros, State, millis};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections at once; further ones wait.
const CONNECTIONS: usize = 16;
/// Longest wait for a request's head, and for the next request on an open connection.
const HEAD: Duration = Duration::from_secs(20);
/// Longest life of a connection: a peer that does not read is no longer than this in the way.
const LIFE: Duration = Duration::from_secs(300);
/// After an accept that failed, such as for want of file descriptors.
const BREATH: Duration = Duration::from_millis(200);
/// A line that says nothing for so long hangs.
const SILENCE: Micros = millis(3000);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct App {
    registry: Registry,
    feed: Feed,
}

/// Answers until the process ends.
pub(super) async fn serve(listener: TcpListener, registry: Registry, feed: Feed) {
    let routes = Router::new().route("/metrics", get(metrics)).route("/healthz", get(health));
    let routes = routes.with_state(Arc::new(App { registry, feed }));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(BREATH).await;
            continue;
        };
        let service = TowerToHyperService::new(routes.clone());
        tokio::spawn(async move {
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 << 10);
            // A connection that breaks concerns nobody else.
            let _ = timeout(LIFE, connection.serve_connection(TokioIo::new(stream), service)).await;
            drop(place);
        });
    }
}

/// In the form that is asked for: OpenMetrics, or the older text of Prometheus.
async fn metrics(Of(app): Of<Arc<App>>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let open = accepts.contains("application/openmetrics-text");
    let mut body = String::new();
    let (kind, written) = if open {
        (OPEN_METRICS, text::encode(&mut body, &app.registry))
    } else {
        (prometheus_text::CONTENT_TYPE, prometheus_text::encode(&mut body, &app.registry))
    };
    match written {
        Ok(()) => ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// 200 while the line inspects or would, 503 with the reason otherwise.
async fn health(Of(app): Of<Arc<App>>) -> Response {
    let status = app.feed.status();
    let wrong = ailment(&status, now());
    let code = if wrong.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"healthy": wrong.is_none(), "state": status.state.name(), "reason": wrong});
    (code, axum::Json(body)).into_response()
}

fn ailment(status: &Status, now: Micros) -> Option<&'static str> {
    let silent = now >= status.at.saturating_add(SILENCE);
    match status.state {
        _ if silent => Some("the line does not answer"),
        State::Error => Some("the line waits for a reset"),
        State::Halted => Some("the line is stopped"),
        State::Preoperational => Some("the line starts"),
        State::Initialized => Some("no recipe is in use"),
        _ if !status.camera => Some("the camera is lost"),
        State::Ready | State::SingleExecution | State::ContinuousExecution => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_that_would_take_a_part_is_healthy() {
        let well = Status { at: 1_000_000, state: State::Ready, camera: true, ..Status::default() };
        assert_eq!(ailment(&well, 3_999_999), None);
        assert_eq!(ailment(&well, 4_000_000), Some("the line does not answer"));
        assert_eq!(ailment(&Status { camera: false, ..well.clone() }, 0), Some("the camera is lost"));
        for state in [State::Error, State::Halted, State::Preoperational, State::Initialized] {
            assert!(ailment(&Status { state, ..well.clone() }, 0).is_some(), "{state:?}");
        }
    }
}
