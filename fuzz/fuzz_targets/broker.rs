//! A box's connection to its MQTT broker, which answers with anything: after a proper acknowledgement of the connection, or
//! instead of it, and as the payload of a command in the topic that a Sparkplug box listens to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::plant::Counts;
use mudenet_edge::plant::mqtt::Mqtt;
use mudenet_fuzz::{FEW, bounded, station};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const TOPIC: &str = "spBv1.0/plant/NCMD/box";

/// With JSON and with Sparkplug.
static BROKERS: LazyLock<[TcpListener; 2]> = LazyLock::new(|| {
    ["json", "sparkplug-b"].map(|payload| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let port = listener.local_addr().expect("bound").port();
        let tables = format!(
            "[mqtt]\nbroker = \"mqtt://127.0.0.1:{port}\"\npayload = \"{payload}\"\ngroup = \"plant\"\nnode = \"box\"\n\
             outbox = \"outbox\"\n"
        );
        let (_, config) = station::configured(&tables);
        let mqtt = config.mqtt.as_ref().expect("a broker");
        let mqtt = Mqtt::open(mqtt, "fuzzed", false, Arc::new(Counts::default()), Box::new(|_| ())).expect("an outbox");
        let line = station::line(&config, mqtt.sink());
        mqtt.start(line.feed()).expect("a thread");
        std::thread::spawn(move || line.run());
        listener
    })
});

/// The next connection on which the box speaks; those that it has given up meanwhile are left.
fn next(listener: &TcpListener) -> TcpStream {
    loop {
        let (mut stream, _) = listener.accept().expect("the box comes back");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        let mut head = [0; 2];
        if stream.read_exact(&mut head).is_ok() {
            assert_eq!(head[0], 0x10, "a connection begins with CONNECT");
            return stream;
        }
    }
}

fn publish(payload: &[u8]) -> Vec<u8> {
    let length = 2 + TOPIC.len() + payload.len();
    let head = [0x30, (length % 128) as u8 | 0x80, (length / 128 % 128) as u8];
    [&head[..], &(TOPIC.len() as u16).to_be_bytes(), TOPIC.as_bytes(), payload].concat()
}

fuzz_target!(|data: &[u8]| {
    let [how, data @ ..] = data else { return };
    let broker = &BROKERS[usize::from(how & 1)];
    bounded(32 * FEW, || {
        let mut stream = next(broker);
        if how & 2 == 0 {
            let _ = stream.write_all(&[0x20, 2, 0, 0]);
        }
        let _ = if how & 4 == 4 { stream.write_all(&publish(data)) } else { stream.write_all(data) };
        let _ = stream.shutdown(Shutdown::Write);
        // What the box has to say until it has seen the end.
        let mut buffer = [0; 16 << 10];
        while let Ok(1..) = stream.read(&mut buffer) {}
    });
});
