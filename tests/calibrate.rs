//! `mudenet-edge calibrate` on small parts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{GREY, THRESHOLD, bundle, run, spotted};
use image::{Rgb, RgbImage};
use mudenet_edge::bundle::Bundle;
use mudenet_edge::capture::{Look, decode, pictures_below};
use mudenet_edge::decide::ThresholdMethod;
use mudenet_edge::recipe::Recipe;
use mudenet_edge::record::audit;
use mudenet_edge::record::journal::{Context, Journal, Latency, Part, Settings};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

/// `count` good parts, each a little redder than the one before, and two bad ones.
fn station(count: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: String| folder.path().join(name);
    bundle().save(&at("m.onnx".into())).unwrap();
    fs::create_dir(at("good".into())).unwrap();
    fs::create_dir(at("bad".into())).unwrap();
    for i in 0..count {
        let part = RgbImage::from_pixel(64, 64, Rgb([GREY + (i % 30) as u8, GREY, GREY]));
        part.save(at(format!("good/{i:03}.png"))).unwrap();
    }
    for i in 0..2 {
        spotted(64, 64, (30, 30), 12, 0).save(at(format!("bad/{i}.png"))).unwrap();
    }
    folder
}

const ARGUMENTS: [&str; 5] = ["calibrate", "--model", "m.onnx", "--good", "good"];

#[test]
fn the_threshold_goes_into_a_copy_of_the_model() {
    let folder = station(59);
    let arguments = ["--false-reject", "5%", "--confidence", "95%", "--bad", "bad", "--json", "-o", "new.onnx"];
    let run = run(folder.path(), &[&ARGUMENTS[..], &arguments].concat());
    assert_eq!(run.code, 0, "{run:?}");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["detection_rate"], 1.0);
    let largest = report["good_scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).fold(0.0, f64::max);

    let new = Bundle::load(&folder.path().join("new.onnx")).unwrap();
    let threshold = &new.meta().threshold;
    assert_eq!((threshold.method, threshold.good_parts), (ThresholdMethod::Tolerance, 59));
    // The rank is 59 of 59: the largest score.
    assert!((f64::from(threshold.value) - largest).abs() < 1e-6);
    let calibration = threshold.calibration.as_ref().unwrap();
    assert_eq!((calibration.false_reject, calibration.confidence), (0.05, 0.95));
    assert!(calibration.date.as_ref().is_some_and(|date| date.len() == 10));
    let old = Bundle::load(&folder.path().join("m.onnx")).unwrap();
    assert_eq!((old.meta().threshold.value, old.graph().graph.as_ref()), (THRESHOLD, new.graph().graph.as_ref()));
}

#[test]
fn one_part_short_is_refused_and_nothing_is_written() {
    let folder = station(58);
    let arguments = [&ARGUMENTS[..], &["--false-reject", "5%", "-o", "new.onnx"]].concat();
    let refused = "58 good parts are too few to promise a false-reject rate of 5 % with 95 % confidence: 1 more are \
                   needed (59 in all)";
    run(folder.path(), &arguments).assert_error(&[refused]);
    assert!(!folder.path().join("new.onnx").exists());
}

#[test]
fn estimates_say_that_they_are() {
    let folder = station(60);
    for (method, interval) in [("quantile", "not bounded by so few parts"), ("tail-fit", "confidence interval")] {
        let run = run(folder.path(), &[&ARGUMENTS[..], &["--method", method]].concat());
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("an estimate") && run.stdout.contains(interval), "{}", run.stdout);
        assert!(run.stdout.contains("◀ threshold") && run.stdout.contains("nothing was written"), "{}", run.stdout);
    }
}

#[test]
fn rates_outside_0_to_1_are_refused() {
    let folder = station(1);
    for rate in ["0", "1", "100%", "-3%", "nan", "one"] {
        let run = run(folder.path(), &[&ARGUMENTS[..], &["--false-reject", rate]].concat());
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("expected a rate between 0 and 100 %"), "{run:?}");
    }
}

#[test]
fn a_copy_that_cannot_be_written_leaves_nothing() {
    let folder = station(59);
    let arguments = [&ARGUMENTS[..], &["--false-reject", "5%", "-o", "m.onnx/new.onnx"]].concat();
    run(folder.path(), &arguments).assert_error(&["m.onnx/new.onnx", "cannot be written"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// A recipe of the left half of a picture of 128 × 64 with a zone around a square that is bluer in one part than in another;
/// outside they are redder.
fn zoned(count: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: String| folder.path().join(name);
    bundle().save(&at("m.onnx".into())).unwrap();
    let recipe = "# the bottle of line 3\nname = \"bottle\"\nmodel = \"m.onnx\"\nregion = [0, 0, 64, 64]\n\n\
                  [[zone]]\nname = \"thread\"\narea = [36, 20, 24, 24]\n";
    fs::write(at("bottle.toml".into()), recipe).unwrap();
    fs::create_dir(at("good".into())).unwrap();
    for i in 0..count {
        let (red, blue) = ((i * 7 % 23) as u8, (i * 5 % 17) as u8);
        let part = RgbImage::from_fn(128, 64, |x, y| match (x, y) {
            (64.., _) => Rgb([255; 3]),
            (40..56, 24..40) => Rgb([GREY, GREY, GREY + 40 + blue]),
            _ => Rgb([GREY + red, GREY, GREY]),
        });
        part.save(at(format!("good/{i:03}.png"))).unwrap();
    }
    folder
}

const OF_RECIPE: [&str; 7] = ["calibrate", "--recipe", "bottle.toml", "--good", "good", "--false-reject", "10%"];

#[test]
fn zones_that_cannot_be_written_to_leave_the_recipe_as_it_is() {
    let folder = zoned(72);
    let recipe = folder.path().join("bottle.toml");
    let text = fs::read_to_string(&recipe).unwrap();
    let (before, _) = text.split_once("[[zone]]").unwrap();
    let inline = format!("{before}zone = [{{ name = \"thread\", area = [36, 20, 24, 24] }}]\n");
    fs::write(&recipe, &inline).unwrap();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let count = files();
    let refused = run(folder.path(), &[&OF_RECIPE[..], &["-o", "bottle.toml"]].concat());
    refused.assert_error(&["bottle.toml: write its zones as [[zone]] tables"]);
    assert_eq!((fs::read_to_string(&recipe).unwrap(), files()), (inline, count));
}

#[test]
fn a_recipe_gets_a_threshold_for_each_zone() {
    // Two areas: 5 % at 97.5 % each, for which ln 0.025 / ln 0.95 = 71.9 parts are needed.
    run(zoned(71).path(), &OF_RECIPE).assert_error(&["71 good parts are too few", "5 % with 97.5 %", "72 in all"]);
    let folder = zoned(72);
    let written = run(folder.path(), &[&OF_RECIPE[..], &["--json", "-o", "bottle.toml"]].concat());
    assert_eq!(written.code, 0, "{written:?}");
    let report: serde_json::Value = serde_json::from_str(&written.stdout).unwrap();

    // The largest of 72 in each area: level 1 scores (v / 255)², level 2 a quarter of it, their mean over the range.
    let score = |above: f64| (above / 255.0).powi(2) * (1.0 + 0.25) / 2.0 / f64::from(common::RANGE);
    let recipe = Recipe::load(&folder.path().join("bottle.toml")).unwrap();
    let (rest, zone) = (f64::from(recipe.threshold.unwrap()), f64::from(recipe.zones[0].threshold.unwrap()));
    assert!((rest / score(22.0) - 1.0).abs() < 1e-3 && (zone / score(56.0) - 1.0).abs() < 1e-3, "{rest} {zone}");
    assert!((report["zones"][0]["threshold"]["value"].as_f64().unwrap() - zone).abs() < 1e-6);
    let calibration = recipe.calibration.as_ref().unwrap();
    assert_eq!((calibration.method, calibration.good_parts), (ThresholdMethod::Tolerance, 72));
    assert_eq!((calibration.false_reject, calibration.confidence), (0.1, 0.95));
    assert!(fs::read_to_string(&recipe.path).unwrap().starts_with("# the bottle of line 3\n"));
    let baseline = recipe.baseline(&bundle()).unwrap().unwrap();
    assert_eq!((baseline.score.len(), baseline.sharpness.len()), (72, 72));
    assert!(baseline.brightness.iter().all(|b| (0.5..0.6).contains(b)), "of the region, without the white half");

    // A part is held against the threshold of where it is bad.
    let part = |name: &str, red: u8, blue: u8| {
        let picture = RgbImage::from_fn(128, 64, |x, y| match (x, y) {
            (40..56, 24..40) => Rgb([GREY, GREY, GREY + blue]),
            _ => Rgb([GREY + red, GREY, GREY]),
        });
        picture.save(folder.path().join(name)).unwrap();
        let run = run(folder.path(), &["inspect", "--recipe", "bottle.toml", "--json", "--out", "out", name]);
        (run.code, run.lines().remove(0))
    };
    let good = part("a.png", 20, 50);
    assert_eq!((good.0, &good.1["verdict"]), (0, &"accept".into()), "{good:?}");
    let outside = part("b.png", 24, 50);
    assert_eq!((outside.0, &outside.1["zone"]), (1, &serde_json::Value::Null), "{outside:?}");
    let inside = part("c.png", 20, 58);
    assert_eq!((inside.0, &inside.1["zone"], &inside.1["branch"]), (1, &"thread".into(), &"logical".into()));
    assert_eq!(inside.1["threshold"], good.1["threshold"]);

    // Another threshold by hand: what the calibration said is no longer about it.
    let text = fs::read_to_string(&recipe.path).unwrap().replacen("threshold = ", "threshold = 1", 1);
    assert_eq!(Recipe::parse(&text, &recipe.path).unwrap().calibration, None);
}

/// Inspects `good` by the recipe and records it, as a box does.
fn record(folder: &TempDir) {
    let recipe = Recipe::load(&folder.path().join("bottle.toml")).unwrap();
    let (bundle, mut pipeline) = recipe.open().unwrap();
    let zones = pipeline.zones().map(|zones| zones.zones().iter().map(|zone| Arc::clone(&zone.name)).collect());
    let context = Context { recipe: recipe.name, model: bundle.sha256().into(), zones: zones.unwrap_or_default() };
    let context = Arc::new(context);
    let settings = Settings { good: 0, min_free_gib: 0.0, ..Settings::in_folder(folder.path().join("record")) };
    let journal = Journal::open(settings).unwrap();
    let mut pictures = pictures_below(&folder.path().join("good")).unwrap();
    pictures.sort();
    for (id, path) in (0..).zip(pictures) {
        let frame = decode(&path).unwrap();
        let inspection = pipeline.inspect(&frame).result.unwrap();
        journal.record(Part {
            id,
            time: UNIX_EPOCH + Duration::from_secs(u64::from(id)),
            verdict: inspection.verdict,
            score: Some(inspection.score),
            zone: inspection.zone,
            areas: inspection.areas,
            threshold: pipeline.threshold(),
            context: Arc::clone(&context),
            latency: Latency::default(),
            look: Some(Look::at(&pipeline.view(frame))),
            frame: None,
            map: None,
            error: None,
        });
    }
    assert!(journal.close(Duration::from_secs(60)));
}

#[test]
fn a_record_gives_the_zones_the_thresholds_that_its_pictures_give() {
    let folder = zoned(72);
    // The zone's parts are 3 times as bad as the model allows, and accepted: its threshold is its own.
    let recipe = folder.path().join("bottle.toml");
    let text = fs::read_to_string(&recipe).unwrap() + "threshold = 3.0\n";
    fs::write(&recipe, &text).unwrap();
    record(&folder);
    let calibrate = |more: &[&str]| {
        let arguments = ["calibrate", "--recipe", "bottle.toml", "--false-reject", "10%", "--json"];
        let run = run(folder.path(), &[&arguments[..], more].concat());
        assert_eq!(run.code, 0, "{run:?}");
        serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap()
    };
    let of_pictures = calibrate(&["--good", "good"]);
    let of_record = calibrate(&["--from-records", "record", "--by", "anna", "-o", "bottle.toml"]);
    for key in ["threshold", "zones", "good_scores"] {
        assert_eq!(of_record[key], of_pictures[key], "{key}");
    }
    // In each area the largest of 72 is the threshold: none is above.
    assert_eq!((&of_record["changes"]["parts"], &of_record["changes"]["to_reject"]), (&72.into(), &0.into()));
    let written = Recipe::load(&recipe).unwrap();
    assert_eq!(written.zones[0].threshold.map(f64::from), of_record["zones"][0]["threshold"]["value"].as_f64());
    let log = audit::verify(&folder.path().join("record/audit.jsonl")).unwrap();
    assert_eq!(log.entries[0].change.from["zones"]["thread"], 3.0);

    fs::write(&recipe, text.replace("\"thread\"", "\"neck\"")).unwrap();
    let from_records = ["calibrate", "--recipe", "bottle.toml", "--from-records", "record"];
    run(folder.path(), &from_records)
        .assert_error(&["record: holds no accepted part with scores of these very zones: neck"]);
    fs::write(&recipe, text.replace("region", "cascade = true\nregion")).unwrap();
    run(folder.path(), &from_records).assert_error(&["a recipe with a cascade records bounds of scores"]);
}

#[test]
fn recipes_that_cannot_be_calibrated_are_one_sentence() {
    let folder = zoned(3);
    let recipe = folder.path().join("bottle.toml");
    let text = fs::read_to_string(&recipe).unwrap();
    let refused = |from: &str, to: &str, reason: &str| {
        fs::write(&recipe, text.replace(from, to)).unwrap();
        run(folder.path(), &OF_RECIPE).assert_error(&["bottle.toml", reason]);
    };
    refused("[36, 20, 24, 24]", "[40, 24, 0, 16]", "zone: thread: the area must be");
    refused("[36, 20, 24, 24]", "[56, 24, 16, 16]", "zone thread: is not wholly inside");
    refused("area", "place", "unknown field `place`");
    refused("[[zone]]", "[[zone]]\nname = \"a\"\narea = [41, 20, 9, 9]\n[[zone]]", "zone: a and thread overlap");
    fs::write(&recipe, &text).unwrap();
    let records = ["calibrate", "--recipe", "bottle.toml", "--from-records", "."];
    run(folder.path(), &records).assert_error(&["journal"]);
    run(folder.path(), &["calibrate", "--recipe", "gone.toml", "--good", "good"]).assert_error(&["gone.toml"]);
}
