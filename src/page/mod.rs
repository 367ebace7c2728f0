//! The page for operators and engineers, served by the running box (feature `page`).
//!
//! | module | what it is |
//! |---|---|
//! | `board` | what is shown of the parts, filled by the line's recorder |
//! | `fault` | state of the line → word, fault and the one thing to do |
//! | `operator`, `engineer`, `editor` | what they may ask for |
//! | `change` | a setting changed: tried, noted, written, used, or taken back |
//! | `session` | passwords and sessions |
//! | `server` | connections and the headers of every answer |
//!
//! The page runs on threads of its own with less of the processor than the line's, and learns of the line by
//! [`Feed`] and the recorder's bounded queue only: nothing on the line waits for it.

mod board;
mod change;
mod editor;
mod engineer;
mod fault;
mod operator;
mod picture;
mod server;
mod session;
mod tls;

pub use session::{Engineers, EngineersError, FEWEST};

use crate::config::{Config, PageConfig};
use crate::record::audit;
use crate::record::journal::{Records, Selection, Stamp};
use crate::run::{Feed, Handle, RecordSink, wall_clock};
use board::{Board, BoardSink};
use session::Sessions;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// First part of the session cookie's name.
const COOKIE: &str = "mudenet";
/// Pages that can be open at once.
const VIEWERS: usize = 24;
/// Parts of before the start that the chart shows, and how old they may be.
const RECALLED: usize = 10_000;
const SHIFT_MS: i64 = 8 * 3_600_000;

/// A page that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Who may log in.
    #[error("page.engineers: {0}")]
    Engineers(#[from] EngineersError),
    /// Where it listens.
    #[error("page.bind: {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Certificate or key.
    #[error("page.certificate: {path}: {reason}")]
    Tls {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Its thread.
    #[error("page: its thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Everything the page's answers need.
struct App {
    name: String,
    simulated: bool,
    loopback: bool,
    secure: bool,
    cookie: String,
    config: PathBuf,
    record: Option<PathBuf>,
    audit: Option<PathBuf>,
    engineers: Option<PathBuf>,
    board: Arc<Board>,
    feed: Feed,
    handle: Handle,
    sessions: Sessions,
    /// One change of settings at a time.
    changing: Mutex<()>,
    viewers: Arc<Semaphore>,
    pictures: Semaphore,
    passwords: Semaphore,
}

/// A page whose address is taken and that does not answer yet.
pub struct Page {
    listener: TcpListener,
    address: SocketAddr,
    settings: PageConfig,
    tls: Option<tls::Acceptor>,
    board: Arc<Board>,
}

impl Page {
    /// Takes the page's address; `record` is the folder of the record that is being kept, whose newest parts the chart
    /// begins with.
    ///
    /// # Errors
    /// [`PageError`].
    pub fn open(settings: &PageConfig, record: Option<&Path>) -> Result<Self, PageError> {
        if let Some(path) = &settings.engineers {
            Engineers::load(path)?;
        }
        let tls = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
            _ => None,
        };
        let bound = |source| PageError::Bind { address: settings.bind, source };
        let listener = TcpListener::bind(settings.bind).map_err(bound)?;
        listener.set_nonblocking(true).map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let board = Board::new();
        let since = Some(Stamp::from_millis(Stamp::from(wall_clock()).millis() - SHIFT_MS));
        let selection = Selection { since, ..Selection::default() };
        // A record that cannot be read is the journal's to complain about.
        if let Some(Ok(entries)) = record.map(|folder| Records::open(folder).and_then(|r| r.last(RECALLED, &selection)))
        {
            board.recall(&entries);
        }
        Ok(Self { listener, address, settings: settings.clone(), tls, board })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a browser takes it.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// Where the line's records have to go.
    pub fn sink(&self) -> Box<dyn RecordSink> {
        Box::new(BoardSink(Arc::clone(&self.board)))
    }

    /// A way to say something in the page's log.
    pub fn voice(&self) -> Box<dyn FnMut(String) + Send> {
        let board = Arc::clone(&self.board);
        Box::new(move |text| board.say(text))
    }

    /// Answers from now on, on a thread of its own, until the process ends. `record` as in [`Page::open`].
    ///
    /// # Errors
    /// [`PageError::Thread`].
    pub fn start(
        self,
        config: &Config,
        record: Option<&Path>,
        simulated: bool,
        feed: Feed,
        handle: Handle,
    ) -> Result<(), PageError> {
        let Self { listener, address, settings, tls, board } = self;
        let app = Arc::new(App {
            name: config.name.clone(),
            simulated,
            loopback: address.ip().is_loopback(),
            secure: tls.is_some(),
            cookie: engineer::cookie(address.port()),
            config: config.path.clone(),
            record: record.map(Path::to_owned),
            audit: record.map(|folder| folder.join(audit::FILE)),
            engineers: settings.engineers,
            board,
            feed,
            handle,
            sessions: Sessions::default(),
            changing: Mutex::default(),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            pictures: Semaphore::new(1),
            passwords: Semaphore::new(1),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(8)
            .on_thread_start(server::step_back)
            .build()
            .map_err(PageError::Thread)?;
        let serve = move || {
            server::step_back();
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let routes = operator::routes().merge(engineer::routes()).merge(editor::routes());
                server::serve(listener, tls, routes, app).await;
            });
        };
        std::thread::Builder::new().name("page".to_owned()).spawn(serve).map_err(PageError::Thread)?;
        Ok(())
    }
}
