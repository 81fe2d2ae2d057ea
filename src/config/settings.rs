//! The keys of a TOML file, each with its place, and overrides from the environment; taken out one by one, typed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems, shown};
use super::suggest;
use super::values::FromSetting;

/// What an override begins with.
const PREFIX: &str = "HOTPAIR__";

/// A TOML file is not read beyond this size: one that is larger is not meant.
const MAX_TOML_BYTES: u64 = 1 << 20;

/// Columns are told up to here.
const MAX_COLUMN_BYTES: usize = 4096;
/// Of one file so many problems are told: a file of another kind makes one a line.
const MAX_PROBLEMS: usize = 20;

/// Where each key stands.
#[derive(Default)]
pub(super) struct Places {
    keys: BTreeMap<String, Place>,
    /// Keys of which a problem was already told: their values say nothing.
    told: BTreeSet<String>,
    /// The file, for keys that are not in it.
    file: Place,
}

impl Places {
    /// Where it stands; the file when it is not there.
    pub(super) fn of(&self, key: &str) -> &Place {
        self.keys.get(key).unwrap_or(&self.file)
    }

    /// Whether it is in the file or in the environment.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether nothing more is to be told of it.
    pub(super) fn is_told(&self, key: &str) -> bool {
        self.told.contains(key)
    }
}

/// The value of a key.
pub(super) enum Setting {
    Bool(bool),
    Integer(Option<i64>),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Table,
    DateTime,
    /// From the environment: text that stands for any type.
    Override(String),
}

struct Found {
    setting: Setting,
    /// As it stands in the file.
    shown: String,
    place: Place,
}

/// The keys that were found and not yet taken.
pub(super) struct Settings {
    found: BTreeMap<String, Found>,
    places: Places,
    /// Keys that were asked for: what an unknown key may have meant.
    known: Vec<String>,
}

/// Where in a text a byte is: line and column, from 1.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Self {
        Self { starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect() }
    }

    fn place(&self, file: &str, text: &str, at: usize) -> Place {
        let line = self.starts.partition_point(|&start| start <= at);
        let start = self.starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        // In a line of such a length nobody looks for a column; counting each anew would take minutes.
        let before = text.get(start..at).filter(|before| before.len() <= MAX_COLUMN_BYTES);
        let column = before.map(|before| before.chars().count() + 1);
        Place { file: file.to_owned(), line: Some(line), column }
    }
}

/// A TOML file, read and parsed.
pub(super) struct Document {
    file: String,
    text: String,
}

impl Document {
    /// The content of `path`; none, with a problem, when it cannot be read.
    pub(super) fn read(path: &Path, problems: &mut Problems) -> Option<Self> {
        let file = path.display().to_string();
        let place = Place { file: file.clone(), line: None, column: None };
        let content = match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_TOML_BYTES => {
                problems.push(Problem::error(
                    &place,
                    format!("larger than {MAX_TOML_BYTES} bytes"),
                    "is it this file?",
                ));
                return None;
            }
            Ok(_) => std::fs::read(path),
            Err(error) => Err(error),
        };
        match content.map(String::from_utf8) {
            Ok(Ok(text)) => Some(Self::new(file, text)),
            Ok(Err(error)) => {
                let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
                let line = before.filter(|&&byte| byte == b'\n').count() + 1;
                let place = Place { line: Some(line), ..place };
                problems.push(Problem::error(&place, "not UTF-8", "save the file as UTF-8"));
                None
            }
            Err(error) => {
                problems.push(Problem::error(&place, format!("cannot be read: {error}"), String::new()));
                None
            }
        }
    }

    /// A document of this text; `file` is what problems name.
    pub(super) fn new(file: String, text: String) -> Self {
        Self { file, text }
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Parses, and calls `each` with the name of each table, or value outside of a table, at the top.
    /// False, with problems, when it is not TOML.
    pub(super) fn parse(&self, problems: &mut Problems, each: impl FnOnce(&Self, &Top<'_>, &mut Problems)) -> bool {
        let first = problems.len();
        let is_toml = self.parse_all(problems, each);
        problems.limit_from(first, MAX_PROBLEMS, &self.file);
        is_toml
    }

    fn parse_all(&self, problems: &mut Problems, each: impl FnOnce(&Self, &Top<'_>, &mut Problems)) -> bool {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        let lines = Lines::new(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            each(self, &Top { table: table.get_ref(), text, lines }, problems);
            return true;
        }
        for error in errors {
            let place = match error.span() {
                Some(span) => lines.place(&self.file, text, span.start),
                None => Place { file: self.file.clone(), line: None, column: None },
            };
            problems.push(Problem::error(&place, format!("not TOML: {}", shown(error.message())), String::new()));
        }
        false
    }
}

/// A parsed document.
pub(super) struct Top<'a> {
    table: &'a DeTable<'a>,
    text: &'a str,
    lines: Lines,
}

impl Document {
    /// The keys of all sections, as `section.key`.
    pub(super) fn sections(&self, top: &Top<'_>, problems: &mut Problems, sections: &[&str]) -> Settings {
        let mut settings = Settings::empty(&self.file);
        for (name, value) in top.table {
            let place = top.lines.place(&self.file, top.text, name.span().start);
            let section = name.get_ref();
            if !sections.contains(&section.as_ref()) {
                let shown = if value.get_ref().is_table() { format!("[{section}]") } else { section.to_string() };
                let what = if value.get_ref().is_table() { "section" } else { "key outside of a section" };
                let remedy = suggest::did_you_mean(section, sections);
                problems.push(Problem::error(&place, format!("unknown {what}"), remedy).of(shown));
            } else if let DeValue::Table(keys) = value.get_ref() {
                self.table(top, section, keys, &mut settings);
            } else {
                let found = top.slice(value.span());
                problems.push(
                    Problem::error(&place, "must be a section", format!("write [{section}] in a line of its own"))
                        .of(section.as_ref())
                        .found(found),
                );
            }
        }
        settings
    }

    /// The entries `[[name]]`, each with its own keys. Anything else at the top is a problem.
    pub(super) fn entries(&self, top: &Top<'_>, problems: &mut Problems, wanted: &str) -> Vec<Settings> {
        let mut entries = Vec::new();
        for (name, value) in top.table {
            let place = top.lines.place(&self.file, top.text, name.span().start);
            let list = match value.get_ref() {
                DeValue::Array(list) if name.get_ref() == wanted => list,
                _ => {
                    let remedy = format!("each entry begins with a line [[{wanted}]]");
                    problems.push(Problem::error(&place, "unknown key", remedy).of(name.get_ref().as_ref()));
                    continue;
                }
            };
            for entry in list {
                let mut settings = Settings::empty(&self.file);
                settings.places.file = top.lines.place(&self.file, top.text, entry.span().start);
                if let DeValue::Table(keys) = entry.get_ref() {
                    self.table(top, "", keys, &mut settings);
                    entries.push(settings);
                } else {
                    let remedy = format!("each entry begins with a line [[{wanted}]]");
                    problems.push(Problem::error(settings.place(), "must be a table", remedy).of(wanted));
                }
            }
        }
        entries
    }

    fn table(&self, top: &Top<'_>, section: &str, keys: &DeTable<'_>, settings: &mut Settings) {
        for (key, value) in keys {
            let place = top.lines.place(&self.file, top.text, key.span().start);
            let name =
                if section.is_empty() { key.get_ref().to_string() } else { format!("{section}.{}", key.get_ref()) };
            let shown = top.slice(value.span());
            settings.add(name, Found { setting: Setting::of(value.get_ref()), shown, place });
        }
    }
}

impl Top<'_> {
    fn slice(&self, span: Range<usize>) -> String {
        shown(self.text.get(span).unwrap_or_default().trim())
    }
}

impl Setting {
    fn of(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Integer(value) => Self::Integer(i64::from_str_radix(value.as_str(), value.radix()).ok()),
            DeValue::Float(value) => value.as_str().parse().map_or(Self::DateTime, Self::Float),
            DeValue::String(value) => Self::Text(value.to_string()),
            DeValue::Array(list) => Self::List(list.iter().map(Spanned::get_ref).map(Self::of).collect()),
            DeValue::Table(_) => Self::Table,
            DeValue::Datetime(_) => Self::DateTime,
        }
    }
}

impl Settings {
    fn empty(file: &str) -> Self {
        let file = Place { file: file.to_owned(), line: None, column: None };
        Self { found: BTreeMap::new(), places: Places { file, ..Places::default() }, known: Vec::new() }
    }

    fn add(&mut self, key: String, found: Found) {
        self.places.keys.insert(key.clone(), found.place.clone());
        self.found.insert(key, found);
    }

    /// Takes the variables of the environment that are meant for us.
    pub(super) fn override_from(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        problems: &mut Problems,
    ) {
        let mut ours: Vec<_> = environment
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        ours.sort();
        for (name, value) in ours {
            let place = Place { file: format!("environment variable {}", shown(&name)), line: None, column: None };
            let Ok(value) = value.into_string() else {
                problems.push(Problem::error(&place, "not UTF-8", "set it to plain text"));
                continue;
            };
            let key = name[PREFIX.len()..].to_lowercase().replacen("__", ".", 1);
            self.add(key, Found { shown: shown(&value), setting: Setting::Override(value), place });
        }
    }

    /// Where this table as a whole is.
    pub(super) fn place(&self) -> &Place {
        &self.places.file
    }

    /// Where `key` stands; the table when it is not there.
    pub(super) fn place_of(&self, key: &str) -> &Place {
        self.places.of(key)
    }

    /// Tells that a key is missing which must be there.
    pub(super) fn require(&mut self, key: &str, remedy: &str, problems: &mut Problems) {
        if !self.has(key) {
            problems.push(Problem::error(self.place(), "missing", remedy).of(key));
            self.places.told.insert(key.to_owned());
        }
    }

    /// Takes the value of `key` into `target`, when it is there and of the right type.
    pub(super) fn set<T: FromSetting>(&mut self, key: &str, target: &mut T, problems: &mut Problems) {
        self.known.push(key.to_owned());
        let Some(found) = self.found.remove(key) else { return };
        match T::from_setting(&found.setting) {
            Ok(value) => *target = value,
            Err(allowed) => {
                self.places.told.insert(key.to_owned());
                problems
                    .push(Problem::error(&found.place, format!("must be {allowed}"), "").of(key).found(&found.shown));
            }
        }
    }

    /// Takes a key away whose presence alone matters: its place.
    pub(super) fn present(&mut self, key: &str) -> Option<Place> {
        self.known.push(key.to_owned());
        self.found.remove(key).map(|found| found.place)
    }

    /// Whether `key` was in the file or the environment.
    pub(super) fn has(&self, key: &str) -> bool {
        self.places.has(key)
    }

    /// What was never asked for is unknown. Gives the places of all keys.
    pub(super) fn finish(self, problems: &mut Problems) -> Places {
        // What is not told any more is not worth looking for what was meant.
        for (key, found) in self.found.iter().take(2 * MAX_PROBLEMS) {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            let nearest = self.meant(section, name);
            let from_environment = matches!(found.setting, Setting::Override(_));
            let remedy = match nearest {
                Some(known) if from_environment => format!("did you mean {}?", variable(known)),
                Some(known) => format!("did you mean {known}?"),
                None => {
                    let mut siblings: Vec<_> = self
                        .known
                        .iter()
                        .filter(|known| known.rsplit_once('.').map_or("", |(section, _)| section) == section)
                        .map(|known| known.rsplit('.').next().unwrap_or(known))
                        .collect();
                    siblings.sort_unstable();
                    match (from_environment, siblings.is_empty()) {
                        (true, _) => format!("a variable is named like {}", variable("redundancy.port")),
                        (false, true) => String::new(),
                        (false, false) => format!("allowed here: {}", siblings.join(", ")),
                    }
                }
            };
            let problem = Problem::error(&found.place, "unknown key", remedy);
            problems.push(if from_environment { problem } else { problem.of(key.as_str()) });
        }
        self.places
    }
}

impl Settings {
    /// The key that was probably meant: a slip in its name, the right key in the wrong section, or a slip in both.
    fn meant(&self, section: &str, name: &str) -> Option<&str> {
        let known = || self.known.iter().map(|known| (known.rsplit_once('.').unwrap_or(("", known)), known.as_str()));
        let full = |section: &str, name: &str| known().find(|(parts, _)| *parts == (section, name)).map(|(_, key)| key);
        let siblings = known().filter(|((of, _), _)| *of == section).map(|((_, name), _)| name);
        if let Some(name) = suggest::nearest(name, siblings) {
            return full(section, name);
        }
        let elsewhere = known().find(|((_, other), _)| *other == name).map(|(_, key)| key);
        elsewhere.or_else(|| {
            let section = suggest::nearest(section, known().map(|((section, _), _)| section))?;
            let siblings = known().filter(|((of, _), _)| *of == section).map(|((_, name), _)| name);
            full(section, suggest::nearest(name, siblings)?)
        })
    }
}

/// The variable that overrides `key`.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}
