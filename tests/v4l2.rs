//! The V4L2 camera on a device that is made by a preloaded library (`fake_v4l2.c`): each scenario is this program again.
#![allow(clippy::disallowed_methods, reason = "a test may read the clock")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use mudenet_edge::capture::{Camera, CaptureError, Frame, PixelFormat, V4l2Camera, V4l2Settings};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const DEVICE: &str = "/dev/video42";
const DEADLINE: Duration = Duration::from_secs(20);

struct Scenario {
    name: &'static str,
    /// The only format of the device.
    format: &'static str,
    setting: Option<(&'static str, &'static str)>,
    run: fn(),
}

const SCENARIOS: [Scenario; 15] = [
    Scenario { name: "grey", format: "GREY", setting: None, run: grey },
    Scenario { name: "rgb", format: "RGB3", setting: None, run: rgb },
    Scenario { name: "yuyv", format: "YUYV", setting: None, run: yuyv },
    Scenario { name: "mjpeg", format: "MJPG", setting: None, run: mjpeg },
    Scenario { name: "fresh", format: "GREY", setting: None, run: fresh },
    Scenario { name: "other_format", format: "GREY", setting: None, run: other_format },
    Scenario { name: "unplug", format: "GREY", setting: Some(("FAKE_V4L2_UNPLUG", "6")), run: unplug },
    Scenario { name: "stall", format: "GREY", setting: Some(("FAKE_V4L2_STALL", "6")), run: stall },
    Scenario { name: "bayer", format: "RGGB", setting: None, run: bayer },
    Scenario { name: "recycled", format: "GREY", setting: None, run: recycled },
    Scenario { name: "check_unplug", format: "GREY", setting: Some(("FAKE_V4L2_UNPLUG", "8")), run: check_unplug },
    Scenario { name: "check_stall", format: "GREY", setting: Some(("FAKE_V4L2_STALL", "8")), run: check_stall },
    Scenario { name: "lost", format: "GREY", setting: Some(("FAKE_V4L2_GAP", "3")), run: lost },
    Scenario { name: "stale", format: "GREY", setting: Some(("FAKE_V4L2_STALE", "60")), run: stale },
    Scenario { name: "missing", format: "GREY", setting: Some(("FAKE_V4L2", "/dev/video43")), run: missing },
];

fn main() {
    if let Some(scenario) = std::env::var_os("SCENARIO") {
        let found = SCENARIOS.iter().find(|s| scenario == s.name).expect("a known scenario");
        return (found.run)();
    }
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("fake_v4l2.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_v4l2.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.expect("cc runs").success());
    let jpeg = folder.path().join("frame.jpg");
    image::RgbImage::from_pixel(64, 48, image::Rgb([200, 100, 50])).save(&jpeg).unwrap();
    for scenario in &SCENARIOS {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.env("SCENARIO", scenario.name).env("LD_PRELOAD", &library).env("FAKE_V4L2", DEVICE);
        child.env("FAKE_V4L2_FORMAT", scenario.format).env("FAKE_V4L2_JPEG", &jpeg);
        child.envs(scenario.setting);
        let status = child.status().unwrap();
        assert!(status.success(), "scenario {}: {status}", scenario.name);
        println!("scenario {} ... ok", scenario.name);
    }
}

fn settings(format: PixelFormat) -> V4l2Settings {
    V4l2Settings { width: 64, height: 48, format, fps: None, controls: Default::default(), most_lost: 1000 }
}

fn camera(format: PixelFormat) -> V4l2Camera {
    V4l2Camera::open(Path::new(DEVICE), settings(format)).unwrap()
}

/// Takes a picture whose pixels must all be alike, and gives that pixel.
fn pixel(frame: &Frame) -> [u8; 3] {
    assert_eq!((frame.width(), frame.height()), (64, 48));
    let samples = frame.to_rgb8();
    let first = [samples[0], samples[1], samples[2]];
    assert!(samples.chunks(3).all(|pixel| pixel == first));
    first
}

fn grey() {
    let [r, g, b] = pixel(&camera(PixelFormat::Grey).trigger(DEADLINE).unwrap());
    assert!(r == g && g == b);
}

fn rgb() {
    let samples = camera(PixelFormat::Rgb3).trigger(DEADLINE).unwrap().to_rgb8();
    for (i, pixel) in samples.chunks(3).enumerate() {
        assert_eq!(pixel, [(i % 64) as u8, (i / 64) as u8, samples[2]]);
    }
}

/// Y is the frame's number, U 90 and V 160: BT.601 gives G − R = −(0.813 + 1.596) · 32 + 0.391 · 38 = −62.2 and
/// clamps the rest at small numbers.
fn yuyv() {
    let mut camera = camera(PixelFormat::Yuyv);
    // Until Y is large enough for nothing to be clamped.
    let bright = (0..200).map(|_| pixel(&camera.trigger(DEADLINE).unwrap())).find(|[_, g, b]| *g > 0 && *b > 0);
    let [r, g, b] = bright.expect("frames become brighter").map(f64::from);
    assert!((r - g - 62.2).abs() < 2.0, "R − G is {}", r - g);
    // B − R = 2.018 · −38 − 1.596 · 32.
    assert!((b - r + 127.8).abs() < 2.0, "B − R is {}", b - r);
}

fn mjpeg() {
    let got = pixel(&camera(PixelFormat::Mjpeg).trigger(DEADLINE).unwrap());
    assert!(got.iter().zip([200, 100, 50]).all(|(a, b): (&u8, u8)| a.abs_diff(b) < 6), "{got:?}");
}

/// The device gives a frame every 10 ms and numbers them: one that is taken after a pause is newer than the pause.
#[allow(clippy::disallowed_methods, reason = "the device runs by the clock")]
fn fresh() {
    let mut camera = camera(PixelFormat::Grey);
    let mut last = pixel(&camera.trigger(DEADLINE).unwrap())[0];
    for _ in 0..3 {
        let pause = Instant::now();
        std::thread::sleep(Duration::from_millis(150));
        let frames = (pause.elapsed().as_millis() / 10) as u8;
        let now = pixel(&camera.trigger(DEADLINE).unwrap())[0];
        let passed = now.wrapping_sub(last);
        assert!(passed >= frames, "{passed} frames later after a pause of {frames}");
        last = now;
    }
}

fn bayer() {
    let [r, g, b] = pixel(&camera(PixelFormat::Rggb).trigger(DEADLINE).unwrap());
    assert!(r == g && g == b);
}

/// The memory of a frame that was given back holds the next one.
fn recycled() {
    let mut camera = camera(PixelFormat::Grey);
    let place = |frame: &Frame| match frame.samples() {
        mudenet_edge::capture::Samples::Rgb8(samples) => samples.as_ptr(),
        mudenet_edge::capture::Samples::Rgb16(_) => panic!("8 bits"),
    };
    let first = camera.trigger(DEADLINE).unwrap();
    let before = place(&first);
    camera.recycle(first);
    let second = camera.trigger(DEADLINE).unwrap();
    assert_eq!(place(&second), before);
    pixel(&second);
}

/// Looks at an idle camera until it is found to be gone.
fn look_until_it_fails(camera: &mut V4l2Camera) -> CaptureError {
    assert!(camera.check().is_ok(), "it delivers at first");
    let mut look = || {
        std::thread::sleep(Duration::from_millis(20));
        camera.check().err()
    };
    (0..200).find_map(|_| look()).expect("the device goes")
}

fn check_unplug() {
    let mut camera = camera(PixelFormat::Grey);
    let error = look_until_it_fails(&mut camera);
    assert!(error.to_string().starts_with("/dev/video42: No such"), "{error}");
    assert!(camera.check().is_err(), "it stays away");
}

fn check_stall() {
    let mut camera = camera(PixelFormat::Grey);
    let error = look_until_it_fails(&mut camera);
    assert!(matches!(error, CaptureError::Timeout { .. }), "{error}");
    assert!(camera.check().is_ok(), "opened anew, it delivers again");
}

fn other_format() {
    let settings = settings(PixelFormat::Mjpeg);
    let error = V4l2Camera::open(Path::new(DEVICE), settings).err().unwrap().to_string();
    assert_eq!(error, "/dev/video42: expected 64×48 MJPG, the camera gives 64×48 GREY");
}

fn unplug() {
    let mut camera = camera(PixelFormat::Grey);
    let error = (0..10).find_map(|_| camera.trigger(DEADLINE).err()).expect("the device goes");
    assert_eq!(error.to_string(), "/dev/video42: No such device (os error 19)");
    assert!(camera.trigger(DEADLINE).unwrap_err().to_string().starts_with("/dev/video42: "));
}

fn stall() {
    let mut camera = camera(PixelFormat::Grey);
    let deadline = Duration::from_millis(600);
    let error = (0..10).find_map(|_| camera.trigger(deadline).err()).expect("the device falls silent");
    assert!(matches!(error, CaptureError::Timeout { .. }), "{error}");
    assert_eq!(error.to_string(), "/dev/video42: gave no picture within 600 ms");
    // The stream begins anew.
    assert!(camera.trigger(deadline).is_ok());
}

/// From its third picture on the device loses every other one.
fn lost() {
    let open =
        |most_lost| V4l2Camera::open(Path::new(DEVICE), V4l2Settings { most_lost, ..settings(PixelFormat::Grey) });
    let mut camera = open(0).unwrap();
    let refused = (0..20).find_map(|_| camera.trigger(DEADLINE).err()).expect("a gap is noticed");
    assert!(matches!(refused, CaptureError::Picture { .. }), "{refused}");
    let told = refused.to_string();
    assert!(told.contains("lost between trigger and picture, at most 0 (camera.check.lost)"), "{told}");
    drop(camera);
    let mut patient = open(1000).unwrap();
    (0..20).for_each(|_| drop(patient.trigger(DEADLINE).unwrap()));
}

/// Every picture is a minute older than its trigger.
fn stale() {
    let refused = camera(PixelFormat::Grey).trigger(DEADLINE).unwrap_err();
    assert!(refused.to_string().contains("pictures from before the trigger only"), "{refused}");
}

fn missing() {
    let settings = settings(PixelFormat::Grey);
    let error = V4l2Camera::open(Path::new(DEVICE), settings).err().unwrap().to_string();
    assert!(error.starts_with("/dev/video42: No such file"), "{error}");
}
