use super::*;
use crate::record::write_file;
use crate::update::{Source, Standing, Wanted};
use minisign::KeyPair;
use std::io::{Cursor, Write};
use tempfile::TempDir;

/// Somebody who signs packages, and a box.
struct World {
    folder: TempDir,
    keys: KeyPair,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), keys: KeyPair::generate_unencrypted_keypair().unwrap() }
    }

    fn store(&self) -> Store {
        let settings = UpdateConfig {
            key: self.keys.pk.to_base64(),
            folder: self.folder.path().join("box"),
            from: None,
            ca: None,
            require_golden: true,
        };
        Store::open(&settings).unwrap()
    }

    /// A signed package in a folder of its own.
    fn package(&self, serial: u64, files: &[(&str, &str)]) -> Source {
        let folder = self.folder.path().join(format!("package-{serial}"));
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let manifest = Manifest::of_folder(&folder, "parts".into(), serial, vec![]).unwrap();
        let list = serde_json::to_vec_pretty(&manifest).unwrap();
        let signed = minisign::sign(None, &self.keys.sk, Cursor::new(&list), Some("t"), None).unwrap();
        fs::write(folder.join(MANIFEST), list).unwrap();
        fs::write(folder.join(SIGNATURE), signed.into_string()).unwrap();
        Source::Folder(folder)
    }

    fn install(&self, store: &Store, source: &Source, wanted: Wanted) -> Result<Option<Release>, UpdateError> {
        store.stage(source, "box", wanted, |_, _| {})?.map(|staged| store.switch(staged)).transpose()
    }
}

const OLD: [(&str, &str); 3] =
    [("part.toml", "old"), ("part.onnx", "the old model"), ("golden/good/1.png", "a picture")];
const NEW: [(&str, &str); 3] =
    [("part.toml", "new"), ("part.onnx", "the new model"), ("golden/good/1.png", "a picture")];

/// What the files in use are: "old" or "new", and nothing in between.
fn in_use(store: &Store) -> String {
    let current = store.current().unwrap().expect("a release in use");
    assert_eq!(current.changed().unwrap(), [""; 0]);
    let text = fs::read_to_string(store.current_folder().join("part.toml")).unwrap();
    assert_eq!(fs::read_to_string(store.current_folder().join("part.onnx")).unwrap(), format!("the {text} model"));
    text
}

#[test]
fn a_package_is_used_and_only_what_is_new_of_the_next_one_is_fetched() {
    let world = World::new();
    let store = world.store();
    assert_eq!(store.current().unwrap(), None);
    let (old, new) = (world.package(1, &OLD), world.package(2, &NEW));
    world.install(&store, &old, Wanted::default()).unwrap().unwrap();
    assert_eq!(in_use(&store), "old");
    assert_eq!(world.install(&store, &old, Wanted::default()).unwrap(), None);
    let mut fetched = vec![];
    let told = |file: &Listed, fetching: bool| fetched.extend(fetching.then(|| file.path.clone()));
    let staged = store.stage(&new, "box", Wanted::default(), told).unwrap().unwrap();
    assert_eq!(fetched, ["part.onnx", "part.toml"]);
    assert_eq!(in_use(&store), "old");
    store.switch(staged).unwrap();
    assert_eq!(in_use(&store), "new");
    assert_eq!(store.previous().unwrap().unwrap().manifest.serial, 1);
    // An older one only where somebody wants it.
    let older = world.install(&store, &old, Wanted::default());
    assert!(matches!(older, Err(UpdateError::Older { installed: 2, offered: 1 })));
    world.install(&store, &old, Wanted { older: true, ..Wanted::default() }).unwrap().unwrap();
    assert_eq!(in_use(&store), "old");
    assert!(fs::read_dir(store.folder.join(RELEASES)).unwrap().count() <= 2);
}

#[test]
fn the_power_may_go_at_any_moment() {
    let mut outcomes = vec![];
    for moment in 0.. {
        let world = World::new();
        let (old, new) = (world.package(1, &OLD), world.package(2, &NEW));
        let store = world.store();
        world.install(&store, &old, Wanted::default()).unwrap();
        store.confirm().unwrap();
        store.power.set(Some(moment));
        let finished = world.install(&store, &new, Wanted::default()).is_ok();
        drop(store);

        // The box starts again.
        let store = world.store();
        let found = in_use(&store);
        let standing = store.begin().unwrap();
        assert_eq!(matches!(standing, Standing::OnTrial(_)), found == "new", "moment {moment}: {standing:?}");
        // And goes on: the update is done again, or rolled back, as if nothing had happened.
        if found == "new" {
            store.roll_back("it does not work").unwrap();
            assert_eq!(in_use(&store), "old");
        } else {
            world.install(&store, &new, Wanted::default()).unwrap().unwrap();
            assert_eq!(in_use(&store), "new");
        }
        outcomes.push(found);
        if finished {
            break;
        }
    }
    assert!(outcomes.len() >= 8 && outcomes.is_sorted_by_key(|found| found == "new"), "{outcomes:?}");
    assert_eq!((outcomes[0].as_str(), outcomes[outcomes.len() - 2].as_str()), ("old", "new"));
}

#[test]
fn the_power_may_go_while_the_box_goes_back() {
    for moment in 0.. {
        let world = World::new();
        let store = world.store();
        for package in [world.package(1, &OLD), world.package(2, &NEW)] {
            world.install(&store, &package, Wanted::default()).unwrap();
        }
        store.power.set(Some(moment));
        let finished = store.roll_back("it does not work").is_ok();
        let store = world.store();
        match in_use(&store).as_str() {
            "new" => assert!(matches!(store.begin().unwrap(), Standing::OnTrial(_))),
            _ => assert_eq!(store.begin().unwrap(), Standing::Proven),
        }
        if finished {
            assert!(moment >= 2);
            break;
        }
    }
}

#[test]
fn a_release_that_ends_the_box_twice_is_left() {
    let world = World::new();
    let store = world.store();
    for package in [world.package(1, &OLD), world.package(2, &NEW)] {
        world.install(&store, &package, Wanted::default()).unwrap();
    }
    for _ in 0..2 {
        assert!(matches!(world.store().begin().unwrap(), Standing::OnTrial(_)));
    }
    assert!(matches!(world.store().begin().unwrap(), Standing::RolledBack { .. }));
    assert_eq!((in_use(&store).as_str(), store.begin().unwrap()), ("old", Standing::Proven));
    // It is not taken again by itself.
    let new = world.package(2, &NEW);
    assert!(matches!(world.install(&store, &new, Wanted::default()), Err(UpdateError::Refused { .. })));
    world.install(&store, &new, Wanted { again: true, ..Wanted::default() }).unwrap().unwrap();
    assert_eq!(in_use(&store), "new");
}

#[test]
fn a_first_release_has_nothing_to_go_back_to() {
    let world = World::new();
    let store = world.store();
    assert!(matches!(store.roll_back("x"), Err(UpdateError::NoPrevious(_))));
    world.install(&store, &world.package(1, &OLD), Wanted::default()).unwrap();
    assert!(matches!(store.roll_back("x"), Err(UpdateError::NoPrevious(_))));
    assert_eq!(in_use(&store), "old");
}

#[test]
fn what_differs_from_its_signed_list_is_not_used() {
    let world = World::new();
    let store = world.store();
    world.install(&store, &world.package(1, &OLD), Wanted::default()).unwrap();
    let Source::Folder(folder) = world.package(2, &NEW) else { panic!("a folder") };
    let source = Source::Folder(folder.clone());
    for (text, told) in [
        ("the new modem", "has not the content that was signed"),
        ("the new", "13 bytes expected, got 7"),
        ("the new model and more", "is longer than 13 bytes"),
    ] {
        fs::write(folder.join("part.onnx"), text).unwrap();
        let error = world.install(&store, &source, Wanted::default()).unwrap_err().to_string();
        assert!(error.contains("part.onnx") && error.contains(told), "{error}");
        assert_eq!(in_use(&store), "old");
    }
    fs::remove_file(folder.join("part.onnx")).unwrap();
    assert!(world.install(&store, &source, Wanted::default()).is_err());
    // What was fetched before is taken from there when the rest comes.
    fs::write(folder.join("part.onnx"), "the new model").unwrap();
    let mut fetched = vec![];
    let told = |file: &Listed, fetching: bool| fetched.extend(fetching.then(|| file.path.clone()));
    store.stage(&source, "box", Wanted::default(), told).unwrap().unwrap();
    assert_eq!(fetched, ["part.onnx", "part.toml"]);
    assert_eq!(in_use(&store), "old");
}

#[test]
fn changes_made_on_the_box_are_not_lost_unasked() {
    let world = World::new();
    let store = world.store();
    world.install(&store, &world.package(1, &OLD), Wanted::default()).unwrap();
    let recipe = store.current_folder().join("part.toml");
    write_file(&recipe, |out| out.write_all(b"threshold = 0.7")).unwrap();
    let new = world.package(2, &NEW);
    let error = world.install(&store, &new, Wanted::default()).unwrap_err();
    assert!(matches!(&error, UpdateError::Changed(files) if files == &["part.toml"]), "{error}");
    assert_eq!(fs::read(&recipe).unwrap(), b"threshold = 0.7");
    world.install(&store, &new, Wanted { discard: true, ..Wanted::default() }).unwrap().unwrap();
    assert_eq!(in_use(&store), "new");
    // A file that both releases have is not changed with it.
    let picture = store.current_folder().join("golden/good/1.png");
    write_file(&picture, |out| out.write_all(b"another")).unwrap();
    assert_eq!(store.previous().unwrap().unwrap().changed().unwrap(), ["part.toml"]);
}

#[test]
fn two_updates_do_not_run_at_once() {
    let world = World::new();
    let (store, source) = (world.store(), world.package(1, &OLD));
    let staged = store.stage(&source, "box", Wanted::default(), |_, _| {}).unwrap();
    assert!(matches!(world.install(&world.store(), &source, Wanted::default()), Err(UpdateError::Busy(_))));
    drop(staged);
    assert!(world.install(&world.store(), &source, Wanted::default()).is_ok());
}
