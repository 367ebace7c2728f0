//! The list of a package and its signature: raw, and signed so that the list is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use minisign::KeyPair;
use mudenet_edge::update::Key;
use mudenet_fuzz::{FEW, bounded};
use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::{Component, Path};
use std::sync::LazyLock;

static KEYS: LazyLock<(KeyPair, Key)> = LazyLock::new(|| {
    let pair = KeyPair::generate_unencrypted_keypair().expect("a key");
    let key = Key::new(&pair.pk.to_base64()).expect("its other half");
    (pair, key)
});

fuzz_target!(|data: &[u8]| {
    let (pair, key) = &*KEYS;
    let half = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (list, signature) = (&data[..half], data.get(half + 1..).unwrap_or_default());
    bounded(64 * data.len() + FEW, || {
        assert!(key.open(list, signature, "stick").is_err(), "read without a signature");
    });
    let signed = minisign::sign(None, &pair.sk, Cursor::new(list), Some("t"), None).expect("signed").into_string();
    let read = bounded(64 * data.len() + FEW, || key.open(list, signed.as_bytes(), "stick"));
    let Ok(manifest) = read else { return };
    let mut seen = BTreeSet::new();
    for file in &manifest.files {
        // A file of its own, below the package's folder.
        assert!(Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_))), "{:?}", file.path);
        assert!(seen.insert(&file.path), "{:?} twice", file.path);
    }
    assert!(manifest.bytes().is_some());
    let again = serde_json::to_vec(&manifest).expect("written");
    let signed = minisign::sign(None, &pair.sk, Cursor::new(&again), Some("t"), None).expect("signed").into_string();
    assert_eq!(key.open(&again, signed.as_bytes(), "stick").expect("read again"), manifest);
});
