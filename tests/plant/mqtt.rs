use super::broker::Broker;
use super::common::{good, spotted};
use super::rig::{FIRST, Kind, Rig, Steps};
use super::{Heard, Running, assert_undisturbed, in_turn, listen, python, wait_until};
use mudenet_edge::config::{MqttConfig, Payload};
use mudenet_edge::plant::mqtt::Mqtt;
use mudenet_edge::plant::{Counts, Ending};
use mudenet_edge::run::Feed;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::spawn;

pub(super) fn config(port: u16, outbox: &Path, node: &str) -> MqttConfig {
    MqttConfig {
        host: "127.0.0.1".to_owned(),
        port,
        tls: false,
        payload: Payload::Json,
        group: "plant".to_owned(),
        node: node.to_owned(),
        login: None,
        ca: None,
        identity: None,
        keep_alive_s: 5,
        state_s: 1,
        outbox: outbox.to_owned(),
        outbox_mib: 1,
    }
}

/// Adds a publisher to a line, which waits for it to end.
pub(super) fn publish(rig: &mut Rig, config: &MqttConfig, counts: &Arc<Counts>) -> Waits {
    let mqtt = Mqtt::open(config, "line 1", true, Arc::clone(counts), Heard::default().say()).unwrap();
    rig.sinks.push(mqtt.sink());
    let waits = Waits::default();
    let late = waits.clone();
    rig.meets.push(Box::new(move |line| *late.0.lock().unwrap() = Some(mqtt.start(line.feed()).unwrap())));
    waits
}

/// For the publisher to have said goodbye and let go of its outbox.
#[derive(Clone, Default)]
pub(super) struct Waits(Arc<Mutex<Option<Ending>>>);

impl Waits {
    pub(super) fn end(&self) {
        self.0.lock().unwrap().take().expect("it was started").wait(super::PATIENCE);
    }
}

#[test]
fn an_outage_loses_nothing_and_doubles_nothing_that_a_receiver_cannot_tell() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start();
    let subscriber = broker.subscriber("plant/#");
    let (config, counts) = (config(broker.port, folder.path(), "line-1"), Arc::new(Counts::default()));
    let mut rig = Rig::new(30);
    rig.pitch_ms = 250;
    let first = publish(&mut rig, &config, &counts);
    // The broker is away for the parts between.
    let (say, said) = mpsc::channel();
    let again = say.clone();
    let steps = Steps::new()
        .at(Kind::Part(8), move |_, _| say.send(false).unwrap())
        .at(Kind::Part(20), move |_, _| again.send(true).unwrap());
    let outage = spawn(move || {
        for up in said {
            if up { broker.go_on() } else { broker.stop() }
        }
        broker
    });
    let done = rig.run_with(in_turn, steps);
    let broker = outage.join().unwrap();
    first.end();
    // What the line's end left behind is sent by the next start.
    let next = Mqtt::open(&config, "line 1", true, Arc::clone(&counts), Heard::default().say()).unwrap();
    let sink = next.sink();
    let ending = next.start(Feed::default()).unwrap();
    wait_until("the outbox is empty", || counts.mqtt.waiting.load(Ordering::Relaxed) == 0);
    drop(sink);
    ending.wait(super::PATIENCE);

    let mut by_id = BTreeMap::new();
    let arrived = || subscriber.messages("/part");
    wait_until("everything has arrived", || {
        let ids: std::collections::BTreeSet<String> =
            arrived().iter().map(|part| part["id"].as_str().unwrap().to_owned()).collect();
        ids.len() >= 30
    });
    for part in arrived() {
        let id = part["id"].as_str().unwrap().to_owned();
        // A double is the same message again, told by its id.
        if let Some(before) = by_id.insert(id, part.clone()) {
            assert_eq!(before, part);
        }
    }
    let mut parts: Vec<(u64, u64, bool)> = by_id
        .values()
        .map(|part| (part["part"].as_u64().unwrap(), part["seq"].as_u64().unwrap(), part["verdict"] == "accept"))
        .collect();
    parts.sort_unstable_by_key(|(_, seq, _)| *seq);
    // What the line recorded itself, in its order; a part that it did not inspect is not good.
    let accepted = |part: u32| done.parts.iter().any(|kept| kept.part == part && kept.accepted);
    let seen: Vec<u64> = parts.iter().map(|(part, ..)| *part).collect();
    let mut all = seen.clone();
    all.sort_unstable();
    assert_eq!(all, (0..30).map(|i| u64::from(FIRST + i)).collect::<Vec<_>>());
    let expected: Vec<(u64, u64, bool)> =
        seen.iter().zip(1..).map(|(part, seq)| (*part, seq, accepted(*part as u32))).collect();
    assert_eq!(parts, expected);
    assert!(done.counters().accepted > 10, "{done:?}");
    assert_eq!(counts.mqtt.dropped.load(Ordering::Relaxed), 0);
    assert_eq!(counts.mqtt.delivered.load(Ordering::Relaxed), 30);
    assert_eq!(broker.retained("plant/line-1/state")["online"], false);
}

/// Nobody is where the broker should be.
#[test]
fn an_absent_broker_costs_the_line_nothing_and_its_parts_wait() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let counts = Arc::new(Counts::default());
    let mut rig = Rig::new(12);
    let waits = publish(&mut rig, &config(nobody, folder.path(), "line-1"), &counts);
    assert_undisturbed(rig);
    waits.end();
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    assert_eq!((count(&counts.mqtt.waiting), count(&counts.mqtt.dropped)), (12, 0));
}

/// A broker that takes the connection and never answers.
#[test]
fn a_broker_that_hangs_costs_the_line_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let counts = Arc::new(Counts::default());
    let mut rig = Rig::new(12);
    publish(&mut rig, &config(black_hole.local_addr().unwrap().port(), folder.path(), "line-1"), &counts);
    assert_undisturbed(rig);
    assert_eq!(counts.mqtt.delivered.load(Ordering::Relaxed), 0);
}

/// A broker that answers with garbage.
#[test]
fn a_broker_that_lies_costs_the_line_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let liar = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = liar.local_addr().unwrap().port();
    spawn(move || {
        for stream in liar.incoming().map_while(Result::ok) {
            // CONNACK, then an acknowledgement of what was never sent and noise.
            let mut stream = stream;
            let _ = std::io::Write::write_all(
                &mut stream,
                &[0x20, 2, 0, 0, 0x40, 2, 0xFF, 0xFF, 0xF0, 0xFF, 0xFF, 0xFF, 0xFF],
            );
        }
    });
    let counts = Arc::new(Counts::default());
    let mut rig = Rig::new(12);
    publish(&mut rig, &config(port, folder.path(), "line-1"), &counts);
    assert_undisturbed(rig);
    assert_eq!(counts.mqtt.delivered.load(Ordering::Relaxed), 0);
}

#[test]
fn sparkplug_is_understood_by_another_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let mut command = python("sparkplug.py");
    command.args([&broker.port.to_string(), "plant", "line-1"]);
    let mut host = Running(command.spawn().unwrap());
    let heard = listen(host.0.stdout.take().unwrap());
    wait_until("the host listens", || heard.all().iter().any(|line| line == "listening"));
    let settings = MqttConfig { payload: Payload::SparkplugB, ..config(broker.port, folder.path(), "line-1") };
    let counts = Arc::new(Counts::default());
    let mut rig = Rig::new(12);
    let waits = publish(&mut rig, &settings, &counts);
    assert_undisturbed(rig);
    waits.end();
    // It has seen the death, and checked aliases, types, sequence and bdSeq on the way.
    assert!(host.0.wait().unwrap().success(), "{:?}", heard.all());
    let summary: serde_json::Value = serde_json::from_str(heard.all().last().unwrap()).unwrap();
    let expected: Vec<serde_json::Value> = (0..12u32)
        .map(|i| {
            let verdict = if i % 2 == 0 { "accept" } else { "reject" };
            serde_json::json!([FIRST + i, i + 1, verdict, 1])
        })
        .collect();
    assert_eq!(summary["parts"], serde_json::json!(expected));
    assert!(summary["births"].as_u64() >= Some(2), "a host may ask for another birth: {summary}");
    assert_eq!(summary["accepted"], 6, "{summary}");
    assert_eq!(counts.mqtt.delivered.load(Ordering::Relaxed), 12);
    assert_eq!(broker.retained("plant/line-1/sent")["seq"], 12);
}

/// A box that dies is told by the broker, one that stops by itself.
#[test]
fn the_will_of_a_killed_box_and_the_goodbye_of_a_stopped_one() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let subscriber = broker.subscriber("plant/line-1/state");
    super::common::bundle().save(&folder.path().join("part.onnx")).unwrap();
    fs::create_dir_all(folder.path().join("pictures")).unwrap();
    good(80, 80).save(folder.path().join("pictures/0.png")).unwrap();
    spotted(80, 80, (40, 40), 24, 0).save(folder.path().join("pictures/1.png")).unwrap();
    fs::write(folder.path().join("part.toml"), "name = \"part\"\nmodel = \"part.onnx\"\n").unwrap();
    let text = format!(
        "[box]\nname = \"line 1\"\nstate = \"state\"\n[camera]\nfolder = \"pictures\"\n[trigger]\nsource = \"interval\"\n\
         interval_ms = 500\n[recipes]\nstart = 1\nfiles = {{ 1 = \"part.toml\" }}\n[mqtt]\nbroker = \"{}\"\n\
         group = \"plant\"\nnode = \"line-1\"\nstate_s = 1\n",
        broker.url()
    );
    fs::write(folder.path().join("box.toml"), text).unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mudenet-edge"));
        command.args(["run", "--config", "box.toml"]).current_dir(folder.path());
        Running(command.stdout(Stdio::null()).spawn().unwrap())
    };
    let online = || subscriber.messages("/state").iter().map(|state| state["online"] == true).collect::<Vec<_>>();
    let mut killed = start();
    wait_until("it is online", || online().last() == Some(&true));
    killed.0.kill().unwrap();
    wait_until("the broker speaks for it", || online().last() == Some(&false));
    let stopped = start();
    wait_until("it is online again", || online().last() == Some(&true));
    assert!(Command::new("kill").arg(stopped.0.id().to_string()).status().unwrap().success());
    wait_until("it says goodbye", || online().last() == Some(&false));
    assert_eq!(broker.retained("plant/line-1/state")["online"], false);
}

/// Certificates of an authority of its own: the broker's, the box's, and one of somebody else.
#[test]
fn an_encrypted_connection_needs_the_right_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let script = "for ca in ca other; do \
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$ca -days 30 -keyout $ca.key -out $ca.pem; done; \
        for name in broker box; do \
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name -keyout $name.key -out $name.csr; \
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > ext; \
        openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out $name.pem; done";
    let made = Command::new("sh").args(["-ec", script]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let [ca, cert, key] = ["ca.pem", "broker.pem", "broker.key"].map(|name| path(name).display().to_string());
    let broker = Broker::with(&format!(
        "allow_anonymous true\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\n"
    ));
    let connects = |ca: &str, identity: bool, outbox: &str| {
        let settings = MqttConfig {
            tls: true,
            ca: Some(path(ca)),
            identity: identity.then(|| (path("box.pem"), path("box.key"))),
            ..config(broker.port, &path(outbox), "line-1")
        };
        let (counts, heard) = (Arc::new(Counts::default()), Heard::default());
        let mqtt = Mqtt::open(&settings, "line 1", false, counts, heard.say()).unwrap();
        let sink = mqtt.sink();
        let ending = mqtt.start(Feed::default()).unwrap();
        wait_until("it says how it went", || !heard.all().is_empty());
        drop(sink);
        ending.wait(super::PATIENCE);
        heard.all()[0].contains("connected to")
    };
    assert!(connects("ca.pem", true, "a"));
    assert!(!connects("other.pem", true, "b"));
    assert!(!connects("ca.pem", false, "c"));
}
