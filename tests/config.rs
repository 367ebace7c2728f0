//! Every rule of `box.toml`, by the key and the rule that its breach names.

use mudenet_edge::config::{CameraSource, Config, ConfigError};
use mudenet_edge::run::station::InputLine;
use mudenet_edge::signal::OutputLine;
use std::path::Path;

const GOOD: &str = r#"
[box]
name = "station 3"
profile = "raspberry-pi-4"

[camera]
device = "/dev/v4l/by-path/platform-usb-0:1:1.0-video-index0"
width = 640
height = 480
format = "yuyv"

[camera.controls]
exposure_time_absolute = 50

[trigger]
source = "gpio"

[gate]
wiring = "accept-pulse"
delay_ms = 800
pitch_ms = 100
pulse_ms = 50

[inputs]
trigger = { pin = 11, bias = "pull-down" }
reset = { chip = "/dev/gpiochip1", line = 3, active = "low" }

[outputs]
ready = { pin = 13 }
gate = { pin = 15 }
ok = { pin = 16 }

[serial]
port = "/dev/ttyS0"
wire = "checked-text"

[recipes]
start = 1
files = { 1 = "bottle.toml", 2 = "cap.toml" }
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/box/box.toml"))
}

#[track_caller]
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the file");
    GOOD.replacen(from, to, 1)
}

#[test]
fn a_good_file_is_understood() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.name, "station 3");
    let wire = &config.inputs[&InputLine::Trigger];
    assert_eq!((wire.chip.as_str(), wire.line, wire.active_low), ("pinctrl-bcm2711", 17, false));
    assert_eq!(wire.debounce.as_micros(), 1000);
    let reset = &config.inputs[&InputLine::Reset];
    assert_eq!((reset.chip.as_str(), reset.line, reset.active_low), ("/dev/gpiochip1", 3, true));
    assert_eq!(config.outputs[&OutputLine::Gate].line, 22);
    assert_eq!(config.recipes[&2], Path::new("/etc/box/cap.toml"));
    let CameraSource::Device(device) = &config.camera.source else { panic!("a device") };
    assert_eq!((&device.format, device.controls["exposure_time_absolute"]), (b"YUYV", 50));
    // A driver that hands out one picture again and again is noticed at the second part.
    assert_eq!(config.camera.check.frozen, Some(1));
    // The inspection ends at the latest when the part is at the gate.
    assert_eq!(config.line.station.machine.inspect_timeout, 800_000);
    assert_eq!(config.line.station.machine.recipe_timeout, 30_000_000);
    let patient = parse(&changed("[recipes]", "[recipes]\nload_timeout_s = 120")).unwrap();
    assert_eq!(patient.line.station.machine.recipe_timeout, 120_000_000);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn peers_of_the_plant_are_checked_by_key_and_rule() {
    let with = |table: &str| parse(&GOOD.replace("[recipes]", &format!("{table}\n[recipes]")));
    let good = "[modbus]\n[metrics]\n[mqtt]\nbroker = \"mqtt://broker:1884\"\nuser = \"a\"\npassword_file = \"p\"\noutbox = \"o\"\n\
                [webhook]\nurl = \"http://plant/hook\"\noutbox = \"/o\"";
    let config = with(good).unwrap();
    assert_eq!(config.modbus.unwrap().bind, ([127, 0, 0, 1], 1502).into());
    assert_eq!(config.metrics.unwrap().bind, ([127, 0, 0, 1], 9464).into());
    let mqtt = config.mqtt.unwrap();
    assert_eq!((mqtt.host.as_str(), mqtt.port, mqtt.tls, mqtt.node.as_str()), ("broker", 1884, false, "station-3"));
    assert_eq!(mqtt.login, Some(("a".into(), Some("/etc/box/p".into()))));
    assert_eq!(
        (mqtt.outbox.as_path(), config.webhook.unwrap().outbox.as_path()),
        (Path::new("/etc/box/o"), Path::new("/o"))
    );
    for (table, key, rule) in [
        ("[modbus]\nport = 502", "box.toml: line", "unknown field `port`"),
        ("[modbus]\nconnections = 0", "modbus.connections", "must be 1–64"),
        ("[modbus]\nidle_s = 0", "modbus.idle_s", "must be 1–3600"),
        ("[modbus]\nbind = \"0.0.0.0:1502\"\ncontrol = true", "modbus.control", "modbus.clients"),
        ("[metrics]\nbind = \"here\"", "box.toml: line", "socket address"),
        ("[mqtt]\nbroker = \"broker\"\noutbox = \"o\"", "mqtt.broker", "expected mqtt://HOST"),
        ("[mqtt]\nbroker = \"mqtt://b\"", "mqtt.outbox", "box.state must be set"),
        ("[mqtt]\nbroker = \"mqtts://b\"\noutbox = \"o\"", "mqtt.ca", "authority"),
        ("[mqtt]\nbroker = \"mqtt://b\"\noutbox = \"o\"\nca = \"ca.pem\"", "mqtt.broker", "are for mqtts://"),
        ("[mqtt]\nbroker = \"mqtt://b\"\noutbox = \"o\"\nkey = \"k\"", "mqtt.certificate", "need each other"),
        ("[mqtt]\nbroker = \"mqtt://b\"\noutbox = \"o\"\npassword_file = \"p\"", "mqtt.password_file", "mqtt.user"),
        ("[mqtt]\nbroker = \"mqtt://b\"\noutbox = \"o\"\nnode = \"a/b\"", "mqtt.node", "without /"),
        ("[mqtt]\nbroker = \"mqtt://b\"\noutbox = \"o\"\npayload = \"xml\"", "box.toml: line", "unknown variant `xml`"),
        ("[mqtt]\nbroker = \"mqtt://b\"\noutbox = \"o\"\nkeep_alive_s = 0", "mqtt.keep_alive_s", "1–3600"),
        ("[webhook]\nurl = \"ftp://b\"\noutbox = \"o\"", "webhook.url", "expected http://HOST/PATH"),
        ("[webhook]\nurl = \"http://b\"\noutbox = \"o\"\nevents = []", "webhook.events", "nothing"),
        ("[webhook]\nurl = \"http://b\"\noutbox = \"o\"\ntimeout_ms = 1", "webhook.timeout_ms", "100–60000"),
        ("[webhook]\nurl = \"http://b\"", "webhook.outbox", "box.state must be set"),
    ] {
        let error = with(table).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(rule), "{table}: {error}");
    }
    let modbus = |table: &str| parse(&changed("source = \"gpio\"", &format!("source = \"modbus\"\n{table}")));
    assert!(modbus("[modbus]").unwrap_err().to_string().contains("trigger.source: modbus needs"));
    assert!(modbus("[modbus]\ncontrol = true").is_ok());
}

#[test]
fn every_rule_names_its_key() {
    for (from, to, key, rule) in [
        ("pulse_ms = 50", "pulse_ms = 100", "gate.pulse_ms", "shorter than gate.pitch_ms (100)"),
        ("pulse_ms = 50", "pulse_ms = 9", "gate.pulse_ms", "must be 10–495, got 9"),
        ("pulse_ms = 50", "queue = 8", "gate.queue", "must hold the 9 parts"),
        ("pulse_ms = 50", "queue = 257", "gate.queue", "must be 1–256"),
        ("pulse_ms = 50", "confirm_ms = 100", "gate.confirm_ms", "needs inputs.reject-confirm"),
        ("delay_ms = 800", "delay_ms = 0", "gate.delay_ms", "behind the camera"),
        (
            "source = \"gpio\"",
            "source = \"gpio\"\ndelay_ms = 800",
            "gate.delay_ms",
            "the gate would be before the camera",
        ),
        ("[gate]", "[result]\ntimeout_ms = 801\n[gate]", "result.timeout_ms", "must be at most gate.delay_ms (800)"),
        ("[gate]", "[result]\nwidth_ms = 98\n[gate]", "result.width_ms", "must be less than gate.pitch_ms (100)"),
        ("[gate]", "[result]\nwidth_ms = 500\n[gate]", "result.width_ms", "must be 10–495"),
        ("[gate]", "[result]\ndata_to_strobe_ms = 0\n[gate]", "result.data_to_strobe_ms", "must be 1–1000"),
        ("delay_ms = 800\npitch_ms = 100", "delay_ms = 800", "gate", "needs either delay_ms and pitch_ms"),
        ("delay_ms = 800\npitch_ms = 100", "counts = 800\npitch_counts = 100", "gate.counts", "needs inputs.encoder"),
        ("ready = { pin = 13 }", "ready = { pin = 11 }", "outputs.ready", "is already inputs.trigger"),
        ("ready = { pin = 13 }", "ready = { pin = 15 }", "outputs.gate", "is already outputs.ready"),
        (
            "ready = { pin = 13 }",
            "ready = { pin = 14 }",
            "outputs.ready.pin",
            "pin 14 of the Raspberry Pi 4 Model B is not",
        ),
        ("ready = { pin = 13 }", "ready = { chip = \"x\" }", "outputs.ready", "either pin, or chip and line"),
        ("ready = { pin = 13 }", "recipe-ack = { pin = 11 }", "outputs.recipe-ack", "is already inputs.trigger"),
        ("pulse_ms = 50", "stopped_after_ms = 500", "gate.stopped_after_ms", "needs gate.counts"),
        ("pulse_ms = 50", "confirm_ms = 0", "gate.confirm_ms", "must be 1–60000"),
        (
            "delay_ms = 800",
            "counts = 800\npitch_counts = 100\nstopped_after_ms = 1",
            "gate.stopped_after_ms",
            "must be 10–600000",
        ),
        (
            "delay_ms = 800\npitch_ms = 100\npulse_ms = 50",
            "counts = 800\npitch_counts = 100\npitch_ms = 50",
            "gate.pulse_ms",
            "shorter than gate.pitch_ms (50)",
        ),
        (
            "[inputs]",
            "[inputs]\npart-present = { pin = 18 }",
            "inputs.part-present",
            "needs trigger.source interval or free-run",
        ),
        ("[inputs]", "[inputs]\nencoder-b = { pin = 18 }", "inputs.encoder-b", "needs inputs.encoder on the same chip"),
        (
            "[inputs]",
            "[inputs]\nencoder = { chip = \"gpiochip7\", line = 1 }\nencoder-b = { pin = 18 }",
            "inputs.encoder-b",
            "needs inputs.encoder on the same chip",
        ),
        (
            "source = \"gpio\"",
            "source = \"gpio\"\ndelay_ms = 801",
            "trigger.delay_ms",
            "must be less than the 800 ms that a result may take",
        ),
        (
            "device = \"/dev/v4l/by-path/platform-usb-0:1:1.0-video-index0\"\nwidth = 640\nheight = 480\nformat = \"yuyv\"",
            "folder = \"p\"\ncheck = { lost = 1 }",
            "camera.check.lost",
            "needs camera.device",
        ),
        ("width = 640", "width = 640\nlost_ms = 1", "camera.lost_ms", "must be 10–600000"),
        ("width = 640", "width = 640\nfps = 0", "camera.fps", "must be 1–10000"),
        ("gate = { pin = 15 }", "", "gate", "needs outputs.gate"),
        ("profile = \"raspberry-pi-4\"", "profile = \"pi\"", "box.profile", "expected one of"),
        ("profile = \"raspberry-pi-4\"", "", "inputs.trigger.pin", "a header pin needs box.profile"),
        (
            "profile = \"raspberry-pi-4\"",
            "profile = \"raspberry-pi-4\"\nrealtime_priority = 100",
            "box.realtime_priority",
            "1–99",
        ),
        (
            "profile = \"raspberry-pi-4\"",
            "profile = \"raspberry-pi-4\"\ncores = []",
            "box.cores",
            "one or more different numbers of 0 to 1023, got []",
        ),
        (
            "profile = \"raspberry-pi-4\"",
            "profile = \"raspberry-pi-4\"\ncores = [2, 3, 2]",
            "box.cores",
            "one or more different numbers of 0 to 1023, got [2, 3, 2]",
        ),
        ("profile = \"raspberry-pi-4\"", "profile = \"raspberry-pi-4\"\ncores = [1024]", "box.cores", "got [1024]"),
        ("trigger = { pin = 11, bias = \"pull-down\" }", "", "trigger.source", "gpio needs inputs.trigger"),
        ("bias = \"pull-down\"", "debounce_us = 5001", "inputs.trigger.debounce_us", "must be 0–5000"),
        ("[inputs]", "[inputs]\nrecipe-strobe = { pin = 18 }", "inputs.recipe-strobe", "need each other"),
        (
            "[inputs]",
            "[inputs]\nrecipe-strobe = { pin = 18 }\nrecipe-bits = [{ pin = 22 }]",
            "recipes.files.2",
            "cannot be told by the 1 lines",
        ),
        ("start = 1", "start = 3", "recipes.start", "recipe 3 is not in"),
        ("1 = \"bottle.toml\"", "one = \"bottle.toml\"", "recipes.files.one", "expected a number"),
        ("source = \"gpio\"", "source = \"interval\"\ninterval_ms = 10001", "trigger.interval_ms", "must be 0–10000"),
        ("format = \"yuyv\"", "", "camera.device", "needs width, height and format"),
        ("width = 640", "width = 640\nfolder = \"p\"", "camera", "needs either device or folder"),
        ("width = 640", "width = 640\ntimeout_ms = 0", "camera.timeout_ms", "must be 1–60000"),
        ("[recipes]", "[recipes]\nload_timeout_s = 0", "recipes.load_timeout_s", "must be 1–600, got 0"),
        ("[recipes]", "[recipes]\nload_timeout_s = 601", "recipes.load_timeout_s", "must be 1–600, got 601"),
        ("[camera.controls]", "[camera.check]\ndark = 1.5\n[camera.controls]", "camera.check.dark", "must be 0–1"),
        ("[camera.controls]", "[camera.check]\nfrozen = 0\n[camera.controls]", "camera.check.frozen", "at least 1"),
        ("wire = \"checked-text\"", "baud = 1", "serial.baud", "must be 300–4000000"),
        ("wire = \"checked-text\"", "queue = 0", "serial.queue", "must be 1–4096"),
        (
            "wire = \"checked-text\"",
            "controller_heartbeat_ms = 1",
            "serial.controller_heartbeat_ms",
            "must be 10–60000",
        ),
    ] {
        let error = parse(&changed(from, to)).unwrap_err().to_string();
        assert!(error.starts_with("/etc/box/box.toml: "), "{error}");
        assert!(error.contains(&format!("{key}: ")) && error.contains(rule), "{to:?} gives {error}");
    }
}

#[test]
fn what_a_controller_needs_is_asked_for() {
    let serial = "[serial]\nport = \"/dev/ttyS0\"\nwire = \"checked-text\"\n";
    let without = changed(serial, "");
    for (text, rule) in [
        (without.replace("source = \"gpio\"", "source = \"serial\""), "trigger.source: serial needs a [serial] table"),
        (without.replace("[gate]", "[result]\nmode = \"ack\"\n[gate]"), "result.mode: ack needs inputs.ack or"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(rule), "{error}");
    }
}

#[test]
fn unknown_keys_and_values_are_told_with_their_line() {
    let error = parse(&changed("pulse_ms = 50", "puls_ms = 50")).unwrap_err().to_string();
    assert!(
        error.starts_with("/etc/box/box.toml: line 22: unknown field `puls_ms`, expected one of `wiring`"),
        "{error}"
    );
    let error = parse(&changed("\"accept-pulse\"", "\"pulse\"")).unwrap_err().to_string();
    assert!(error.contains("line 19: unknown variant `pulse`, expected `accept-pulse` or `reject-pulse`"), "{error}");
    let error = parse("[box\nname").unwrap_err().to_string();
    assert!(error.contains("line 1: "), "{error}");
    let missing = Config::load(Path::new("/no/such/box.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("/no/such/box.toml: cannot be read: "), "{missing}");
}

#[test]
fn several_mistakes_are_told_at_once() {
    let text = changed("pulse_ms = 50", "pulse_ms = 200").replace("start = 1", "start = 9");
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.contains("gate.pulse_ms: ") && error.contains("; recipes.start: "), "{error}");
}

#[test]
fn what_is_unusual_is_warned_of() {
    let text = changed("accept-pulse", "reject-pulse").replace("checked-text", "text");
    let warnings = parse(&text.replace("pulse_ms = 50", "pulse_ms = 15")).unwrap().warnings;
    for key in ["gate.wiring: ", "serial.wire: ", "gate.pulse_ms: "] {
        assert!(warnings.iter().any(|warning| warning.starts_with(key)), "{key} not in {warnings:?}");
    }
}

/// The files that the README tells people to copy.
#[test]
fn the_examples_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("board");
    let config = Config::load(&folder.join("box.toml")).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.recipes[&1], folder.join("bottle.toml"));
    let recipe = mudenet_edge::recipe::Recipe::load(&folder.join("recipe.toml")).unwrap();
    assert_eq!(recipe.model, folder.join("bottle.onnx"));
    // The lines that are commented out are good ones too.
    let text = std::fs::read_to_string(folder.join("recipe.toml")).unwrap().replace("\n# ", "\n");
    let copy = tempfile::tempdir().unwrap();
    std::fs::write(copy.path().join("recipe.toml"), text).unwrap();
    let recipe = mudenet_edge::recipe::Recipe::load(&copy.path().join("recipe.toml")).unwrap();
    assert_eq!((recipe.threshold, recipe.region.map(|region| region.right())), (Some(1.2), Some(840)));
}
