//! What documents claim about the sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// Names in a table of a manifest.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = read(manifest).parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
}

/// First cells of a section's table.
fn listed(document: &str, heading: &str) -> BTreeSet<String> {
    let section = document.split(heading).nth(1).expect(heading).split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    rows.filter(|cell| *cell != "crate").map(str::to_owned).collect()
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let document = read("docs/dependencies.md");
    let edge = listed(&document, "## Direct dependencies of `mudenet-edge`\n");
    assert_eq!(edge, dependencies("Cargo.toml"));
    assert_eq!(listed(&document, "## Direct dependencies of `mudenet-board`\n"), dependencies("board/Cargo.toml"));
}

/// `path::test` within backquotes is a test of that file.
#[test]
fn every_test_that_security_names_exists() {
    let mut tests = 0;
    let document = read("SECURITY.md");
    for named in document.split('`').skip(1).step_by(2).filter(|named| !named.contains(' ')) {
        match named.split_once("::") {
            Some((path, test)) if path.ends_with(".rs") => {
                tests += 1;
                assert!(read(path).contains(&format!("fn {test}()")), "{named}");
            }
            _ if named.contains('/') && !named.starts_with('/') => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(named);
                assert!(path.exists(), "{named}");
            }
            _ => {}
        }
    }
    assert!(tests >= 20, "only {tests} tests named");
}

/// Packages as cargo resolves them for a target.
fn packages(target: &str) -> Vec<serde_json::Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--all-features", "--filter-platform", target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert!(packages.len() > 200);
    packages
}

const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// The oldest Rust that the manifest promises is not older than what any package of the lock file asks for.
#[test]
fn no_dependency_needs_a_newer_rust_than_is_promised() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let promised = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    let version = |text: &str| -> Vec<u32> { text.split('.').map(|n| n.parse().unwrap()).collect() };
    for package in TARGETS.into_iter().flat_map(packages) {
        if let Some(needed) = package["rust_version"].as_str() {
            assert!(version(needed) <= version(promised), "{} needs Rust {needed}", package["name"]);
        }
    }
}

/// What `cargo deny check licenses sources` asks, as far as it needs no program of its own.
#[test]
fn every_dependency_has_an_allowed_licence_and_comes_from_the_registry() {
    let rules: toml::Table = read("deny.toml").parse().unwrap();
    let names = |list: &toml::Value| -> Vec<spdx::Licensee> {
        let names = list.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        names.map(|name| spdx::Licensee::parse(name).unwrap()).collect()
    };
    let allowed = names(&rules["licenses"]["allow"]);
    let mut sources = BTreeSet::new();
    for package in TARGETS.into_iter().flat_map(packages) {
        let name = package["name"].as_str().unwrap();
        let exceptions = rules["licenses"]["exceptions"].as_array().unwrap().iter();
        let own: Vec<_> =
            exceptions.filter(|e| e["crate"].as_str() == Some(name)).flat_map(|e| names(&e["allow"])).collect();
        let text = package["license"].as_str().unwrap_or_else(|| panic!("{name} has no licence"));
        let expression = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX).unwrap();
        let satisfied =
            expression.evaluate(|needed| allowed.iter().chain(&own).any(|licence| licence.satisfies(needed)));
        assert!(satisfied, "{name} has the licence {text}");
        sources.extend(package["source"].as_str().map(str::to_owned));
    }
    // One registry, no git repository.
    assert!(sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}

/// What deny.toml says of the copy whose advisories it ignores.
#[test]
fn the_old_webpki_is_only_named_by_rumqttc() {
    let lock: toml::Table = read("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let users = packages.iter().filter(|package| {
        let dependencies = package.get("dependencies").and_then(toml::Value::as_array);
        dependencies.is_some_and(|all| all.iter().any(|name| name.as_str() == Some("rustls-webpki 0.102.8")))
    });
    let users: Vec<&str> = users.map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(users, ["rumqttc"]);
}

/// `src/guard.rs` catches panics of decoders and networks, which a program that aborts would not survive.
#[test]
fn every_profile_unwinds() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let profiles = manifest["profile"].as_table().unwrap();
    assert!(profiles.contains_key("dist"));
    for (name, profile) in profiles {
        assert!(profile.get("panic").is_none(), "{name}");
    }
}
