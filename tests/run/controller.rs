//! A controller at the other end of the serial line, and signals.

use super::firmware::Firmware;
use super::{station, write};
use mudenet_board::gate::{Delay, GateConfig, Wiring};
use mudenet_board::heartbeat::HeartbeatWatch;
use mudenet_board::wire::{Decoder, Message, Wire};
use mudenet_board::{Micros, millis};
use serialport::{SerialPort, TTYPort};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The program with a controller at the other end of its serial line.
struct Box {
    child: Child,
    controller: TTYPort,
    _line: TTYPort,
    decoder: Decoder,
}

impl Box {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, "checked-text", Wire::AsciiChecked)
    }

    fn start_with(folder: &Path, name: &str, wire: Wire) -> Self {
        let (mut controller, line) = TTYPort::pair().expect("a pseudo-terminal");
        controller.set_timeout(Duration::from_millis(20)).expect("set");
        let port = line.name().expect("its name");
        let table = format!(
            "[trigger]\nsource = \"serial\"\n[result]\nmode = \"latch\"\n[serial]\nport = \"{port}\"\nwire = \"{name}\"\n"
        );
        station(folder, &table);
        let child = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"))
            .args(["run", "--config", "box.toml", "--json"])
            .current_dir(folder)
            .env("NOTIFY_SOCKET", folder.join("notify"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut started = Self { child, controller, _line: line, decoder: Decoder::new(wire) };
        started.wait_for(|message| {
            matches!(message, Message::Heartbeat { state: mudenet_board::State::Ready, .. }).then_some(())
        });
        started
    }

    fn send(&mut self, message: &Message) {
        let bytes = mudenet_board::wire::Encoder::new(Wire::AsciiChecked).encode(message);
        self.controller.write_all(&bytes).expect("the line takes it");
    }

    fn read_bytes(&mut self) -> Vec<u8> {
        let mut bytes = [0; 256];
        let count = self.controller.read(&mut bytes).unwrap_or(0);
        bytes[..count].to_vec()
    }

    fn read(&mut self) -> Vec<Message> {
        let bytes = self.read_bytes();
        bytes.iter().filter_map(|byte| self.decoder.push(*byte)).flatten().map(|r| r.message).collect()
    }

    #[track_caller]
    fn wait_for<T>(&mut self, mut wanted: impl FnMut(&Message) -> Option<T>) -> T {
        for _ in 0..3000 {
            if let Some(found) = self.read().iter().find_map(&mut wanted) {
                return found;
            }
        }
        panic!("the message did not come");
    }

    #[track_caller]
    fn result(&mut self, part: u32) -> (mudenet_board::Verdict, u16) {
        // The box is ready again once the result before was strobed.
        std::thread::sleep(Duration::from_millis(100));
        self.send(&Message::Trigger { part: Some(part) });
        self.wait_for(|message| match message {
            Message::Result(result) if result.part() == part => Some((result.verdict(), result.recipe())),
            _ => None,
        })
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs").success());
    }

    fn end(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
        self.child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
        (self.child.wait().expect("it ends"), out, err)
    }
}

impl Drop for Box {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn a_controller_triggers_changes_the_recipe_and_stops_the_box() {
    use mudenet_board::Verdict::{Accept, Reject};
    let folder = tempfile::tempdir().expect("a folder");
    let mut started = Box::start(folder.path());
    let verdicts: Vec<_> = (50..54).map(|part| started.result(part)).collect();
    assert_eq!(verdicts, [(Accept, 1), (Reject, 1), (Accept, 1), (Reject, 1)]);
    // Garbage is counted and passed over.
    started.controller.write_all(b"R,1,OK,0.1,1\r\n\xff\xfeT,99*00000000\r\n").expect("the line takes it");
    started.wait_for(|message| matches!(message, Message::Error(mudenet_board::ErrorCode::LineFault)).then_some(()));
    started.send(&Message::ChangeRecipe { number: 9 });
    let loaded = started.wait_for(|message| match message {
        Message::Recipe { number: 9, loaded } => Some(*loaded),
        _ => None,
    });
    assert!(!loaded);
    started.send(&Message::Reset);
    assert_eq!(started.result(60).0, Accept);
    started.signal("TERM");
    let (status, out, err) = started.end();
    assert!(status.success(), "{status} {err}");
    let report: serde_json::Value = serde_json::from_str(out.lines().last().expect("a report")).expect("JSON");
    assert_eq!((report["accepted"].as_u64(), report["rejected"].as_u64()), (Some(3), Some(2)), "{report}");
    assert!(err.contains("recipe 9 is not in [recipes.files]"), "{err}");
    let next = std::fs::read_to_string(folder.path().join("state/next-part")).expect("kept");
    assert_eq!(next.trim(), "6");
}

/// systemd's side of `Type=notify` and `WatchdogSec`, as in its manual page sd_notify(3).
#[test]
fn the_service_manager_hears_of_start_life_and_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let systemd = std::os::unix::net::UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
    systemd.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let hear = || {
        let mut text = [0; 512];
        let count = systemd.recv(&mut text).expect("it says something");
        String::from_utf8_lossy(&text[..count]).into_owned()
    };
    let started = Box::start(folder.path());
    assert_eq!(hear().trim(), "READY=1");
    let alive: Vec<String> = (0..3).map(|_| hear()).collect();
    for said in &alive {
        assert!(said.lines().any(|line| line == "WATCHDOG=1"), "{said}");
        assert!(said.lines().any(|line| line.starts_with("STATUS=")), "{said}");
    }
    assert!(alive.iter().any(|said| said.contains("STATUS=Ready")), "{alive:?}");
    started.signal("TERM");
    let (status, _, err) = started.end();
    assert!(status.success(), "{status} {err}");
    let mut last = hear();
    while last.contains("WATCHDOG=1") {
        last = hear();
    }
    assert_eq!(last.trim(), "STOPPING=1");
}

#[test]
fn a_hangup_reads_the_recipes_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut started = Box::start(folder.path());
    assert_eq!(started.result(1).0, mudenet_board::Verdict::Accept);
    // Below every score: all is rejected.
    write(folder.path(), "part.toml", "name = \"part\"\nmodel = \"part.onnx\"\nthreshold = -1.0\n");
    started.signal("HUP");
    started.wait_for(|message| matches!(message, Message::Recipe { number: 1, loaded: true }).then_some(()));
    for part in 2..6 {
        assert_eq!(started.result(part).0, mudenet_board::Verdict::Reject);
    }
    write(folder.path(), "part.toml", "name = 7");
    started.signal("HUP");
    write(folder.path(), "box.toml", "nonsense");
    started.signal("HUP");
    assert_eq!(started.result(6).0, mudenet_board::Verdict::Reject, "the recipe of before stays");
    started.signal("INT");
    let (status, _, err) = started.end();
    assert!(status.success(), "{status} {err}");
    assert!(err.contains("not reloaded: "), "{err}");
}

/// The gate's microcontroller (`board/examples/reject_gate`) rejects from then on.
#[test]
fn a_box_that_is_killed_falls_silent_and_counts_as_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut started = Box::start(folder.path());
    started.signal("KILL");
    let _ = started.child.wait();
    let mut watch = HeartbeatWatch::new(millis(1000));
    // What was still in the line counts as if it came now.
    for message in started.read() {
        if let Message::Heartbeat { beat, .. } = message {
            watch.beat(beat, 0);
        }
    }
    for _ in 0..10 {
        assert_eq!(started.read(), vec![]);
    }
    assert!(watch.lost(millis(3000)));
}

/// The firmware of the gate's microcontroller at the other end of the line, in a time of its own.
struct Gate {
    firmware: Firmware,
    now: Micros,
}

impl Gate {
    const DELAY: Micros = millis(5000);

    /// A part comes to the sensor and the box answers for it.
    fn part(&mut self, started: &mut Box) -> mudenet_board::Verdict {
        std::thread::sleep(Duration::from_millis(100));
        let mut asked = Vec::new();
        self.firmware.sensor(true, self.now, &mut |bytes| asked.extend_from_slice(bytes));
        self.now += millis(2);
        self.firmware.tick(self.now, &mut |bytes| asked.extend_from_slice(bytes));
        self.firmware.sensor(false, self.now, &mut |_| {});
        started.controller.write_all(&asked).expect("the line takes it");
        self.listen(started, |message| match message {
            Message::Result(result) => Some(result.verdict()),
            _ => None,
        })
    }

    /// Hands the box's bytes to the firmware until one of its messages is the one wanted.
    #[track_caller]
    fn listen<T>(&mut self, started: &mut Box, mut wanted: impl FnMut(&Message) -> Option<T>) -> T {
        for _ in 0..3000 {
            let bytes = started.read_bytes();
            bytes.iter().for_each(|byte| self.firmware.byte(*byte, self.now));
            let messages = bytes.iter().filter_map(|byte| started.decoder.push(*byte)).flatten();
            if let Some(found) = messages.map(|received| received.message).find_map(|message| wanted(&message)) {
                return found;
            }
        }
        panic!("the message did not come");
    }

    /// Whether the gate opens for the part that came `ago` before now.
    fn opens_after(&mut self, time: Micros) -> bool {
        self.now += time;
        self.firmware.tick(self.now, &mut |_| {});
        self.firmware.output()
    }
}

/// Box and microcontroller are the real ones, the serial line is a pseudo-terminal.
#[test]
fn the_gate_of_a_killed_box_falls_to_reject() {
    use mudenet_board::Verdict::Accept;
    let folder = tempfile::tempdir().expect("a folder");
    let mut started = Box::start_with(folder.path(), "binary", Wire::Binary);
    let config = GateConfig {
        delay: Delay::Time { delay: Gate::DELAY, pitch: millis(200) },
        pulse: millis(50),
        wiring: Wiring::AcceptPulse,
    };
    let mut gate = Gate { firmware: Firmware::new(config, 1, 0).expect("it fits"), now: millis(10_000) };
    let beat = |message: &Message| matches!(message, Message::Heartbeat { .. }).then_some(());
    gate.listen(&mut started, beat);
    assert_eq!(gate.part(&mut started), Accept);
    // Good parts pass while the heart beats: one beat a second, five seconds to the gate.
    for _ in 0..4 {
        assert!(!gate.opens_after(Gate::DELAY / 5));
        gate.listen(&mut started, beat);
    }
    assert!(gate.opens_after(Gate::DELAY / 5));
    gate.now += millis(100);
    assert_eq!(gate.part(&mut started), mudenet_board::Verdict::Reject);
    gate.now += millis(1000);
    assert_eq!(gate.part(&mut started), Accept);
    started.signal("KILL");
    let _ = started.child.wait();
    for byte in started.read_bytes() {
        gate.firmware.byte(byte, gate.now);
    }
    assert!(!gate.opens_after(Gate::DELAY - millis(1)), "the heartbeat is lost");
    assert!(!gate.opens_after(millis(1)), "the good part is rejected too");
    assert_eq!(gate.firmware.rejected, 2);
}
