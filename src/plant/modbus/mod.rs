//! A Modbus TCP server: the box's lines, results and counters for a controller, and the lines that it may set.
//!
//! `docs/plant.md` has the map. A coil acts on its rising edge, as the input line of its name does; the number of a recipe is
//! holding register 0. With the last connection all coils fall, as they would with a cut wire.

mod frame;
mod map;
mod stream;

use super::{Counts, PlantError, listen, spawn_async};
use crate::config::ModbusConfig;
use crate::run::station::InputLine;
use crate::run::{Feed, Handle};
use map::{ACK, COILS, RECIPE_STROBE, RESET, RESULT, TRIGGER};
use std::future::Future;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stream::Timed;
use tokio::time::sleep;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response};

/// Shortest time between two changes of the coils, the longest debounce of a line: a controller that floods the box waits.
const DEBOUNCE: Duration = Duration::from_millis(5);
/// After an accept that failed, such as for want of file descriptors.
const BREATH: Duration = Duration::from_millis(200);
/// Bits of a recipe's number.
const BITS: u8 = 16;

/// A server whose address is taken and that does not answer yet.
pub struct Modbus {
    listener: TcpListener,
    address: SocketAddr,
    config: ModbusConfig,
    counts: Arc<Counts>,
}

impl Modbus {
    /// Takes the server's address.
    ///
    /// # Errors
    /// [`PlantError::Bind`].
    pub fn open(config: &ModbusConfig, counts: Arc<Counts>) -> Result<Self, PlantError> {
        let (listener, address) = listen("modbus", config.bind)?;
        Ok(Self { listener, address, config: config.clone(), counts })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on, until the process ends; `settings` is the text of box.toml, for the checksum.
    ///
    /// # Errors
    /// [`PlantError::Thread`].
    pub fn start(self, settings: Vec<u8>, feed: Feed, handle: Handle) -> Result<(), PlantError> {
        let Self { listener, config, counts, .. } = self;
        let box_ = Arc::new(Shared {
            settings,
            feed,
            handle,
            counts,
            control: config.control,
            coils: tokio::sync::Mutex::new(Coils::default()),
            open: AtomicU64::new(0),
        });
        spawn_async("modbus", move || async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            serve(Server::new(listener), config, box_).await;
        })
    }
}

struct Shared {
    settings: Vec<u8>,
    feed: Feed,
    handle: Handle,
    counts: Arc<Counts>,
    control: bool,
    coils: tokio::sync::Mutex<Coils>,
    open: AtomicU64,
}

/// What controllers have written.
#[derive(Default)]
struct Coils {
    levels: [bool; COILS],
    recipe: u16,
}

async fn serve(server: Server, config: ModbusConfig, shared: Arc<Shared>) {
    let idle = Duration::from_secs(config.idle_s.into());
    let (clients, most) = (&config.clients, u64::from(config.connections));
    let on_connected = |stream: tokio::net::TcpStream, peer: SocketAddr| {
        let client = Client::admit(&shared, clients, most, peer.ip());
        async move {
            // An answer is one small packet, and a controller waits for it.
            let _ = stream.set_nodelay(true);
            Ok(client.map(|client| (client, Timed::new(stream, idle))))
        }
    };
    loop {
        // A connection that breaks concerns nobody else.
        let _ = server.serve(&on_connected, |_| {}).await;
        sleep(BREATH).await;
    }
}

/// A connection.
struct Client {
    shared: Arc<Shared>,
    seen: Arc<Mutex<Seen>>,
}

/// What a client knows of the results.
#[derive(Default)]
struct Seen {
    /// Results so far when it last read the part id; `None` before it did.
    judged: Option<u64>,
    overrun: bool,
}

impl Client {
    fn admit(shared: &Arc<Shared>, clients: &[IpAddr], most: u64, peer: IpAddr) -> Option<Self> {
        let known = clients.is_empty() || clients.contains(&peer.to_canonical());
        if !known || shared.open.load(Ordering::Relaxed) >= most {
            Counts::add(&shared.counts.modbus_refused, 1);
            return None;
        }
        let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        Counts::set(&shared.counts.modbus_open, open);
        Some(Self { shared: Arc::clone(shared), seen: Arc::default() })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let open = self.shared.open.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        Counts::set(&self.shared.counts.modbus_open, open);
        // Whoever held the coils ended before this.
        if open == 0
            && let Ok(mut coils) = self.shared.coils.try_lock()
        {
            self.shared.let_go(&mut coils);
        }
    }
}

impl Service for Client {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Result<Response, ExceptionCode>> + Send>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let (shared, seen) = (Arc::clone(&self.shared), Arc::clone(&self.seen));
        Counts::add(&shared.counts.modbus_requests, 1);
        Box::pin(async move { answer(&shared, &seen, request).await })
    }
}

async fn answer(shared: &Shared, seen: &Mutex<Seen>, request: Request<'static>) -> Result<Response, ExceptionCode> {
    match request {
        Request::ReadDiscreteInputs(address, count) => {
            let status = shared.feed.status();
            let overrun = lock(seen).look(judged(&status), false);
            Ok(Response::ReadDiscreteInputs(cut(&map::discrete_inputs(&status, overrun), address, count)?))
        }
        Request::ReadInputRegisters(address, count) => {
            let status = shared.feed.status();
            let registers = map::input_registers(&status, map::settings_checksum(&shared.settings, &status));
            let registers = cut(&registers, address, count)?;
            if RESULT.contains(&usize::from(address)) {
                lock(seen).look(judged(&status), true);
            }
            Ok(Response::ReadInputRegisters(registers))
        }
        Request::ReadCoils(address, count) => {
            let levels = shared.coils.lock().await.levels;
            Ok(Response::ReadCoils(cut(&levels, address, count)?))
        }
        Request::ReadHoldingRegisters(address, count) => {
            let recipe = shared.coils.lock().await.recipe;
            Ok(Response::ReadHoldingRegisters(cut(&[recipe], address, count)?))
        }
        Request::WriteSingleCoil(address, level) => {
            shared.write_coils(address, &[level], seen).await?;
            Ok(Response::WriteSingleCoil(address, level))
        }
        Request::WriteMultipleCoils(address, levels) => {
            shared.write_coils(address, &levels, seen).await?;
            Ok(Response::WriteMultipleCoils(address, length(&levels)?))
        }
        Request::WriteSingleRegister(address, word) => {
            shared.write_recipe(address, &[word]).await?;
            Ok(Response::WriteSingleRegister(address, word))
        }
        Request::WriteMultipleRegisters(address, words) => {
            shared.write_recipe(address, &words).await?;
            Ok(Response::WriteMultipleRegisters(address, length(&words)?))
        }
        _ => Err(ExceptionCode::IllegalFunction),
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn length<T>(values: &[T]) -> Result<u16, ExceptionCode> {
    u16::try_from(values.len()).map_err(|_| ExceptionCode::IllegalDataValue)
}

/// Results so far.
fn judged(status: &crate::run::Status) -> u64 {
    status.counters.accepted + status.counters.rejected + status.counters.faults
}

impl Seen {
    /// Takes note of so many results, of which the last is read now where `reads`, and gives OVERRUN.
    fn look(&mut self, judged: u64, reads: bool) -> bool {
        if self.judged.is_some_and(|before| judged > before.saturating_add(1)) {
            self.overrun = true;
        }
        if reads {
            self.judged = Some(judged);
        }
        self.overrun
    }
}

fn cut<T: Copy>(values: &[T], address: u16, count: u16) -> Result<Vec<T>, ExceptionCode> {
    if count == 0 {
        return Err(ExceptionCode::IllegalDataValue);
    }
    let (from, count) = (usize::from(address), usize::from(count));
    values.get(from..from + count).map(<[T]>::to_vec).ok_or(ExceptionCode::IllegalDataAddress)
}

impl Shared {
    async fn write_coils(&self, address: u16, levels: &[bool], seen: &Mutex<Seen>) -> Result<(), ExceptionCode> {
        if !self.control {
            return Err(ExceptionCode::IllegalFunction);
        }
        let from = usize::from(address);
        if levels.is_empty() || from + levels.len() > COILS {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        let mut coils = self.coils.lock().await;
        let mut changed = false;
        for (at, level) in (from..).zip(levels) {
            let recipe = coils.recipe;
            let Some(coil) = coils.levels.get_mut(at) else { continue };
            if *coil == *level {
                continue;
            }
            // The line is behind: nothing was done, and the controller may ask again.
            if !self.set(at, *level, recipe) {
                return Err(ExceptionCode::ServerDeviceBusy);
            }
            *coil = *level;
            changed = true;
            if at == RESET && *level {
                lock(seen).overrun = false;
            }
        }
        if changed {
            sleep(DEBOUNCE).await;
        }
        Ok(())
    }

    async fn write_recipe(&self, address: u16, words: &[u16]) -> Result<(), ExceptionCode> {
        if !self.control {
            return Err(ExceptionCode::IllegalFunction);
        }
        match (address, words) {
            (0, [number]) => {
                self.coils.lock().await.recipe = *number;
                Ok(())
            }
            _ => Err(ExceptionCode::IllegalDataAddress),
        }
    }

    /// Sets an input line; `false` where the line has no room for it.
    fn set(&self, coil: usize, level: bool, recipe: u16) -> bool {
        let offer = |line: InputLine, level: bool| self.handle.offer(line, level);
        match coil {
            TRIGGER => offer(InputLine::Trigger, level),
            ACK => offer(InputLine::Ack, level),
            RESET => offer(InputLine::Reset, level),
            RECIPE_STROBE => {
                let bits = (0..BITS).map(|bit| (InputLine::RecipeBit(bit), recipe >> bit & 1 == 1));
                (!level || bits.into_iter().all(|(line, level)| offer(line, level)))
                    && offer(InputLine::RecipeStrobe, level)
            }
            _ => true,
        }
    }

    /// Lets all coils fall.
    fn let_go(&self, coils: &mut Coils) {
        for (at, coil) in coils.levels.iter_mut().enumerate() {
            if *coil && self.set(at, false, coils.recipe) {
                *coil = false;
            }
        }
    }
}
