//! Engineers: their passwords and sessions.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use mudenet_board::Micros;
use rand::RngExt;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A session ends after so long without a request.
const IDLE: Micros = 30 * MINUTE;
/// A session ends after so long in any case.
const LONGEST: Micros = 8 * 60 * MINUTE;
/// Sessions at once.
const SESSIONS: usize = 64;
/// Wrong passwords from one address before it has to wait.
const FREE_TRIES: u32 = 5;
/// The first wait; each further wrong password doubles it.
const FIRST_WAIT: Micros = MINUTE / 2;
const LONGEST_WAIT: Micros = 15 * MINUTE;
/// Addresses that are remembered.
const ADDRESSES: usize = 1024;
const MINUTE: Micros = 60_000_000;

/// Fewest characters of a password.
pub const FEWEST: usize = 10;

/// Names and password hashes that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineersError {
    /// The file.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// It.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of it.
    #[error("{}: line {line}: expected NAME:HASH as `mudenet-edge password` writes it", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
    /// Nobody.
    #[error("{}: names nobody: add someone with `mudenet-edge password`", path.display())]
    Nobody {
        /// The file.
        path: PathBuf,
    },
    /// A password or name that is refused.
    #[error("{0}")]
    Refused(String),
}

/// Who may change settings: `NAME:HASH` a line, the hash in PHC form.
#[derive(Clone, Debug, Default)]
pub struct Engineers(BTreeMap<String, String>);

impl Engineers {
    /// Reads the file of names and hashes.
    ///
    /// # Errors
    /// [`EngineersError`].
    pub fn load(path: &Path) -> Result<Self, EngineersError> {
        let read = crate::limits::read_text(path, crate::limits::SETTINGS);
        let text = read.map_err(|source| EngineersError::Read { path: path.to_owned(), source })?;
        let mut people = BTreeMap::new();
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        {
            let bad = || EngineersError::Line { path: path.to_owned(), line: i + 1 };
            let (name, hash) = line.trim().split_once(':').ok_or_else(bad)?;
            PasswordHash::new(hash).map_err(|_| bad())?;
            people.insert(name.to_owned(), hash.to_owned());
        }
        if people.is_empty() {
            return Err(EngineersError::Nobody { path: path.to_owned() });
        }
        Ok(Self(people))
    }

    /// Sets the password of `name`.
    ///
    /// # Errors
    /// [`EngineersError::Refused`] for a name or password that cannot be used.
    pub fn set(&mut self, name: &str, password: &str) -> Result<(), EngineersError> {
        let refused = |reason: String| Err(EngineersError::Refused(reason));
        if name.is_empty() || name.len() > 64 || name.starts_with('#') || name.contains([':', '\n', '\r']) {
            return refused(format!("the name {name:?} must have 1 to 64 characters, no colon, and not begin with #"));
        }
        if password.chars().count() < FEWEST {
            return refused(format!("a password needs at least {FEWEST} characters"));
        }
        match Argon2::default().hash_password(password.as_bytes()) {
            Ok(hash) => {
                self.0.insert(name.to_owned(), hash.to_string());
                Ok(())
            }
            Err(error) => refused(format!("the password cannot be hashed: {error}")),
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(name, hash)| format!("{name}:{hash}\n")).collect()
    }

    /// Whether this is the password of `name`. An unknown name takes as long as a known one.
    fn knows(&self, name: &str, password: &str) -> bool {
        let known = self.0.get(name);
        let Some(hash) = known.or_else(|| self.0.values().next()) else { return false };
        let right = PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        right && known.is_some()
    }
}

/// Why somebody cannot log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Name or password.
    Wrong,
    /// Too many wrong passwords; seconds to wait.
    Wait(u64),
}

struct Session {
    name: String,
    seen: Micros,
    opened: Micros,
}

#[derive(Default)]
struct Tries {
    wrong: u32,
    until: Micros,
}

/// Sessions that are open and addresses that guess.
#[derive(Default)]
pub(super) struct Sessions {
    /// By the hash of the token, so that what a memory dump shows opens nothing.
    open: Mutex<HashMap<[u8; 32], Session>>,
    tries: Mutex<HashMap<IpAddr, Tries>>,
}

impl Sessions {
    /// Checks name and password, which takes a while, and gives the token of a new session.
    pub(super) fn log_in(
        &self,
        engineers: &Engineers,
        name: &str,
        password: &str,
        from: IpAddr,
        now: Micros,
    ) -> Result<String, Denied> {
        self.may_try(from, now)?;
        if !engineers.knows(name, password) {
            return Err(Denied::Wrong);
        }
        lock(&self.tries).remove(&from);
        let token: String = rand::rng().random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut open = lock(&self.open);
        open.retain(|_, session| session.is_open(now));
        if open.len() >= SESSIONS
            && let Some(oldest) = open.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        open.insert(key(&token), Session { name: name.to_owned(), seen: now, opened: now });
        Ok(token)
    }

    /// Counts a try before it is made, so that many at once gain nothing; a right password clears the count.
    fn may_try(&self, from: IpAddr, now: Micros) -> Result<(), Denied> {
        let mut tries = lock(&self.tries);
        if tries.len() >= ADDRESSES {
            tries.retain(|_, tries| now < tries.until.saturating_add(LONGEST_WAIT));
            if tries.len() >= ADDRESSES {
                return Err(Denied::Wait(60));
            }
        }
        let tries = tries.entry(from).or_default();
        if now < tries.until {
            return Err(Denied::Wait((tries.until - now).div_ceil(1_000_000)));
        }
        tries.wrong = tries.wrong.saturating_add(1);
        if tries.wrong >= FREE_TRIES {
            let doublings = (tries.wrong - FREE_TRIES).min(10);
            tries.until = now.saturating_add((FIRST_WAIT << doublings).min(LONGEST_WAIT));
        }
        Ok(())
    }

    /// Who has this token.
    pub(super) fn who(&self, token: &str, now: Micros) -> Option<String> {
        let mut open = lock(&self.open);
        let session = open.get_mut(&key(token)).filter(|session| session.is_open(now))?;
        session.seen = now;
        Some(session.name.clone())
    }

    /// Ends a session.
    pub(super) fn log_out(&self, token: &str) {
        lock(&self.open).remove(&key(token));
    }
}

impl Session {
    fn is_open(&self, now: Micros) -> bool {
        now < self.seen.saturating_add(IDLE) && now < self.opened.saturating_add(LONGEST)
    }
}

fn key(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn anna() -> Engineers {
        let mut engineers = Engineers::default();
        engineers.set("anna", "a long password").unwrap();
        engineers
    }

    #[test]
    fn the_file_knows_its_people_and_not_their_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engineers.txt");
        std::fs::write(&path, format!("# engineers\n{}", anna().to_text())).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("a long password"));
        let engineers = Engineers::load(&path).unwrap();
        assert!(engineers.knows("anna", "a long password"));
        for (name, password) in [("anna", "a long passwore"), ("Anna", "a long password"), ("", "")] {
            assert!(!engineers.knows(name, password), "{name}");
        }
        for (text, told) in [("", "names nobody"), ("anna", "line 1"), ("#\nanna:secret", "line 2")] {
            std::fs::write(&path, text).unwrap();
            let error = Engineers::load(&path).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(anna().set("bo:b", "a long password").is_err() && anna().set("bob", "short").is_err());
    }

    #[test]
    fn a_session_ends_by_itself_and_by_logging_out() {
        let (sessions, engineers) = (Sessions::default(), anna());
        let log_in = |now| sessions.log_in(&engineers, "anna", "a long password", HERE, now).unwrap();
        let token = log_in(0);
        assert_eq!(sessions.who(&token, IDLE - 1).as_deref(), Some("anna"));
        assert_eq!(sessions.who(&token, 2 * IDLE - 1), None);
        let token = log_in(0);
        let kept = (1..).map(|i| i * (IDLE - 1)).take_while(|now| sessions.who(&token, *now).is_some()).last().unwrap();
        assert!(kept < LONGEST && kept + IDLE >= LONGEST);
        let token = log_in(0);
        sessions.log_out(&token);
        assert_eq!(sessions.who(&token, 1), None);
        assert_eq!(sessions.who("", 1), None);
    }

    #[test]
    fn guessing_gets_slower_and_slower() {
        let (sessions, engineers) = (Sessions::default(), anna());
        let mut now = 0;
        let mut guesses = 0;
        while now < 24 * 60 * MINUTE {
            match sessions.log_in(&Engineers::default(), "anna", "guess", HERE, now) {
                Err(Denied::Wait(seconds)) => now += seconds * 1_000_000,
                _ => guesses += 1,
            }
        }
        assert!((90..120).contains(&guesses), "{guesses} guesses a day");
        // Nor does the right password help while waiting, from this address.
        let _ = sessions.log_in(&Engineers::default(), "anna", "guess", HERE, now);
        let denied = sessions.log_in(&engineers, "anna", "a long password", HERE, now);
        assert!(matches!(denied, Err(Denied::Wait(_))));
        let other = IpAddr::from([10, 0, 0, 1]);
        assert!(sessions.log_in(&engineers, "anna", "a long password", other, now).is_ok());
    }
}
