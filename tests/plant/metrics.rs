use super::rig::Rig;
use super::{ask, assert_undisturbed, wait_until};
use mudenet_edge::config::MetricsConfig;
use mudenet_edge::plant::Counts;
use mudenet_edge::plant::metrics::Metrics;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{sleep, spawn};
use std::time::Duration;

/// A line with metrics, and where they are.
fn metered(parts: u32) -> (Rig, SocketAddr) {
    let counts = Arc::new(Counts::default());
    // So that every metric is there that a box can have.
    counts.mqtt.used.store(true, Ordering::Relaxed);
    counts.webhook.used.store(true, Ordering::Relaxed);
    counts.mqtt.waiting.store(7, Ordering::Relaxed);
    let metrics = Metrics::open(&MetricsConfig { bind: ([127, 0, 0, 1], 0).into() }, true, counts).unwrap();
    let address = metrics.address();
    let mut rig = Rig::new(parts);
    rig.sinks.push(metrics.sink());
    rig.meets.push(Box::new(move |line| metrics.start("bottles, \"line\" 3\\", true, line.feed()).unwrap()));
    (rig, address)
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[test]
fn prometheus_reads_what_the_line_did_and_every_query_of_the_dashboard_has_its_metric() {
    let (rig, address) = metered(8);
    let healthy = spawn(move || wait_until("the line is healthy", || get(address, "/healthz").0 == 200));
    let done = assert_undisturbed(rig);
    healthy.join().unwrap();
    let fleet = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fleet");
    let seen = ask("metrics.py", &[&format!("http://{address}/metrics"), fleet]);
    let counters = done.counters();
    for (series, value) in [
        ("mudenet_parts_total{result=accept}", counters.accepted),
        ("mudenet_parts_total{result=reject}", counters.rejected),
        ("mudenet_gate_parts_total{way=accept}", counters.passed_gate),
        ("mudenet_part_duration_seconds_count", counters.accepted + counters.rejected),
        ("mudenet_score_ratio_count", counters.accepted + counters.rejected),
        ("mudenet_score_ratio_bucket{le=1.0}", counters.accepted),
        ("mudenet_outbox_messages{peer=mqtt}", 7),
        ("mudenet_recipe_changes_total", 1),
        ("mudenet_box_info{simulated=true,station=bottles, \"line\" 3\\,version=0.1.0}", 1),
        ("mudenet_recipe_info{model=,name=recipe 1,number=1}", 1),
    ] {
        assert_eq!(seen[series].as_f64(), Some(value as f64), "{series}: {seen:#}");
    }
    // The line has ended.
    wait_until("the end is told", || get(address, "/healthz").0 == 503);
    assert!(get(address, "/healthz").1.contains("\"healthy\":false"));
    assert_eq!(get(address, "/").0, 404);
}

/// Scrapers that say nothing, that send half a request, and that never read their answers.
#[test]
fn hostile_scrapers_cost_the_line_nothing() {
    let (rig, address) = metered(12);
    let attacks: Vec<_> = (0..24)
        .map(|i| {
            spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let text = match i % 3 {
                    0 => String::new(),
                    1 => "GET /metrics HTTP/1.1\r\nX: ".to_owned(),
                    _ => "GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n".repeat(100),
                };
                let _ = stream.write_all(text.as_bytes());
                sleep(Duration::from_secs(2));
            })
        })
        .collect();
    assert_undisturbed(rig);
    attacks.into_iter().for_each(|attack| attack.join().unwrap());
    assert_eq!(get(address, "/metrics").0, 200);
}
