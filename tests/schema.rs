//! `mudenet-edge schema`: the reference is that of the types, and its peer reads the schema as the program reads the file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::run;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_reference_is_that_of_the_types() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let printed = run(root, &["schema", "--markdown"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    let kept = fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let same = printed.stdout == kept;
    assert!(same, "docs/configuration.md is old: mudenet-edge schema --markdown > docs/configuration.md");
    for what in ["## `[outputs]`", "| `heartbeat` |", "## `[camera.check]`", "| `golden_hours` |", "# RECIPE.toml"] {
        assert!(kept.contains(what), "{what}");
    }
    // No key without words.
    assert!(kept.lines().all(|line| !line.starts_with("| `") || !line.ends_with("|  |")), "{kept}");
}

/// Python's jsonschema takes what the program takes, and refuses what it refuses.
#[test]
fn jsonschema_judges_a_file_as_the_program_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for of in ["box", "recipe"] {
        let printed = run(root, &["schema", of]);
        assert_eq!(printed.code, 0, "{printed:?}");
        fs::write(folder.path().join(format!("{of}.json")), printed.stdout).unwrap();
    }
    let code = "
import json, sys, tomllib, jsonschema
root = sys.argv[1]
for kind, file, wrong in [
    ('box', 'board/box.toml', [('fps = 30', 'fsp = 30'), ('fps = 30', 'fps = \"many\"'), ('source = \"gpio\"', 'source = \"gpoi\"'),
                               ('heartbeat = { pin', 'hartbeat = { pin'), ('start = 1', '')]),
    ('recipe', 'board/recipe.toml', [('name =', 'nam =')]),
]:
    schema = json.load(open(kind + '.json'))
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    text = open(root + '/' + file).read()
    errors = [error.message for error in validator(schema).iter_errors(tomllib.loads(text))]
    assert errors == [], errors
    for good, bad in wrong:
        assert good in text, good
        assert list(validator(schema).iter_errors(tomllib.loads(text.replace(good, bad, 1)))), bad
print('judged')
";
    let output = Command::new(root.join(".venv/bin/python"))
        .args(["-c", code])
        .arg(root)
        .current_dir(folder.path())
        .output()
        .expect("./check makes .venv");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "judged\n");
}
