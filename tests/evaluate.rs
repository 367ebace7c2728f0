//! `mudenet-edge evaluate` on small sets in every layout.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{bundle, good, run, spotted};
use image::{GrayImage, Luma, RgbImage};
use mudenet_edge::map::{AnomalyMap, Grid};
use mudenet_edge::record::write_map;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn put(path: &Path, picture: &RgbImage) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

/// A mask of a square of `size` pixels around (x, y).
fn put_mask(path: &Path, (x, y): (u32, u32), size: u32, value: u8) {
    let inside = |v: u32, centre: u32| (centre - size / 2..centre + size / 2).contains(&v);
    let mask =
        GrayImage::from_fn(64, 64, |column, row| Luma([if inside(column, x) && inside(row, y) { value } else { 0 }]));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    mask.save(path).unwrap();
}

const SPOTS: [(u32, u32); 3] = [(20, 20), (40, 30), (30, 44)];

/// `set` in MVTec AD layout beside the model `m.onnx`.
fn mvtec() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    bundle().save(&folder.path().join("m.onnx")).unwrap();
    let set = folder.path().join("set");
    for (i, at) in SPOTS.into_iter().enumerate() {
        put(&set.join(format!("test/good/{i:03}.png")), &good(64, 64));
        for (kind, channel, size) in [("red", 0, 8), ("blue", 2, 12)] {
            put(&set.join(format!("test/{kind}/{i:03}.png")), &spotted(64, 64, at, size, channel));
            put_mask(&set.join(format!("ground_truth/{kind}/{i:03}_mask.png")), at, size, 255);
        }
    }
    folder
}

/// The same with one PNG a defect.
fn loco() -> TempDir {
    let folder = mvtec();
    let set = folder.path().join("set");
    for (from, to, value) in [("red", "structural_anomalies", 7), ("blue", "logical_anomalies", 9)] {
        fs::rename(set.join("test").join(from), set.join("test").join(to)).unwrap();
        for (i, at) in SPOTS.into_iter().enumerate() {
            put_mask(&set.join(format!("ground_truth/{to}/{i:03}/000.png")), at, 8, value);
        }
        fs::remove_dir_all(set.join("ground_truth").join(from)).unwrap();
    }
    let config = r#"[
        {"defect_name": "spot", "pixel_value": 7, "saturation_threshold": 0.5, "relative_saturation": true},
        {"defect_name": "stain", "pixel_value": 9, "saturation_threshold": 10, "relative_saturation": false}
    ]"#;
    fs::write(set.join("defects_config.json"), config).unwrap();
    folder
}

/// Maps of 64 × 64 with `inside` where the masks are and `outside` elsewhere.
fn put_maps(folder: &Path, kinds: [&str; 2], inside: f32, outside: f32) {
    for (i, (x, y)) in SPOTS.into_iter().enumerate() {
        for (kind, size) in [("good", 0), (kinds[0], 8), (kinds[1], 12)] {
            let within = |v: usize, centre: u32| (centre - size / 2..centre + size / 2).contains(&(v as u32));
            let value = |p: usize| if within(p % 64, x) && within(p / 64, y) { inside } else { outside };
            let map = AnomalyMap(Grid { height: 64, width: 64, values: (0..64 * 64).map(value).collect() });
            write_map(&folder.join(format!("maps/{kind}/{i:03}.tiff")), &map).unwrap();
        }
    }
}

fn figures(folder: &Path, arguments: &[&str]) -> Value {
    let run = run(folder, &[&["evaluate", "--json", "--dataset", "set"], arguments].concat());
    assert_eq!(run.code, 0, "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn a_model_is_measured_by_the_maps_that_inspect_writes() {
    let folder = mvtec();
    let mut by_model = figures(folder.path(), &["--model", "m.onnx"]);
    let decision = by_model.as_object_mut().unwrap().remove("decision").unwrap();
    assert_eq!((&decision["false_reject_rate"], &decision["detection_rate"]), (&0.0.into(), &1.0.into()));
    let inspected = run(folder.path(), &["inspect", "--model", "m.onnx", "--out", ".", "set/test"]);
    assert_eq!(inspected.code, 1, "{inspected:?}");
    assert_eq!(figures(folder.path(), &["--maps", "maps"]), by_model);
    assert_eq!((&by_model["n"], &by_model["image_auroc"]), (&9.into(), &1.0.into()));
    for name in ["red", "blue"] {
        let of_type = &by_model["per_type"][name];
        assert_eq!(of_type["n"], 3);
        assert!(of_type["pixel_auroc"].as_f64().unwrap() > 0.99 && of_type["pro"].as_f64().unwrap() > 0.9);
    }
    assert_eq!(by_model["spro"], Value::Null);
}

#[test]
fn a_recipe_is_measured_as_it_inspects() {
    let folder = mvtec();
    // One spot is below the region, one in a zone that accepts it.
    let recipe = "name = \"tray\"\nmodel = \"m.onnx\"\nregion = [0, 0, 64, 36]\ncascade = true\n\
                  [[zone]]\nname = \"label\"\narea = [8, 8, 22, 24]\nthreshold = 1000.0\n";
    fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let by_recipe = figures(folder.path(), &["--recipe", "r.toml", "--out", "out"]);
    let decision = &by_recipe["decision"];
    assert_eq!((&decision["threshold"], &decision["zones"]["label"]), (&1.0.into(), &1000.0.into()));
    let inspected = run(folder.path(), &["inspect", "--recipe", "r.toml", "--json", "set/test"]);
    let mut rejected = std::collections::BTreeMap::<String, u64>::new();
    for line in inspected.lines() {
        let kind = Path::new(line["image"].as_str().unwrap()).parent().unwrap().file_name().unwrap().to_owned();
        *rejected.entry(kind.into_string().unwrap()).or_default() += u64::from(line["verdict"] == "reject");
    }
    assert_eq!(
        rejected.iter().map(|(kind, n)| (kind.as_str(), *n)).collect::<Vec<_>>(),
        [("blue", 1), ("good", 0), ("red", 1)]
    );
    for (kind, count) in rejected {
        let of = &decision["per_type"][&kind];
        assert_eq!((&of["rejected"], &of["accepted"]), (&count.into(), &(3 - count).into()), "{kind}");
    }
    assert_eq!((&decision["false_reject_rate"], &decision["detection_rate"]), (&0.0.into(), &(2.0 / 6.0).into()));
    // A region that is found, of three: the one in the zone is the last, as its scores are moved far down.
    let pro = by_recipe["pro"].as_f64().unwrap();
    assert!((0.25..0.5).contains(&pro), "{pro}");
    assert!(by_recipe["notes"][0].as_str().unwrap().contains("as the recipe tray inspects"), "{by_recipe}");
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    for words in ["<dt>Recipe</dt><dd>tray, r.toml", "64×36 pixels from column 0, row 0", "<dt>Zone label</dt>"] {
        assert!(page.contains(words), "{words}");
    }
    let shown = run(folder.path(), &["evaluate", "--recipe", "r.toml", "--dataset", "set"]);
    assert!(shown.stdout.contains("rejected 0.00 % of the good parts and 33.33 % of the bad ones"), "{shown:?}");
    run(folder.path(), &["evaluate", "--recipe", "gone.toml", "--dataset", "set"]).assert_error(&["gone.toml"]);
}

#[test]
fn perfect_maps_give_one_and_inverted_ones_nothing() {
    let folder = mvtec();
    put_maps(folder.path(), ["red", "blue"], 2.5, -1.0);
    let perfect = figures(folder.path(), &["--maps", "maps"]);
    for name in ["image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pro"] {
        assert_eq!(perfect[name], 1.0, "{name}");
    }
    put_maps(folder.path(), ["red", "blue"], -1.0, 2.5);
    let inverted = figures(folder.path(), &["--maps", "maps"]);
    assert_eq!((&inverted["pixel_auroc"], &inverted["image_auroc"]), (&0.0.into(), &0.5.into()));
}

#[test]
fn loco_gives_each_group_and_their_mean() {
    let folder = loco();
    put_maps(folder.path(), ["structural_anomalies", "logical_anomalies"], 1.0, 0.0);
    let figures = figures(folder.path(), &["--maps", "maps"]);
    for limit in ["0.01", "0.05", "0.1", "0.3", "1"] {
        let of = &figures["spro"][limit];
        // The logical maps also mark pixels around the defects, which are 8 and not 12 pixels wide.
        assert_eq!(of["structural"], 1.0, "{limit}");
        let (logical, mean) = (of["logical"].as_f64().unwrap(), of["mean"].as_f64().unwrap());
        assert!((mean - (1.0 + logical) / 2.0).abs() < 1e-12 && logical < 1.0, "{limit}: {logical} {mean}");
    }
    assert_eq!(figures["per_type"]["logical"]["n"], 3);
}

#[test]
fn flattened_loco_has_no_spro_and_says_so() {
    let folder = loco();
    let truth = folder.path().join("set/ground_truth");
    for kind in ["structural_anomalies", "logical_anomalies"] {
        for i in 0..SPOTS.len() {
            let flat = truth.join(format!("{kind}/{i:03}.png"));
            fs::rename(truth.join(format!("{kind}/{i:03}/000.png")), flat).unwrap();
            fs::remove_dir(truth.join(format!("{kind}/{i:03}"))).unwrap();
        }
    }
    let figures = figures(folder.path(), &["--model", "m.onnx"]);
    assert_eq!(figures["spro"], Value::Null);
    assert!(figures["pro"].as_f64().is_some());
    assert!(figures["notes"].to_string().contains("no sPRO"), "{figures}");
}

#[test]
fn visa_and_plain_folders() {
    let folder = mvtec();
    let set = folder.path().join("set");
    let list = "object,split,label,image,mask\n\
                cap,test,normal,set/test/good/000.png,\n\
                cap,train,normal,set/test/good/001.png,\n\
                cap,test,anomaly,set/test/red/000.png,set/ground_truth/red/000_mask.png\n\
                cup,test,normal,gone.png,\n";
    fs::create_dir(folder.path().join("split_csv")).unwrap();
    fs::write(folder.path().join("split_csv/1cls.csv"), list).unwrap();
    let evaluate = |arguments: &[&str]| {
        let run = run(folder.path(), &[&["evaluate", "--json", "--model", "m.onnx"], arguments].concat());
        assert_eq!(run.code, 0, "{run:?}");
        serde_json::from_str::<Value>(&run.stdout).unwrap()
    };
    let visa = evaluate(&["--dataset", ".", "--object", "cap"]);
    assert_eq!((&visa["n"], &visa["image_auroc"]), (&2.into(), &1.0.into()));
    assert!(visa["pro"].as_f64().is_some());

    fs::rename(set.join("test/red"), set.join("test/bad")).unwrap();
    let plain = evaluate(&["--dataset", "set/test"]);
    assert_eq!((&plain["n"], &plain["image_auroc"], &plain["pro"]), (&6.into(), &1.0.into(), &Value::Null));
    assert_eq!(evaluate(&["--good", "set/test/good", "--bad", "set/test/bad"]), plain);
}

#[test]
fn good_images_alone_have_no_auroc_and_say_so() {
    let folder = mvtec();
    for kind in ["red", "blue"] {
        fs::remove_dir_all(folder.path().join("set/test").join(kind)).unwrap();
    }
    let figures = figures(folder.path(), &["--model", "m.onnx", "--out", "out"]);
    assert_eq!((&figures["n"], &figures["image_auroc"]), (&3.into(), &Value::Null));
    assert_eq!(figures["notes"][0], "AUROC is undefined: the set has no anomalous images");
    assert!(fs::read_to_string(folder.path().join("out/report.html")).unwrap().contains("AUROC is undefined"));
}

#[test]
fn the_report_is_one_file_that_loads_nothing() {
    let folder = loco();
    figures(folder.path(), &["--model", "m.onnx", "--out", "out"]);
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    for outside in ["src=\"http", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 2 * (4 + 3 + 2));
    assert!(page.contains(bundle().sha256()));
    let csv = fs::read_to_string(folder.path().join("out/images.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 9);
    assert!(csv.lines().filter(|line| line.contains("_anomalies,true")).all(|line| line.contains(",true,")));
    let json: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("out/figures.json")).unwrap()).unwrap();
    assert_eq!(json["n"], 9);
}

#[test]
fn a_folder_that_is_no_set_is_told_what_is_missing() {
    let folder = mvtec();
    let out = run(folder.path(), &["evaluate", "--model", "m.onnx", "--dataset", "set/ground_truth"]);
    out.assert_error(&["set/ground_truth: holds no labelled set: expected test/, good/ and bad/"]);
    let out = run(folder.path(), &["evaluate", "--model", "m.onnx", "--dataset", "sett"]);
    out.assert_error(&["sett: is not a folder"]);
}

#[test]
fn sets_that_do_not_fit_are_one_sentence() {
    let evaluate = |folder: &TempDir, layout: &str| {
        run(folder.path(), &["evaluate", "--model", "m.onnx", "--dataset", "set", "--layout", layout])
    };
    let folder = mvtec();
    fs::remove_file(folder.path().join("set/ground_truth/red/001_mask.png")).unwrap();
    evaluate(&folder, "mvtec").assert_error(&["test/red/001.png: has no mask", "ground_truth/red/001_mask.png"]);

    let folder = mvtec();
    fs::remove_file(folder.path().join("set/test/red/001.png")).unwrap();
    evaluate(&folder, "mvtec").assert_error(&["001_mask.png: is a mask without an image"]);

    let folder = mvtec();
    GrayImage::new(32, 64).save(folder.path().join("set/ground_truth/red/001_mask.png")).unwrap();
    evaluate(&folder, "mvtec").assert_error(&["001_mask.png: the mask is 32×64 pixels, its image 64×64"]);
    evaluate(&folder, "loco").assert_error(&["001_mask.png: the mask is 32×64"]);
    evaluate(&folder, "visa").assert_error(&["split_csv/1cls.csv: cannot be read"]);
    evaluate(&folder, "folder").assert_error(&["set/good: cannot be read"]);

    let folder = loco();
    let config = folder.path().join("set/defects_config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("\"pixel_value\": 7,", "\"pixel_value\": 8,")).unwrap();
    evaluate(&folder, "loco").assert_error(&["defects_config.json: has no entry with pixel_value 7"]);
    fs::write(&config, text.replace("\"pixel_value\": 7,", "")).unwrap();
    evaluate(&folder, "loco").assert_error(&["defects_config.json: missing field `pixel_value`"]);
    fs::write(&config, text.replace("0.5", "1.5")).unwrap();
    evaluate(&folder, "loco").assert_error(&["spot: saturation_threshold", "got 1.5"]);
    fs::remove_file(&config).unwrap();
    evaluate(&folder, "loco").assert_error(&["defects_config.json: cannot be read"]);
}

#[test]
fn maps_that_do_not_fit_are_one_sentence() {
    let folder = mvtec();
    let evaluate = || run(folder.path(), &["evaluate", "--maps", "maps", "--dataset", "set"]);
    evaluate().assert_error(&["there is no map"]);
    put_maps(folder.path(), ["red", "blue"], 1.0, 0.0);
    let mut values = vec![0.5; 64 * 64];
    values[64 * 3 + 5] = f32::NAN;
    let broken = AnomalyMap(Grid { height: 64, width: 64, values });
    write_map(&folder.path().join("maps/red/001.tiff"), &broken).unwrap();
    evaluate().assert_error(&["maps/red/001.tiff: holds NaN at row 3, column 5"]);
    fs::write(folder.path().join("maps/red/001.tiff"), b"no map").unwrap();
    evaluate().assert_error(&["maps/red/001.tiff: cannot be read"]);
}
