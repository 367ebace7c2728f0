//! A mosquitto of its own, on loopback.

use super::{Heard, PATIENCE, Running, listen, wait_until};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(super) struct Broker {
    pub(super) port: u16,
    folder: TempDir,
    config: PathBuf,
    /// Arguments of whoever reads.
    reader: Vec<String>,
    running: Option<Running>,
}

impl Broker {
    /// Sessions and retained messages survive a restart.
    pub(super) fn start() -> Self {
        Self::with("allow_anonymous true\n")
    }

    pub(super) fn with(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let config = folder.path().join("mosquitto.conf");
        let data = folder.path().display();
        // As root it would become a user that cannot write here.
        let text = format!(
            "listener {port} 127.0.0.1\npersistence true\npersistence_location {data}/\nuser root\n\
             max_queued_messages 0\n{settings}"
        );
        fs::write(&config, text).expect("written");
        let mut broker = Self { port, folder, config, reader: vec![], running: None };
        broker.go_on();
        broker
    }

    /// As `docs/fleet` sets it up, with these users and passwords; the last one reads.
    pub(super) fn of_the_fleet(users: &[(&str, &str)]) -> Self {
        let fleet = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleet");
        let folder = tempfile::tempdir().expect("a folder");
        let here = folder.path().display().to_string();
        fs::copy(fleet.join("acl"), folder.path().join("acl")).expect("copied");
        let passwords = folder.path().join("passwords");
        fs::write(&passwords, "").expect("written");
        for (user, password) in users {
            let set =
                Command::new(program("mosquitto_passwd")).arg("-b").arg(&passwords).args([user, password]).status();
            assert!(set.expect("mosquitto_passwd starts").success());
        }
        let shipped = fs::read_to_string(fleet.join("mosquitto.conf")).expect("read");
        let port = free_port();
        let moved = shipped
            .replace("listener 1883", &format!("listener {port} 127.0.0.1"))
            .replace("/mosquitto/config", &here)
            .replace("/mosquitto/data/", &format!("{here}/"));
        let config = folder.path().join("mosquitto.conf");
        fs::write(&config, format!("{moved}user root\n")).expect("written");
        let reader = users.last().map(|(user, password)| ["-u", user, "-P", password].map(str::to_owned).to_vec());
        let mut broker = Self { port, folder, config, reader: reader.unwrap_or_default(), running: None };
        broker.go_on();
        broker
    }

    pub(super) fn go_on(&mut self) {
        let log = fs::File::create(self.folder.path().join("mosquitto.log")).expect("made");
        let mut command = Command::new(program("mosquitto"));
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(log);
        self.running = Some(Running(command.spawn().expect("mosquitto starts")));
        let address = ("127.0.0.1", self.port);
        wait_until("mosquitto listens", || TcpStream::connect(address).is_ok());
    }

    /// As an outage: it writes down its sessions and is gone.
    pub(super) fn stop(&mut self) {
        let mut running = self.running.take().expect("it runs");
        let pid = running.0.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().expect("kill runs").success());
        running.0.wait().expect("it ends");
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Hears `topic` from now on as lines of topic and payload, across outages.
    pub(super) fn subscriber(&self, topic: &str) -> Subscriber {
        let mut command = Command::new(program("mosquitto_sub"));
        let port = self.port.to_string();
        command.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-c", "-i", "watcher", "-F", "%t %p", "-t", topic]);
        command.args(["-t", "ready"]);
        let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("mosquitto_sub starts"));
        let heard = listen(running.0.stdout.take().expect("piped"));
        wait_until("the subscriber hears", || {
            let ready = ["-h", "127.0.0.1", "-p", &port, "-t", "ready", "-m", ""];
            let _ = Command::new(program("mosquitto_pub")).args(ready).status();
            !heard.all().is_empty()
        });
        Subscriber { heard, _running: running }
    }

    /// The retained message of a topic; panics where there is none.
    pub(super) fn retained(&self, topic: &str) -> serde_json::Value {
        let seconds = PATIENCE.as_secs().to_string();
        let arguments = ["-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", topic, "-C", "1", "-W", &seconds];
        let output =
            Command::new(program("mosquitto_sub")).args(arguments).args(&self.reader).output().expect("it starts");
        serde_json::from_slice(&output.stdout).expect("a retained message in JSON")
    }

    /// Whether a topic has no retained message, as far as a second shows.
    pub(super) fn retains_nothing(&self, topic: &str) -> bool {
        let arguments = ["-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", topic, "-C", "1", "-W", "1"];
        let output =
            Command::new(program("mosquitto_sub")).args(arguments).args(&self.reader).output().expect("it starts");
        output.stdout.is_empty()
    }
}

pub(super) struct Subscriber {
    heard: Heard,
    _running: Running,
}

impl Subscriber {
    /// Messages of topics that end so.
    pub(super) fn messages(&self, end: &str) -> Vec<serde_json::Value> {
        let read = |line: String| {
            let (topic, payload) = line.split_once(' ')?;
            topic.ends_with(end).then(|| serde_json::from_str(payload).expect("JSON"))
        };
        self.heard.all().into_iter().filter_map(read).collect()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

/// Debian keeps the broker where not every user looks.
fn program(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run ./check, which installs it"))
}
