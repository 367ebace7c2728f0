//! A serial signal on pseudo-terminals; the test is the controller at the other end.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests may fail the test")]

mod rig;

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use mudenet_edge::decide::Verdict;
use mudenet_edge::signal::{Message, PartResult, SerialConfig, SerialSignal, Signal, SignalError, Wire};
use rig::{Rig, Shot};
use serialport::{SerialPort, TTYPort};

/// The controller's end and the path of the box's end. The second port keeps the pair alive until the box opened it.
fn pair() -> (TTYPort, TTYPort, String) {
    let (controller, line) = TTYPort::pair().expect("a pseudo-terminal");
    let path = line.name().expect("its name");
    (controller, line, path)
}

fn results() -> Vec<Message> {
    vec![
        Message::Result(PartResult::new(17, Verdict::Accept, 0.4213, 3)),
        Message::Result(PartResult::new(18, Verdict::Reject, 1.75, 3)),
        Message::Result(PartResult::new(19, Verdict::Accept, f32::NAN, 3)),
    ]
}

fn read_exactly(controller: &mut TTYPort, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..200 {
        let mut chunk = [0; 512];
        if let Ok(got) = controller.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..got]);
        }
        if bytes.len() >= count {
            break;
        }
    }
    bytes
}

/// Fetches events until one passes `wanted`; fails the test after some ten seconds.
fn wait_for<T>(signal: &mut SerialSignal, mut wanted: impl FnMut(Result<Message, SignalError>) -> Option<T>) -> T {
    for _ in 0..2000 {
        while let Some(event) = signal.receive() {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the event did not come");
}

#[test]
fn the_controller_reads_the_documented_bytes() {
    // From the example table of board/WIRE.md; sequence numbers 0, 1, 2.
    let text = b"\r\nR,17,OK,0.421300,3\r\nR,18,NG,1.750000,3\r\nR,19,ERR,,3\r\n".to_vec();
    let checked =
        b"\r\nR,17,OK,0.421300,3*922A3803\r\nR,18,NG,1.750000,3*362894BC\r\nR,19,ERR,,3*7E158C19\r\n".to_vec();
    let binary = "00 \
        00 03 01 01 01 02 11 01 01 07 C3 A2 B4 D7 3E 03 05 2C A3 62 6E 00 \
        00 04 01 01 01 02 12 01 01 02 3C 01 04 E0 3F 03 05 86 E2 8D 65 00 \
        00 04 01 01 02 02 13 01 01 02 5A 01 04 C0 7F 03 05 A9 0A 07 21 00"
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
        .collect();
    for (wire, expected) in [(Wire::Ascii, text), (Wire::AsciiChecked, checked), (Wire::Binary, binary)] {
        let (mut controller, _line, path) = pair();
        let mut signal = SerialSignal::open(SerialConfig { wire, ..SerialConfig::new(path) }).expect("opens");
        for message in results() {
            signal.send(&message).expect("there is room");
        }
        assert_eq!(read_exactly(&mut controller, expected.len()), expected, "{wire:?}");
        drop(signal);
    }
}

#[test]
fn what_waits_is_written_before_the_port_closes() {
    let (mut controller, _line, path) = pair();
    let mut signal = SerialSignal::open(SerialConfig::new(path)).expect("opens");
    signal.send(&Message::Alive { beat: 7 }).expect("there is room");
    drop(signal);
    assert_eq!(read_exactly(&mut controller, 7), b"\r\nP,7\r\n");
}

#[test]
fn commands_arrive_and_damaged_ones_are_errors() {
    let (mut controller, _line, path) = pair();
    let mut signal =
        SerialSignal::open(SerialConfig { wire: Wire::AsciiChecked, ..SerialConfig::new(path) }).expect("opens");
    controller.write_all(b"T,17*2A9C5AD0\r\nT,18*2A9C5AD0\r\nX*B7B2364B\r\n").expect("the line takes them");
    let mut events = Vec::new();
    wait_for(&mut signal, |event| {
        events.push(event.map_err(|error| error.to_string()));
        (events.len() == 3).then_some(())
    });
    assert_eq!(events[0], Ok(Message::Trigger { part: Some(17) }));
    assert!(events[1].as_ref().is_err_and(|error| error.contains("checksum")), "{:?}", events[1]);
    assert_eq!(events[2], Ok(Message::Reset));
}

#[test]
fn lost_commands_are_counted() {
    let (mut controller, _line, path) = pair();
    let mut signal = SerialSignal::open(SerialConfig { wire: Wire::Binary, ..SerialConfig::new(path) }).expect("opens");
    let mut encoder = mudenet_board::wire::Encoder::new(Wire::Binary);
    for part in 0..5 {
        let frame = encoder.encode(&Message::Ack { part });
        if part == 0 || part == 4 {
            controller.write_all(&frame).expect("the line takes it");
        }
    }
    assert_eq!(wait_for(&mut signal, Result::ok), Message::Ack { part: 0 });
    let lost = wait_for(&mut signal, |event| match event {
        Err(SignalError::Lost { count, .. }) => Some(count),
        _ => None,
    });
    assert_eq!(lost, 3);
    assert_eq!(wait_for(&mut signal, Result::ok), Message::Ack { part: 4 });
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_later_messages_are_refused() {
    let (controller, line, path) = pair();
    let mut signal = SerialSignal::open(SerialConfig::new(path.clone())).expect("opens");
    drop((controller, line));
    let error = wait_for(&mut signal, Result::err);
    assert!(matches!(error, SignalError::Io { .. }), "{error}");
    assert!(error.to_string().starts_with(&path), "{error}");
    let refused = signal.send(&Message::Reset);
    assert!(matches!(refused, Err(SignalError::Disconnected { .. })), "{refused:?}");
    let counters = signal.counters();
    assert_eq!((counters.failures, counters.discarded), (1, 1));
}

/// A caller that ever waited for the peer would never get through this loop.
#[test]
fn a_peer_that_does_not_read_is_a_deadline_error_and_never_blocks_the_caller() {
    let (_controller, _line, path) = pair();
    let config = SerialConfig { write_deadline: Duration::from_millis(20), ..SerialConfig::new(path) };
    let mut signal = SerialSignal::open(config).expect("opens");
    let (mut overflowed, mut sent) = (0u64, 0u64);
    let deadline = wait_for_sending(&mut signal, || Message::Alive { beat: 1 }, &mut sent, &mut overflowed);
    assert!(matches!(deadline, SignalError::Deadline { .. }), "{deadline}");
    let counters = signal.counters();
    assert!(overflowed > 0 && counters.overflowed == overflowed, "{counters:?}, {overflowed} seen");
    assert!(counters.written < sent, "the peer did not take all of {sent}: {counters:?}");
}

/// The same on the real loop: parts are judged and sorted as if nobody had to be told.
#[test]
fn a_line_whose_controller_does_not_read_goes_on() {
    let (_controller, _line, path) = pair();
    let config = SerialConfig { write_deadline: Duration::from_millis(20), ..SerialConfig::new(path) };
    let mut signal = SerialSignal::open(config).expect("opens");
    let _ = wait_for_sending(&mut signal, || Message::Alive { beat: 1 }, &mut 0, &mut 0);
    let rig = Rig { signal: Some(Box::new(signal)), ..Rig::new(10) };
    let done = rig.run(|part| Shot::Level(if part == 4 { 200 } else { 100 }));
    done.assert_safe();
    assert!(done.report.unsent >= 1, "{done:?}");
    assert!(done.counters().accepted >= 1, "{done:?}");
}

fn wait_for_sending(
    signal: &mut SerialSignal,
    message: impl Fn() -> Message,
    sent: &mut u64,
    overflowed: &mut u64,
) -> SignalError {
    for _ in 0..100_000 {
        for _ in 0..64 {
            match signal.send(&message()) {
                Ok(()) => *sent += 1,
                Err(SignalError::Overflow { .. }) => *overflowed += 1,
                Err(_) => {}
            }
        }
        while let Some(event) = signal.receive() {
            if let Err(error @ SignalError::Deadline { .. }) = event {
                return error;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no deadline error came");
}

#[test]
fn a_port_that_comes_back_is_opened_again_and_gets_no_old_results() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("line");
    let point_to = |target: &str| {
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(Path::new(target), &link).expect("a link");
    };
    let (controller, line, path) = pair();
    point_to(&path);
    let config = SerialConfig {
        reconnect: Duration::from_millis(100),
        write_deadline: Duration::from_millis(20),
        queue: 64,
        ..SerialConfig::new(link.to_str().expect("text"))
    };
    let mut signal = SerialSignal::open(config).expect("opens");
    let (mut sent, mut overflowed) = (0, 0);
    wait_for_sending(&mut signal, || Message::Ack { part: 1 }, &mut sent, &mut overflowed);
    let (mut controller2, _line2, path2) = pair();
    point_to(&path2);
    drop((controller, line));
    let mut arrived = false;
    for _ in 0..2000 {
        if signal.send(&Message::Ack { part: 2 }).is_ok() && controller2.bytes_to_read().is_ok_and(|n| n > 0) {
            arrived = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(arrived, "the new peer hears the box");
    let bytes = String::from_utf8(read_exactly(&mut controller2, 7)).expect("text");
    assert!(bytes.starts_with("\r\nA,2\r\n"), "{bytes:?}");
    assert!(!bytes.contains("A,1"), "{bytes:?}");
}

#[test]
fn a_missing_port_and_bad_settings_are_named() {
    let message = |config| SerialSignal::open(config).err().map(|error| error.to_string()).unwrap_or_default();
    let missing = message(SerialConfig::new("/dev/no-such-port"));
    assert!(missing.starts_with("/dev/no-such-port: cannot be opened: "), "{missing}");
    let queue = message(SerialConfig { queue: 0, ..SerialConfig::new("/dev/x") });
    assert_eq!(queue, "/dev/x: queue must be at least 1, got 0");
    let baud = message(SerialConfig { baud: 0, ..SerialConfig::new("/dev/x") });
    assert_eq!(baud, "/dev/x: baud must be at least 1, got 0");
    let deadline = message(SerialConfig { write_deadline: Duration::ZERO, ..SerialConfig::new("/dev/x") });
    assert_eq!(deadline, "/dev/x: write_deadline must be at least 1 ms, got 0ns");
}
