//! What the operating system tells about the machine; on systems that tell nothing, nothing.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// What does not change during a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub cpu: Option<String>,
    pub cores: usize,
    /// Cores that this process may use, as the kernel writes them: `0-3`.
    pub affinity: Option<String>,
    /// Each governor in use once.
    pub governors: Vec<String>,
}

/// What may change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Condition {
    /// Of the fastest core.
    pub mhz: Option<f64>,
    /// Of the hottest zone.
    pub celsius: Option<f64>,
    /// Times that a core was slowed down because of heat, since boot.
    pub throttled: Option<u64>,
}

impl Machine {
    pub(super) fn here() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let board = || text(Path::new("/proc/device-tree/model"));
        let mut governors: Vec<String> =
            cores().filter_map(|core| text(&core.join("cpufreq/scaling_governor"))).collect();
        governors.sort();
        governors.dedup();
        Self {
            cpu: field(&cpuinfo, "model name").or_else(board),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            affinity: status("Cpus_allowed_list"),
            governors,
        }
    }
}

impl Condition {
    pub(super) fn now() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let scaled = cores().filter_map(|core| number(&core.join("cpufreq/scaling_cur_freq"))).map(|khz| khz / 1e3);
        let listed = cpuinfo.lines().filter(|line| line.starts_with("cpu MHz"));
        let listed = listed.filter_map(|line| line.split(':').nth(1)?.trim().parse().ok());
        let throttled: Vec<f64> =
            cores().filter_map(|core| number(&core.join("thermal_throttle/core_throttle_count"))).collect();
        Self {
            mhz: largest(scaled).or_else(|| largest(listed)),
            celsius: largest(
                entries("/sys/class/thermal", "thermal_zone").filter_map(|zone| number(&zone.join("temp"))),
            )
            .map(|thousandths| thousandths / 1e3),
            throttled: (!throttled.is_empty()).then(|| throttled.iter().sum::<f64>() as u64),
        }
    }
}

/// Largest resident memory of this process so far, megabytes of 10⁶ bytes.
pub(super) fn peak_rss_mb() -> Option<f64> {
    status("VmHWM")?.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0 / 1e6)
}

fn status(name: &str) -> Option<String> {
    field(&std::fs::read_to_string("/proc/self/status").ok()?, name)
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn cores() -> impl Iterator<Item = std::path::PathBuf> {
    entries("/sys/devices/system/cpu", "cpu").filter(|path| path.join("topology").exists())
}

fn entries(folder: &str, prefix: &'static str) -> impl Iterator<Item = std::path::PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    found.filter(move |path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
}

fn largest(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(f64::max)
}

fn number(path: &Path) -> Option<f64> {
    text(path)?.parse().ok()
}

fn text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}
