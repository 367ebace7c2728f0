//! The page of a running box: who may do what, and a browser that walks through a shift and a set-up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;

use common::{good, run, spotted};
use mudenet_edge::record::audit;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const PASSWORD: &str = "correct horse battery";
const BOX: &str = r#"
[box]
name = "trays, line 2"
[camera]
folder = "pictures"
lost_ms = 60000
timeout_ms = 5000
[trigger]
source = "interval"
interval_ms = 100
[result]
width_ms = 20
timeout_ms = 60000
[record]
folder = "record"
good = 0
"#;
const RECIPES: &str = "[recipes]\nstart = 1\nfiles = { 1 = \"tray.toml\", 2 = \"second.toml\" }\n";

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("written");
}

/// A station whose pictures are good and bad in turn.
fn station(folder: &Path, page: &str) {
    common::bundle().save(&folder.join("part.onnx")).expect("written");
    fs::create_dir_all(folder.join("pictures")).expect("made");
    for i in 0..4 {
        let picture = if i % 2 == 0 { good(80, 80) } else { spotted(80, 80, (40, 40), 24, 0) };
        picture.save(folder.join(format!("pictures/{i}.png"))).expect("written");
    }
    for name in ["tray", "second"] {
        write(folder, &format!("{name}.toml"), &format!("name = \"{name}\"\nmodel = \"part.onnx\"\n"));
    }
    write(folder, "box.toml", &format!("{BOX}[page]\n{page}\n{RECIPES}"));
}

fn set_password(folder: &Path) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
        .args(["password", "--file", "engineers.txt", "anna"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    writeln!(child.stdin.take().expect("a pipe"), "{PASSWORD}").expect("written");
    assert!(child.wait().expect("ends").success());
}

/// A simulated box, killed when it is dropped.
struct Served {
    child: Child,
    address: String,
    /// Kept open: the box prints more.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Served {
    fn start(folder: &Path, pitch_ms: u32) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
            .args(["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "100000"])
            .args(["--pitch-ms", &pitch_ms.to_string(), "--jitter", "0"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let address = |line: String| Some(line.strip_prefix("page: http")?.split_once("://")?.1.to_owned());
        let found = lines.by_ref().map_while(Result::ok).find_map(address);
        Self { child, address: found.expect("the page's address"), _lines: lines }
    }

    /// Sends a request as it is written; gives status and the whole answer.
    fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        let length = body.len();
        write!(stream, "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").expect("sent");
        let mut answer = vec![];
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}", self.address), "")
    }

    /// As the page's own script posts.
    fn post(&self, path: &str, cookie: &str, body: &str) -> (u16, String) {
        let address = &self.address;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nX-Mudenet: 1\r\nCookie: {cookie}\r\n\
             Content-Type: application/json"
        );
        self.ask(&head, body)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_page_for_other_machines_needs_a_password_and_a_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |page: &str| {
        station(folder.path(), page);
        run(folder.path(), &["run", "--config", "box.toml", "--check"])
    };
    let refused = check("bind = \"0.0.0.0:8080\"");
    assert_eq!(refused.code, 2);
    let told = "page.bind: 0.0.0.0:8080 can be reached from other machines: set a password and name its file";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    assert_eq!(check("bind = \"127.0.0.1:8080\"").code, 0);
    assert_eq!(check("bind = \"0.0.0.0:8080\"\nengineers = \"engineers.txt\"").code, 0);
    // A file that is not there is found before the line starts.
    let run = run(folder.path(), &["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "1"]);
    assert!(
        run.code == 2 && run.stderr.contains("page.engineers: ") && run.stderr.contains("cannot be read"),
        "{run:?}"
    );
}

#[test]
fn only_the_own_page_of_a_logged_in_engineer_changes_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    set_password(folder.path());
    station(folder.path(), "bind = \"127.0.0.1:0\"\nengineers = \"engineers.txt\"");
    let page = Served::start(folder.path(), 400);
    let address = page.address.clone();

    let (status, answer) = page.get("/");
    assert_eq!(status, 200);
    let answer = answer.to_lowercase();
    assert!(answer.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{answer}");
    for header in ["x-content-type-options: nosniff", "x-frame-options: deny", "cache-control: no-store"] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
    // Nothing comes from anywhere else.
    for file in ["/", "/app.js", "/charts.js", "/setup.js", "/editor.js", "/style.css", "/icon.svg"] {
        let (status, text) = page.get(file);
        assert_eq!(status, 200, "{file}");
        assert!(!text.replace("http://www.w3.org/2000/svg", "").contains("://"), "{file}");
    }

    let new = r#"{"recipe":1,"value":0.5}"#;
    for path in ["/api/setup", "/api/scores", "/api/frame", "/api/frame.jpg", "/api/mask?recipe=1", "/api/log"] {
        assert_eq!(page.get(path).0, 401, "{path}");
    }
    for path in ["/api/threshold", "/api/recipe", "/api/golden", "/api/region", "/api/calibrate"] {
        let body = match path {
            "/api/calibrate" => r#"{"method":"quantile","false_reject":0.01,"confidence":0.95,"parts":100}"#,
            _ => new,
        };
        assert_eq!(page.post(path, "", body).0, 401, "{path}");
        assert_eq!(page.post(path, "mudenet=0; mudenet_1=ffff", body).0, 401, "{path}");
    }
    let log_in = |password: &str| page.post("/api/login", "", &format!(r#"{{"name":"anna","password":"{password}"}}"#));
    let (status, answer) = log_in(PASSWORD);
    assert_eq!(status, 200, "{answer}");
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();

    // With the cookie, but sent by another site, by a form, or under a foreign name that leads here.
    let foreign = |head: &str| {
        let kind = "Content-Type: application/json";
        page.ask(&format!("POST /api/threshold HTTP/1.1\r\n{head}\r\nCookie: {cookie}\r\n{kind}"), new).0
    };
    assert_eq!(foreign(&format!("Host: {address}\r\nOrigin: http://evil.example\r\nX-Mudenet: 1")), 403);
    assert_eq!(foreign(&format!("Host: {address}\r\nX-Mudenet: 1")), 403);
    assert_eq!(foreign(&format!("Host: {address}\r\nOrigin: http://{address}")), 403);
    assert_eq!(foreign("Host: evil.example\r\nOrigin: http://evil.example\r\nX-Mudenet: 1"), 403);
    assert_eq!(page.ask("GET /api/setup HTTP/1.1\r\nHost: evil.example", "").0, 403);
    assert!(!fs::read_to_string(folder.path().join("tray.toml")).unwrap().contains("threshold"));

    // Much is taken only from who is logged in.
    let much = format!(r#"{{"recipe":9,"name":"{}"}}"#, "x".repeat(100_000));
    assert_eq!(page.post("/api/login", "", &much).0, 413);
    assert_eq!(page.post("/api/region", "", &much).0, 413);
    assert_eq!(page.post("/api/region", &cookie, &much).0, 422);

    // What cannot be used is refused, and changes nothing.
    let (status, answer) = page.post("/api/threshold", &cookie, r#"{"recipe":9,"value":0.5}"#);
    assert!(status == 422 && answer.contains("recipe 9 is not in"), "{answer}");
    let (status, answer) = page.post("/api/golden", &cookie, r#"{"recipe":1}"#);
    assert!(status == 422 && answer.contains("names no folder of golden samples"), "{answer}");
    let log = folder.path().join("record/simulated").join(audit::FILE);
    assert!(!log.exists());

    // And done as it should be.
    let (status, answer) = page.post("/api/threshold", &cookie, new);
    assert_eq!(status, 200, "{answer}");
    assert!(fs::read_to_string(folder.path().join("tray.toml")).unwrap().contains("threshold = 0.5"));
    let log = audit::verify(&log).expect("a chain");
    let change = &log.entries[0].change;
    assert_eq!((change.who.as_str(), change.what.as_str()), ("anna", "threshold of recipe 1"));
    assert_eq!((&change.from, &change.to), (&"the model's own".into(), &0.5.into()));

    assert_eq!(page.post("/api/logout", &cookie, "{}").0, 200);
    assert_eq!(page.post("/api/threshold", &cookie, new).0, 401);
    for _ in 0..5 {
        assert_eq!(log_in("a wrong password").0, 401);
    }
    let (status, answer) = log_in(PASSWORD);
    assert!(status == 429 && answer.contains("too many wrong passwords: try again in"), "{answer}");
}

/// The page over HTTPS, as a client sees it that trusts the box's certificate and nothing else.
#[cfg(feature = "tls")]
#[test]
fn a_certificate_makes_the_page_https() {
    let folder = tempfile::tempdir().expect("a folder");
    set_password(folder.path());
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    write(folder.path(), "box.pem", &certified.cert.pem());
    write(folder.path(), "box.key", &certified.signing_key.serialize_pem());
    let tables = "bind = \"127.0.0.1:0\"\nengineers = \"engineers.txt\"\ncertificate = \"box.pem\"";
    station(folder.path(), &format!("{tables}\nkey = \"box.key\""));
    let page = Served::start(folder.path(), 400);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).expect("added");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let ask = |request: &str, body: &str| {
        let name = "localhost".try_into().expect("a name");
        let connection = rustls::ClientConnection::new(std::sync::Arc::new(config.clone()), name).expect("a client");
        let stream = TcpStream::connect(&page.address).expect("connects");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let length = body.len();
        write!(stream, "{request}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").expect("sent");
        let mut answer = vec![];
        // The server may end the connection without saying so in TLS.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let host = format!("localhost:{}", page.address.rsplit(':').next().expect("a port"));
    assert!(ask(&format!("GET / HTTP/1.1\r\nHost: {host}"), "").starts_with("HTTP/1.1 200"));
    let head = format!(
        "POST /api/login HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nX-Mudenet: 1\r\nContent-Type: application/json"
    );
    let answer = ask(&head, &format!(r#"{{"name":"anna","password":"{PASSWORD}"}}"#));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("SameSite=Strict; Secure"), "{answer}");

    // Without TLS there is no answer, and one that never speaks keeps nobody out.
    let _silent = TcpStream::connect(&page.address).expect("connects");
    let mut plain = TcpStream::connect(&page.address).expect("connects");
    write!(plain, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("sent");
    let mut answer = vec![];
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"));
    assert!(ask(&format!("GET / HTTP/1.1\r\nHost: {host}"), "").starts_with("HTTP/1.1 200"));

    let refused = |tables: &str, parts: &[&str]| {
        station(folder.path(), tables);
        run(folder.path(), &["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "1"])
            .assert_error(parts);
    };
    refused(tables, &["page.certificate and page.key need each other"]);
    refused(&format!("{tables}\nkey = \"box.pem\""), &["page.certificate: ", "box.pem: "]);
    refused(&format!("{tables}\nkey = \"gone.key\""), &["page.certificate: ", "gone.key: "]);
}

/// The demo's trays: a picture each part, mostly good ones, and golden samples.
fn trays(folder: &Path) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
    let put = |from: &str, to: &str| {
        let to = folder.join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::copy(demo.join(from), to).expect("copied");
    };
    put("tray.onnx", "tray.onnx");
    let goods = ["good-1.png", "good-2.png"];
    let bads = ["missing.png", "swapped.png", "wrong-colour.png", "extra.png", "crack.png", "contamination.png"];
    for i in 0..24 {
        // Two bad ones in a row once a round.
        let name = match i % 12 {
            3 => bads[i / 12],
            8 | 9 => bads[i / 12 * 2 + i % 12 - 6],
            _ => goods[i % 2],
        };
        put(name, &format!("pictures/{i:02}.png"));
    }
    put("good-1.png", "golden/good/good.png");
    put("missing.png", "golden/bad/missing.png");
    for (file, name) in [("tray", "gear tray"), ("second", "gear tray, trial")] {
        let text = format!("# {name}\nname = \"{name}\"\nmodel = \"tray.onnx\"\ngolden = \"golden\"\n");
        write(folder, &format!("{file}.toml"), &text);
    }
    let page = "bind = \"127.0.0.1:0\"\nengineers = \"engineers.txt\"";
    write(folder, "box.toml", &format!("{BOX}[alarm]\nconsecutive_rejects = 2\n[page]\n{page}\n{RECIPES}"));
}

#[test]
fn a_browser_walks_through_a_shift_and_a_set_up() {
    let folder = tempfile::tempdir().expect("a folder");
    set_password(folder.path());
    trays(folder.path());
    let mut page = Served::start(folder.path(), 1200);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = |name: &str| {
        let mut command = Command::new(root.join(".venv/bin/python"));
        command.arg(root.join("tests/page").join(name)).arg(format!("http://{}", page.address)).arg(PASSWORD);
        command.arg(folder.path());
        let output = command.output().expect("./check makes .venv");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&said));
    };
    script("shift.py");
    script("setup.py");
    assert!(page.child.try_wait().expect("known").is_none(), "the box still runs");
    let log = audit::verify(&folder.path().join("record/simulated").join(audit::FILE)).expect("a chain");
    let changes: Vec<&str> = log.entries.iter().map(|entry| entry.change.what.as_str()).collect();
    let expected = [
        "threshold of recipe 1",
        "region of recipe 1",
        "region of recipe 1",
        "golden-sample test of recipe 1",
        "recipe",
        "golden-sample test of recipe 2",
    ];
    assert_eq!(changes, expected);
    assert!(log.entries.iter().all(|entry| entry.change.who == "anna"));
    // Comments of the file outlive the change.
    let recipe = fs::read_to_string(folder.path().join("tray.toml")).unwrap();
    assert!(recipe.starts_with("# gear tray\n") && recipe.contains("\nthreshold = "), "{recipe}");
}
