//! A CSV file with named columns, as spreadsheets write it: UTF-8 with or without BOM, any line ends, `,` or `;`.

use std::path::Path;

use csv::StringRecord;

use super::problem::{Place, Problem, Problems, Severity, shown};
use super::suggest;

/// A project's file is not read beyond this size.
pub(super) const MAX_FILE_BYTES: u64 = 512 << 20;

/// Of one file so many problems are told: a wrong column makes one a row.
const MAX_PROBLEMS: usize = 20;

/// What separates the cells of a file with this first line. A spreadsheet in a country with a decimal comma writes `;`.
pub fn delimiter_of(header: &str) -> u8 {
    if header.contains(';') && !header.contains(',') { b';' } else { b',' }
}

/// A finite number in a cell. In files separated by `;` also with a decimal comma.
pub(crate) fn number(text: &str, delimiter: u8) -> Option<f64> {
    let parsed = if delimiter == b';' && text.contains(',') && !text.contains('.') {
        text.replacen(',', ".", 1).parse::<f64>()
    } else {
        text.parse()
    };
    parsed.ok().filter(|number| number.is_finite())
}

/// A file's text.
pub(super) struct Text {
    pub file: String,
    pub content: String,
}

impl Text {
    /// Reads it. None when it is not there (a problem only when `required` says what for), or with a problem.
    pub(super) fn read(path: &Path, required: Option<&str>, problems: &mut Problems) -> Option<Self> {
        let file = path.display().to_string();
        let place = Place { file: file.clone(), line: None, column: None };
        let content = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if let Some(remedy) = required {
                    problems.push(Problem::error(&place, "there is no such file", remedy));
                }
                return None;
            }
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                problems.push(Problem::error(&place, format!("larger than {MAX_FILE_BYTES} bytes"), ""));
                return None;
            }
            Ok(_) => std::fs::read(path),
            Err(error) => Err(error),
        };
        match content.map(String::from_utf8) {
            Ok(Ok(content)) => Some(Self { file, content }),
            Ok(Err(error)) => {
                let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
                let line = before.filter(|&&byte| byte == b'\n').count() + 1;
                let remedy = "in a spreadsheet, save it as \"CSV UTF-8\"";
                problems.push(Problem::error(&Place { line: Some(line), ..place }, "not UTF-8", remedy));
                None
            }
            Err(error) => {
                problems.push(Problem::error(&place, format!("cannot be read: {error}"), ""));
                None
            }
        }
    }
}

/// Tells the problems of one file, up to a limit.
pub(super) struct Report<'a> {
    file: &'a str,
    problems: &'a mut Problems,
    errors: usize,
    shown: usize,
    untold: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str, problems: &'a mut Problems) -> Self {
        Self { file, problems, errors: 0, shown: 0, untold: 0 }
    }

    /// Whether what is told now is not shown: not worth looking for a suggestion.
    pub(super) fn is_full(&self) -> bool {
        self.shown == MAX_PROBLEMS
    }

    /// How many errors there were.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    pub(super) fn error(&mut self, line: usize, column: &str, found: &str, message: impl Into<String>, remedy: &str) {
        self.tell(Severity::Error, line, column, found, message.into(), remedy);
    }

    pub(super) fn warning(&mut self, line: usize, column: &str, found: &str, message: impl Into<String>, remedy: &str) {
        self.tell(Severity::Warning, line, column, found, message.into(), remedy);
    }

    fn tell(&mut self, severity: Severity, line: usize, column: &str, found: &str, message: String, remedy: &str) {
        self.errors += usize::from(severity == Severity::Error);
        if self.is_full() {
            self.untold += 1;
            return;
        }
        self.shown += 1;
        let file = self.file.to_owned();
        let found = (!found.is_empty()).then(|| shown(found));
        let (key, remedy) = (column.to_owned(), remedy.to_owned());
        self.problems.push(Problem { file, line: Some(line), column: None, key, found, message, remedy, severity });
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if self.untold > 0 {
            let place = Place { file: self.file.to_owned(), line: None, column: None };
            let message = format!("{} more problems in this file are not shown", self.untold);
            let problem = Problem::error(&place, message, "");
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            self.problems.push(Problem { severity, ..problem });
        }
    }
}

/// One row; cells are asked for by the place of their column in the list given to [`rows`].
pub(super) struct Row<'a> {
    pub line: usize,
    record: &'a StringRecord,
    columns: &'a [Option<usize>],
    delimiter: u8,
}

impl Row<'_> {
    /// The cell as it stands there.
    pub(super) fn raw(&self, column: usize) -> &str {
        self.columns.get(column).copied().flatten().and_then(|at| self.record.get(at)).unwrap_or("")
    }

    /// The cell without spaces around it; empty when there is none.
    pub(super) fn cell(&self, column: usize) -> &str {
        self.raw(column).trim()
    }

    /// See [`number`].
    pub(super) fn number(&self, text: &str) -> Option<f64> {
        number(text, self.delimiter)
    }
}

/// `true` or `false`, also in the capitals of spreadsheets.
pub(super) fn flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Calls `each` with every row that is not empty, until it says false. False, with problems, when the header is wrong.
pub(super) fn rows(
    content: &str,
    columns: &[&str],
    required: &[&str],
    report: &mut Report<'_>,
    mut each: impl FnMut(&Row<'_>, &mut Report<'_>) -> bool,
) -> bool {
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    let first = content.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let delimiter = delimiter_of(first);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(content.as_bytes());
    let mut record = StringRecord::new();
    let mut lines = LineCounter { content: content.as_bytes(), byte: 0, line: 1 };

    if !matches!(reader.read_record(&mut record), Ok(true)) {
        report.error(1, "", "", "empty", &format!("the first line is a header: {}", columns.join(",")));
        return false;
    }
    let Some(places) = header(&record, lines.line_of(&record), columns, required, report) else { return false };

    let width = record.len();
    let mut last = (0, false);
    while matches!(reader.read_record(&mut record), Ok(true)) {
        let line = lines.line_of(&record);
        last = (line, record.iter().any(|cell| cell.contains('\n')));
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if let Some(surplus) = record.iter().skip(width).find(|cell| !cell.trim().is_empty()) {
            let message = format!("more cells than the header has ({} instead of {width})", record.len());
            report.error(line, "", surplus, message, "put text that holds a separator in quotes");
            continue;
        }
        let row = Row { line, record: &record, columns: &places, delimiter };
        if !each(&row, report) {
            return true;
        }
    }
    if last.1 && content.bytes().filter(|&byte| byte == b'"').count() % 2 == 1 {
        report.error(
            last.0,
            "",
            "",
            "a quote is opened and never closed: the lines after it are lost",
            "close or double it",
        );
    }
    true
}

/// Line numbers of records that are asked for in their order. The CSV reader's own do not count empty lines.
struct LineCounter<'a> {
    content: &'a [u8],
    byte: usize,
    line: usize,
}

impl LineCounter<'_> {
    fn line_of(&mut self, record: &StringRecord) -> usize {
        let begin = record.position().map_or(0, |position| position.byte() as usize);
        // The position is where the reader was before: empty lines may still lie between.
        let rest = self.content.get(begin..).unwrap_or_default();
        let begin = begin + rest.iter().take_while(|&&byte| byte == b'\n' || byte == b'\r').count();
        let passed = self.content.get(self.byte..begin).unwrap_or_default();
        self.line += passed.iter().map(|&byte| usize::from(byte == b'\n')).sum::<usize>();
        self.byte = begin.max(self.byte);
        self.line
    }
}

/// The place of each of `columns` in the header.
fn header(
    record: &StringRecord,
    line: usize,
    columns: &[&str],
    required: &[&str],
    report: &mut Report<'_>,
) -> Option<Vec<Option<usize>>> {
    let before = report.errors();
    let mut places = vec![None; columns.len()];
    for (at, name) in record.iter().enumerate() {
        let name = name.trim();
        match columns.iter().position(|column| *column == name) {
            Some(column) if places[column].is_some() => {
                report.error(line, name, "", "this column is there twice", "remove one");
            }
            Some(column) => places[column] = Some(at),
            // Spreadsheets write empty columns at the end.
            None if name.is_empty() => {}
            None => {
                let message = format!("unknown column {:?}", shown(name));
                report.error(line, "", "", message, &suggest::did_you_mean(name, columns));
            }
        }
    }
    for name in required {
        let there = columns.iter().zip(&places).any(|(column, place)| column == name && place.is_some());
        if !there {
            report.error(line, name, "", "this column is missing", "add it to the header");
        }
    }
    (report.errors() == before).then_some(places)
}
