use super::rig::Rig;
use super::{Heard, Running, assert_undisturbed, listen, python, wait_until};
use mudenet_edge::config::{Topic, WebhookConfig};
use mudenet_edge::plant::webhook::Webhook;
use mudenet_edge::plant::{Counts, Ending};
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn config(port: u16, folder: &Path) -> WebhookConfig {
    fs::write(folder.join("secret"), SECRET).unwrap();
    WebhookConfig {
        url: format!("http://127.0.0.1:{port}/hook"),
        events: vec![Topic::Reject, Topic::Fault, Topic::Error],
        secret: Some(folder.join("secret")),
        ca: None,
        timeout_ms: 500,
        give_up_s: 3600,
        outbox: folder.to_owned(),
        outbox_mib: 1,
    }
}

type Waits = Arc<Mutex<Option<Ending>>>;

fn hook(rig: &mut Rig, config: &WebhookConfig, counts: &Arc<Counts>) -> Waits {
    let webhook = Webhook::open(config, "line 1", true, Arc::clone(counts), Heard::default().say()).unwrap();
    rig.sinks.push(webhook.sink());
    let waits = Waits::default();
    let late = Arc::clone(&waits);
    rig.meets.push(Box::new(move |_| *late.lock().unwrap() = Some(webhook.start().unwrap())));
    waits
}

/// A server that fails, hangs and refuses before it takes anything; what it did not refuse for good comes in the end, signed.
#[test]
fn a_server_gets_every_message_signed_however_it_stumbles() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Running(python("webhook.py").arg(SECRET).spawn().unwrap());
    let heard = listen(server.0.stdout.take().unwrap());
    wait_until("the server listens", || !heard.all().is_empty());
    let port = heard.all()[0].parse().unwrap();
    let counts = Arc::new(Counts::default());
    let mut rig = Rig::new(12);
    let settings = config(port, folder.path());
    let waits = hook(&mut rig, &settings, &counts);
    let done = assert_undisturbed(rig);
    waits.lock().unwrap().take().unwrap().wait(super::PATIENCE);
    // What the line's end left behind is posted by the next start.
    let next = Webhook::open(&settings, "line 1", true, Arc::clone(&counts), Heard::default().say()).unwrap();
    let sink = next.sink();
    let ending = next.start().unwrap();
    wait_until("nothing waits", || counts.webhook.waiting.load(Ordering::Relaxed) == 0);
    drop(sink);
    ending.wait(super::PATIENCE);
    let taken: Vec<serde_json::Value> =
        heard.all()[1..].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let parts: BTreeSet<u64> = taken.iter().filter_map(|message| message["data"]["part"].as_u64()).collect();
    let mut rejected: BTreeSet<u64> =
        done.parts.iter().filter(|part| !part.accepted).map(|part| u64::from(part.part)).collect();
    // The server refused the first for good.
    assert!(rejected.pop_first().is_some());
    assert_eq!(parts, rejected);
    let ids: BTreeSet<&str> = taken.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), taken.len(), "a message that was taken is not posted again");
    assert!(taken.iter().all(|message| message["type"] == "part.reject" && message["box"] == "line 1"));
    let counted = [&counts.webhook.delivered, &counts.webhook.dropped];
    assert_eq!(counted.map(|count| count.load(Ordering::Relaxed)), [5, 1]);
}

/// A server that takes the connection and never answers, and one that is not there.
#[test]
fn a_dead_server_costs_the_line_nothing_and_its_messages_wait() {
    for hangs in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _black_hole = hangs.then_some(listener);
        let counts = Arc::new(Counts::default());
        let mut rig = Rig::new(8);
        let waits = hook(&mut rig, &config(port, folder.path()), &counts);
        assert_undisturbed(rig);
        waits.lock().unwrap().take().unwrap().wait(super::PATIENCE);
        let counted = [&counts.webhook.waiting, &counts.webhook.delivered, &counts.webhook.dropped];
        assert_eq!(counted.map(|count| count.load(Ordering::Relaxed)), [4, 0, 0]);
        // Until they are too old.
        let settings = WebhookConfig { give_up_s: 1, ..config(port, folder.path()) };
        let next = Webhook::open(&settings, "line 1", true, Arc::clone(&counts), Heard::default().say()).unwrap();
        let sink = next.sink();
        let ending = next.start().unwrap();
        wait_until("they are given up", || counts.webhook.dropped.load(Ordering::Relaxed) == 4);
        drop(sink);
        ending.wait(super::PATIENCE);
    }
}

#[test]
fn a_secret_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = config(1, folder.path());
    fs::write(folder.path().join("secret"), "short").unwrap();
    let open = || Webhook::open(&settings, "line 1", true, Arc::default(), Heard::default().say());
    let error = open().err().unwrap().to_string();
    assert!(error.starts_with("webhook.secret_file: ") && error.contains("whsec_"), "{error}");
    fs::remove_file(folder.path().join("secret")).unwrap();
    assert!(open().err().unwrap().to_string().contains("webhook.secret_file: "));
}
