//! `mudenet-edge run`.

pub(super) mod devices;
mod golden;
mod numbers;
mod page;
mod plant;
mod recipes;
mod report;
mod settings;

use super::doctor::clock_synchronised;
use super::{ACCEPTED, FAILED, print_error};
use anyhow::{Context, bail};
use devices::{camera, connect, outputs};
use mudenet_board::machine::TriggerMode;
use mudenet_board::{Micros, millis};
use mudenet_edge::capture::{Camera, FaultRates, FaultyCamera};
use mudenet_edge::config::{CameraSource, Config};
use mudenet_edge::recipe::{Recipe, RecipeFiles};
use mudenet_edge::record::journal::{Journal, Settings};
use mudenet_edge::run::simulate::{Conveyor, Plant};
use mudenet_edge::run::{Devices, JournalSink, Line, LineConfig, RecordSink, Watchdog};
use mudenet_edge::sentence::sentence;
use mudenet_edge::threads;
use numbers::PartNumbers;
use report::{Console, print_report};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Ctrl-C or SIGTERM: no more parts are taken, those on the way to the gate go theirs, the lines go to their safe levels; a
second one ends at once. SIGHUP: box.toml and its recipes are read again and the recipe in use is loaded anew between two
parts; what else changed in box.toml needs a restart. SIGUSR1: the golden samples of the recipe in use are tested beside the line,
as every recipes.golden_hours; where one is judged wrong, everything is rejected until the recipe passes. Under systemd
(Type=notify, WatchdogSec=10) the watchdog is fed only while the loop is alive and pictures are fresh.

Exit code: 0 when stopped, 2 for an error, or where a simulated part left as good without having been judged good.

Examples:
  mudenet-edge run --config box.toml --check
  mudenet-edge run --config box.toml --simulate pictures/ --parts 500 --pitch-ms 80
  mudenet-edge run --config box.toml";

/// Inspect parts on a line: trigger, picture, verdict, gate
///
/// box.toml names camera, lines, timing and recipes; every mistake in it is told by key and rule before anything is
/// opened. Whatever goes wrong rejects the part it happens to.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The station: camera, lines, timing, recipes
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the file and its recipes, and open nothing
    #[arg(long)]
    check: bool,
    /// Run the same loop on a folder's pictures and a simulated conveyor; its record is kept in the folder "simulated" below
    /// that of [record]
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    simulate: Option<PathBuf>,
    /// Parts on the simulated conveyor
    #[arg(long, value_name = "N", default_value_t = 100, requires = "simulate")]
    parts: u32,
    /// Let parts come for this long instead, such as 90s, 30m or 8h, with faults: pictures that do not come, are black, torn
    /// or cropped, one part in fifty
    #[arg(long, value_name = "DURATION", requires = "simulate", conflicts_with = "parts", value_parser = duration)]
    soak: Option<Micros>,
    /// Mean time between two simulated parts; without it, a fifth more than the smallest that box.toml allows, or 200
    #[arg(long, value_name = "MS", requires = "simulate", value_parser = clap::value_parser!(u32).range(1..))]
    pitch_ms: Option<u32>,
    /// Largest deviation of a simulated part from its place, percent of the pitch
    #[arg(long, value_name = "PERCENT", default_value_t = 10, requires = "simulate",
        value_parser = clap::value_parser!(u32).range(0..50))]
    jitter: u32,
    /// Seed of the simulated deviations
    #[arg(long, value_name = "N", default_value_t = 1, requires = "simulate")]
    seed: u64,
    /// Print the report at the end as a JSON object
    #[arg(long)]
    json: bool,
    /// Print a line a part on stderr
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    tune: super::tune::Tune,
    #[command(flatten)]
    device: super::device::DeviceArg,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    args.device.install()?;
    args.tune.install();
    let config = Config::load(&args.config)?;
    for warning in &config.warnings {
        print_error(&format!("warning: {}: {warning}", args.config.display()));
    }
    if args.check {
        return check(&config);
    }
    threads::use_cores(config.cores.as_deref()).with_context(|| format!("{}: box.cores", args.config.display()))?;
    match &args.simulate {
        Some(folder) => simulate(args, &config, folder),
        None => serve(args, &config),
    }
}

/// Loads every recipe, as the line would.
fn check(config: &Config) -> anyhow::Result<u8> {
    for (number, file) in &config.recipes {
        let recipe = Recipe::load(file)?;
        let pipeline = recipe.prepare()?;
        println!("recipe {number}: {}, threshold {}", recipe.name, pipeline.threshold());
    }
    println!(
        "{}: nothing wrong with {} input and {} output lines",
        config.path.display(),
        config.inputs.len(),
        config.outputs.len()
    );
    Ok(ACCEPTED)
}

fn serve(args: &Args, config: &Config) -> anyhow::Result<u8> {
    let _claim = recipes::claim(config)?;
    // Before all that takes time: until then the lines are as wired.
    let outputs = outputs(config)?;
    let page = page::open(config, config.record.as_ref())?;
    let mut sinks = sinks(args, config.record.clone(), &page)?;
    let plant = plant::Plant::open(config, false, &mut sinks)?;
    let mut numbers = PartNumbers::open(config.state.as_deref())?;
    let line_config = numbered(config.line, numbers.first());
    let mut line = Line::new(
        line_config,
        Devices {
            camera: camera(&config.camera)?,
            outputs,
            signal: None,
            sink: Box::new(sinks),
            recipes: recipes::recipes(config, page::voice(&page))?,
            watchdog: Box::new(Systemd),
        },
    );
    connect(config, &mut line)?;
    page::start(page, config, config.record.as_ref(), false, &line)?;
    let ending = plant.start(config, &line)?;
    let (handle, path, old) = (line.handle(), args.config.clone(), config.clone());
    let test = golden::watch(config, &args.config, line.feed(), line.handle()).context("golden-sample test")?;
    let mut signals = Signals::new([SIGHUP, SIGUSR1, SIGINT, SIGTERM]).context("signals cannot be caught")?;
    std::thread::spawn(move || {
        for signal in &mut signals {
            let goes_on = match signal {
                SIGHUP => reload(&path, &old, &handle),
                // One that is asked for while one waits is the same one.
                SIGUSR1 => {
                    let _ = test.try_send(());
                    true
                }
                _ => handle.stop(),
            };
            if !goes_on {
                return;
            }
        }
    });
    settings::note(config);
    if !clock_synchronised() {
        print_error(
            "warning: nothing synchronises the clock; times in records may be wrong, control does not go by it",
        );
    }
    tell(&[sd_notify::NotifyState::Ready]);
    let report = line.run()?;
    tell(&[sd_notify::NotifyState::Stopping]);
    numbers.keep(&report.counters);
    ending.wait();
    print_report(&report, None, args.json)?;
    Ok(ACCEPTED)
}

fn simulate(args: &Args, config: &Config, folder: &Path) -> anyhow::Result<u8> {
    let mut camera_config = config.camera.clone();
    camera_config.source = CameraSource::Folder(folder.to_owned());
    let gate = config.line.station.gate;
    let camera: Box<dyn Camera> = match args.soak {
        None => camera(&camera_config)?,
        Some(_) => Box::new(FaultyCamera::new(camera(&camera_config)?, SOAK_FAULTS, args.seed)),
    };
    let plant = Plant::default();
    // So that the record of the real line stays that of real parts.
    let record = config.record.clone().map(|record| Settings { folder: record.folder.join("simulated"), ..record });
    let page = page::open(config, record.as_ref())?;
    let mut sinks = sinks(args, record.clone(), &page)?;
    let peers = plant::Plant::open(config, true, &mut sinks)?;
    let mut line_config = numbered(config.line, 1);
    // The conveyor triggers, whatever does on the real line.
    line_config.station.machine.trigger = TriggerMode::External;
    let line = Line::new(
        line_config,
        Devices {
            camera,
            outputs: plant.outputs(),
            signal: None,
            sink: plant.record(Box::new(sinks)),
            recipes: Box::new(RecipeFiles(config.recipes.clone())),
            watchdog: Box::new(()),
        },
    );
    page::start(page, config, record.as_ref(), true, &line)?;
    let ending = peers.start(config, &line)?;
    let mut conveyor = devices::conveyor(config, args.parts, args.pitch_ms, args.jitter, args.seed);
    if let Some(time) = args.soak {
        conveyor.parts = u32::try_from(time / conveyor.pitch).unwrap_or(u32::MAX).max(1);
    }
    let stop = line.handle();
    ctrlc::set_handler(move || {
        stop.stop();
    })
    .context("Ctrl-C cannot be caught")?;
    print_conveyor(&conveyor);
    let driver = plant.drive(conveyor, gate, 1, line.handle());
    let report = line.run()?;
    if driver.join().is_err() {
        bail!("the simulated conveyor failed");
    }
    ending.wait();
    let outcome = plant.outcome(gate);
    if outcome.parts == 0 && !report.stopped_early && report.counters.recipe_changes == 0 {
        bail!("the box did not become ready: what was printed above says why");
    }
    print_report(&report, Some(&outcome), args.json)?;
    Ok(if outcome.escaped == 0 { ACCEPTED } else { FAILED })
}

/// Terminal, journal and page.
fn sinks(args: &Args, record: Option<Settings>, page: &page::Waiting) -> anyhow::Result<Vec<Box<dyn RecordSink>>> {
    let mut sinks: Vec<Box<dyn RecordSink>> = vec![Box::new(Console::new(args.verbose))];
    if let Some(record) = record {
        let journal = Journal::open(record).context("record")?;
        sinks.push(Box::new(JournalSink::new(journal, page::voice(page))));
    }
    sinks.extend(page::sink(page));
    Ok(sinks)
}

/// Faults of a soak.
const SOAK_FAULTS: FaultRates = FaultRates { timeout: 0.005, unplug: 0.0, black: 0.005, torn: 0.005, cropped: 0.005 };

/// `90s`, `30m`, `8h`.
fn duration(text: &str) -> Result<Micros, String> {
    let number = text.trim_end_matches(['s', 'm', 'h']);
    let seconds = match text.strip_prefix(number) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        _ => 0,
    };
    match number.parse::<u32>() {
        Ok(count) if count > 0 && seconds > 0 => Ok(millis(1000 * seconds * u64::from(count))),
        _ => Err("expected a time such as 90s, 30m or 8h".to_owned()),
    }
}

fn print_conveyor(conveyor: &Conveyor) {
    let pitch = conveyor.pitch as f64 / 1000.0;
    let percent = conveyor.jitter * 100.0;
    println!("{} parts, one every {pitch:.0} ms ± {percent:.0} %", conveyor.parts);
}

fn numbered(mut config: LineConfig, first: u32) -> LineConfig {
    config.station.first_part = first;
    config
}

/// Reads box.toml again; gives `false` once the line has ended.
fn reload(path: &Path, old: &Config, handle: &mudenet_edge::run::Handle) -> bool {
    let new = match Config::load(path) {
        Ok(new) => new,
        Err(error) => {
            print_error(&format!("not reloaded: {error}"));
            return true;
        }
    };
    let broken = new.recipes.values().find_map(|file| Recipe::load(file).err());
    if let Some(error) = broken {
        print_error(&format!("not reloaded: {error}"));
        return true;
    }
    let as_before = Config { recipes: old.recipes.clone(), warnings: old.warnings.clone(), ..new.clone() };
    if as_before != *old {
        print_error("reloaded recipes only: what else changed in box.toml needs a restart");
    }
    match recipes::recipes(&new, |text| print_error(&text)) {
        Ok(recipes) => {
            settings::note(&new);
            handle.replace_recipes(recipes)
        }
        Err(error) => {
            print_error(&format!("not reloaded: {}", sentence(&*error)));
            true
        }
    }
}

/// systemd's watchdog, where there is one.
struct Systemd;

impl Watchdog for Systemd {
    fn alive(&mut self, state: mudenet_board::State) {
        tell(&[sd_notify::NotifyState::Watchdog, sd_notify::NotifyState::Status(state.name())]);
    }
}

/// Tells systemd; without it nobody listens, and nothing here depends on it.
fn tell(state: &[sd_notify::NotifyState]) {
    let _ = sd_notify::notify(state);
}
