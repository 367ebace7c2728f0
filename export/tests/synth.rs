//! `mudenet-export synth` as its users meet it: the files, read back by the evaluation's own reader.
#![allow(clippy::unwrap_used)]

use mudenet_edge::metric::dataset::{DataSet, Layout, PixelTruth, TruthFiles};
use mudenet_export::synth::{Defect, Plan, Product, SynthError, dataset};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

fn plan(product: Product) -> Plan {
    Plan { product, seed: 11, size: 64, train: 3, validation: 2, test_good: 2, per_defect: 2 }
}

fn write(plan: &Plan, out: &Path) -> Result<(), SynthError> {
    dataset::write(plan, out, &|| true)
}

/// Every file below `root`, by its path from there.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_layout_is_that_of_loco() {
    let folder = tempfile::tempdir().unwrap();
    write(&plan(Product::Tray), folder.path()).unwrap();
    let mut expected = BTreeSet::from(["defects_config.json".to_owned()]);
    let mut expect = |folder: &str, count: u32| expected.extend((0..count).map(|n| format!("{folder}/{n:03}.png")));
    expect("train/good", 3);
    expect("validation/good", 2);
    expect("test/good", 2);
    expect("test/logical_anomalies", 8);
    expect("test/structural_anomalies", 10);
    expected.extend((0..8).map(|n| format!("ground_truth/logical_anomalies/{n:03}/000.png")));
    expected.extend((0..10).map(|n| format!("ground_truth/structural_anomalies/{n:03}/000.png")));
    let found: BTreeSet<String> = files(folder.path()).keys().map(|p| p.to_string_lossy().into_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_evaluation_reads_every_image_and_mask() {
    for product in [Product::Tray, Product::Blister] {
        let folder = tempfile::tempdir().unwrap();
        write(&plan(product), folder.path()).unwrap();
        let set = DataSet::open(folder.path(), Layout::Loco, None).unwrap();
        assert!(set.has_defects);
        assert_eq!(set.kinds, ["good", "logical_anomalies", "structural_anomalies"]);
        let mut values = BTreeMap::new();
        for sample in &set.samples {
            let image = image::open(&sample.image).unwrap();
            assert_eq!((image.width(), image.height(), image.color()), (64, 64, image::ColorType::Rgb8));
            match (PixelTruth::read(&sample.truth, 64, 64).unwrap(), &sample.truth) {
                (PixelTruth::Good, _) => assert_eq!(sample.kind, 0),
                (PixelTruth::Defects(defects), TruthFiles::Defects(masks, _)) => {
                    assert_eq!((defects.len(), masks.len()), (1, 1));
                    assert!(defects[0].saturation as usize <= defects[0].mask.iter().filter(|m| **m).count());
                    let mask = image::open(&masks[0]).unwrap();
                    assert_eq!(mask.color(), image::ColorType::L8);
                    *values.entry(mask.into_luma8().into_raw().into_iter().max().unwrap()).or_insert(0) += 1;
                }
                other => panic!("{}: unexpected ground truth {other:?}", sample.image.display()),
            }
        }
        let expected: BTreeMap<u8, i32> = Defect::all().map(|defect| (defect.entry().pixel_value, 2)).collect();
        assert_eq!(values, expected, "each kind of defect, by its pixel value, twice");
    }
}

#[test]
fn larger_counts_add_pictures_and_leave_the_others_alone() {
    let (small, large) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let few = plan(Product::Blister);
    write(&few, small.path()).unwrap();
    write(&Plan { train: 5, validation: 3, test_good: 4, per_defect: 3, ..few }, large.path()).unwrap();
    let (small, large) = (files(small.path()), files(large.path()));
    assert_eq!(large.len() - small.len(), 2 + 1 + 2 + 2 * 9);
    for (path, bytes) in small {
        assert!(large.get(&path) == Some(&bytes), "{} changed with the counts", path.display());
    }
}

#[test]
fn what_is_stopped_or_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made");
    let taken = AtomicU32::new(0);
    let stopped = dataset::write(&plan(Product::Tray), &out, &|| taken.fetch_add(1, Ordering::Relaxed) < 2);
    assert!(matches!(stopped, Err(SynthError::Stopped)), "{stopped:?}");
    assert!(!out.exists());

    let file = folder.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    let error = write(&plan(Product::Tray), &file.join("made")).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");

    for size in [63, 2049] {
        let error = write(&Plan { size, ..plan(Product::Tray) }, &out).unwrap_err();
        assert_eq!(error.to_string(), format!("size {size} is not between 64 and 2048"));
    }
    assert!(!out.exists());
}

fn synth(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mudenet-export")).arg("synth").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_command_writes_what_its_options_say() {
    let folder = tempfile::tempdir().unwrap();
    let (made, library) = (folder.path().join("made"), folder.path().join("library"));
    let counts = ["--train", "3", "--validation", "2", "--test-good", "2", "--per-defect", "2"];
    let out = made.to_string_lossy();
    let options = [&["--product", "tray", "--seed", "11", "--size", "64", "-o", &out][..], &counts].concat();
    let (code, stdout, stderr) = synth(&options);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("25 pictures"), "{stdout}");
    write(&plan(Product::Tray), &library).unwrap();
    assert!(files(&made) == files(&library), "command and library differ");
}

#[test]
fn a_folder_that_holds_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.txt"), "kept").unwrap();
    let out = folder.path().to_string_lossy();
    let (code, stdout, stderr) = synth(&["-o", &out]);
    assert_eq!(code, Some(2));
    assert_eq!(stdout, "");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(&*out) && stderr.contains("not an empty folder"), "{stderr}");
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn options_out_of_range_are_refused() {
    for (option, value) in [("--size", "63"), ("--size", "2049"), ("--train", "-1"), ("--product", "car")] {
        let (code, _, stderr) = synth(&[&format!("{option}={value}"), "-o", "unused"]);
        assert_eq!(code, Some(2), "{option} {value}");
        assert!(stderr.contains(option), "{stderr}");
    }
    assert!(!Path::new("unused").exists());
}
