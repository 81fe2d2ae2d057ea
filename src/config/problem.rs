//! What is wrong with a configuration: where, what was found, and how to mend it.

use std::fmt;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A node does not start with it.
    Error,
    /// A node starts, but it is unwise.
    Warning,
}

/// Where a setting stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// As in [`Problem::file`].
    pub file: String,
    /// As in [`Problem::line`].
    pub line: Option<usize>,
    /// As in [`Problem::column`].
    pub column: Option<usize>,
}

/// One thing that is wrong or unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or `environment variable NAME`; empty when a program built the configuration.
    pub file: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// `redundancy.port` in a TOML file, the column's name in a CSV file; empty when the file as a whole is meant.
    pub key: String,
    /// The value found, as it stands there; none when there is none.
    pub found: Option<String>,
    /// What is wrong.
    pub message: String,
    /// How to mend it; may be empty.
    pub remedy: String,
    /// How bad it is.
    pub severity: Severity,
}

/// The longest part of a value that a problem repeats, in characters.
const MAX_FOUND_CHARS: usize = 80;

impl Problem {
    /// An error at this place.
    pub(super) fn error(place: &Place, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: place.file.clone(),
            line: place.line,
            column: place.column,
            key: String::new(),
            found: None,
            message: message.into(),
            remedy: remedy.into(),
            severity: Severity::Error,
        }
    }

    /// A warning at this place.
    pub(super) fn warning(place: &Place, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message, remedy) }
    }

    /// The same, of this key.
    pub(super) fn of(mut self, key: impl Into<String>) -> Self {
        self.key = shown(&key.into());
        self
    }

    /// The same, with the value that was found.
    pub(super) fn found(mut self, found: impl fmt::Display) -> Self {
        self.found = Some(shown(&found.to_string()));
        self
    }
}

/// A value from a file as a message shows it: in one line, not too long.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MAX_FOUND_CHARS {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

impl fmt::Display for Problem {
    /// `hotpair.toml:14: redundancy.ping_rate_ms = 0: must be at least 1; use 100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        match (self.key.is_empty(), &self.found) {
            (false, Some(found)) => write!(f, "{} = {found}: ", self.key)?,
            (false, None) => write!(f, "{}: ", self.key)?,
            (true, Some(found)) => write!(f, "{found}: ")?,
            (true, None) => {}
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that was found, in the order of the files and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds an error of a whole file, found by somebody else.
    #[cfg(feature = "service")]
    pub(crate) fn push_error(&mut self, file: String, message: impl Into<String>) {
        self.push(Problem::error(&Place { file, line: None, column: None }, message, ""));
    }

    /// Adds one.
    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Leaves of those that were added from number `first` on, problems of one file, so many.
    pub(super) fn limit_from(&mut self, first: usize, most: usize, file: &str) {
        if self.0.len() <= first.saturating_add(most) {
            return;
        }
        let dropped = self.0.split_off(first + most);
        let place = Place { file: file.to_owned(), line: None, column: None };
        let message = "further problems in this file are not shown";
        let is_error = dropped.iter().any(|problem| problem.severity == Severity::Error);
        let severity = if is_error { Severity::Error } else { Severity::Warning };
        self.0.push(Problem { severity, ..Problem::error(&place, message, "") });
    }

    /// Sorts by line those that were added from number `first` on: problems of one file.
    pub(super) fn sort_from(&mut self, first: usize) {
        if let Some(added) = self.0.get_mut(first..) {
            added.sort_by_key(|problem| problem.line);
        }
    }

    /// Whether a node must not start with this.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// What a node does not start with.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter().filter(|problem| problem.severity == Severity::Error)
    }

    /// What is unwise.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter().filter(|problem| problem.severity == Severity::Warning)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
