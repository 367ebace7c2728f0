//! What a web server answers to a message: a message is delivered only where the server says so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudenet_edge::plant::webhook::answered;
use mudenet_fuzz::{FEW, bounded};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};

struct Server {
    url: String,
    answers: SyncSender<Vec<u8>>,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let (answers, next) = sync_channel::<Vec<u8>>(1);
    std::thread::spawn(move || {
        for answer in next {
            let (mut stream, _) = listener.accept().expect("a message");
            let mut request = vec![];
            let mut buffer = [0; 4096];
            while !request.ends_with(b"\r\n\r\n{}") {
                match stream.read(&mut buffer) {
                    Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let _ = stream.write_all(&answer);
        }
    });
    Server { url, answers }
});

fuzz_target!(|data: &[u8]| {
    // Sixteen bytes of head that are never wrong are worth half of the inputs.
    let answer = match data {
        [0, rest @ ..] => [b"HTTP/1.1 ", rest].concat(),
        _ => data.to_vec(),
    };
    let server = &*SERVER;
    let taken = bounded(8 * FEW, || {
        server.answers.send(answer.clone()).expect("the server runs");
        answered(&server.url)
    });
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..3));
    assert!(!taken || matches!(status, Some(b"2" | b"1")), "delivered by {:?}", String::from_utf8_lossy(&answer));
});
