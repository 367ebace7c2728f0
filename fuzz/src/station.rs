//! A box whose line runs and which nothing triggers but its peers.

use crate::folder;
use mudenet_edge::capture::{Camera, CaptureError, Frame, Samples};
use mudenet_edge::config::Config;
use mudenet_edge::page::Engineers;
use mudenet_edge::recipe::RecipeFiles;
use mudenet_edge::run::{Devices, Line, RecordSink};
use mudenet_edge::signal::NoOutputs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// The password of the engineer "anna".
pub const PASSWORD: &str = "correct horse battery";
const BOX: &str = r#"
[box]
name = "fuzzed"
[camera]
folder = "pictures"
[trigger]
source = "serial"
[serial]
port = "/dev/null"
[record]
folder = "record"
[recipes]
start = 1
files = { 1 = "part.toml" }
"#;

struct Grey;

impl Camera for Grey {
    fn name(&self) -> &str {
        "grey"
    }

    fn trigger(&mut self, _deadline: Duration) -> Result<Frame, CaptureError> {
        Frame::new(64, 64, Samples::Rgb8(vec![128; 3 * 64 * 64]))
    }
}

/// Its folder and settings, of which `tables` are those of its peers.
pub fn configured(tables: &str) -> (PathBuf, Config) {
    let folder = folder().keep();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("written");
    let mut engineers = Engineers::default();
    engineers.set("anna", PASSWORD).expect("a password");
    write("engineers.txt", engineers.to_text().as_bytes());
    write("part.onnx", include_bytes!("../corpus/bundle/part.onnx"));
    write("part.toml", b"name = \"part\"\nmodel = \"part.onnx\"\n");
    write("box.toml", format!("{BOX}{tables}").as_bytes());
    std::fs::create_dir_all(folder.join("record/journal")).expect("made");
    let config = Config::load(&folder.join("box.toml")).expect("a station");
    (folder, config)
}

/// Its line, which does not run yet.
pub fn line(config: &Config, sink: Box<dyn RecordSink>) -> Line {
    Line::new(
        config.line.clone(),
        Devices {
            camera: Box::new(Grey),
            outputs: Box::new(NoOutputs),
            signal: None,
            sink,
            recipes: Box::new(RecipeFiles(config.recipes.clone())),
            watchdog: Box::new(()),
        },
    )
}

/// What a server answers to `bytes` until it closes; of an answer without an end, its beginning.
///
/// `ends`: nothing more will come, and the server is told so.
pub fn ask(server: SocketAddr, bytes: &[u8], ends: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    // One that has refused may close before all of it is sent.
    let _ = stream.write_all(bytes);
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = vec![];
    let mut buffer = [0; 16 << 10];
    loop {
        let read = match stream.read(&mut buffer) {
            // libFuzzer's alarm.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        answer.extend_from_slice(&buffer[..read]);
        if answer.windows(17).any(|part| part == b"text/event-stream") {
            break;
        }
    }
    answer
}

/// The status of an HTTP answer.
pub fn status(answer: &[u8]) -> u16 {
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    std::str::from_utf8(status.expect("a status")).expect("text").parse().expect("a number")
}
