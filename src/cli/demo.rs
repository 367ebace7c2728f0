//! `mudenet-edge demo`.

use super::ACCEPTED;
use anyhow::{Context, anyhow, bail};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::decode_bytes;
use mudenet_edge::decide::Verdict;
use mudenet_edge::inspector::Inspector;
use mudenet_edge::record::{Tile, contact_sheet, overlay, verdict_word, write_png};
use mudenet_edge::run::Pipeline;
use mudenet_edge::signal::{Message, PartResult, Signal, SimulatedLine, Wire};
use std::io::Write;
use std::path::PathBuf;

/// Show the whole path with a built-in model: inspect made pictures, signal to a simulated PLC, draw what was found
///
/// Needs no network and no hardware. The model was trained on good parts only, made by `mudenet-export synth`; so are
/// the pictures.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  mudenet-edge demo --out results.png")]
pub(super) struct Args {
    /// Where the picture of all results goes
    #[arg(short, long, value_name = "FILE", default_value = "mudenet-edge-demo.png")]
    out: PathBuf,
}

const MODEL: &[u8] = include_bytes!("../../assets/demo/tray.onnx");

/// A built-in picture: what it shows, whether a box must let it pass, its bytes.
struct Sample {
    shows: &'static str,
    good: bool,
    bytes: &'static [u8],
}

macro_rules! sample {
    ($shows:literal, $good:literal, $file:literal) => {
        Sample { shows: $shows, good: $good, bytes: include_bytes!(concat!("../../assets/demo/", $file)) }
    };
}

const SAMPLES: [Sample; 8] = [
    sample!("good", true, "good-1.png"),
    sample!("good", true, "good-2.png"),
    sample!("part missing", false, "missing.png"),
    sample!("parts swapped", false, "swapped.png"),
    sample!("wrong colour", false, "wrong-colour.png"),
    sample!("one too many", false, "extra.png"),
    sample!("crack", false, "crack.png"),
    sample!("contamination", false, "contamination.png"),
];

/// Recipe number that the demo reports to the PLC.
const RECIPE: u16 = 1;

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let bundle = Bundle::from_bytes(MODEL).map_err(|reason| anyhow!("the built-in model {reason}"))?;
    let threshold = bundle.meta().threshold.value;
    let mut pipeline = Pipeline::new(Inspector::new(&bundle)?);
    let mut line = SimulatedLine::new(Wire::Ascii, 4096);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "A model that has seen good parts only inspects {} pictures; threshold {threshold:.3}.\n",
        SAMPLES.len()
    )?;
    writeln!(out, "{:14} {:8} {:>7} {:>7}  the PLC reads", "picture", "verdict", "score", "ms")?;
    let mut tiles = Vec::with_capacity(SAMPLES.len());
    let mut wrong = 0;
    for (part, sample) in (1u32..).zip(&SAMPLES) {
        let frame = decode_bytes(sample.bytes).map_err(|reason| anyhow!("the built-in picture {part}: {reason}"))?;
        let outcome = pipeline.inspect(&frame);
        let inspection = outcome.result.with_context(|| format!("picture {part} ({})", sample.shows))?;
        let score = inspection.score.value;
        line.send(&Message::Result(PartResult::new(part, inspection.verdict, score, RECIPE)))?;
        let bytes = line.take();
        writeln!(
            out,
            "{:14} {:8} {score:7.3} {:7.0}  {}",
            sample.shows,
            verdict_word(inspection.verdict),
            outcome.elapsed.as_secs_f64() * 1000.0,
            bytes.escape_ascii()
        )?;
        wrong += usize::from(sample.good != (inspection.verdict == Verdict::Accept));
        let map = inspection.map.resized(frame.height(), frame.width());
        tiles.push(Tile {
            picture: overlay(&frame, &map, &inspection, threshold),
            label: sample.shows.to_owned(),
            verdict: inspection.verdict,
        });
    }
    write_png(&args.out, &contact_sheet(&tiles, 4, 384))?;
    writeln!(out, "\n{}: the pictures with what was found on them", args.out.display())?;
    if wrong > 0 {
        bail!("{wrong} of {} verdicts are not what the pictures show", SAMPLES.len());
    }
    Ok(ACCEPTED)
}
