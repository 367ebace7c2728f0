//! No input makes the program hold more memory than `mudenet_edge::limits` says: an allocation beyond that ends the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use cap::Cap;
use image::{DynamicImage, ImageBuffer, ImageFormat, Rgba};
use mudenet_edge::bundle::{Bundle, MAX_STRUCTURE};
use mudenet_edge::capture::decode_bytes;
use mudenet_edge::config::Config;
use mudenet_edge::limits::{LINE, SETTINGS};
use mudenet_edge::recipe::Recipe;
use mudenet_edge::record::audit;
use mudenet_edge::record::journal::{Records, Selection};
use std::alloc::System;
use std::fs;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// One test at a time: the allocator counts for all.
static TURN: Mutex<()> = Mutex::new(());

const MIB: usize = 1 << 20;

fn within<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + bytes).unwrap();
    let result = work();
    ALLOCATOR.set_limit(usize::MAX).unwrap();
    result
}

#[test]
fn settings_are_read_up_to_their_limit() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box.toml");
    fs::write(&path, vec![b' '; SETTINGS as usize + 1]).unwrap();
    for path in [path.as_path(), Path::new("/dev/zero")] {
        let station = within(16 * MIB, || Config::load(path).unwrap_err().to_string());
        let recipe = within(16 * MIB, || Recipe::load(path).unwrap_err().to_string());
        let told = format!("{}: cannot be read: it is longer than {SETTINGS} bytes", path.display());
        assert_eq!((station.as_str(), recipe.as_str()), (told.as_str(), told.as_str()));
    }
    for (line, times) in
        [("[[a]]\n", 20_000), ("a = [[],[],[],[],[],[],[],[]]\n", 1), ("\n", 100_000), ("a.b.c.d = 1\n", 1)]
    {
        let text = line.repeat(times);
        assert!(within(256 * text.len() + MIB, || Config::parse(&text, Path::new("box.toml"))).is_err());
    }
    let nested = format!("a = {}", "[".repeat(100_000));
    assert!(within(256 * nested.len() + MIB, || Recipe::parse(&nested, Path::new("part.toml"))).is_err());
}

/// A field that holds `content`.
fn message(field: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![8 * field + 2];
    prost::encode_length_delimiter(content.len(), &mut bytes).unwrap();
    bytes.extend_from_slice(content);
    bytes
}

/// The messages that grow the most: two bytes of the file become a node or an attribute.
#[test]
fn a_model_takes_what_its_weights_take_and_little_more() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = MAX_STRUCTURE as usize / 2 - 100;
    // Fields of onnx.proto3: ModelProto.graph 7, GraphProto.node 1 and initializer 5, NodeProto.attribute 5,
    // TensorProto.raw_data 9; a key is 8 · field + 2.
    let nodes = message(7, &[8 + 2, 0].repeat(count));
    let attributes = message(7, &message(1, &[5 * 8 + 2, 0].repeat(count)));
    let weights = message(7, &message(5, &message(9, &vec![0; 20 * MIB])));
    for bytes in [nodes, attributes, weights] {
        let error = within(2 * bytes.len() + 2048 * MIB, || Bundle::from_bytes(&bytes)).unwrap_err();
        assert!(error.contains("mudenet.format"), "it was decoded: {error}");
    }
    let bytes = message(7, &[8 + 2, 0].repeat(10 * count));
    let error = within(MIB, || Bundle::from_bytes(&bytes)).unwrap_err();
    assert!(error.contains("beside its weights"), "{error}");
}

#[test]
fn a_picture_takes_16_bytes_a_pixel() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let side = 1500;
    let picture: ImageBuffer<Rgba<u16>, Vec<u16>> = ImageBuffer::new(side, side);
    let deep = DynamicImage::from(picture);
    let flat = DynamicImage::from(deep.to_rgb8());
    for (picture, format) in
        [(&deep, ImageFormat::Png), (&deep, ImageFormat::Tiff), (&flat, ImageFormat::Jpeg), (&flat, ImageFormat::Bmp)]
    {
        let mut bytes = Cursor::new(vec![]);
        picture.write_to(&mut bytes, format).unwrap();
        let pixels = (side * side) as usize;
        let frame = within(16 * pixels + 64 * MIB, || decode_bytes(bytes.get_ref())).unwrap();
        assert_eq!(frame.width() * frame.height(), pixels);
    }
}

#[test]
fn a_record_is_read_line_by_line() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("journal")).unwrap();
    let entry = r#"{"part":7,"time":"2026-11-23T22:45:12.345Z","verdict":"reject","score":1.5,"threshold":0.7,"branch":null,"level":null,"at":null,"recipe":"bottle","model":"ab","brightness":null,"sharpness":null,"capture_ms":null,"inspect_ms":null,"total_ms":null,"image":null,"map":null,"error":null}"#;
    // The second piece of the long line would be an entry by itself.
    let long = format!("{}{entry}\n{entry}\n", "[".repeat(LINE as usize));
    let path = folder.path().join("journal/000001.jsonl");
    for (text, entries, damaged) in [(long, 1, 1), ("[".repeat(30 * MIB), 0, 1), ("{}\n".repeat(100_000), 0, 100_000)] {
        fs::write(&path, text).unwrap();
        let records = Records::open(folder.path()).unwrap();
        let mut seen = 0;
        let each = |_| {
            seen += 1;
            ControlFlow::Continue(())
        };
        within(64 * LINE as usize, || records.each(&Selection::default(), each)).unwrap();
        assert_eq!((seen, records.damaged()), (entries, damaged));
    }
}

#[test]
fn a_log_takes_8_times_its_length() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let change = |i: i64| audit::Change {
        time: mudenet_edge::record::journal::Stamp::from_millis(i),
        who: "anna".into(),
        what: "threshold".into(),
        from: i.into(),
        to: (i + 1).into(),
    };
    (0..300).for_each(|i| audit::append(&path, change(i)).unwrap());
    let length = fs::metadata(&path).unwrap().len() as usize;
    assert_eq!(within(8 * length + MIB / 4, || audit::verify(&path)).unwrap().entries.len(), 300);
}
