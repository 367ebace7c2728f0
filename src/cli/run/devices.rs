//! Config → devices.

#[cfg(any(feature = "gpio", feature = "serial", feature = "v4l2"))]
use anyhow::Context;
use mudenet_board::gate::Delay;
use mudenet_board::machine::ResultMode;
use mudenet_board::{Micros, millis};
use mudenet_edge::capture::{Camera, CheckedCamera, FolderCamera, Replay};
use mudenet_edge::config::{CameraConfig, CameraSource, Config, DeviceConfig};
use mudenet_edge::run::Line;
use mudenet_edge::run::simulate::Conveyor;
use mudenet_edge::signal::{Levels, Outputs};

/// The camera, behind the limits of its pictures.
pub(in crate::cli) fn camera(config: &CameraConfig) -> anyhow::Result<Box<dyn Camera>> {
    let camera: Box<dyn Camera> = match &config.source {
        CameraSource::Folder(folder) => Box::new(FolderCamera::open(folder, Replay::Forever)?),
        CameraSource::Device(device) => self::device(device)?,
    };
    Ok(Box::new(CheckedCamera::new(camera, config.check)))
}

#[cfg(feature = "v4l2")]
pub(in crate::cli) fn device(config: &DeviceConfig) -> anyhow::Result<Box<dyn Camera>> {
    use mudenet_edge::capture::{PixelFormat, V4l2Camera, V4l2Settings};
    let format = PixelFormat::of_four_cc(config.format).context("camera.format: not known to this program")?;
    let settings = V4l2Settings {
        width: config.width,
        height: config.height,
        format,
        fps: config.fps,
        controls: config.controls.clone(),
        most_lost: config.most_lost,
    };
    Ok(Box::new(V4l2Camera::open(&config.path, settings)?))
}

#[cfg(not(feature = "v4l2"))]
pub(in crate::cli) fn device(config: &DeviceConfig) -> anyhow::Result<Box<dyn Camera>> {
    anyhow::bail!("{}: this program was built without cameras (cargo feature v4l2)", config.path.display())
}

/// The output lines, at their safe levels.
pub(in crate::cli) fn outputs(config: &Config) -> anyhow::Result<Box<dyn Outputs>> {
    if config.outputs.is_empty() {
        return Ok(Box::new(mudenet_edge::signal::NoOutputs));
    }
    let safe = Levels::safe(config.line.station.gate.map(|settings| settings.gate.wiring));
    gpio_outputs(config, safe)
}

#[cfg(feature = "gpio")]
fn gpio_outputs(config: &Config, safe: Levels) -> anyhow::Result<Box<dyn Outputs>> {
    let outputs = mudenet_edge::signal::GpioOutputs::open(&config.outputs, safe).context("outputs")?;
    Ok(Box::new(outputs))
}

#[cfg(not(feature = "gpio"))]
fn gpio_outputs(_config: &Config, _safe: Levels) -> anyhow::Result<Box<dyn Outputs>> {
    anyhow::bail!("outputs: this program was built without GPIO (cargo feature gpio)")
}

/// Connects serial line and inputs, which tell the line what happens.
pub(super) fn connect(config: &Config, line: &mut Line) -> anyhow::Result<()> {
    connect_serial(config, line)?;
    if config.inputs.is_empty() {
        return Ok(());
    }
    connect_inputs(config, line)
}

#[cfg(feature = "serial")]
fn connect_serial(config: &Config, line: &mut Line) -> anyhow::Result<()> {
    use mudenet_edge::signal::{Parity, SerialConfig, SerialSignal};
    let Some(serial) = &config.serial else { return Ok(()) };
    let settings = SerialConfig {
        baud: serial.baud,
        parity: match serial.even_parity {
            None => Parity::None,
            Some(true) => Parity::Even,
            Some(false) => Parity::Odd,
        },
        wire: serial.wire,
        queue: serial.queue,
        write_deadline: serial.write_deadline,
        ..SerialConfig::new(&serial.port)
    };
    let handle = line.handle();
    line.connect(Box::new(SerialSignal::open_waking(settings, move || handle.wake()).context("serial.port")?));
    Ok(())
}

#[cfg(not(feature = "serial"))]
fn connect_serial(config: &Config, _line: &mut Line) -> anyhow::Result<()> {
    match &config.serial {
        None => Ok(()),
        Some(_) => anyhow::bail!("serial: this program was built without serial ports (cargo feature serial)"),
    }
}

#[cfg(feature = "gpio")]
fn connect_inputs(config: &Config, line: &Line) -> anyhow::Result<()> {
    mudenet_edge::signal::GpioInputs::start(&config.inputs, &line.handle()).context("inputs")
}

#[cfg(not(feature = "gpio"))]
fn connect_inputs(_config: &Config, _line: &Line) -> anyhow::Result<()> {
    anyhow::bail!("inputs: this program was built without GPIO (cargo feature gpio)")
}

/// A conveyor for a simulated line; without a pitch the smallest that the station allows, and a fifth more.
pub(super) fn conveyor(config: &Config, parts: u32, pitch_ms: Option<u32>, jitter: u32, seed: u64) -> Conveyor {
    let line = &config.line.station;
    let (by_gate, counts) = match line.gate.map(|settings| settings.gate.delay) {
        Some(Delay::Time { pitch, .. }) => (pitch, 0),
        Some(Delay::Encoder { pitch, .. }) => (millis(200), pitch.saturating_mul(6) / 5),
        None => (0, 0),
    };
    let shown = match line.machine.result {
        ResultMode::OneShot { width } => width.saturating_add(line.machine.data_to_strobe),
        ResultMode::Latch | ResultMode::Ack => line.machine.data_to_strobe,
    };
    let smallest: Micros = by_gate.max(shown).max(millis(100));
    let pitch = pitch_ms.map_or(smallest.saturating_mul(6) / 5, |pitch| millis(pitch.into()));
    Conveyor { parts, pitch, jitter: f64::from(jitter) / 100.0, counts, seed }
}
