use super::broker::Broker;
use super::in_turn;
use super::mqtt::{config, publish};
use super::rig::{FIRST, Rig};
use super::{Heard, wait_until};
use mudenet_edge::config::MqttConfig;
use mudenet_edge::plant::Counts;
use mudenet_edge::plant::mqtt::Mqtt;
use mudenet_edge::run::Feed;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::spawn;

const BOXES: usize = 50;
const PARTS: u32 = 4;

/// Fifty boxes at one broker: every part of every box arrives, each under its box's name, and the broker knows of each that
/// it has gone.
#[test]
fn fifty_boxes_report_to_one_broker() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start();
    let subscriber = broker.subscriber("plant/#");
    let boxes: Vec<_> = (0..BOXES)
        .map(|number| {
            let settings = config(broker.port, &folder.path().join(number.to_string()), &format!("box-{number}"));
            spawn(move || {
                let counts = Arc::new(Counts::default());
                let mut rig = Rig::new(PARTS);
                rig.pitch_ms = 600;
                let waits = publish(&mut rig, &settings, &counts);
                let done = rig.run(in_turn);
                waits.end();
                (done, counts)
            })
        })
        .collect();
    for running in boxes {
        let (done, counts) = running.join().unwrap();
        assert_eq!(done.counters().parts(), u64::from(PARTS));
        assert_eq!(counts.mqtt.dropped.load(Ordering::Relaxed), 0);
        assert_eq!(counts.mqtt.waiting.load(Ordering::Relaxed), 0, "the broker has everything");
    }
    let expected = BOXES * PARTS as usize;
    wait_until("everything has arrived", || subscriber.messages("/part").len() >= expected);
    let mut parts: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for part in subscriber.messages("/part") {
        let node = part["id"].as_str().unwrap().split('/').next().unwrap().to_owned();
        parts.entry(node).or_default().insert(part["part"].as_u64().unwrap());
    }
    let of_each: BTreeSet<u64> = (0..PARTS).map(|i| u64::from(FIRST + i)).collect();
    assert_eq!(parts.len(), BOXES);
    assert!(parts.values().all(|of_this| *of_this == of_each), "{parts:?}");
    for number in 0..BOXES {
        let state = format!("box-{number}/state");
        wait_until("its goodbye", || subscriber.messages(&state).last().is_some_and(|last| last["online"] == false));
        assert!(subscriber.messages(&state).iter().any(|state| state["online"] == true));
    }
}

/// The broker that `docs/fleet` ships lets a box write below its own name, and nobody in who is not known.
#[test]
fn the_broker_of_the_fleet_knows_its_boxes() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::of_the_fleet(&[("line-1", "secret 1"), ("reader", "secret 2")]);
    let publisher = |user: &str, password: &str, node: &str| {
        let file = folder.path().join("password");
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let own = MqttConfig {
            group: "mudenet".to_owned(),
            login: Some((user.to_owned(), Some(file))),
            ..config(broker.port, &folder.path().join(format!("{user}-{node}")), node)
        };
        let heard = Heard::default();
        let mqtt = Mqtt::open(&own, "line 1", false, Arc::default(), heard.say()).unwrap();
        let sink = mqtt.sink();
        let ending = mqtt.start(Feed::default()).unwrap();
        wait_until("it says how it went", || !heard.all().is_empty());
        drop(sink);
        ending.wait(super::PATIENCE);
        heard.all()[0].clone()
    };
    assert!(publisher("line-1", "secret 1", "line-1").contains("connected to"));
    assert_eq!(broker.retained("mudenet/line-1/state")["online"], false);
    // Under another name it may connect and is not heard: what it says of line-2 is not there.
    assert!(publisher("line-1", "secret 1", "line-2").contains("connected to"));
    assert!(broker.retains_nothing("mudenet/line-2/state"));
    assert!(publisher("line-1", "guess", "line-1").contains("it refuses user name or password"));
}
