//! `mudenet-edge run` as a site starts it: its file, a simulated line, a controller on a serial line, signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod common;
#[allow(dead_code, reason = "the test takes what it needs")]
#[path = "../board/examples/reject_gate/firmware.rs"]
mod firmware;

use common::{good, run, spotted};
use firmware::Firmware;
use mudenet_board::gate::{Delay, GateConfig, Wiring};
use mudenet_board::heartbeat::HeartbeatWatch;
use mudenet_board::wire::{Decoder, Message, Wire};
use mudenet_board::{Micros, millis};
use mudenet_edge::decide::Verdict;
use mudenet_edge::record::journal::{Records, Selection};
use serialport::{SerialPort, TTYPort};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A station with pictures good, bad, good, bad …
fn station(folder: &Path, extra: &str) {
    common::bundle().save(&folder.join("part.onnx")).expect("written");
    std::fs::create_dir_all(folder.join("pictures")).expect("made");
    for i in 0..4 {
        let picture = if i % 2 == 0 { good(80, 80) } else { spotted(80, 80, (40, 40), 24, 0) };
        picture.save(folder.join(format!("pictures/{i}.png"))).expect("written");
    }
    write(folder, "part.toml", "name = \"part\"\nmodel = \"part.onnx\"\nregion = [8, 8, 64, 64]\n");
    write(folder, "box.toml", &format!("{BOX}{extra}"));
}

const BOX: &str = r#"
[box]
name = "test"
state = "state"
[camera]
folder = "pictures"
[recipes]
start = 1
files = { 1 = "part.toml" }
"#;

const GATE: &str = r#"
[trigger]
source = "gpio"
[result]
mode = "latch"
[inputs]
trigger = { chip = "gpiochip0", line = 1 }
[outputs]
gate = { chip = "gpiochip0", line = 2 }
[gate]
wiring = "accept-pulse"
delay_ms = 400
pitch_ms = 200
pulse_ms = 150
"#;

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
}

#[test]
fn a_simulated_line_says_where_every_part_went() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), GATE);
    let arguments =
        ["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "8", "--pitch-ms", "400", "--json"];
    let done = run(folder.path(), &arguments);
    assert_eq!(done.code, 0, "{done:?}");
    let line = done.stdout.lines().last().expect("a report");
    let report: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let outcome = &report["outcome"];
    assert_eq!((outcome["parts"].as_u64(), outcome["escaped"].as_u64()), (Some(8), Some(0)), "{report}");
    let of = |key: &str| outcome[key].as_u64().expect("a number");
    assert_eq!(of("good") + of("good_rejected"), report["accepted"].as_u64().expect("a number"), "{report}");
    assert!(of("good") >= 1 && of("rejected") >= 1, "{report}");
    let readable = run(folder.path(), &arguments[..9]);
    assert!(readable.stdout.contains("left the line, of 8 parts:"), "{readable:?}");
}

#[test]
fn every_part_of_a_simulated_line_is_in_its_record() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), &format!("{GATE}[record]\nfolder = \"record\"\ngood = 1\n"));
    let result = run(folder.path(), &["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "8"]);
    assert_eq!(result.code, 0, "{}", result.stderr);
    let records = Records::open(&folder.path().join("record/simulated")).expect("a record");
    let entries = records.last(100, &Selection::default()).expect("read");
    let parts: Vec<(u32, Verdict)> = entries.iter().map(|entry| (entry.part, entry.verdict)).collect();
    let expected = |part: u32| if part % 2 == 1 { Verdict::Accept } else { Verdict::Reject };
    assert_eq!(parts, (1..=8).map(|part| (part, expected(part))).collect::<Vec<_>>());
    for entry in entries {
        assert_eq!((entry.recipe.as_str(), entry.model.len(), entry.threshold), ("part", 64, common::THRESHOLD));
        assert!(entry.score.is_some_and(|score| (score > common::THRESHOLD) == (entry.verdict == Verdict::Reject)));
        assert!(entry.total_ms >= entry.inspect_ms && entry.inspect_ms > Some(0.0) && entry.sharpness.is_some());
        // What is kept is what was inspected: the recipe's region.
        let picture = image::open(records.folder().join(entry.image.expect("kept"))).expect("a picture");
        assert_eq!((picture.width(), picture.height()), (64, 64));
        assert_eq!(entry.map.is_some(), entry.verdict == Verdict::Reject);
    }
}

#[test]
fn the_record_of_a_recipe_with_zones_holds_their_scores() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), &format!("{GATE}[record]\nfolder = \"record\"\n"));
    let recipe = "name = \"part\"\nmodel = \"part.onnx\"\nregion = [8, 8, 64, 64]\n\
                  [[zone]]\nname = \"seal\"\narea = [24, 24, 32, 32]\nthreshold = 1.5\n";
    write(folder.path(), "part.toml", recipe);
    let result = run(folder.path(), &["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "4"]);
    assert_eq!(result.code, 0, "{}", result.stderr);
    let records = Records::open(&folder.path().join("record/simulated")).expect("a record");
    let entries = records.last(100, &Selection::default()).expect("read");
    assert!(entries.iter().any(|entry| entry.verdict == Verdict::Reject));
    for entry in entries {
        let (rest, zone) = (entry.rest.expect("a score"), entry.zones["seal"]);
        assert_eq!(rest > common::THRESHOLD || zone > 1.5, entry.verdict == Verdict::Reject, "{rest} {zone}");
        let moved = zone + (common::THRESHOLD - 1.5);
        assert!((entry.score.expect("a score") - rest.max(moved)).abs() < 1e-5, "{rest} {zone}");
        assert_eq!(entry.zone.as_deref(), (moved > rest).then_some("seal"));
    }
    let shown = run(folder.path(), &["records", "record/simulated", "--verdict", "reject"]);
    assert!(shown.stdout.contains("seal: structural"), "{shown:?}");
}

#[test]
fn a_record_that_cannot_be_kept_is_refused_by_key() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), &format!("{GATE}[record]\nfolder = \"record\"\nmax_days = 0\n"));
    let result = run(folder.path(), &["run", "--config", "box.toml", "--check"]);
    assert_eq!(result.code, 2);
    assert!(result.stderr.contains("box.toml: record.max_days: must be at least 1, got 0"), "{}", result.stderr);
}

#[test]
fn a_soak_has_faults_and_no_part_escapes() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), GATE);
    let soak = |time| {
        run(
            folder.path(),
            &["run", "--config", "box.toml", "--simulate", "pictures", "--soak", time, "--pitch-ms", "250", "--json"],
        )
    };
    let done = soak("5s");
    assert_eq!(done.code, 0, "{done:?}");
    let report: serde_json::Value = serde_json::from_str(done.stdout.lines().last().expect("a report")).expect("JSON");
    assert_eq!((report["outcome"]["parts"].as_u64(), report["outcome"]["escaped"].as_u64()), (Some(20), Some(0)));
    let wrong = soak("5");
    assert!(wrong.code == 2 && wrong.stderr.contains("expected a time such as 90s, 30m or 8h"), "{wrong:?}");
}

#[test]
fn check_loads_everything_and_opens_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), GATE);
    let check = || run(folder.path(), &["run", "--config", "box.toml", "--check"]);
    let fine = check();
    assert_eq!(fine.code, 0, "{fine:?}");
    assert!(fine.stdout.starts_with("recipe 1: part, threshold 1\n"), "{fine:?}");
    for (recipe, parts) in [
        ("name = \"part\"\nmodel = \"gone.onnx\"\n", ["gone.onnx: cannot be read", ""]),
        ("name = \"part\"\nmodel = \"part.onnx\"\nsha256 = \"00\"\n", ["part.toml: sha256: ", "expected 00"]),
        ("name = \"part\"\nmodel = \"part.onnx\"\nregion = [0, 0, 8, 8]\n", ["part.toml: region: ", "too small"]),
        ("name = \"part\"\nmodle = \"part.onnx\"\n", ["part.toml: line 2: ", "unknown field `modle`"]),
        ("name = \"part\"\nmodel = \"part.onnx\"\nthreshold = nan\n", ["part.toml: threshold: ", "finite"]),
        ("name = \"part\"\nmodel = \"part.onnx\"\nignore = \"part.toml\"\n", ["part.toml: ", "not a readable picture"]),
    ] {
        write(folder.path(), "part.toml", recipe);
        check().assert_error(&parts);
    }
    write(folder.path(), "part.toml", "name = \"part\"\nmodel = \"part.onnx\"\nignore = \"white.png\"\n");
    image::GrayImage::from_pixel(32, 32, image::Luma([255])).save(folder.path().join("white.png")).expect("written");
    check().assert_error(&["part.toml: ignore: ", "ignores the whole picture"]);
    write(folder.path(), "box.toml", &format!("{BOX}{}", GATE.replace("pulse_ms = 150", "pulse_ms = 200")));
    check().assert_error(&["box.toml: gate.pulse_ms: must be shorter than gate.pitch_ms (200)"]);
    run(folder.path(), &["run", "--config", "no.toml"]).assert_error(&["no.toml: cannot be read"]);
}

/// What the mask covers is not looked at: the same pictures all pass.
#[test]
fn a_defect_under_the_mask_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    station(folder.path(), GATE);
    let mask = image::GrayImage::from_fn(64, 64, |x, y| {
        image::Luma([if (16..48).contains(&x) && (16..48).contains(&y) { 255 } else { 0 }])
    });
    mask.save(folder.path().join("mask.png")).expect("written");
    write(
        folder.path(),
        "part.toml",
        "name = \"part\"\nmodel = \"part.onnx\"\nregion = [8, 8, 64, 64]\nignore = \"mask.png\"\n",
    );
    let arguments =
        ["run", "--config", "box.toml", "--simulate", "pictures", "--parts", "4", "--pitch-ms", "400", "--json"];
    let done = run(folder.path(), &arguments);
    let report: serde_json::Value = serde_json::from_str(done.stdout.lines().last().expect("a report")).expect("JSON");
    assert_eq!((report["accepted"].as_u64(), report["rejected"].as_u64()), (Some(4), Some(0)), "{report}");
}

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

#[test]
fn a_missing_port_or_chip_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    station(
        folder.path(),
        "[trigger]\nsource = \"serial\"\n[serial]\nport = \"/dev/no-such-port\"\nwire = \"binary\"\n",
    );
    run(folder.path(), &["run", "--config", "box.toml"])
        .assert_error(&["serial.port: /dev/no-such-port: cannot be opened"]);
    station(folder.path(), GATE);
    for command in ["run", "safe"] {
        run(folder.path(), &[command, "--config", "box.toml"])
            .assert_error(&["outputs: gpiochip0: cannot be opened: "]);
    }
}
