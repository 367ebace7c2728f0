//! `mudenet-edge schema`: what the files of a site may hold, from the very types that read them.

use super::ACCEPTED;
use mudenet_edge::{config, recipe};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;

const AFTER_HELP: &str = "\
An editor that knows JSON Schema checks and completes the files: with the line
  #:schema box.schema.json
at the top of box.toml, for taplo and what is built on it.

Examples:
  mudenet-edge schema box > box.schema.json
  mudenet-edge schema --markdown > docs/configuration.md";

/// Print what box.toml and recipes may hold, as JSON Schema or as a page to read
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// The file
    #[arg(value_enum, value_name = "FILE", required_unless_present = "markdown")]
    of: Option<Of>,
    /// Print a page to read about both
    #[arg(long, conflicts_with = "of")]
    markdown: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Of {
    /// box.toml, a station
    Box,
    /// RECIPE.toml, a product
    Recipe,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let mut out = std::io::stdout().lock();
    match args.of {
        Some(Of::Box) => writeln!(out, "{:#}", config::schema())?,
        Some(Of::Recipe) => writeln!(out, "{:#}", recipe::schema())?,
        None => write!(out, "{}", page())?,
    }
    Ok(ACCEPTED)
}

const HEAD: &str = "\
# What can be set

<!-- Written by `mudenet-edge schema --markdown`, from the types that read the files; ./check compares. -->

An unknown key is an error; every mistake is told by file, key and rule before anything is opened:
`mudenet-edge run --config box.toml --check`. Paths are below the folder of the file they stand in. `mudenet-edge schema box`
prints the same as JSON Schema, with which editors check and complete the file.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (title, schema) in [("box.toml", config::schema()), ("RECIPE.toml", recipe::schema())] {
        let _ = write!(page, "\n# {title}\n");
        let reader = Reader { schema: &schema };
        let mut tables = Tables { page, told: BTreeSet::new() };
        reader.table("", &schema, &mut tables);
        page = tables.page;
    }
    page
}

struct Reader<'a> {
    schema: &'a Value,
}

struct Tables {
    page: String,
    /// Tables that stand on the page under another name already.
    told: BTreeSet<String>,
}

/// What a key may hold.
struct Kind<'a> {
    text: String,
    /// The table that it is, or that each of its values is, with the words behind its name.
    table: Option<(&'a Value, &'static str, String)>,
}

impl<'a> Reader<'a> {
    /// Writes the keys of a table, and then the tables in it.
    fn table(&self, name: &str, table: &'a Value, tables: &mut Tables) {
        let none = Map::new();
        let keys = table["properties"].as_object().unwrap_or(&none);
        let needed = |key: &str| table["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
        let mut below = vec![];
        let mut rows = String::new();
        for (key, of) in keys {
            let kind = self.kind(of);
            let what = of["description"].as_str().unwrap_or_default().replace('\n', " ");
            if let Some((table, more, id)) = kind.table {
                let path = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                below.push((format!("{path}{more}"), table, id, needed(key), what.clone()));
                if name.is_empty() {
                    continue;
                }
            }
            let default = match &of["default"] {
                _ if needed(key) => "needed".to_owned(),
                Value::Null | Value::Object(_) => String::new(),
                Value::Array(values) if values.is_empty() => String::new(),
                Value::String(text) if text.is_empty() => String::new(),
                default => format!("`{}`", plain(default)),
            };
            let _ = writeln!(rows, "| `{key}` | {} | {default} | {what} |", kind.text);
        }
        if !rows.is_empty() {
            let _ = write!(tables.page, "\n| key | | default | |\n|---|---|---|---|\n{rows}");
        }
        for (path, of, id, needed, what) in below {
            if !tables.told.insert(id.clone()) {
                continue;
            }
            let needed = if needed { " *Needed.*" } else { "" };
            let title = if self.shared(&id) { name_of(&id) } else { format!("`[{path}]`") };
            let about = of["description"].as_str().unwrap_or_default().replace('\n', " ");
            let what = if about.contains(':') { about } else { what };
            let _ = write!(tables.page, "\n## {title}\n\n{what}{needed}\n");
            self.table(&path, of, tables);
        }
    }

    fn resolved(&self, of: &'a Value) -> (&'a Value, String) {
        match of["$ref"].as_str().and_then(|path| path.strip_prefix("#")) {
            Some(path) => (self.schema.pointer(path).unwrap_or(of), path.to_owned()),
            None => (of, String::new()),
        }
    }

    /// Whether several keys hold a table of this kind.
    fn shared(&self, id: &str) -> bool {
        !id.is_empty() && self.schema.to_string().matches(&format!("\"#{id}\"")).count() > 1
    }

    fn kind(&self, of: &'a Value) -> Kind<'a> {
        let plainly = |text: &str| Kind { text: text.to_owned(), table: None };
        if let Some(some) = of["anyOf"].as_array().and_then(|any| any.iter().find(|one| one["type"] != "null")) {
            return self.kind(some);
        }
        let (of, id) = self.resolved(of);
        if let Some(words) = words(of) {
            return plainly(&words);
        }
        let of_type = match &of["type"] {
            Value::Array(types) => types.iter().find_map(|one| one.as_str().filter(|one| *one != "null")),
            one => one.as_str(),
        };
        match of_type {
            Some("object") if of["properties"].is_object() => {
                let text = if self.shared(&id) { format!("[{0}](#{0})", name_of(&id)) } else { "table".to_owned() };
                Kind { text, table: Some((of, "", id)) }
            }
            Some("object") => {
                let each = self.kind(&of["additionalProperties"]);
                let table = each.table.map(|(table, _, id)| (table, ".NAME", id));
                Kind { text: format!("table of {}", each.text), table }
            }
            Some("array") => {
                let each = self.kind(&of["items"]);
                let count = of["maxItems"].as_u64().map_or(String::new(), |count| format!("{count} × "));
                Kind { text: format!("[{count}{}]", each.text), table: each.table }
            }
            Some("integer") => plainly("integer"),
            Some("number") => plainly("number"),
            Some("boolean") => plainly("true, false"),
            Some("string") => plainly("text"),
            _ => plainly(""),
        }
    }
}

/// The words that a key may hold, with what they mean.
fn words(of: &Value) -> Option<String> {
    if let Some(words) = of["enum"].as_array() {
        return Some(words.iter().map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(", "));
    }
    let words = of["oneOf"].as_array()?.iter().map(|one| match one["description"].as_str() {
        Some(what) => Some(format!("`{}` ({})", plain(&one["const"]), what.trim_end_matches('.'))),
        None => words(one).or_else(|| Some(format!("`{}`", plain(&one["const"])))),
    });
    Some(words.collect::<Option<Vec<_>>>()?.join(", "))
}

/// `/$defs/Pin` → `pin`.
fn name_of(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_lowercase()
}

/// A value as it stands in TOML.
fn plain(value: &Value) -> String {
    match value.as_f64() {
        // What was given as a 32-bit number is told as one.
        Some(number) if value.is_f64() && f64::from(number as f32) == number => format!("{:?}", number as f32),
        _ => value.to_string(),
    }
}
