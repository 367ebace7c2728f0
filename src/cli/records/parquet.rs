//! Entries → a Parquet file, columns named as the keys of the journal.

use anyhow::{Context, Result};
use mudenet_edge::record::journal::Entry;
use mudenet_edge::record::{branch_word, verdict_word};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::io::Write;
use std::sync::Arc;

/// Entries that are held in memory and written together.
const ROWS: usize = 1 << 16;

const SCHEMA: &str = "
message part {
    REQUIRED INT64 part;
    REQUIRED INT64 time (TIMESTAMP(MILLIS, true));
    REQUIRED BYTE_ARRAY verdict (STRING);
    OPTIONAL FLOAT score;
    REQUIRED FLOAT threshold;
    OPTIONAL BYTE_ARRAY branch (STRING);
    OPTIONAL INT32 level;
    OPTIONAL INT32 row;
    OPTIONAL INT32 column;
    REQUIRED BYTE_ARRAY recipe (STRING);
    REQUIRED BYTE_ARRAY model (STRING);
    OPTIONAL FLOAT brightness;
    OPTIONAL FLOAT sharpness;
    OPTIONAL DOUBLE capture_ms;
    OPTIONAL DOUBLE inspect_ms;
    OPTIONAL DOUBLE total_ms;
    OPTIONAL BYTE_ARRAY image (STRING);
    OPTIONAL BYTE_ARRAY map (STRING);
    OPTIONAL BYTE_ARRAY error (STRING);
    OPTIONAL BYTE_ARRAY zone (STRING);
}";

/// Writes entries as they come.
pub(super) struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    rows: Vec<Entry>,
}

impl<W: Write + Send> Table<W> {
    pub(super) fn new(out: W) -> Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        Ok(Self { writer: SerializedFileWriter::new(out, schema, Arc::new(properties))?, rows: vec![] })
    }

    pub(super) fn add(&mut self, entry: &Entry) -> Result<()> {
        self.rows.push(entry.clone());
        if self.rows.len() >= ROWS { self.write_group() } else { Ok(()) }
    }

    /// Writes what is left and the file's end.
    pub(super) fn finish(mut self) -> Result<()> {
        self.write_group()?;
        self.writer.close()?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        for column in super::HEADINGS {
            let mut writer = group.next_column()?.context("the file has fewer columns than headings")?;
            write(writer.untyped(), column, &rows)?;
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }
}

/// Writes one column of `rows`.
fn write(writer: &mut ColumnWriter<'_>, column: &str, rows: &[Entry]) -> Result<()> {
    let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
    let integer = |value: Option<usize>| value.and_then(|value| i32::try_from(value).ok());
    match writer {
        ColumnWriter::Int64ColumnWriter(out) => {
            let of = |entry: &Entry| if column == "part" { i64::from(entry.part) } else { entry.time.millis() };
            out.write_batch(&rows.iter().map(of).collect::<Vec<_>>(), None, None)?;
        }
        ColumnWriter::Int32ColumnWriter(out) => {
            let of = |entry: &Entry| match column {
                "level" => integer(entry.level),
                "row" => integer(entry.at.map(|[row, _]| row)),
                _ => integer(entry.at.map(|[_, column]| column)),
            };
            put(rows, of, |values, there| out.write_batch(values, Some(there), None))?;
        }
        ColumnWriter::FloatColumnWriter(out) if column == "threshold" => {
            out.write_batch(&rows.iter().map(|entry| entry.threshold).collect::<Vec<_>>(), None, None)?;
        }
        ColumnWriter::FloatColumnWriter(out) => {
            let of = |entry: &Entry| match column {
                "score" => entry.score,
                "brightness" => entry.brightness,
                _ => entry.sharpness,
            };
            put(rows, of, |values, there| out.write_batch(values, Some(there), None))?;
        }
        ColumnWriter::DoubleColumnWriter(out) => {
            let of = |entry: &Entry| match column {
                "capture_ms" => entry.capture_ms,
                "inspect_ms" => entry.inspect_ms,
                _ => entry.total_ms,
            };
            put(rows, of, |values, there| out.write_batch(values, Some(there), None))?;
        }
        ColumnWriter::ByteArrayColumnWriter(out) => {
            let required = |entry: &Entry| match column {
                "verdict" => Some(text(verdict_word(entry.verdict))),
                "recipe" => Some(text(&entry.recipe)),
                "model" => Some(text(&entry.model)),
                _ => None,
            };
            if rows.first().is_some_and(|entry| required(entry).is_some()) {
                out.write_batch(&rows.iter().filter_map(required).collect::<Vec<_>>(), None, None)?;
            } else {
                let of = |entry: &Entry| match column {
                    "branch" => entry.branch.map(|branch| text(&branch_word(branch))),
                    "image" => entry.image.as_deref().map(text),
                    "map" => entry.map.as_deref().map(text),
                    "zone" => entry.zone.as_deref().map(text),
                    _ => entry.error.as_deref().map(text),
                };
                put(rows, of, |values, there| out.write_batch(values, Some(there), None))?;
            }
        }
        _ => anyhow::bail!("column {column} has no kind"),
    }
    Ok(())
}

/// Hands over what there is of an optional column, and for each row whether it is there.
fn put<T>(
    rows: &[Entry],
    of: impl Fn(&Entry) -> Option<T>,
    write: impl FnOnce(&[T], &[i16]) -> Result<usize, ParquetError>,
) -> Result<(), ParquetError> {
    let there: Vec<i16> = rows.iter().map(|entry| i16::from(of(entry).is_some())).collect();
    let values: Vec<T> = rows.iter().filter_map(of).collect();
    write(&values, &there).map(|_| ())
}
