//! Where pictures come from and what they must be like.

use super::Findings;
use crate::config::raw::{self, Raw, Source};
use crate::config::{CameraConfig, CameraSource, DeviceConfig, PictureLimits};
use mudenet_board::{Micros, millis};
use std::path::Path;

pub(super) fn camera(raw: &Raw, folder: &Path, found: &mut Findings) -> Option<CameraConfig> {
    let camera = &raw.camera;
    found.range("camera.timeout_ms", camera.timeout_ms, 1..=60_000);
    if let Some(lost) = camera.lost_ms {
        found.range("camera.lost_ms", lost, 10..=600_000);
    }
    if let Some(fps) = camera.fps {
        found.range("camera.fps", fps, 1..=10_000);
    }
    let share = |value: Option<f32>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
    found.rule(share(camera.check.dark), "camera.check.dark", || "must be 0–1".to_owned());
    found.rule(share(camera.check.bright), "camera.check.bright", || "must be 0–1".to_owned());
    found.rule(camera.check.sharpness.is_none_or(|s| s >= 0.0), "camera.check.sharpness", || {
        "must be 0 or more".to_owned()
    });
    found.rule(camera.check.frozen != Some(0), "camera.check.frozen", || "must be at least 1".to_owned());
    let source = match (&camera.device, &camera.folder) {
        (None, Some(pictures)) => Some(CameraSource::Folder(folder.join(pictures))),
        (Some(device), None) => match (camera.width, camera.height, camera.format) {
            (Some(width), Some(height), Some(format)) => Some(CameraSource::Device(DeviceConfig {
                path: device.clone(),
                width,
                height,
                format: four_cc(format),
                fps: camera.fps,
                controls: camera.controls.clone(),
                most_lost: camera.check.lost.unwrap_or(0),
            })),
            _ => {
                found.broken.push("camera.device: needs width, height and format beside it".to_owned());
                None
            }
        },
        _ => {
            found.broken.push("camera: needs either device or folder".to_owned());
            None
        }
    };
    found.rule(camera.check.lost.is_none() || camera.device.is_some(), "camera.check.lost", || {
        "needs camera.device: a folder loses no picture".to_owned()
    });
    let source = source?;
    // A sensor's noise never gives the same picture twice; a folder's pictures may be alike.
    let unlike = matches!(source, CameraSource::Device(_)).then_some(1);
    let check = PictureLimits {
        dark: camera.check.dark,
        bright: camera.check.bright,
        sharpness: camera.check.sharpness,
        frozen: camera.check.frozen.or(unlike),
    };
    Some(CameraConfig { source, check })
}

fn four_cc(format: raw::Format) -> [u8; 4] {
    *match format {
        raw::Format::Yuyv => b"YUYV",
        raw::Format::Mjpeg => b"MJPG",
        raw::Format::Grey => b"GREY",
        raw::Format::Rgb3 => b"RGB3",
        raw::Format::Bggr => b"BA81",
        raw::Format::Gbrg => b"GBRG",
        raw::Format::Grbg => b"GRBG",
        raw::Format::Rggb => b"RGGB",
    }
}

/// A second where something triggers; three frame times in free run, where they are known.
pub(super) fn camera_lost(raw: &Raw) -> Micros {
    let free = raw.trigger.source == Source::FreeRun;
    let frames = raw.camera.fps.filter(|fps| free && *fps > 0).map(|fps| 3 * 1_000_000 / u64::from(fps));
    raw.camera.lost_ms.map(|lost| millis(lost.into())).or(frames).unwrap_or(millis(1000))
}
