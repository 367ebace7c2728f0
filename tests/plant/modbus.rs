use super::rig::{FIRST, Rig, devices};
use super::{ask, assert_undisturbed, wait_until};
use mudenet_edge::config::ModbusConfig;
use mudenet_edge::plant::Counts;
use mudenet_edge::plant::modbus::Modbus;
use mudenet_edge::run::simulate::Plant;
use mudenet_edge::run::{Handle, Line, Report};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

fn config() -> ModbusConfig {
    ModbusConfig { bind: ([127, 0, 0, 1], 0).into(), control: true, connections: 4, ..ModbusConfig::default() }
}

/// A line that only a controller triggers.
struct Station {
    address: SocketAddr,
    counts: Arc<Counts>,
    handle: Handle,
    running: JoinHandle<Report>,
}

impl Station {
    fn start(config: &ModbusConfig) -> Self {
        let counts = Arc::new(Counts::default());
        let modbus = Modbus::open(config, Arc::clone(&counts)).unwrap();
        let address = modbus.address();
        let line = Line::new(Rig::new(0).config(), devices(Plant::default().outputs()));
        modbus.start(b"settings".to_vec(), line.feed(), line.handle()).unwrap();
        let handle = line.handle();
        let running = spawn(move || line.run().unwrap());
        Self { address, counts, handle, running }
    }

    fn end(self) -> Report {
        assert!(self.handle.stop());
        self.running.join().unwrap()
    }
}

#[test]
fn a_controller_on_pymodbus_runs_the_handshake() {
    let station = Station::start(&config());
    let port = station.address.port().to_string();
    let seen = ask("modbus.py", &["control", &port, &FIRST.to_string()]);
    assert_eq!(seen["parts"], serde_json::json!([FIRST, FIRST + 1, FIRST + 2, FIRST + 4]), "{seen}");
    let counts = Arc::clone(&station.counts);
    wait_until("every connection is closed", || counts.modbus_open.load(Ordering::Relaxed) == 0);
    assert!(counts.modbus_refused.load(Ordering::Relaxed) >= 1, "the fifth connection");
    let report = station.end();
    assert_eq!((report.counters.accepted, report.counters.recipe_changes), (4, 2));
}

#[test]
fn without_control_nothing_can_be_written() {
    let station = Station::start(&ModbusConfig { control: false, ..config() });
    ask("modbus.py", &["look", &station.address.port().to_string()]);
    assert_eq!(station.end().counters.triggered, 0);
    // Only those that are named may connect.
    let station = Station::start(&ModbusConfig { clients: vec![[10, 0, 0, 1].into()], ..config() });
    let mut stream = TcpStream::connect(station.address).unwrap();
    let _ = stream.write_all(&READ);
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0);
    station.end();
}

/// Read input registers 0 to 24.
const READ: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 4, 0, 0, 0, 25];

/// Hostile clients: some say nothing, some half a frame, some noise, some ask without end and never read.
#[test]
fn hostile_clients_cost_the_line_nothing() {
    let counts = Arc::new(Counts::default());
    let modbus = Modbus::open(&ModbusConfig { control: false, idle_s: 1, ..config() }, Arc::clone(&counts)).unwrap();
    let address = modbus.address();
    let mut rig = Rig::new(16);
    rig.meets.push(Box::new(move |line| modbus.start(vec![], line.feed(), line.handle()).unwrap()));
    let over = Arc::new(AtomicBool::new(false));
    let attack = |bytes: Vec<u8>, pause: Duration| {
        let over = Arc::clone(&over);
        spawn(move || {
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
                let Ok(mut stream) = TcpStream::connect(address) else { continue };
                stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                while !over.load(Ordering::Relaxed) && stream.write_all(&bytes).is_ok() {
                    std::thread::sleep(pause);
                }
            }
        })
    };
    let noise: Vec<u8> = (0..64u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let shortly = Duration::from_millis(5);
    let attacks = [
        attack(vec![], Duration::from_millis(500)),
        attack(vec![0, 1, 0, 0, 0, 6, 1], Duration::from_secs(1)),
        attack(noise, shortly),
        // The longest frames that there are, which nobody answers to in time.
        attack([0, 1, 0, 0, 0xFF, 0xFF, 1, 16].repeat(32), shortly),
        attack(READ.repeat(20), shortly),
        attack([0, 2, 0, 0, 0, 6, 1, 5, 0, 0, 0xFF, 0].repeat(20), shortly),
    ];
    let done = assert_undisturbed(rig);
    over.store(true, Ordering::Relaxed);
    attacks.into_iter().for_each(|attack| attack.join().unwrap());
    assert_eq!(done.counters().missed, 0);
    assert!(counts.modbus_requests.load(Ordering::Relaxed) > 0);
    assert!(counts.modbus_refused.load(Ordering::Relaxed) > 0, "six attack, four get in");
}

/// A peer that connects and goes silent is closed after the time that is set.
#[test]
fn a_silent_connection_is_closed() {
    let station = Station::start(&ModbusConfig { idle_s: 1, ..config() });
    let mut stream = TcpStream::connect(station.address).unwrap();
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    stream.write_all(&READ).unwrap();
    let mut answer = [0; 59];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..9], [0, 1, 0, 0, 0, 53, 1, 4, 50]);
    assert_eq!(stream.read(&mut answer).unwrap(), 0, "closed by the server");
    station.end();
}

/// Requests that announce more values than they hold, or more than 16 bits of bytes: the decoder of tokio-modbus panics at
/// each of them. They end their connection only, nothing panics, and the next one is answered.
#[test]
fn requests_that_contradict_themselves_end_their_connection() {
    let panics: Arc<AtomicU64> = Arc::default();
    let (before, seen) = (std::panic::take_hook(), Arc::clone(&panics));
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() == Some("modbus") {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    let station = Station::start(&config());
    let hostile: [&[u8]; 4] = [
        &[0x0F, 0, 0, 0xFF, 0xFF, 1, 1],
        &[0x10, 0, 0, 0x80, 1, 2, 0, 7],
        &[0x17, 0, 0, 0, 1, 0, 0, 0xFF, 0xFF, 2, 0, 7],
        &[0x17, 0, 0, 0, 1, 0, 0, 0x80, 0, 0],
    ];
    for request in hostile {
        let mut stream = TcpStream::connect(station.address).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        // A coil that is set falls with its connection.
        stream.write_all(&[0, 1, 0, 0, 0, 6, 1, 5, 0, 1, 0xFF, 0]).unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
        let length = u8::try_from(request.len() + 1).unwrap();
        stream.write_all(&[&[0, 2, 0, 0, 0, length, 1], request].concat()).unwrap();
        let end =
            stream.read(&mut [0; 64]).or_else(|e| if e.kind() == ErrorKind::ConnectionReset { Ok(0) } else { Err(e) });
        assert_eq!(end.unwrap(), 0, "answered: {request:x?}");
        wait_until("it is closed", || station.counts.modbus_open.load(Ordering::Relaxed) == 0);
        let mut next = TcpStream::connect(station.address).unwrap();
        next.set_read_timeout(Some(super::PATIENCE)).unwrap();
        next.write_all(&[0, 3, 0, 0, 0, 6, 1, 1, 0, 0, 0, 4]).unwrap();
        let mut coils = [0; 10];
        next.read_exact(&mut coils).unwrap();
        assert_eq!(coils, [0, 3, 0, 0, 0, 4, 1, 1, 1, 0], "{request:x?}");
    }
    station.end();
    assert_eq!(panics.load(Ordering::Relaxed), 0);
}
