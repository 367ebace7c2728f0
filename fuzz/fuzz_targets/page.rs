//! Requests to the page of a running box, through its socket.
//!
//! The first byte says how: bit 0 raw bytes; else bits 1 and 2 whether the request comes from an engineer who is logged in
//! and from the page itself, the second byte which route, and the rest is the body or the rest of the path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::capture::{Camera, CaptureError, Frame, Samples};
use mudenet_edge::config::Config;
use mudenet_edge::page::{Engineers, Page};
use mudenet_edge::recipe::RecipeFiles;
use mudenet_edge::run::{Devices, Line};
use mudenet_edge::signal::NoOutputs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

const ROUTES: [(&str, &str); 22] = [
    ("GET", "/"),
    ("GET", "/api/events"),
    ("GET", "/api/chart"),
    ("GET", "/api/live/"),
    ("GET", "/api/reject/"),
    ("POST", "/api/reset"),
    ("GET", "/api/session"),
    ("POST", "/api/login"),
    ("POST", "/api/logout"),
    ("GET", "/api/setup"),
    ("GET", "/api/scores"),
    ("POST", "/api/threshold"),
    ("POST", "/api/recipe"),
    ("POST", "/api/golden"),
    ("GET", "/api/frame"),
    ("GET", "/api/frame.jpg"),
    ("GET", "/api/mask?"),
    ("POST", "/api/region"),
    ("POST", "/api/calibrate"),
    ("GET", "/api/log"),
    ("DELETE", "/"),
    ("GET", "/"),
];
const PASSWORD: &str = "correct horse battery";
const BOX: &str = r#"
[box]
name = "fuzzed"
[camera]
folder = "pictures"
[trigger]
source = "serial"
[serial]
port = "/dev/null"
[record]
folder = "record"
[page]
bind = "127.0.0.1:0"
engineers = "engineers.txt"
[recipes]
start = 1
files = { 1 = "part.toml" }
"#;

struct Grey;

impl Camera for Grey {
    fn name(&self) -> &str {
        "grey"
    }

    fn trigger(&mut self, _deadline: Duration) -> Result<Frame, CaptureError> {
        Frame::new(64, 64, Samples::Rgb8(vec![128; 3 * 64 * 64]))
    }
}

struct Served {
    address: SocketAddr,
    cookie: String,
}

static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let folder = mudenet_fuzz::folder().keep();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("written");
    let mut engineers = Engineers::default();
    engineers.set("anna", PASSWORD).expect("a password");
    write("engineers.txt", engineers.to_text().as_bytes());
    write("part.onnx", include_bytes!("../corpus/bundle/part.onnx"));
    write("part.toml", b"name = \"part\"\nmodel = \"part.onnx\"\n");
    write("box.toml", BOX.as_bytes());
    std::fs::create_dir_all(folder.join("record/journal")).expect("made");
    let config = Config::load(&folder.join("box.toml")).expect("a station");
    let record = folder.join("record");
    let page = Page::open(config.page.as_ref().expect("a page"), Some(&record)).expect("an address");
    let address = page.address();
    let line = Line::new(
        config.line,
        Devices {
            camera: Box::new(Grey),
            outputs: Box::new(NoOutputs),
            signal: None,
            sink: page.sink(),
            recipes: Box::new(RecipeFiles(config.recipes.clone())),
            watchdog: Box::new(()),
        },
    );
    page.start(&config, Some(&record), false, line.feed(), line.handle()).expect("a thread");
    std::thread::spawn(move || line.run());
    let body = format!("{{\"name\":\"anna\",\"password\":\"{PASSWORD}\"}}");
    let mut served = Served { address, cookie: String::new() };
    let answer = String::from_utf8(ask(&served, &request(&served, "POST", "/api/login", true, body.as_bytes()), false))
        .expect("text");
    let cookie = answer
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap_or_else(|| panic!("no session: {answer}"));
    served.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    served
});

fn request(served: &Served, method: &str, path: &str, own: bool, body: &[u8]) -> Vec<u8> {
    let (address, cookie) = (served.address, &served.cookie);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: {cookie}\r\n");
    if own {
        head += &format!("Origin: http://{address}\r\nX-Mudenet: 1\r\n");
    }
    head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The answer; of one without an end its beginning.
///
/// `ends`: nothing more will come. The page then gives up an answer that it is still working on.
fn ask(served: &Served, request: &[u8], ends: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(served.address).expect("the page accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    // A page that has refused a request may close before all of it is sent.
    let _ = stream.write_all(request);
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = vec![];
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..read]);
        if answer.windows(17).any(|part| part == b"text/event-stream") {
            break;
        }
    }
    answer
}

fuzz_target!(|data: &[u8]| {
    let [how, which, rest @ ..] = data else { return };
    let raw = how & 1 == 1;
    let bytes = if raw {
        rest.to_vec()
    } else {
        let (method, path) = ROUTES[usize::from(*which) % ROUTES.len()];
        let (logged_in, own) = (how & 2 == 2, how & 4 == 4);
        let (path, body) = if method == "GET" {
            let tail: String = rest.iter().take(60).map(|byte| format!("%{byte:02x}")).collect();
            let plain = rest.iter().all(|b| b.is_ascii_alphanumeric() || b"/?&=-_.".contains(b));
            let tail = if plain { String::from_utf8_lossy(rest).into_owned() } else { tail };
            (format!("{path}{tail}"), &[][..])
        } else {
            (path.to_owned(), rest)
        };
        let served = &*SERVED;
        let stranger = Served { address: served.address, cookie: String::new() };
        request(if logged_in { served } else { &stranger }, method, &path, own, body)
    };
    let answer = ask(&SERVED, &bytes, raw);
    if answer.is_empty() {
        assert!(raw, "a request got no answer");
        return;
    }
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    let status: u16 = std::str::from_utf8(status.expect("a status")).expect("text").parse().expect("a number");
    assert!((200..500).contains(&status), "status {status}: {}", String::from_utf8_lossy(&answer));
    // Without a log-in nothing is changed.
    if !raw
        && how & 2 == 0
        && ROUTES[usize::from(*which) % ROUTES.len()].0 == "POST"
        && (9..=19).contains(&(usize::from(*which) % ROUTES.len()))
    {
        assert!(status >= 400, "status {status} without a log-in");
    }
});
