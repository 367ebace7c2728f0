//! What engineers may do, once they are logged in.

use super::change::{self, Edit, file, note};
use super::server::{Peer, Refusal};
use super::session::{Denied, Engineers};
use super::{App, COOKIE};
use crate::golden::GoldenReport;
use crate::recipe::Recipe;
use crate::record::journal::{Records, Selection};
use crate::record::verdict_word;
use crate::run::now;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Recorded parts that a new threshold is tried on.
const TRIED_ON: usize = 1000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/session", get(session))
        .route("/api/login", post(log_in))
        .route("/api/logout", post(log_out))
        .route("/api/setup", get(setup))
        .route("/api/scores", get(scores))
        .route("/api/threshold", post(threshold))
        .route("/api/recipe", post(recipe))
        .route("/api/golden", post(golden))
}

/// The session's token in a request.
fn token<'a>(app: &App, headers: &'a HeaderMap) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == app.cookie).then_some(value)
    })
}

/// The engineer that a request is from.
pub(super) fn who(app: &App, headers: &HeaderMap) -> Option<String> {
    app.sessions.who(token(app, headers)?, now())
}

pub(super) fn must_be(app: &App, headers: &HeaderMap) -> Result<String, Refusal> {
    who(app, headers).ok_or_else(|| Refusal(StatusCode::UNAUTHORIZED, "log in first".to_owned()))
}

/// Runs what may take its time beside the page; a sentence is what went wrong.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Refusal::bad),
        Err(error) => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn session(State(app): State<Arc<App>>, headers: HeaderMap) -> Json<Value> {
    Json(json!({ "name": who(&app, &headers), "can_log_in": app.engineers.is_some() }))
}

#[derive(Deserialize)]
struct LogIn {
    name: String,
    password: String,
}

async fn log_in(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    Json(given): Json<LogIn>,
) -> Result<Response, Refusal> {
    let Some(path) = app.engineers.clone() else {
        return Err(Refusal(StatusCode::FORBIDDEN, "box.toml names no page.engineers".to_owned()));
    };
    // One at a time: a password takes memory and processor on purpose.
    let _turn = app.passwords.acquire().await;
    let (shared, name) = (Arc::clone(&app), given.name.clone());
    let answer = beside(move || {
        let engineers = Engineers::load(&path).map_err(|error| error.to_string())?;
        Ok(shared.sessions.log_in(&engineers, &given.name, &given.password, peer.ip(), now()))
    });
    match answer.await? {
        Ok(token) => {
            app.board.say(format!("{name} logged in from {}", peer.ip()));
            let secure = if app.secure { "; Secure" } else { "" };
            let cookie = format!("{}={token}; Path=/; HttpOnly; SameSite=Strict{secure}", app.cookie);
            let cookie = HeaderValue::from_str(&cookie).map_err(|error| Refusal::bad(error.to_string()))?;
            Ok(([(header::SET_COOKIE, cookie)], Json(json!({ "name": name }))).into_response())
        }
        Err(denied) => {
            app.board.say(format!("a log-in from {} was denied", peer.ip()));
            Err(match denied {
                Denied::Wrong => Refusal(StatusCode::UNAUTHORIZED, "name or password is wrong".to_owned()),
                Denied::Wait(seconds) => {
                    let reason = format!("too many wrong passwords: try again in {seconds} s");
                    Refusal(StatusCode::TOO_MANY_REQUESTS, reason)
                }
            })
        }
    }
}

async fn log_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    if let Some(token) = token(&app, &headers) {
        app.sessions.log_out(token);
    }
    let cookie = format!("{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", app.cookie);
    let cookie = HeaderValue::from_str(&cookie).map_err(|error| Refusal::bad(error.to_string()))?;
    Ok(([(header::SET_COOKIE, cookie)], Json(json!({}))).into_response())
}

/// The recipes and what is set in them.
async fn setup(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    must_be(&app, &headers)?;
    beside(move || {
        let in_use = app.feed.status().product;
        let recipes: Vec<Value> = change::recipes(&app)?
            .0
            .iter()
            .map(|(number, path)| match Recipe::load(path) {
                Ok(recipe) => json!({
                    "number": number, "name": recipe.name, "golden": recipe.golden.is_some(),
                    "own_threshold": recipe.threshold, "masked": recipe.ignore.is_some(),
                    "model": recipe.model.file_name().map(|name| name.to_string_lossy()),
                }),
                Err(error) => {
                    json!({ "number": number, "name": path.display().to_string(), "error": error.to_string() })
                }
            })
            .collect();
        let in_use = in_use.map(|product| {
            let region = product.region.map(|region| {
                [region.left(), region.top(), region.right() - region.left(), region.bottom() - region.top()]
            });
            json!({ "number": product.number, "name": product.name, "threshold": product.threshold,
                "model": product.model, "region": region })
        });
        Ok(Json(json!({ "recipes": recipes, "in_use": in_use })))
    })
    .await
}

/// Scores of the last parts that were inspected as they would be now: same recipe, same model.
async fn scores(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    must_be(&app, &headers)?;
    beside(move || {
        let product = app.feed.status().product.ok_or("no recipe is in use")?;
        let folder = app.record.as_ref().ok_or("there is no [record]")?;
        let records = Records::open(folder).map_err(|error| error.to_string())?;
        let selection = Selection {
            recipe: Some(product.name.clone()),
            model: Some(product.model.clone()),
            min_score: Some(f32::MIN),
            ..Selection::default()
        };
        let entries = records.last(TRIED_ON, &selection).map_err(|error| error.to_string())?;
        let parts: Vec<Value> = entries.iter().map(|e| json!([e.score, verdict_word(e.verdict)])).collect();
        Ok(Json(json!({ "recipe": product.number, "threshold": product.threshold, "parts": parts })))
    })
    .await
}

#[derive(Deserialize)]
struct NewThreshold {
    recipe: u16,
    /// `None`: the model's own.
    value: Option<f64>,
}

async fn threshold(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(new): Json<NewThreshold>,
) -> Result<Json<Value>, Refusal> {
    let who = must_be(&app, &headers)?;
    if new.value.is_some_and(|value| !(value as f32).is_finite()) {
        return Err(Refusal::bad("the threshold must be a number"));
    }
    beside(move || {
        let path = file(&app, new.recipe)?;
        let old = Recipe::load(&path).map_err(|error| error.to_string())?.threshold;
        let edit = Edit {
            what: format!("threshold of recipe {}", new.recipe),
            from: old.map_or_else(|| json!("the model's own"), |value| json!(value)),
            to: new.value.map_or_else(|| json!("the model's own"), |value| json!(value)),
            change: &|document| match new.value {
                Some(value) => document["threshold"] = toml_edit::value(value),
                None => {
                    document.remove("threshold");
                }
            },
        };
        change::edit(&app, &who, new.recipe, edit)?;
        Ok(Json(json!({ "threshold": app.feed.status().product.map(|product| product.threshold) })))
    })
    .await
}

#[derive(Deserialize)]
struct Number {
    recipe: u16,
}

async fn recipe(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(new): Json<Number>,
) -> Result<Json<Value>, Refusal> {
    let who = must_be(&app, &headers)?;
    beside(move || change::choose(&app, &who, new.recipe).map(|()| Json(json!({})))).await
}

/// The golden-sample test of a recipe, beside the line; where the recipe in use fails it, everything is rejected.
async fn golden(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(of): Json<Number>,
) -> Result<Json<Value>, Refusal> {
    let who = must_be(&app, &headers)?;
    beside(move || {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let recipe = Recipe::load(&file(&app, of.recipe)?).map_err(|error| said(&error))?;
        let none = || format!("{}: names no folder of golden samples (golden = \"FOLDER\")", recipe.path.display());
        let report = recipe.golden_report(&mut recipe.prepare().map_err(|error| said(&error))?)?.ok_or_else(none)?;
        let outcome = if report.passed() { "passed" } else { "failed" };
        note(&app, &who, &format!("golden-sample test of recipe {}", of.recipe), Value::Null, json!(outcome))?;
        if !report.passed() {
            app.handle.distrust(of.recipe, "the golden-sample test failed: everything is rejected".to_owned());
        }
        Ok(Json(told(&report)))
    })
    .await
}

fn told(report: &GoldenReport) -> Value {
    let samples = report.results.iter().map(|result| {
        json!({
            "picture": result.picture.file_name().map(|name| name.to_string_lossy()),
            "expected": verdict_word(result.expected), "got": verdict_word(result.got),
            "score": result.score, "error": result.error, "right": result.is_right(),
        })
    });
    json!({ "passed": report.passed(), "threshold": report.threshold, "samples": samples.collect::<Vec<_>>() })
}

/// The name of the session's cookie at this port: cookies know no ports.
pub(super) fn cookie(port: u16) -> String {
    format!("{COOKIE}_{port}")
}
