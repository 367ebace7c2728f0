//! Requests to the page of a running box, through its socket.
//!
//! The first byte says how: bit 0 raw bytes; else bits 1 and 2 whether the request comes from an engineer who is logged in
//! and from the page itself, the second byte which route, and the rest is the body or the rest of the path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::page::Page;
use mudenet_fuzz::station::{self, PASSWORD, ask, status};
use std::net::SocketAddr;
use std::sync::LazyLock;

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

struct Served {
    address: SocketAddr,
    cookie: String,
}

static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let (folder, config) = station::configured("[page]\nbind = \"127.0.0.1:0\"\nengineers = \"engineers.txt\"\n");
    let record = folder.join("record");
    let page = Page::open(config.page.as_ref().expect("a page"), Some(&record)).expect("an address");
    let address = page.address();
    let line = station::line(&config, page.sink());
    page.start(&config, Some(&record), false, line.feed(), line.handle()).expect("a thread");
    std::thread::spawn(move || line.run());
    let body = format!("{{\"name\":\"anna\",\"password\":\"{PASSWORD}\"}}");
    let mut served = Served { address, cookie: String::new() };
    let login = request(&served, "POST", "/api/login", true, body.as_bytes());
    let answer = String::from_utf8(ask(address, &login, false)).expect("text");
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
    let answer = ask(SERVED.address, &bytes, raw);
    if answer.is_empty() {
        assert!(raw, "a request got no answer");
        return;
    }
    let status = status(&answer);
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
