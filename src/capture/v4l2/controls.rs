//! Controls of a camera by the names that `v4l2-ctl` shows.

use std::collections::BTreeMap;
use std::io;
use v4l::control::{Control, Description, Flags, Type, Value};
use v4l::{Device, context};

/// Sets controls by name, such as `exposure_time_absolute` or `gain`, modes before values: a manual value is refused while
/// its automatic is on.
pub(super) fn set(device: &Device, wanted: &BTreeMap<String, i64>) -> io::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = device.query_controls()?;
    let mut controls = Vec::new();
    for (name, value) in wanted {
        let control = known.iter().find(|control| key(&control.name) == *name && control.typ != Type::CtrlClass);
        let control = control.ok_or_else(|| {
            let names: Vec<String> = known
                .iter()
                .filter(|control| control.typ != Type::CtrlClass)
                .map(|control| key(&control.name))
                .collect();
            io::Error::other(format!("camera.controls.{name}: no such control; there are {}", names.join(", ")))
        })?;
        if *value < control.minimum || *value > control.maximum {
            let (least, most) = (control.minimum, control.maximum);
            return Err(io::Error::other(format!("camera.controls.{name}: must be {least}–{most}, got {value}")));
        }
        controls.push((order(control), name, control, *value));
    }
    controls.sort_by_key(|(order, ..)| *order);
    for (_, name, control, value) in controls {
        let value = if control.typ == Type::Boolean { Value::Boolean(value != 0) } else { Value::Integer(value) };
        device
            .set_control(Control { id: control.id, value })
            .map_err(|error| io::Error::other(format!("camera.controls.{name}: {error}")))?;
    }
    Ok(())
}

fn order(control: &Description) -> u8 {
    match control.typ {
        Type::Menu | Type::IntegerMenu | Type::Boolean => 0,
        _ if control.flags.contains(Flags::INACTIVE) => 2,
        _ => 1,
    }
}

/// `Exposure Time, Absolute` → `exposure_time_absolute`.
pub(super) fn key(name: &str) -> String {
    let mut key = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            key.push(letter.to_ascii_lowercase());
        } else if !key.is_empty() && !key.ends_with('_') {
            key.push('_');
        }
    }
    key.trim_end_matches('_').to_owned()
}

/// A camera of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraInfo {
    /// Its device, such as `/dev/video0`.
    pub path: std::path::PathBuf,
    /// What the driver calls it.
    pub name: String,
    /// Formats with their sizes, such as `YUYV 640×480, 1280×720`.
    pub formats: Vec<String>,
    /// Controls with their ranges, such as `gain 0–100`.
    pub controls: Vec<String>,
}

/// The cameras of this machine and what they can do.
pub fn cameras() -> Vec<CameraInfo> {
    use v4l::video::Capture;
    let mut cameras: Vec<CameraInfo> = context::enum_devices()
        .into_iter()
        .filter_map(|node| {
            let device = Device::with_path(node.path()).ok()?;
            let formats = device.enum_formats().ok().filter(|formats| !formats.is_empty())?;
            let sizes = |fourcc| {
                let sizes = device.enum_framesizes(fourcc).unwrap_or_default();
                sizes.iter().map(|size| size.size.to_string()).collect::<Vec<_>>().join(", ")
            };
            let formats = formats.iter().map(|format| format!("{} {}", format.fourcc, sizes(format.fourcc))).collect();
            let controls = device.query_controls().unwrap_or_default();
            let controls = controls
                .iter()
                .filter(|control| control.typ != Type::CtrlClass)
                .map(|control| format!("{} {}–{}", key(&control.name), control.minimum, control.maximum))
                .collect();
            Some(CameraInfo { path: node.path().to_owned(), name: node.name().unwrap_or_default(), formats, controls })
        })
        .collect();
    cameras.sort_by(|a, b| a.path.cmp(&b.path));
    cameras
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_become_the_keys_that_v4l2_ctl_shows() {
        for (name, key) in [
            ("Exposure Time, Absolute", "exposure_time_absolute"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Gain", "gain"),
            ("  (odd)  name ", "odd_name"),
        ] {
            assert_eq!(super::key(name), key);
        }
    }
}
