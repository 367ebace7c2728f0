//! Commands and options that README and docs show, for the tests of both programs.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name and text of README, docs and what stands beside them, of the repository at `root`.
pub fn documents(root: &Path) -> Vec<(String, String)> {
    let mut names: Vec<String> = ["README.md", "ASSUMPTIONS.md", "SECURITY.md"].map(str::to_owned).to_vec();
    for folder in ["docs", "board"] {
        let files = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut files: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
        files.sort();
        names.extend(files.iter().filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(root.join(name)).unwrap())).collect()
}

/// The commands of a document's `sh` blocks, and of its `console` blocks those behind a prompt: one a line, without comments.
pub fn blocks(document: &str) -> Vec<String> {
    let mut inside = None;
    let mut found = vec![];
    for line in document.replace("\\\n", " ").lines() {
        match (inside, line.strip_prefix("```")) {
            (_, Some(kind)) => inside = ["sh", "console"].into_iter().find(|known| *known == kind),
            (Some("sh"), None) => found.push(line.to_owned()),
            (Some(_), None) => found.extend(line.strip_prefix("$ ").map(str::to_owned)),
            (None, None) => {}
        }
    }
    parts(found.iter().map(|line| if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default() }))
}

/// What stands between single backquotes.
pub fn spans(document: &str) -> Vec<String> {
    let outside: Vec<&str> = document.split("```").step_by(2).collect();
    let quoted = outside.iter().flat_map(|text| text.split('`').skip(1).step_by(2));
    let quoted: Vec<String> = quoted.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    parts(quoted.iter().map(String::as_str))
}

/// Commands that are joined by `&&` or `;`.
fn parts<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let parts = lines.flat_map(|line| line.split("&&")).flat_map(|line| line.split(';'));
    parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Words of a command; single quotes hold one together.
pub fn words(command: &str) -> Vec<String> {
    let mut words = vec![];
    for (i, piece) in command.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(piece.to_owned());
        } else {
            words.extend(piece.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The arguments where `command` runs `program`, by whatever user and from wherever.
pub fn arguments(command: &str, program: &str) -> Option<Vec<String>> {
    let command = command.replace("cargo run --release --", "mudenet-edge");
    let mut words = words(&command).into_iter().peekable();
    loop {
        let word = words.next()?;
        match word.as_str() {
            "sudo" => {
                if words.next_if(|word| word == "-u").is_some() {
                    words.next();
                }
            }
            "time" | "/usr/bin/time" | "-v" => {}
            _ if word.contains('=') => {}
            _ if word.rsplit('/').next() == Some(program) => {
                return Some(words.take_while(|word| word != ">").collect());
            }
            _ => return None,
        }
    }
}

/// A program and what it says of its commands.
pub struct Program {
    path: PathBuf,
    help: HashMap<Vec<String>, Option<String>>,
}

impl Program {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), help: HashMap::new() }
    }

    /// `--help` of the command that the words begin with.
    fn help(&mut self, words: &[String]) -> Option<&str> {
        let command: Vec<String> = words.iter().take_while(|word| !word.starts_with('-')).cloned().collect();
        let path = &self.path;
        let said = self.help.entry(command).or_insert_with_key(|command| {
            let output = Command::new(path).args(command).arg("--help").output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        });
        said.as_deref()
    }

    /// Whether the words are a command with options that there are; else what is wrong.
    pub fn knows(&mut self, words: &[String]) -> Result<usize, String> {
        let path = self.path.clone();
        let help = self.help(words).ok_or_else(|| format!("{} has no such command", path.display()))?;
        let options: Vec<&String> = words.iter().filter(|word| is_option(word)).collect();
        for option in &options {
            let name = option.split('=').next().unwrap_or_default();
            if !mentions(help, name) {
                return Err(format!("has no {name}"));
            }
        }
        Ok(options.len())
    }

    /// Whether any command has this option.
    pub fn has_somewhere(&mut self, option: &str) -> bool {
        let mut todo = vec![vec![]];
        while let Some(command) = todo.pop() {
            let help = self.help(&command).unwrap_or_default().to_owned();
            if mentions(&help, option) {
                return true;
            }
            let list = help.split("Commands:\n").nth(1).unwrap_or_default().lines();
            let names = list.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
            let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
            todo.extend(names.map(|name| [&command[..], &[name.to_owned()]].concat()));
        }
        false
    }
}

pub fn is_option(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    name.len() < word.len() && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether a help text names the option.
pub fn mentions(help: &str, option: &str) -> bool {
    help.split(|c: char| c.is_whitespace() || ",=[]|".contains(c)).any(|word| word == option)
}
