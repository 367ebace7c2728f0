//! Connections, and what every answer has in common.

use super::engineer::who;
use super::{App, tls};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once; further ones wait.
const CONNECTIONS: usize = 64;
/// Largest body of a request, bytes: a mask from an engineer who is logged in, little from anybody else.
const BODY: usize = 4 << 20;
const STRANGERS_BODY: usize = 64 << 10;
/// Longest wait for a request's head, and for the next request on an open connection.
const HEAD: Duration = Duration::from_secs(20);
/// Longest time until the head of an answer: a recipe is loaded and taken into use, or a body comes byte by byte.
const ANSWER: Duration = Duration::from_secs(180);
/// After an accept that failed, such as for want of file descriptors.
const BREATH: Duration = Duration::from_millis(200);

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whom a request is from.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// A request that is not answered with what it asked for.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, axum::Json(json!({ "error": self.1 }))).into_response()
    }
}

impl Refusal {
    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, reason.into())
    }
}

/// Gives the calling thread less of the processor than those of the line.
pub(super) fn step_back() {
    // Where the system refuses, the page is merely less polite.
    let _ = rustix::process::setpriority_process(None, 10);
}

/// Answers until the process ends.
pub(super) async fn serve(listener: TcpListener, tls: Option<tls::Acceptor>, routes: Router<Arc<App>>, app: Arc<App>) {
    let routes = routes.layer(from_fn_with_state(Arc::clone(&app), guard)).with_state(app);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(routes.clone().layer(axum::Extension(Peer(peer))));
        let tls = tls.clone();
        tokio::spawn(async move {
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
            // A connection that breaks concerns nobody else.
            let _ = match tls {
                None => connection.serve_connection(TokioIo::new(stream), service).await.is_ok(),
                Some(tls) => match tokio::time::timeout(HEAD, tls::accept(&tls, stream)).await {
                    Ok(Ok(stream)) => connection.serve_connection(TokioIo::new(stream), service).await.is_ok(),
                    _ => false,
                },
            };
            drop(place);
        });
    }
}

/// Refuses what other sites make a browser ask for, and sets the headers of every answer.
async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let engineer = request.method() == Method::POST && who(&app, request.headers()).is_some();
    let most = if engineer { BODY } else { STRANGERS_BODY };
    DefaultBodyLimit::max(most).apply(&mut request);
    let mut answer = match check(&app, request.method(), request.headers()) {
        Ok(()) => tokio::time::timeout(ANSWER, next.run(request))
            .await
            .unwrap_or_else(|_| Refusal(StatusCode::REQUEST_TIMEOUT, "it took too long".to_owned()).into_response()),
        Err(reason) => Refusal(StatusCode::FORBIDDEN, reason.to_owned()).into_response(),
    };
    let headers: &mut HeaderMap = answer.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    answer
}

/// The header that the page's own script sends with every change, and no form or foreign page can.
pub(super) const OWN: &str = "x-mudenet";

fn check(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    // A name that a foreign site points here: its scripts would read the page as their own.
    if app.loopback && !is_loopback(host) {
        return Err("this page is only for the box itself: open it as http://localhost");
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let own_site = text("origin")
        .is_some_and(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) == Some(host));
    if !own_site || text(OWN).is_none() {
        return Err("the request comes from another site");
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost"
        || name == "[::1]"
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Bytes of this type.
pub(super) fn bytes(kind: &'static str, bytes: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], bytes.into()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:80", "[::1]:8080", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org:8080", "127.0.0.1.example.org", "10.0.0.1:80", "::1:x"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
