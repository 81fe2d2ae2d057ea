//! A recording in memory: rows of samples, each at its time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Cursor, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use csv::StringRecord;
use hotpair_core::catalog::Catalog;
use hotpair_core::types::UnixMillis;
use hotpair_core::value::{MAX_STRING_BYTES, Value, ValueType};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ReplaySettings;
use crate::config::number;

/// The largest recording: it is held in memory, in about four times its size.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// A recording is not longer than this, in seconds: as milliseconds too it is counted exactly.
const LONGEST_S: f64 = 10_000.0 * 365.25 * 86_400.0;

/// What is wrong with a recording, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}{}{}: {problem}", file.display(), shown_line(*line), shown_column(column.as_ref()))]
pub struct RecordingError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; the header is line 1. None: the file as a whole.
    pub line: Option<u64>,
    /// The column, from 1, and its name in the header. None: the line as a whole.
    pub column: Option<(usize, String)>,
    /// What is wrong there, and what is allowed.
    pub problem: String,
}

fn shown_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

fn shown_column(column: Option<&(usize, String)>) -> String {
    column.map_or_else(String::new, |(number, name)| format!(", column {number} ({name})"))
}

/// A row of a lap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub lap: u64,
    pub row: usize,
}

#[derive(Debug)]
struct Row {
    /// Seconds since the first row.
    at_s: f64,
    /// One for each column; none for an empty cell.
    values: Box<[Option<Value>]>,
}

/// See the [module](self). It has at least one row.
#[derive(Debug)]
pub(super) struct Recording {
    columns: Vec<Arc<str>>,
    rows: Vec<Row>,
    lap_s: f64,
}

impl Recording {
    /// Reads the file of these settings, whose columns are tags of `catalog`.
    pub fn read(settings: &ReplaySettings, catalog: &Catalog) -> Result<Self, RecordingError> {
        let mut lines = Lines::open(settings)?;
        let time_index = lines.time_index(&settings.time_column)?;
        let mut columns = Vec::new();
        let mut types = Vec::new();
        for (index, name) in lines.header.iter().enumerate() {
            if index == time_index {
                continue;
            }
            let tag = catalog.find(name).and_then(|id| catalog.get(id));
            let tag = tag.ok_or_else(|| lines.error(1, Some(index), "there is no tag of this path".to_owned()))?;
            columns.push(tag.path.clone());
            types.push((index, tag.value_type));
        }
        let unit_s = settings.time_unit.seconds();
        let mut rows = Vec::<Row>::new();
        let mut first = 0.0;
        while let Some((line, record)) = lines.next()? {
            let cell = |index: usize| record.get(index).unwrap_or_default().trim();
            let time = number(cell(time_index), settings.delimiter).ok_or_else(|| {
                let problem = format!("{:?} is no time; a number is expected", cell(time_index));
                lines.error(line, Some(time_index), problem)
            })?;
            if rows.is_empty() {
                first = time;
            }
            let at_s = (time - first) * unit_s;
            if at_s > LONGEST_S {
                let problem = format!("the time {time:?} is more than 10,000 years after the one of the first row");
                return Err(lines.error(line, Some(time_index), problem));
            }
            if let Some(last) = rows.last().filter(|last| last.at_s >= at_s) {
                let before = last.at_s / unit_s + first;
                let problem = format!("the time {time} is not after the one of the row before, {before}");
                return Err(lines.error(line, Some(time_index), problem));
            }
            let value = |&(index, of): &(usize, ValueType)| match cell(index) {
                "" => Ok(None),
                text => parse(of, text, settings.delimiter)
                    .map(Some)
                    .map_err(|problem| lines.error(line, Some(index), problem)),
            };
            rows.push(Row { at_s, values: types.iter().map(value).collect::<Result<_, _>>()? });
        }
        let Some(last) = rows.last() else {
            return Err(lines.whole("there is no row below the header".to_owned()));
        };
        // The step from the last row to the first of the next lap is as long as the one before it.
        let last_interval_s = rows.len().checked_sub(2).map_or(unit_s, |before| last.at_s - rows[before].at_s);
        Ok(Self { lap_s: last.at_s + last_interval_s, columns, rows })
    }

    /// The tags of its columns.
    pub fn columns(&self) -> &[Arc<str>] {
        &self.columns
    }

    /// The shortest time between two rows.
    pub fn shortest_interval_s(&self) -> f64 {
        let ends = self.rows.iter().skip(1).map(|row| row.at_s).chain([self.lap_s]);
        self.rows.iter().zip(ends).map(|(row, end)| end - row.at_s).fold(f64::INFINITY, f64::min)
    }

    /// The position at which a row is out.
    pub fn position_s(&self, place: Place) -> f64 {
        place.lap as f64 * self.lap_s + self.rows.get(place.row).map_or(self.lap_s, |row| row.at_s)
    }

    /// The values of a row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        let values = self.rows.get(row).map(|row| &*row.values).unwrap_or_default();
        self.columns.iter().zip(values).filter_map(|(path, value)| Some((path, value.as_ref()?)))
    }

    /// The row after this one.
    pub fn following(&self, place: Place, repeat: bool) -> Option<Place> {
        if place.row + 1 < self.rows.len() {
            return Some(Place { row: place.row + 1, ..place });
        }
        repeat.then_some(Place { lap: place.lap + 1, row: 0 })
    }

    /// The first row that is not out at this position.
    pub fn after(&self, position_s: f64, repeat: bool) -> Option<Place> {
        if !repeat {
            return self.first_after(0, position_s);
        }
        // The quotient may be off by one in its last digit: a lap earlier is never too late a start.
        let lap = ((position_s / self.lap_s).floor() as u64).saturating_sub(1);
        (lap..lap.saturating_add(4)).find_map(|lap| self.first_after(lap, position_s))
    }

    /// The values of the row that is exactly at this position; none when there is none.
    pub fn row_at(&self, position_s: f64) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        let lap = ((position_s / self.lap_s).floor() as u64).saturating_sub(1);
        let place = (lap..lap.saturating_add(3)).find_map(|lap| {
            let out = self.out_by(lap, position_s).checked_sub(1)?;
            let place = Place { lap, row: out };
            (self.position_s(place).to_bits() == position_s.to_bits()).then_some(place)
        });
        self.row(place.map_or(self.rows.len(), |place| place.row))
    }

    fn first_after(&self, lap: u64, position_s: f64) -> Option<Place> {
        let row = self.out_by(lap, position_s);
        (row < self.rows.len()).then_some(Place { lap, row })
    }

    /// How many rows of a lap are out at this position.
    fn out_by(&self, lap: u64, position_s: f64) -> usize {
        let start_s = lap as f64 * self.lap_s;
        self.rows.partition_point(|row| start_s + row.at_s <= position_s)
    }
}

/// The tags that a recording feeds, from its header alone: to know them before there is a catalog.
pub fn header_paths(settings: &ReplaySettings) -> Result<Vec<String>, RecordingError> {
    let lines = Lines::open(settings)?;
    let time_index = lines.time_index(&settings.time_column)?;
    let others = lines.header.iter().enumerate().filter(|(index, _)| *index != time_index);
    Ok(others.map(|(_, name)| name.to_owned()).collect())
}

/// The lines of a file, each as long as its header.
struct Lines {
    file: PathBuf,
    header: StringRecord,
    reader: csv::Reader<Cursor<Vec<u8>>>,
    /// The number of the line at this byte of the file. Counted here: the CSV reader counts no empty lines.
    counted: (u64, usize),
}

impl Lines {
    fn open(settings: &ReplaySettings) -> Result<Self, RecordingError> {
        let file = &settings.file;
        let whole = |problem| RecordingError { file: file.to_owned(), line: None, column: None, problem };
        let opened = File::open(file).map_err(|error| whole(format!("cannot be opened: {error}")))?;
        let mut bytes = Vec::new();
        opened
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| whole(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(whole(format!("is longer than {MAX_FILE_BYTES} bytes, the most of a recording. Split it")));
        }
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(settings.delimiter)
            .from_reader(Cursor::new(bytes));
        let mut lines = Self { file: file.to_owned(), header: StringRecord::new(), reader, counted: (1, 0) };
        // The CSV reader ignores the byte order mark with which spreadsheets may begin the file.
        let header = lines.record()?.ok_or_else(|| whole("is empty; a header of tag paths is expected".to_owned()))?.1;
        lines.header = header.iter().map(str::trim).collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = lines.header.iter().position(|name| !seen.insert(name)) {
            return Err(lines.error(1, Some(twice), "this column stands in the header twice".to_owned()));
        }
        Ok(lines)
    }

    fn time_index(&self, time_column: &str) -> Result<usize, RecordingError> {
        self.header
            .iter()
            .position(|name| name == time_column)
            .ok_or_else(|| self.error(1, None, format!("there is no column {time_column:?}, the time_column")))
    }

    fn next(&mut self) -> Result<Option<(u64, StringRecord)>, RecordingError> {
        let Some((line, record)) = self.record()? else { return Ok(None) };
        if record.len() != self.header.len() {
            let problem = format!("has {} cells, the header has {}", record.len(), self.header.len());
            return Err(self.error(line, None, problem));
        }
        Ok(Some((line, record)))
    }

    fn record(&mut self) -> Result<Option<(u64, StringRecord)>, RecordingError> {
        let mut record = StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(true) => Ok(Some((self.line_of(record.position()), record))),
            Ok(false) => Ok(None),
            Err(error) => {
                let line = self.line_of(error.position());
                let problem = match error.kind() {
                    csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
                    _ => format!("cannot be read: {error}"),
                };
                Err(self.error(line, None, problem))
            }
        }
    }

    /// The line of a record that begins here or after empty lines.
    fn line_of(&mut self, position: Option<&csv::Position>) -> u64 {
        let bytes = self.reader.get_ref().get_ref();
        let (line, from) = self.counted;
        let start = position.map_or(from, |position| position.byte() as usize).clamp(from, bytes.len());
        let empty = bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let newlines = bytes[from..start + empty].split(|&byte| byte == b'\n').count() - 1;
        self.counted = (line + newlines as u64, start + empty);
        self.counted.0
    }

    fn error(&self, line: u64, column: Option<usize>, problem: String) -> RecordingError {
        let column = column.map(|index| (index + 1, self.header.get(index).unwrap_or_default().to_owned()));
        RecordingError { file: self.file.clone(), line: Some(line), column, problem }
    }

    fn whole(&self, problem: String) -> RecordingError {
        RecordingError { file: self.file.clone(), line: None, column: None, problem }
    }
}

fn parse(of: ValueType, text: &str, delimiter: u8) -> Result<Value, String> {
    let wrong = |expected: &str| format!("{text:?} is no {of}; {expected} is expected");
    match of {
        ValueType::Bool => match text {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(wrong("true, false, 1 or 0")),
        },
        ValueType::Int64 => text.parse().map(Value::Int64).map_err(|_| wrong("a whole number")),
        ValueType::Float64 => {
            number(text, delimiter).map(Value::Float64).ok_or_else(|| wrong("a number with a decimal point"))
        }
        ValueType::String if text.len() > MAX_STRING_BYTES => {
            Err(format!("the text has {} bytes; at most {MAX_STRING_BYTES} are allowed", text.len()))
        }
        ValueType::String => Ok(Value::String(text.into())),
        ValueType::DateTime => OffsetDateTime::parse(text, &Rfc3339)
            .map(|time| Value::DateTime(UnixMillis((time.unix_timestamp_nanos() / 1_000_000) as i64)))
            .map_err(|_| wrong("a time like 2026-01-05T08:00:00.000Z")),
    }
}
