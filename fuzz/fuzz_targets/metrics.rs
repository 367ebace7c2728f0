//! Requests to the server of counters and health: raw bytes, or the head of a request for one of its routes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::config::MetricsConfig;
use mudenet_edge::plant::Counts;
use mudenet_edge::plant::metrics::Metrics;
use mudenet_fuzz::{FEW, bounded, station};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

const ROUTES: [&str; 4] = ["/metrics", "/healthz", "/", "/metrics/"];

static SERVED: LazyLock<SocketAddr> = LazyLock::new(|| {
    let (_, config) = station::configured("");
    let counts = Arc::new(Counts::default());
    let metrics = Metrics::open(&MetricsConfig { bind: ([127, 0, 0, 1], 0).into() }, true, counts).expect("an address");
    let address = metrics.address();
    let line = station::line(&config, metrics.sink());
    metrics.start("fuzzed \"box\"\n", false, line.feed()).expect("a thread");
    std::thread::spawn(move || line.run());
    address
});

fuzz_target!(|data: &[u8]| {
    let [how, which, data @ ..] = data else { return };
    let raw = how & 1 == 1;
    let route = ROUTES[usize::from(*which) % ROUTES.len()];
    let request = if raw {
        data.to_vec()
    } else {
        [format!("GET {route} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n").as_bytes(), data, b"\r\n\r\n"].concat()
    };
    let address = *SERVED;
    bounded(16 * FEW, || {
        let answer = station::ask(address, &request, true);
        if !answer.is_empty() {
            // 503 is the health of a line that waits for its start.
            let status = station::status(&answer);
            assert!((100..500).contains(&status) || status == 503, "status {status}");
            assert!(raw || status != 503 || route == "/healthz", "503 from {route}");
        }
        let counters = station::ask(address, b"GET /metrics HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n", false);
        assert_eq!(station::status(&counters), 200);
        assert!(String::from_utf8_lossy(&counters).contains("\nmudenet_parts_total{result=\"accept\"} 0\n"));
    });
});
