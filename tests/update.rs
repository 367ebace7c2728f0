//! `mudenet-edge update`: signed packages over HTTPS and from a folder, taken by a running box and taken back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{Run, bundle, good, run, spotted};
use minisign::KeyPair;
use mudenet_edge::record::audit;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const BOX: &str = r#"
[box]
name = "line 1"
state = "state"
[camera]
folder = "pictures"
lost_ms = 60000
timeout_ms = 5000
[trigger]
source = "interval"
interval_ms = 200
[result]
width_ms = 20
timeout_ms = 60000
[record]
folder = "record"
good = 0
[recipes]
start = 1
files = { 1 = "state/packages/current/part.toml" }
"#;

/// A box without recipes, and who signs packages for it.
struct World {
    folder: TempDir,
    keys: KeyPair,
}

impl World {
    fn new(update: &str) -> Self {
        let world =
            Self { folder: tempfile::tempdir().unwrap(), keys: KeyPair::generate_unencrypted_keypair().unwrap() };
        fs::create_dir_all(world.path("pictures")).unwrap();
        for i in 0..2 {
            good(64, 64).save(world.path(&format!("pictures/{i}.png"))).unwrap();
        }
        world.configure(&world.keys.pk.to_base64(), update);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, key: &str, update: &str) {
        fs::write(self.path("box.toml"), format!("{BOX}[update]\nkey = \"{key}\"\n{update}\n")).unwrap();
    }

    /// A package whose golden samples are judged right below a threshold of about 100.
    fn package(&self, name: &str, serial: u32, threshold: f32) {
        let folder = self.path(name);
        for samples in ["golden/good", "golden/bad"] {
            fs::create_dir_all(folder.join(samples)).unwrap();
        }
        bundle().save(&folder.join("part.onnx")).unwrap();
        let recipe =
            format!("name = \"part {serial}\"\nmodel = \"part.onnx\"\ngolden = \"golden\"\nthreshold = {threshold}\n");
        fs::write(folder.join("part.toml"), recipe).unwrap();
        good(64, 64).save(folder.join("golden/good/0.png")).unwrap();
        spotted(64, 64, (30, 30), 12, 0).save(folder.join("golden/bad/0.png")).unwrap();
        self.pack(name, serial);
    }

    fn pack(&self, name: &str, serial: u32) {
        let packed = run(
            self.folder.path(),
            &["update", "pack", name, "--name", "parts", "--serial", &serial.to_string(), "--box", "line 1"],
        );
        assert_eq!(packed.code, 0, "{packed:?}");
        let list = fs::read(self.path(name).join("package.json")).unwrap();
        let signed = minisign::sign(None, &self.keys.sk, Cursor::new(list), Some("t"), None).unwrap();
        fs::write(self.path(name).join("package.json.minisig"), signed.into_string()).unwrap();
    }

    fn update(&self, arguments: &[&str]) -> Run {
        let [command, rest @ ..] = arguments else { panic!("a command") };
        run(self.folder.path(), &[&["update", command, "--config", "box.toml"], rest].concat())
    }

    fn in_use(&self) -> serde_json::Value {
        let status = self.update(&["status", "--json"]);
        assert_eq!(status.code, 0, "{status:?}");
        serde_json::from_str(&status.stdout).unwrap()
    }

    fn changes(&self) -> Vec<String> {
        let log = audit::verify(&self.path("record/audit.jsonl")).unwrap();
        log.entries.into_iter().map(|entry| entry.change.what).collect()
    }

    fn start(&self) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
            .args(["run", "--config", "box.toml", "--verbose"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let said: Vec<String> = lines
            .by_ref()
            .scan(false, |judged, line| {
                let before = std::mem::replace(judged, line.contains(", score "));
                (!before).then_some(line)
            })
            .collect();
        // Goes on reading, so that the box never waits for room.
        std::thread::spawn(move || lines.for_each(drop));
        Running { child, said }
    }
}

/// A box, killed when it is dropped.
struct Running {
    child: Child,
    /// What it said until the first part was judged.
    said: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves `folder` over TLS, with a certificate that is written to `ca.pem`; below `/cut/` every answer ends in the middle.
fn serve(folder: &Path) -> String {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.join("ca.pem"), certified.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let (config, folder) = (Arc::new(config), folder.to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that refuses the certificate ends the connection.
            let _ = answer(&config, &folder, stream);
        }
    });
    format!("https://localhost:{port}")
}

fn answer(config: &Arc<rustls::ServerConfig>, folder: &Path, stream: std::net::TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let connection = rustls::ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
    let mut first = String::new();
    stream.read_line(&mut first)?;
    let mut line = first.clone();
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line)?;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let (cut, path) = path.strip_prefix("cut/").map_or((false, path), |path| (true, path));
    let out = stream.get_mut();
    match fs::read(folder.join(path)) {
        Ok(body) => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
            let whole = !cut || path.contains("package.json");
            out.write_all(&body[..if whole { body.len() } else { body.len() / 2 }])?;
        }
        Err(_) => write!(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?,
    }
    out.conn.send_close_notify();
    out.flush()
}

#[test]
fn a_box_takes_packages_over_https_while_it_runs_and_goes_back() {
    let world = World::new("ca = \"ca.pem\"");
    let address = serve(world.folder.path());
    for (name, serial) in [("first", 1), ("second", 2)] {
        world.package(name, serial, 2.0);
    }
    let first = world.update(&["install", "--from", &format!("{address}/first")]);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stdout.contains("no box is running: it is loaded at the next start"), "{first:?}");
    assert_eq!(world.in_use()["on_trial"], true);

    let running = world.start();
    assert!(running.said.iter().any(|line| line == "recipe 1 loaded: part 1"), "{:?}", running.said);
    let status = world.in_use();
    assert_eq!((&status["on_trial"], &status["in_use"]["serial"]), (&false.into(), &1.into()), "{status}");
    let offered = world.update(&["install", "--check", "--from", &format!("{address}/second/")]);
    assert!(offered.code == 0 && offered.stdout.contains("parts 2, newer than 1"), "{offered:?}");

    let second = world.update(&["install", "--from", &format!("{address}/second"), "--json"]);
    let told: serde_json::Value = serde_json::from_str(&second.stdout).expect("JSON");
    assert_eq!((second.code, &told["outcome"]), (0, &"in use".into()), "{second:?}");
    let again = world.update(&["install", "--from", &format!("{address}/second")]);
    assert!(again.code == 0 && again.stdout == "package 2 is in use already\n", "{again:?}");
    drop(running);

    // The disk damages the third one after it was proven; the box goes back by itself when it starts.
    world.package("third", 3, 2.0);
    assert_eq!(world.update(&["install", "--from", "third"]).code, 0);
    fs::write(world.path("state/packages/current/part.onnx"), "damaged").unwrap();
    let running = world.start();
    let rolled_back = |line: &String| line.contains("update 000003-") && line.contains("rolled back to 000002-");
    assert!(running.said.iter().any(rolled_back), "{:?}", running.said);
    assert!(running.said.iter().any(|line| line == "recipe 1 loaded: part 2"), "{:?}", running.said);
    let status = world.in_use();
    assert_eq!((&status["in_use"]["serial"], &status["changed"]), (&2.into(), &serde_json::json!([])), "{status}");
    world.update(&["install", "--from", "third"]).assert_error(&["was rolled back on this box", "--again"]);
    let again = world.update(&["install", "--from", "third", "--again", "--json"]);
    assert!(again.code == 0 && again.stdout.contains("\"in use\""), "{again:?}");
    let back = world.update(&["rollback"]);
    assert!(back.code == 0 && back.stdout.contains("the running box loads it now"), "{back:?}");
    assert_eq!(world.in_use()["in_use"]["serial"], 2);
    let changes = world.changes();
    assert_eq!(changes.iter().filter(|what| *what == "update").count(), 4, "{changes:?}");
    assert_eq!(changes.iter().filter(|what| what.starts_with("update rolled back")).count(), 2, "{changes:?}");
}

#[test]
fn what_is_not_signed_whole_and_proven_is_not_used() {
    let world = World::new("ca = \"ca.pem\"");
    let address = serve(world.folder.path());
    world.package("good", 5, 2.0);
    assert_eq!(world.update(&["install", "--from", "good"]).code, 0);
    let refused = |from: &str, parts: &[&str]| {
        world.update(&["install", "--from", from]).assert_error(parts);
        let status = world.in_use();
        assert_eq!((&status["in_use"]["serial"], &status["changed"]), (&5.into(), &serde_json::json!([])), "{from}");
    };
    world.package("next", 6, 2.0);
    fs::write(world.path("next/part.toml"), "name = \"mine\"\nmodel = \"part.onnx\"\n").unwrap();
    refused("next", &["part.toml: ", "bytes expected"]);
    world.package("next", 6, 2.0);
    let list = fs::read_to_string(world.path("next/package.json")).unwrap();
    fs::write(world.path("next/package.json"), list.replace("\"serial\": 6", "\"serial\": 7")).unwrap();
    refused("next", &["not signed with update.key", "nothing of this package is used"]);
    world.package("next", 6, 2.0);
    refused(&format!("{address}/cut/next"), &["cut/next/part.toml: "]);
    refused(&format!("{address}/nowhere"), &["nowhere/package.json", "404"]);
    refused("nowhere", &["nowhere/package.json", "No such file"]);
    refused("http://localhost/x", &["expected https://… or a folder"]);
    world.package("old", 4, 2.0);
    refused("old", &["package 4 is not newer than 5", "--allow-older"]);

    // Its golden samples are judged wrong, or it has none, or it reaches out of itself.
    world.package("next", 6, 1e6);
    refused("next", &["recipe 1: golden sample ", "expected reject, got accept"]);
    fs::write(world.path("next/part.toml"), "name = \"p\"\nmodel = \"part.onnx\"\n").unwrap();
    world.pack("next", 6);
    refused("next", &["recipe 1: has no golden samples"]);
    fs::write(
        world.path("next/part.toml"),
        "name = \"p\"\nmodel = \"../../../../good/part.onnx\"\ngolden = \"golden\"\n",
    )
    .unwrap();
    world.pack("next", 6);
    refused("next", &["recipe 1: ", "good/part.onnx is not in the package"]);

    // Another key, another authority, another box.
    world.package("next", 6, 2.0);
    world.configure(&KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64(), "ca = \"ca.pem\"");
    world.update(&["install", "--from", "next"]).assert_error(&["not signed with update.key"]);
    world.configure(&world.keys.pk.to_base64(), "");
    refused(&format!("{address}/next"), &["next/package.json", "certificate"]);
    let text = fs::read_to_string(world.path("box.toml")).unwrap();
    fs::write(world.path("box.toml"), text.replace("line 1", "line 2")).unwrap();
    refused("next", &["is for line 1, not for line 2"]);
}

#[test]
fn a_table_that_cannot_work_is_refused_by_key() {
    let world = World::new("");
    for (key, update, told) in [
        ("RWQ", "", "update.key: must be the 56 characters"),
        (world.keys.pk.to_base64().as_str(), "from = \"http://plant/x\"", "update.from: must be https"),
        (world.keys.pk.to_base64().as_str(), "form = \"x\"", "unknown field `form`"),
    ] {
        world.configure(key, update);
        world.update(&["status"]).assert_error(&["box.toml: ", told]);
    }
    let text = BOX.replace("[record]\nfolder = \"record\"\ngood = 0\n", "");
    fs::write(world.path("box.toml"), format!("{text}[update]\nkey = \"{}\"\n", world.keys.pk.to_base64())).unwrap();
    world.update(&["status"]).assert_error(&["update: needs a [record]"]);
    fs::write(world.path("box.toml"), BOX).unwrap();
    world.update(&["status"]).assert_error(&["box.toml: has no [update]"]);
}
