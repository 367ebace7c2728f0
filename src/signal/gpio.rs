//! GPIO lines over the kernel's character device, uAPI v2.
//!
//! What a line does after its owner dies is not defined on Linux: the wiring has to hold the safe level (`board/profiles`).

use super::{Levels, OutputLine, Outputs, SignalError};
use crate::config::{Pull, Wire};
use crate::run::Handle;
use crate::run::station::InputLine;
use gpiocdev::chip::Chip;
use gpiocdev::line::{Bias, EdgeDetection, EdgeEvent, EdgeKind, EventClock, Offset, Value, Values};
use gpiocdev::request::{Builder, Request};
use mudenet_board::quadrature::Quadrature;
use mudenet_board::{ErrorCode, Micros};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::spawn;
use std::time::Duration;

/// What the kernel shows as the owner of the lines.
const CONSUMER: &str = "mudenet-edge";
/// Edges that the kernel keeps until they are read; what is more shows as a gap in `line_seqno`.
const KERNEL_EVENTS: u32 = 1024;
/// Longest wait for an edge.
const WAIT: Duration = Duration::from_secs(1);

/// The device of a chip by its path, name or label.
///
/// # Errors
/// [`SignalError::Open`], naming the chips there are.
pub fn find_chip(wanted: &str) -> Result<PathBuf, SignalError> {
    let chips = gpiocdev::chip::chips().map_err(|error| failed(wanted, &error))?;
    let mut seen = Vec::new();
    for path in chips {
        let Ok(info) = Chip::from_path(&path).and_then(|chip| chip.info()) else { continue };
        if path.to_str() == Some(wanted) || info.name == wanted || info.label == wanted {
            return Ok(path);
        }
        seen.push(format!("{} ({})", path.display(), info.label));
    }
    let reason = if seen.is_empty() {
        "there is no GPIO chip that this user may open".to_owned()
    } else {
        format!("no such GPIO chip; there are {}", seen.join(", "))
    };
    Err(SignalError::Open { device: wanted.to_owned(), reason })
}

fn failed(chip: &str, error: &gpiocdev::Error) -> SignalError {
    SignalError::Open { device: chip.to_owned(), reason: error.to_string() }
}

fn by_chip<L: Copy>(wires: &BTreeMap<L, Wire>) -> BTreeMap<&str, Vec<(L, &Wire)>> {
    let mut chips: BTreeMap<&str, Vec<(L, &Wire)>> = BTreeMap::new();
    for (line, wire) in wires {
        chips.entry(&wire.chip).or_default().push((*line, wire));
    }
    chips
}

fn builder(chip: &str) -> Result<Builder, SignalError> {
    let mut builder = Request::builder();
    builder.on_chip(find_chip(chip)?).with_consumer(CONSUMER);
    Ok(builder)
}

fn bias(builder: &mut Builder, wire: &Wire) {
    builder.with_bias(wire.bias.map(|pull| match pull {
        Pull::Up => Bias::PullUp,
        Pull::Down => Bias::PullDown,
        Pull::Disabled => Bias::Disabled,
    }));
    if wire.active_low {
        builder.as_active_low();
    } else {
        builder.as_active_high();
    }
}

fn value(level: bool) -> Value {
    if level { Value::Active } else { Value::Inactive }
}

/// The output lines: one request for all lines of a chip, kept until the end, so that they change together.
pub struct GpioOutputs {
    chips: Vec<OutputChip>,
}

struct OutputChip {
    name: String,
    request: Request,
    lines: Vec<(OutputLine, Offset)>,
    values: Values,
}

impl GpioOutputs {
    /// Takes the lines and sets them to `levels`.
    ///
    /// # Errors
    /// [`SignalError::Open`] where a chip is missing or a line is taken.
    pub fn open(wires: &BTreeMap<OutputLine, Wire>, levels: Levels) -> Result<Self, SignalError> {
        let mut chips = Vec::new();
        for (name, lines) in by_chip(wires) {
            let mut builder = builder(name)?;
            let mut values = Values::default();
            for (line, wire) in &lines {
                builder.with_line(wire.line);
                bias(&mut builder, wire);
                builder.as_output(value(levels.get(*line)));
                values.set(wire.line, value(levels.get(*line)));
            }
            let request = builder.request().map_err(|error| failed(name, &error))?;
            let lines = lines.iter().map(|(line, wire)| (*line, wire.line)).collect();
            chips.push(OutputChip { name: name.to_owned(), request, lines, values });
        }
        Ok(Self { chips })
    }
}

impl Outputs for GpioOutputs {
    fn set(&mut self, levels: Levels) -> Result<(), SignalError> {
        for chip in &mut self.chips {
            for (line, offset) in &chip.lines {
                chip.values.set(*offset, value(levels.get(*line)));
            }
            chip.request
                .set_values(&chip.values)
                .map_err(|error| SignalError::Io { device: chip.name.clone(), source: std::io::Error::other(error) })?;
        }
        Ok(())
    }
}

/// The input lines: one request and one thread for each chip. Edges carry the kernel's time and count.
pub struct GpioInputs;

impl GpioInputs {
    /// Takes the lines and tells `handle` of their levels now and of every edge from now on.
    ///
    /// # Errors
    /// [`SignalError::Open`] where a chip is missing or a line is taken.
    pub fn start(wires: &BTreeMap<InputLine, Wire>, handle: &Handle) -> Result<(), SignalError> {
        for (name, lines) in by_chip(wires) {
            let mut builder = builder(name)?;
            builder.with_kernel_event_buffer_size(KERNEL_EVENTS);
            let quadrature = lines.iter().any(|(line, _)| *line == InputLine::EncoderB);
            for (line, wire) in &lines {
                builder.with_line(wire.line).as_input();
                bias(&mut builder, wire);
                builder.with_edge_detection(detection(*line, quadrature)).with_event_clock(EventClock::Monotonic);
                if !wire.debounce.is_zero() {
                    builder.with_debounce_period(wire.debounce);
                }
            }
            let request = builder.request().map_err(|error| failed(name, &error))?;
            let lines: BTreeMap<Offset, InputLine> = lines.iter().map(|(line, wire)| (wire.line, *line)).collect();
            let mut levels = BTreeMap::new();
            for (offset, line) in &lines {
                let level = request.value(*offset).map_err(|error| failed(name, &error))?;
                levels.insert(*line, level == Value::Active);
            }
            let edges = Edges::new(&levels);
            // A trigger, strobe, reset or acknowledge that is active at the start asks for nothing.
            let kept = |line: &InputLine| {
                matches!(line, InputLine::RecipeBit(_) | InputLine::BinFull | InputLine::PartPresent)
            };
            for (line, _) in levels.iter().filter(|(line, level)| **level && kept(line)) {
                handle.line(*line, true, crate::run::now(), None);
            }
            let chip = InputChip { name: name.to_owned(), request, lines, edges, handle: handle.clone() };
            spawn(move || chip.run());
        }
        Ok(())
    }
}

/// Lines that count what comes are told of one edge only, so that a gap in the count is as many missed; of an encoder with
/// two channels every edge counts.
fn detection(line: InputLine, quadrature: bool) -> EdgeDetection {
    match line {
        InputLine::Encoder if quadrature => EdgeDetection::BothEdges,
        InputLine::Trigger | InputLine::Encoder | InputLine::RejectConfirm => EdgeDetection::RisingEdge,
        _ => EdgeDetection::BothEdges,
    }
}

struct InputChip {
    name: String,
    request: Request,
    lines: BTreeMap<Offset, InputLine>,
    edges: Edges,
    handle: Handle,
}

impl InputChip {
    fn run(mut self) {
        loop {
            let event = match self.request.wait_edge_event(WAIT) {
                Ok(false) => continue,
                Ok(true) => self.request.read_edge_event(),
                Err(error) => Err(error),
            };
            let goes_on = match event {
                Ok(event) => self.tell(&event),
                Err(error) => {
                    self.handle.fault(ErrorCode::LineFault, format!("{}: {error}", self.name));
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    fn tell(&mut self, event: &EdgeEvent) -> bool {
        let Some(line) = self.lines.get(&event.offset).copied() else { return true };
        let at: Micros = event.timestamp_ns / 1000;
        let level = event.kind == EdgeKind::Rising;
        match self.edges.see(line, level, event.line_seqno) {
            Seen::Line => self.handle.line(line, level, at, Some(event.line_seqno)),
            Seen::Moved(counts) => self.handle.encoder(counts, at),
            Seen::Lost => self.handle.encoder_lost(at),
        }
    }
}

/// What an edge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The line took a level.
    Line,
    /// The belt moved.
    Moved(i32),
    /// The belt moved, and how far is not known.
    Lost,
}

/// Edges of a chip's lines, with the kernel's count of each line's.
struct Edges {
    last: BTreeMap<InputLine, u32>,
    quadrature: Option<Channels>,
}

struct Channels {
    a: bool,
    b: bool,
    decoder: Quadrature,
}

impl Edges {
    /// No edge was seen; the lines are at these levels.
    fn new(levels: &BTreeMap<InputLine, bool>) -> Self {
        let level = |line| levels.get(&line).copied();
        let channels = level(InputLine::Encoder).zip(level(InputLine::EncoderB));
        let quadrature = channels.map(|(a, b)| Channels { a, b, decoder: Quadrature::new(a, b) });
        Self { last: BTreeMap::new(), quadrature }
    }

    fn see(&mut self, line: InputLine, level: bool, seqno: u32) -> Seen {
        let edges = self.last.insert(line, seqno).map_or(1, |last| seqno.wrapping_sub(last));
        match (line, &mut self.quadrature) {
            (InputLine::Encoder | InputLine::EncoderB, Some(channels)) => {
                match line {
                    InputLine::Encoder => channels.a = level,
                    _ => channels.b = level,
                }
                match channels.decoder.update(channels.a, channels.b) {
                    Ok(counts) if edges == 1 => Seen::Moved(counts),
                    _ => Seen::Lost,
                }
            }
            (InputLine::Encoder, None) => Seen::Moved(i32::try_from(edges).unwrap_or(i32::MAX)),
            _ => Seen::Line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InputLine::{Encoder, EncoderB, Trigger};

    #[test]
    fn one_channel_counts_the_edges_that_the_kernel_dropped_too() {
        let mut edges = Edges::new(&BTreeMap::from([(Encoder, false), (Trigger, false)]));
        let seen = [1, 2, 5].map(|seqno| edges.see(Encoder, true, seqno));
        assert_eq!(seen, [Seen::Moved(1), Seen::Moved(1), Seen::Moved(3)]);
        assert_eq!(edges.see(Trigger, true, 9), Seen::Line);
    }

    #[test]
    fn two_channels_count_to_and_fro() {
        let mut edges = Edges::new(&BTreeMap::from([(Encoder, true), (EncoderB, false)]));
        // From 10: forwards over 11, 01, 00, then back over 01, 11.
        let steps = [(EncoderB, true), (Encoder, false), (EncoderB, false), (EncoderB, true), (Encoder, true)];
        let mut counts = BTreeMap::new();
        let seen = steps.map(|(line, level)| {
            let seqno = counts.entry(line).and_modify(|count| *count += 1).or_insert(1u32);
            edges.see(line, level, *seqno)
        });
        assert_eq!(seen, [1, 1, 1, -1, -1].map(Seen::Moved));
    }

    #[test]
    fn an_edge_of_two_channels_that_the_kernel_dropped_loses_the_place() {
        let levels = BTreeMap::from([(Encoder, false), (EncoderB, false)]);
        let mut edges = Edges::new(&levels);
        assert_eq!(edges.see(Encoder, true, 1), Seen::Moved(1));
        assert_eq!(edges.see(Encoder, false, 4), Seen::Lost, "two edges between");
        let mut edges = Edges::new(&levels);
        assert_eq!(edges.see(EncoderB, true, 1), Seen::Moved(-1));
        assert_eq!(edges.see(EncoderB, true, 3), Seen::Lost, "its fall was dropped");
    }
}
