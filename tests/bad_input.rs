//! Input that cannot be inspected: one sentence, exit code 2, the other pictures still inspected.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{bundle, good, run, tensor};
use image::{GrayImage, ImageFormat};
use mudenet_edge::bundle::pb;
use prost::Message;
use std::path::Path;
use tempfile::TempDir;

fn station() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    bundle().save(&folder.path().join("m.onnx")).unwrap();
    good(64, 64).save(folder.path().join("good.png")).unwrap();
    folder
}

/// Inspects a bad picture between two good ones.
#[track_caller]
fn assert_fault(folder: &Path, bad: &str, reason: &[&str]) {
    std::fs::copy(folder.join("good.png"), folder.join("last.png")).unwrap();
    let run = run(folder, &["inspect", "--json", "--model", "m.onnx", "--out", "out", "good.png", bad, "last.png"]);
    run.assert_error(&[&[bad][..], reason].concat());
    let lines = run.lines();
    let verdicts: Vec<_> = lines.iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["accept", "fault", "accept"], "{bad}");
    assert_eq!(lines[1]["image"], bad);
    assert_eq!(format!("error: {}\n", lines[1]["error"].as_str().unwrap()), run.stderr);
    let written = |kind: &str| std::fs::read_dir(folder.join("out").join(kind)).unwrap().count();
    assert_eq!((written("maps"), written("overlays")), (2, 2), "{bad}");
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    good(64, 64).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn pictures_that_cannot_be_read_are_faults() {
    let folder = station();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    assert_fault(folder.path(), "missing.png", &["cannot be read: No such file"]);
    for (name, format) in [
        ("cut.png", ImageFormat::Png),
        ("cut.jpg", ImageFormat::Jpeg),
        ("cut.bmp", ImageFormat::Bmp),
        ("cut.tif", ImageFormat::Tiff),
    ] {
        let bytes = encoded(format);
        write(name, &bytes[..bytes.len() * 2 / 3]);
        assert_fault(folder.path(), name, &["is not a readable picture"]);
    }
    write("empty.png", b"");
    assert_fault(folder.path(), "empty.png", &["is not a readable picture"]);
    write("text.png", b"this is no picture at all");
    assert_fault(folder.path(), "text.png", &["is not a readable picture: it is not a PNG, JPEG, BMP or TIFF"]);
    GrayImage::new(1, 1).save(folder.path().join("tiny.png")).unwrap();
    assert_fault(folder.path(), "tiny.png", &["1×1 pixels, too small to inspect (at least 16×16)"]);
}

#[test]
fn a_huge_picture_is_refused_by_its_header() {
    let folder = station();
    let huge = |format, patch: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = encoded(format);
        patch(&mut bytes);
        bytes
    };
    let side = 20_000u32;
    let png = huge(ImageFormat::Png, &|bytes| {
        bytes[16..20].copy_from_slice(&side.to_be_bytes());
        bytes[20..24].copy_from_slice(&side.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    });
    let bmp = huge(ImageFormat::Bmp, &|bytes| {
        bytes[18..22].copy_from_slice(&side.to_le_bytes());
        bytes[22..26].copy_from_slice(&side.to_le_bytes());
    });
    let jpeg = huge(ImageFormat::Jpeg, &|bytes| {
        let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        bytes[frame + 5..frame + 7].copy_from_slice(&(side as u16).to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&(side as u16).to_be_bytes());
    });
    let tiff = huge(ImageFormat::Tiff, &|bytes| {
        let directory = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        // Entries of 12 bytes after their number; the tags 256, 257 and 278 are width, height and rows of a strip.
        let entries = u16::from_le_bytes(bytes[directory..directory + 2].try_into().unwrap()) as usize;
        for entry in (0..entries).map(|i| directory + 2 + 12 * i) {
            if matches!(u16::from_le_bytes(bytes[entry..entry + 2].try_into().unwrap()), 256 | 257 | 278) {
                bytes[entry + 8..entry + 12].copy_from_slice(&side.to_le_bytes());
            }
        }
    });
    for (name, bytes) in [("huge.png", png), ("huge.bmp", bmp), ("huge.jpg", jpeg), ("huge.tif", tiff)] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        assert_fault(folder.path(), name, &["20000×20000 pixels, too large to inspect (at most 100 megapixels)"]);
    }
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[test]
fn arguments_that_lead_to_no_picture_are_faults() {
    let folder = station();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("empty/notes.txt"), "no picture").unwrap();
    assert_fault(folder.path(), "empty", &["holds no picture"]);
    assert_fault(folder.path(), "nothing-*.png", &["matches no picture"]);
    assert_fault(folder.path(), "/dev/null", &["not a regular file"]);
}

#[track_caller]
fn assert_model_refused(name: &str, bytes: &[u8], reason: &str) {
    let folder = station();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let run = run(folder.path(), &["inspect", "--model", name, "good.png", "--out", "out"]);
    run.assert_error(&[name, reason]);
    assert_eq!(run.stdout, "");
    assert!(!folder.path().join("out").exists());
}

fn changed(change: impl FnOnce(&mut pb::ModelProto)) -> Vec<u8> {
    let mut model = bundle().graph().clone();
    change(&mut model);
    model.encode_to_vec()
}

#[test]
fn models_that_cannot_be_used_are_refused() {
    assert_model_refused("empty.onnx", b"", "is empty, not an ONNX model");
    assert_model_refused("text.onnx", b"this is no model at all", "is not an ONNX model");
    assert_model_refused("cut.onnx", &changed(|_| {})[..400], "");
    assert_model_refused("bare.onnx", &common::graph().encode_to_vec(), "without the metadata key mudenet.format");
    let newer = changed(|model| {
        for prop in model.metadata_props.iter_mut().filter(|p| p.key == "mudenet.format") {
            prop.value = "2".into();
        }
    });
    assert_model_refused("newer.onnx", &newer, "has metadata format 2, this program reads up to 1");
    // More than an f32 holds: found by fuzzing.
    let huge = changed(|model| {
        for prop in model.metadata_props.iter_mut().filter(|p| p.key == "mudenet.parity") {
            prop.value = prop.value.replacen("\"structural\":0.0", "\"structural\":1e39", 1);
            assert!(prop.value.contains("1e39"), "{}", prop.value);
        }
    });
    assert_model_refused("huge.onnx", &huge, "mudenet.parity: number out of range at line 1 column 38");
    let weights = |values: Vec<f32>| {
        changed(|model| {
            let tensors = &mut model.graph.as_mut().unwrap().initializer;
            let bias = tensors.iter_mut().find(|t| t.name == "logical.bias").unwrap();
            *bias = tensor("logical.bias", &[2], values);
        })
    };
    assert_model_refused("nan.onnx", &weights(vec![0.0, f32::NAN]), "weight logical.bias holds NaN");
    // 0.5 with one bit flipped: the maps that it overflows would look like no anomaly.
    let flipped = f32::from_bits(0.5f32.to_bits() | 1 << 30);
    assert_model_refused(
        "flipped.onnx",
        &weights(vec![0.0, -flipped]),
        "weight logical.bias holds -1.7014118e38, more than",
    );
    let elsewhere = changed(|model| {
        let weight = &mut model.graph.as_mut().unwrap().initializer[0];
        weight.external_data = vec![pb::StringStringEntryProto { key: "location".into(), value: "/etc/passwd".into() }];
        weight.data_location = Some(1);
    });
    assert_model_refused("elsewhere.onnx", &elsewhere, "is in another file: a bundle is one file");
    assert_model_refused("short.onnx", &weights(vec![0.0]), "short.onnx");
    let folder = station();
    run(folder.path(), &["inspect", "--model", "gone.onnx", "good.png"])
        .assert_error(&["gone.onnx: cannot be read: No such file"]);
}

#[test]
fn a_graph_that_the_engine_cannot_run_is_refused() {
    let node =
        |change: &dyn Fn(&mut pb::NodeProto)| changed(|model| change(&mut model.graph.as_mut().unwrap().node[0]));
    assert_model_refused("operator.onnx", &node(&|n| n.op_type = "Teleport".into()), "the network cannot be prepared");
    assert_model_refused("input.onnx", &node(&|n| n.input[0] = "elsewhere".into()), "the network cannot be prepared");
    let strides = |value: i64| {
        node(&move |n| {
            for attribute in n.attribute.iter_mut().filter(|a| a.name == "strides") {
                attribute.ints = vec![value; 2];
            }
        })
    };
    assert_model_refused("zero.onnx", &strides(0), "zero.onnx");
    assert_model_refused("negative.onnx", &strides(-1), "negative.onnx");
}
