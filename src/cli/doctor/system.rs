//! What `doctor` reads from the machine.

use super::{Finding, broken, ok, warning};
use mudenet_edge::capture::{Frame, Region, Samples};
use mudenet_edge::config::{Config, Wire};
use mudenet_edge::run::Pipeline;
use mudenet_edge::threads::allowed_cores;
use std::path::{Path, PathBuf};

/// Space below which the disk is told to be nearly full, bytes.
const LITTLE_SPACE: u64 = 2 << 30;

pub(super) fn checks(config: Option<&Config>) -> Vec<Finding> {
    let mut found = vec![temperature(config), governor(config), clock()];
    found.extend(disk(config));
    found.push(watchdog());
    found.extend(realtime(config));
    found.extend(cores(config));
    found
}

/// Median time of one inspection, µs; `None` where one fails.
pub(super) fn time(pipeline: &mut Pipeline, region: Option<Region>) -> Option<u64> {
    let (width, height) = region.map_or((640, 480), |region| (region.right().max(16), region.bottom().max(16)));
    let frame = Frame::new(width, height, Samples::Rgb8(vec![128; 3 * width * height])).ok()?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let outcome = pipeline.inspect(&frame);
        outcome.result.ok()?;
        times.push(outcome.elapsed.as_micros() as u64);
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn temperature(config: Option<&Config>) -> Finding {
    let limit = config.and_then(|config| config.profile.as_ref()).map_or(80, |profile| profile.throttles_at);
    let hottest = files("/sys/class/thermal", "thermal_zone", "temp").into_iter().filter_map(|(file, text)| {
        // Thousandths; some zones have no sensor behind them and say 0 or less.
        text.parse::<i64>().ok().filter(|temperature| *temperature > 1000).map(|temperature| (temperature / 1000, file))
    });
    match hottest.max() {
        None => warning("heat", "no temperature can be read", "look at /sys/class/thermal; a hot board slows down"),
        Some((degrees, file)) if degrees >= i64::from(limit) => {
            let text = format!("{degrees} °C in {}", file.display());
            broken("heat", text, format!("the board slows down from {limit} °C: cool it"))
        }
        Some((degrees, file)) if degrees + 10 >= i64::from(limit) => {
            let text = format!("{degrees} °C in {}", file.display());
            warning("heat", text, format!("close to {limit} °C, where the board slows down: cool it"))
        }
        Some((degrees, _)) => ok("heat", format!("{degrees} °C at the hottest")),
    }
}

fn governor(config: Option<&Config>) -> Finding {
    let by_profile = config.and_then(|config| config.profile.as_ref()).map(|profile| profile.governor.clone());
    let found: Vec<(PathBuf, String)> = match by_profile.filter(|files| !files.is_empty()) {
        Some(files) => files.iter().filter_map(|file| Some((file.into(), read(Path::new(file))?))).collect(),
        None => files("/sys/devices/system/cpu/cpufreq", "policy", "scaling_governor"),
    };
    match found.iter().find(|(_, governor)| governor != "performance") {
        Some((file, governor)) => warning(
            "governor",
            format!("{governor} in {}", file.display()),
            "write performance into it at start (cpupower frequency-set -g performance): parts wait while the clock rises",
        ),
        None if found.is_empty() => ok("governor", "the processor's clock is not governed by the system"),
        None => ok("governor", "performance"),
    }
}

/// Whether something is seen that synchronises the clock of the day.
pub(in crate::cli) fn clock_synchronised() -> bool {
    ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/var/run/ntpd.pid"]
        .iter()
        .any(|file| Path::new(file).exists())
}

fn clock() -> Finding {
    if clock_synchronised() {
        ok("clock", "is synchronised")
    } else {
        let todo = "timedatectl set-ntp true, or a time server in the plant; control does not depend on it, records do";
        warning("clock", "nothing seen that synchronises the clock", todo)
    }
}

fn disk(config: Option<&Config>) -> Vec<Finding> {
    let state = config.iter().filter_map(|config| config.state.as_deref());
    let record = config.iter().filter_map(|config| config.record.as_ref()).map(|record| record.folder.as_path());
    let folders = state.chain(record);
    let check = |folder: &Path| {
        let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let name = folder.display();
        let space = match nix::sys::statvfs::statvfs(there) {
            Ok(space) => space,
            Err(error) => return broken("disk", format!("{name}: {error}"), "mount the disk"),
        };
        let free = space.blocks_available().saturating_mul(space.fragment_size());
        let text = format!("{name}: {:.1} GB free", free as f64 / 1e9);
        if space.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY) {
            broken("disk", format!("{name}: mounted read-only"), "mount it writable, or set another folder")
        } else if free < LITTLE_SPACE {
            warning("disk", text, "make room: records are dropped when it is full, the line goes on")
        } else {
            ok("disk", text)
        }
    };
    folders.map(check).collect()
}

fn watchdog() -> Finding {
    let device = Path::new("/dev/watchdog").exists();
    match (std::env::var_os("WATCHDOG_USEC").is_some(), device) {
        (_, false) => warning(
            "watchdog",
            "no /dev/watchdog: a kernel that hangs stays so",
            "enable the board's watchdog driver and RuntimeWatchdogSec in /etc/systemd/system.conf",
        ),
        (true, true) => ok("watchdog", "systemd watches this program"),
        (false, true) => {
            let runtime = read(Path::new("/etc/systemd/system.conf")).unwrap_or_default();
            if runtime.lines().any(|line| line.trim_start().starts_with("RuntimeWatchdogSec=")) {
                ok("watchdog", "/dev/watchdog, fed by systemd (RuntimeWatchdogSec)")
            } else {
                let todo = "set RuntimeWatchdogSec=10 in /etc/systemd/system.conf, and WatchdogSec=10 in the service";
                warning("watchdog", "/dev/watchdog is there and nobody feeds it", todo)
            }
        }
    }
}

fn realtime(config: Option<&Config>) -> Option<Finding> {
    let priority = config?.line.realtime_priority?;
    let limits = read(Path::new("/proc/self/limits"))?;
    let line = limits.lines().find(|line| line.starts_with("Max realtime priority"))?;
    let allowed = line.split_whitespace().nth(3)?;
    let enough = allowed == "unlimited" || allowed.parse::<u8>().is_ok_and(|allowed| allowed >= priority);
    let root = read(Path::new("/proc/self/status"))?.lines().any(|line| line.starts_with("Uid:\t0\t"));
    Some(if enough || root {
        ok("realtime", format!("priority {priority} is allowed"))
    } else {
        let todo = format!("LimitRTPRIO={priority} in the service; without it the loop runs at normal priority");
        warning("realtime", format!("box.realtime_priority is {priority}, this user may have {allowed}"), todo)
    })
}

fn cores(config: Option<&Config>) -> Option<Finding> {
    let (wanted, allowed) = (config?.cores.as_ref()?, allowed_cores());
    let number = |cores: &[usize]| cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(match wanted.iter().find(|core| !allowed.contains(core)) {
        None => ok("cores", format!("the networks are computed on {}", number(wanted))),
        Some(core) => {
            let text = format!("box.cores has {core}, this process may use {}", number(&allowed));
            broken("cores", text, "name cores that are there, or leave the key out")
        }
    })
}

/// What is wrong with a line; `None` where nothing is.
#[cfg(feature = "gpio")]
pub(super) fn line(name: &str, wire: &Wire) -> Option<Finding> {
    let todo = "see `gpioinfo`; the user needs the group gpio; older kernels than 5.10 cannot be used";
    let chip = match mudenet_edge::signal::find_chip(&wire.chip) {
        Ok(chip) => chip,
        Err(error) => return Some(broken("lines", format!("{name}: {error}"), todo)),
    };
    let info = gpiocdev::chip::Chip::from_path(&chip).and_then(|chip| chip.line_info(wire.line));
    match info {
        Err(error) => Some(broken("lines", format!("{name}: line {} of {}: {error}", wire.line, wire.chip), todo)),
        Ok(info) if info.used => {
            let text = format!("{name}: line {} of {} is used by {:?}", wire.line, wire.chip, info.consumer);
            Some(broken("lines", text, "take another line, or remove what holds it (device tree, another program)"))
        }
        Ok(_) => None,
    }
}

#[cfg(not(feature = "gpio"))]
pub(super) fn line(name: &str, _wire: &Wire) -> Option<Finding> {
    Some(broken("lines", format!("{name}: this program was built without GPIO"), "build it with cargo feature gpio"))
}

#[cfg(feature = "gpio")]
pub(super) fn chips() -> Vec<Finding> {
    let chips = gpiocdev::chip::chips().unwrap_or_default();
    let told: Vec<Finding> = chips
        .iter()
        .filter_map(|path| {
            let info = gpiocdev::chip::Chip::from_path(path).and_then(|chip| chip.info()).ok()?;
            Some(ok("lines", format!("{} ({}), {} lines", path.display(), info.label, info.num_lines)))
        })
        .collect();
    if told.is_empty() { vec![warning("lines", "no GPIO chip", "only serial lines can be used here")] } else { told }
}

#[cfg(not(feature = "gpio"))]
pub(super) fn chips() -> Vec<Finding> {
    vec![warning("lines", "this program was built without GPIO", "build it with cargo feature gpio")]
}

#[cfg(feature = "v4l2")]
pub(super) fn cameras() -> Vec<Finding> {
    let mut found = Vec::new();
    for camera in mudenet_edge::capture::cameras() {
        found.push(ok("camera", format!("{} ({})", camera.path.display(), camera.name)));
        found.extend(camera.formats.iter().map(|format| ok("camera", format!("  {format}"))));
        if !camera.controls.is_empty() {
            found.push(ok("camera", format!("  controls: {}", camera.controls.join(", "))));
        }
    }
    if found.is_empty() {
        found.push(warning("camera", "no V4L2 camera that this user may open", "the cable; the user's group video"));
    }
    found
}

#[cfg(not(feature = "v4l2"))]
pub(super) fn cameras() -> Vec<Finding> {
    vec![warning("camera", "this program was built without cameras", "build it with cargo feature v4l2")]
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `folder/PREFIX*/name` and what is in it.
fn files(folder: &str, prefix: &str, name: &str) -> Vec<(PathBuf, String)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut files: Vec<(PathBuf, String)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            entry.file_name().to_str()?.starts_with(prefix).then_some(())?;
            let file = entry.path().join(name);
            Some((file.clone(), read(&file)?))
        })
        .collect();
    files.sort();
    files
}
