//! Anomaly maps made elsewhere and the rules of MVTec LOCO, by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::capture::MAX_PIXELS;
use mudenet_edge::metric::dataset::DefectRules;
use mudenet_edge::metric::read_map;
use mudenet_fuzz::{FEW, bounded, file, folder};
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(folder);

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            let path = file(&FOLDER, "defects_config.json", data);
            bounded(256 * data.len() + FEW, || {
                if let Ok(rules) = DefectRules::read(&path) {
                    for value in [0, 1, 255, u16::MAX] {
                        if let Ok(saturation) = rules.saturation(value, 1000) {
                            assert!((1..=1000).contains(&saturation));
                        }
                    }
                }
            });
        }
        kind => {
            let path = file(&FOLDER, if kind == 1 { "map.tiff" } else { "map.png" }, data);
            bounded(16 * MAX_PIXELS + (64 << 20), || {
                if let Ok(map) = read_map(&path) {
                    assert_eq!(map.0.values.len(), map.0.height * map.0.width);
                    assert!(map.0.values.iter().all(|value| value.is_finite()));
                }
            });
        }
    }
});
