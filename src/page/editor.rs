//! Region and mask of a recipe, drawn on a live picture; calibration from the record; the logs.

use super::App;
use super::change::{self, Edit, file};
use super::engineer::{beside, must_be};
use super::picture::whole;
use super::server::{Refusal, bytes};
use crate::bundle::hex;
use crate::capture::decode_bytes;
use crate::decide::{ThresholdMethod, Verdict, Wanted, calibrate};
use crate::recipe::Recipe;
use crate::record::audit;
use crate::record::journal::{Records, Selection};
use crate::record::write_file;
use crate::run::today;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::Arc;
use toml_edit::{Array, value};

/// Longest side of the picture that regions are drawn on, pixels.
const FRAME_SIDE: usize = 1600;
/// Largest mask, pixels.
const MASK_PIXELS: usize = 4_000_000;
/// Lines of each log that are shown.
const LINES: usize = 300;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/frame", get(frame))
        .route("/api/frame.jpg", get(frame_picture))
        .route("/api/mask", get(mask))
        .route("/api/region", post(region))
        .route("/api/calibrate", post(calibration))
        .route("/api/log", get(log))
}

/// Size of the camera's pictures.
async fn frame(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    must_be(&app, &headers)?;
    let frame = app.board.newest().and_then(|newest| newest.frame).ok_or_else(|| Refusal::bad("no picture yet"))?;
    Ok(Json(json!({ "width": frame.width(), "height": frame.height() })))
}

/// The newest picture as the camera took it.
async fn frame_picture(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Refusal> {
    must_be(&app, &headers)?;
    let frame = app.board.newest().and_then(|newest| newest.frame).ok_or_else(|| Refusal::bad("no picture yet"))?;
    let _turn = app.pictures.acquire().await;
    let rendered = beside(move || whole(&frame, FRAME_SIDE).ok_or_else(|| "no picture".to_owned())).await?;
    Ok(bytes("image/jpeg", rendered.to_vec()))
}

#[derive(Deserialize)]
struct Of {
    recipe: u16,
}

/// The mask of a recipe as PNG, white where it is blind.
async fn mask(State(app): State<Arc<App>>, headers: HeaderMap, Query(of): Query<Of>) -> Result<Response, Refusal> {
    must_be(&app, &headers)?;
    let png = beside(move || {
        let recipe = Recipe::load(&file(&app, of.recipe)?).map_err(|error| error.to_string())?;
        let Some(path) = recipe.ignore else { return Ok(None) };
        let read = crate::capture::decode(&path).map_err(|error| error.to_string())?;
        let (width, height) = (read.width() as u32, read.height() as u32);
        let picture = image::RgbImage::from_raw(width, height, read.to_rgb8()).ok_or("the mask has no pixels")?;
        let mut png = std::io::Cursor::new(vec![]);
        picture.write_to(&mut png, image::ImageFormat::Png).map_err(|error| error.to_string())?;
        Ok(Some(png.into_inner()))
    });
    let none = || Refusal(StatusCode::NOT_FOUND, format!("recipe {} has no mask", of.recipe));
    Ok(bytes("image/png", png.await?.ok_or_else(none)?))
}

#[derive(Deserialize)]
struct NewRegion {
    recipe: u16,
    /// Left, top, width, height; `None` is the whole picture.
    region: Option<[usize; 4]>,
    /// A PNG that covers the region, in base64, bright where the recipe is to be blind; `None` is no mask.
    mask: Option<String>,
}

async fn region(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(new): Json<NewRegion>,
) -> Result<Json<Value>, Refusal> {
    let who = must_be(&app, &headers)?;
    beside(move || {
        let path = file(&app, new.recipe)?;
        let old = Recipe::load(&path).map_err(|error| error.to_string())?;
        let picture = new.mask.as_deref().map(png).transpose()?;
        if let (Some([left, top, width, height]), Some(newest)) = (new.region, app.board.newest())
            && let Some(frame) = newest.frame
            && (left.saturating_add(width) > frame.width() || top.saturating_add(height) > frame.height())
        {
            let size = format!("{}×{}", frame.width(), frame.height());
            return Err(format!("the region reaches beyond the camera's picture of {size}"));
        }
        let mask = match &picture {
            None => None,
            Some(png) => {
                // A name of its own for each content: the file of before stays as it is.
                let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                let name = format!("{stem}-mask-{}.png", &hex(&Sha256::digest(png))[..8]);
                write_file(&path.with_file_name(&name), |out| out.write_all(png)).map_err(|error| error.to_string())?;
                Some(name)
            }
        };
        let old_region = old.region.map(|r| [r.left(), r.top(), r.right() - r.left(), r.bottom() - r.top()]);
        let old_mask = old.ignore.as_ref().and_then(|file| file.file_name()).map(|name| name.to_string_lossy());
        let edit = Edit {
            what: format!("region of recipe {}", new.recipe),
            from: json!({ "region": old_region, "mask": old_mask }),
            to: json!({ "region": new.region, "mask": mask }),
            change: &|document| {
                match new.region {
                    Some(region) => {
                        document["region"] = value(region.iter().map(|side| *side as i64).collect::<Array>());
                    }
                    None => {
                        document.remove("region");
                    }
                }
                match &mask {
                    Some(name) => document["ignore"] = value(name.as_str()),
                    None => {
                        document.remove("ignore");
                    }
                }
            },
        };
        change::edit(&app, &who, new.recipe, edit)?;
        Ok(Json(json!({ "mask": mask })))
    })
    .await
}

/// A mask's bytes, checked.
fn png(text: &str) -> Result<Vec<u8>, String> {
    let bytes = STANDARD.decode(text).map_err(|_| "the mask is not base64".to_owned())?;
    let picture = decode_bytes(&bytes).map_err(|reason| format!("the mask {reason}"))?;
    if picture.width() * picture.height() > MASK_PIXELS {
        return Err(format!("the mask has more than {MASK_PIXELS} pixels"));
    }
    Ok(bytes)
}

#[derive(Deserialize)]
struct NewCalibration {
    method: ThresholdMethod,
    /// In (0, 1).
    false_reject: f64,
    /// In (0, 1).
    confidence: f64,
    /// Newest accepted parts that are looked at.
    parts: usize,
}

/// A threshold from the newest accepted parts of the record; nothing is changed.
async fn calibration(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(wanted): Json<NewCalibration>,
) -> Result<Json<Value>, Refusal> {
    must_be(&app, &headers)?;
    beside(move || {
        let product = app.feed.status().product.ok_or("no recipe is in use")?;
        let folder = app.record.as_ref().ok_or("there is no [record]")?;
        let selection = Selection {
            verdicts: vec![Verdict::Accept],
            recipe: Some(product.name.clone()),
            model: Some(product.model.clone()),
            ..Selection::default()
        };
        let records = Records::open(folder).map_err(|error| error.to_string())?;
        let entries = records.last(wanted.parts.clamp(1, 100_000), &selection).map_err(|error| error.to_string())?;
        let scores: Vec<f32> = entries.iter().filter_map(|entry| entry.score).collect();
        let promise = Wanted::new(wanted.false_reject, wanted.confidence).map_err(|error| error.to_string())?;
        let found = calibrate(&scores, promise, wanted.method, Some(today())).map_err(|error| error.to_string())?;
        Ok(Json(json!({ "threshold": found, "parts": scores.len() })))
    })
    .await
}

/// What the box said, and the changes of settings with the state of their chain.
async fn log(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    must_be(&app, &headers)?;
    beside(move || {
        let notices: Vec<Value> =
            app.board.notices().into_iter().take(LINES).map(|(at, text)| json!([at, text])).collect();
        let chain = match app.audit.as_ref().filter(|path| path.exists()).map(|path| audit::verify(path)) {
            None => json!({ "holds": true, "changes": [] }),
            Some(Err(error)) => json!({ "holds": false, "error": error.to_string(), "changes": [] }),
            Some(Ok(log)) => {
                let changes: Vec<_> = log.entries.iter().rev().take(LINES).collect();
                json!({ "holds": true, "head": log.head(), "changes": changes })
            }
        };
        Ok(Json(json!({ "notices": notices, "audit": chain })))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_must_be_a_picture_of_a_size_that_can_be_held() {
        let encode = |side: u32| {
            let mut png = std::io::Cursor::new(vec![]);
            image::RgbImage::new(side, side).write_to(&mut png, image::ImageFormat::Png).unwrap();
            STANDARD.encode(png.into_inner())
        };
        assert!(png(&encode(64)).is_ok());
        assert!(png("no base64!").is_err() && png("AAAA").is_err());
        assert!(png(&encode(2001)).unwrap_err().contains("more than 4000000 pixels"));
    }
}
