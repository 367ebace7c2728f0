//! What a Modbus client sends to a box that may be controlled: raw bytes, or requests in proper frames, each after its length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::config::ModbusConfig;
use mudenet_edge::plant::Counts;
use mudenet_edge::plant::modbus::Modbus;
use mudenet_fuzz::{FEW, bounded, station};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

/// Longest request that the protocol allows, bytes.
const LONGEST: usize = 253;

static SERVED: LazyLock<SocketAddr> = LazyLock::new(|| {
    let (_, config) = station::configured("");
    let modbus = ModbusConfig { bind: ([127, 0, 0, 1], 0).into(), control: true, ..ModbusConfig::default() };
    let modbus = Modbus::open(&modbus, Arc::new(Counts::default())).expect("an address");
    let address = modbus.address();
    let line = station::line(&config, Box::new(()));
    modbus.start(b"settings".to_vec(), line.feed(), line.handle()).expect("a thread");
    std::thread::spawn(move || line.run());
    address
});

/// The requests that `data` holds, and their frames, which are numbered.
fn frames(mut data: &[u8]) -> (Vec<&[u8]>, Vec<u8>) {
    let (mut requests, mut bytes) = (vec![], vec![]);
    while let [length, rest @ ..] = data {
        let (request, rest) = rest.split_at(usize::from(*length).clamp(1, LONGEST).min(rest.len()));
        if request.is_empty() {
            break;
        }
        let number = requests.len() as u16;
        bytes.extend(number.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend((request.len() as u16 + 1).to_be_bytes());
        bytes.push(1);
        bytes.extend(request);
        requests.push(request);
        data = rest;
    }
    (requests, bytes)
}

/// Every answer is whole, in its turn, and to a request's function.
fn in_turn(mut answers: &[u8], requests: &[&[u8]]) {
    let mut next = 0;
    while !answers.is_empty() {
        let (head, rest) = answers.split_at_checked(7).expect("a whole head");
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        assert!((2..=LONGEST + 1).contains(&length), "{length} bytes");
        let (body, rest) = rest.split_at_checked(length - 1).expect("a whole answer");
        let number = usize::from(u16::from_be_bytes([head[0], head[1]]));
        assert!(number >= next && number < requests.len(), "answer {number} of {} after {next}", requests.len());
        assert_eq!(body[0] & 0x7F, requests[number][0] & 0x7F, "the function of request {number}");
        next = number + 1;
        answers = rest;
    }
}

fuzz_target!(|data: &[u8]| {
    let [how, data @ ..] = data else { return };
    let address = *SERVED;
    bounded(8 * FEW, || {
        if how & 1 == 1 {
            station::ask(address, data, true);
        } else {
            let (requests, bytes) = frames(data);
            in_turn(&station::ask(address, &bytes, true), &requests);
        }
        // Whoever comes next is answered: the version of the map, in the last input register.
        let version = station::ask(address, &[0, 9, 0, 0, 0, 6, 1, 4, 0, 24, 0, 1], true);
        assert_eq!(version, [0, 9, 0, 0, 0, 5, 1, 4, 2, 0, 1]);
    });
});
