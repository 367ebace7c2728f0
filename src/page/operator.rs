//! What everybody may see.

use super::board::Point;
use super::fault::{fault, word};
use super::picture::{Layer, render};
use super::server::{Peer, Refusal, bytes};
use super::{App, engineer};
use crate::run::now;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{Stream, unfold};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Between two looks for something new.
const STEP: Duration = Duration::from_millis(250);
/// Steps after which the page is told even where nothing changed, so that it knows the box is alive.
const ALIVE: u32 = 8;
/// Points of the chart that a browser gets at once.
const CHART: usize = 1500;
/// Longest side of the live picture, pixels.
const LIVE_SIDE: usize = 1280;

pub(super) fn routes() -> Router<Arc<App>> {
    let asset = |kind: &'static str, text: &'static str| get(move || async move { bytes(kind, text) });
    Router::new()
        .route("/", asset("text/html; charset=utf-8", include_str!("assets/index.html")))
        .route("/app.js", asset("text/javascript; charset=utf-8", include_str!("assets/app.js")))
        .route("/charts.js", asset("text/javascript; charset=utf-8", include_str!("assets/charts.js")))
        .route("/setup.js", asset("text/javascript; charset=utf-8", include_str!("assets/setup.js")))
        .route("/editor.js", asset("text/javascript; charset=utf-8", include_str!("assets/editor.js")))
        .route("/style.css", asset("text/css; charset=utf-8", include_str!("assets/style.css")))
        .route("/icon.svg", asset("image/svg+xml", include_str!("assets/icon.svg")))
        .route("/api/events", get(events))
        .route("/api/chart", get(chart))
        .route("/api/live/{layer}", get(live))
        .route("/api/reject/{part}/{layer}", get(reject))
        .route("/api/reset", post(reset))
}

/// Everything the operator sees, as server-sent events.
async fn events(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Refusal> {
    let busy = |_| Refusal(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open".to_owned());
    let place = Arc::clone(&app.viewers).try_acquire_owned().map_err(busy)?;
    let (counted, _) = app.board.points();
    Ok(Sse::new(stream(Viewer { app, counted, shown: None, still: 0, _place: place })))
}

struct Viewer {
    app: Arc<App>,
    counted: u64,
    shown: Option<String>,
    still: u32,
    _place: OwnedSemaphorePermit,
}

fn stream(viewer: Viewer) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(viewer, |mut viewer| async move {
        if viewer.shown.is_some() {
            loop {
                tokio::time::sleep(STEP).await;
                viewer.still += 1;
                let key = key(&viewer.app);
                if viewer.shown.as_ref() != Some(&key) || viewer.still >= ALIVE {
                    break;
                }
            }
        }
        viewer.shown = Some(key(&viewer.app));
        viewer.still = 0;
        let (state, counted) = state(&viewer.app, viewer.counted);
        viewer.counted = counted;
        Some((Ok(Event::default().event("state").data(state.to_string())), viewer))
    })
}

/// Differs where the page would show something else.
fn key(app: &App) -> String {
    let (status, now) = (app.feed.status(), now());
    let word = word(&status, None, now);
    let fault = fault(&status, now).map(|fault| fault.title);
    let product = status.product.as_ref().map(|product| (product.number, product.threshold));
    format!("{} {word:?} {fault:?} {product:?} {:?}", app.board.version(), status.counters)
}

/// The operator's page as JSON, with the points after the first `counted`, and how many there are now.
fn state(app: &App, counted: u64) -> (Value, u64) {
    let (status, now) = (app.feed.status(), now());
    let shown = app.board.look(counted, now);
    let c = &status.counters;
    let judged = c.accepted + c.rejected + c.faults + c.missed + c.unseen;
    let product = status.product.as_ref().map(|product| {
        json!({"number": product.number, "name": product.name, "threshold": product.threshold,
            "model": product.model.get(..12)})
    });
    let state = json!({
        "station": app.name, "simulated": app.simulated, "word": word(&status, shown.verdict, now),
        "fault": fault(&status, now), "state": status.state.name(), "product": product,
        "counters": {"total": judged, "ok": c.accepted, "ng": c.rejected, "error": c.faults, "missed": c.missed + c.unseen},
        "yield": (judged > 0).then(|| c.accepted as f64 / judged as f64),
        "per_minute": shown.per_minute, "in_a_row": status.rejects_in_a_row,
        "last": shown.last, "rejects": shown.rejects, "points": shown.points, "version": shown.version,
    });
    (state, shown.counted)
}

/// The chart of the shift: the newest parts, thinned out so that highest and lowest scores stay.
async fn chart(State(app): State<Arc<App>>) -> Json<Value> {
    let (_, points) = app.board.points();
    Json(json!({ "points": thin(&points, CHART) }))
}

/// At most `most` points; of each stretch the highest and the lowest, in their order.
fn thin(points: &[Point], most: usize) -> Vec<Point> {
    if points.len() <= most {
        return points.to_vec();
    }
    let score = |point: &Point| point.score.unwrap_or(f32::INFINITY);
    let mut kept = vec![];
    for stretch in points.chunks((2 * points.len()).div_ceil(most)) {
        let ends = |pick: fn(std::cmp::Ordering) -> bool| {
            (0..stretch.len())
                .reduce(|a, b| if pick(score(&stretch[b]).total_cmp(&score(&stretch[a]))) { b } else { a })
        };
        let (Some(low), Some(high)) = (ends(std::cmp::Ordering::is_lt), ends(std::cmp::Ordering::is_gt)) else {
            continue;
        };
        kept.extend([low.min(high), low.max(high)].map(|i| stretch[i]));
    }
    kept
}

async fn live(State(app): State<Arc<App>>, Path(layer): Path<String>) -> Result<Response, Refusal> {
    let layer = layer_named(&layer)?;
    let none = || Refusal(StatusCode::NOT_FOUND, "no picture yet".to_owned());
    let newest = app.board.newest().ok_or_else(none)?;
    // One at a time: pictures take the processor that the line needs.
    let _turn = app.pictures.acquire().await;
    let rendered = tokio::task::spawn_blocking(move || render(&newest, layer, LIVE_SIDE)).await;
    Ok(bytes("image/jpeg", rendered.ok().flatten().ok_or_else(none)?.to_vec()))
}

async fn reject(State(app): State<Arc<App>>, Path((part, layer)): Path<(u32, String)>) -> Result<Response, Refusal> {
    let layer = layer_named(&layer)?;
    let none = || Refusal(StatusCode::NOT_FOUND, format!("there is no picture of part {part}"));
    Ok(bytes("image/jpeg", app.board.reject_picture(part, layer).ok_or_else(none)?.to_vec()))
}

pub(super) fn layer_named(name: &str) -> Result<Layer, Refusal> {
    let unknown = || Refusal(StatusCode::NOT_FOUND, format!("expected plain or heat, got {name:?}"));
    Layer::named(name).ok_or_else(unknown)
}

/// RESET, for whoever stands at the box and for engineers.
async fn reset(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let who = engineer::who(&app, &headers);
    if who.is_none() && !peer.ip().is_loopback() {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "from afar, only an engineer may reset: log in".to_owned()));
    }
    app.board.say(format!("RESET by {}", who.as_deref().unwrap_or("the operator at the box")));
    let told = tokio::task::spawn_blocking(move || app.handle.reset()).await;
    if told.unwrap_or(false) {
        Ok(Json(json!({})))
    } else {
        Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the line has ended".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_chart_keeps_its_peaks() {
        let point =
            |i: usize, score: f32| Point { at: i as i64, score: Some(score), threshold: 1.0, verdict: "accept" };
        let points: Vec<Point> =
            (0..10_000).map(|i| point(i, if i == 7777 { 9.0 } else { (i % 7) as f32 / 10.0 })).collect();
        let thinned = thin(&points, 500);
        assert!(thinned.len() <= 500 && thinned.contains(&points[7777]));
        assert!(thinned.is_sorted_by_key(|point| point.at));
        assert_eq!(thin(&points[..500], 500), points[..500]);
    }
}
