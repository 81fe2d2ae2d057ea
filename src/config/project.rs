//! What both nodes of a pair have in common: `tags.csv`, `alarms.csv`, `sources.toml`, `history.toml`.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use hotpair_core::alarms::AlarmList;
use hotpair_core::catalog::Catalog;
use hotpair_core::protocol::ProjectHash;
use xxhash_rust::xxh3::Xxh3;

use super::csv_table::{Report, Text};
use super::problem::{Place, Problem, Problems};
use super::settings::Document;
use super::sources::SourceDef;
use super::tags_csv::Tags;
use super::{alarms_csv, sources_toml, tags_csv};
use crate::sources::replay;

/// A project without errors.
#[derive(Debug)]
pub struct Project {
    /// The tags of `tags.csv` in its order, then the position tag of each replay.
    pub catalog: Arc<Catalog>,
    /// What is kept of each tag, in the order of the catalog.
    pub tag_history: Vec<Option<HistoryMode>>,
    /// The alarms of `alarms.csv` in its order, then those of the system.
    pub alarms: Arc<AlarmList>,
    /// In the order of the file.
    pub sources: Vec<SourceDef>,
    /// How long history stays.
    pub history: HistorySettings,
    /// To compare it with the peer's.
    pub hash: ProjectHash,
}

/// What is kept of a tag: the column `history`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryMode {
    /// Each change.
    OnChange,
    /// A sample at fixed intervals.
    Periodic,
    /// Each sample of the source, also without a change.
    Raw,
}

/// `history.toml`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistorySettings {
    /// Samples older than this many days are dropped; none: never.
    pub keep_days: Option<u32>,
}

impl Project {
    /// Reads the folder of a project. The error holds everything that is wrong with it. What is merely unwise is not
    /// told here: see [`super::Config::load`].
    pub fn load(dir: &Path) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        match read(dir, &mut problems) {
            Some(project) if !problems.has_errors() => Ok(project),
            _ => Err(problems),
        }
    }
}

/// Reads the folder. None when its tags cannot be told; otherwise look at the problems before using it.
pub(super) fn read(dir: &Path, problems: &mut Problems) -> Option<Project> {
    let place = Place { file: dir.display().to_string(), line: None, column: None };
    if !dir.is_dir() {
        let remedy = "set project.dir to the folder of tags.csv, or write one with: hotpair init";
        problems.push(Problem::error(&place, "there is no such folder", remedy));
        return None;
    }
    let mut hashes = Hashes::default();

    let text = Text::read(&dir.join("tags.csv"), Some("write one with: hotpair init"), problems);
    let mut tags = text.and_then(|text| {
        hashes.text("tags.csv", &text.content);
        tags_csv::parse(&text.content, &mut Report::new(&text.file, problems))
    });
    if let Some(tags) = &tags
        && tags.defs.is_empty()
    {
        let place = Place { file: dir.join("tags.csv").display().to_string(), line: None, column: None };
        problems.push(Problem::warning(&place, "no tags", "add a row for each tag"));
    }

    let mut alarms = Vec::new();
    if let Some(text) = Text::read(&dir.join("alarms.csv"), None, problems) {
        hashes.text("alarms.csv", &text.content);
        if !text.content.trim().is_empty() {
            alarms = alarms_csv::parse(&text.content, tags.as_ref(), &mut Report::new(&text.file, problems));
        }
    }

    let mut sources = Vec::new();
    let path = dir.join("sources.toml");
    if path.exists()
        && let Some(document) = Document::read(&path, problems)
    {
        hashes.text("sources.toml", document.text());
        sources = sources_toml::parse(&document, dir, tags.as_mut(), problems);
        for source in &sources {
            if let SourceDef::Replay(replay) = source {
                hashes.file(dir, &replay.file, problems);
            }
        }
    }

    let mut history = HistorySettings::default();
    let path = dir.join("history.toml");
    if path.exists()
        && let Some(document) = Document::read(&path, problems)
    {
        hashes.text("history.toml", document.text());
        history = sources_toml::parse_history(&document, problems);
    }

    let Tags { defs: mut tags, history: mut tag_history, .. } = tags?;
    tags.extend(sources.iter().filter_map(|source| match source {
        SourceDef::Replay(def) => Some(replay::position_tag(&def.name)),
        SourceDef::Simulator(_) => None,
    }));
    tag_history.resize(tags.len(), None);
    // A path that stands there twice was told with its lines.
    let catalog = Arc::new(Catalog::new(tags).ok()?);
    // So was an alarm.
    let alarms = Arc::new(AlarmList::new(alarms).ok()?);
    let hash = ProjectHash { tag_list: catalog.hash(), files: hashes.0 };
    Some(Project { catalog, tag_history, alarms, sources, history, hash })
}

/// Hashes of files by name. Line ends and a BOM do not count: an editor on the other node's system may have its own. A
/// file without content is like none.
#[derive(Default)]
struct Hashes(Vec<(String, u64)>);

impl Hashes {
    fn text(&mut self, name: &str, content: &str) {
        let mut hasher = Normalised::default();
        hasher.update(content.as_bytes());
        if !content.trim_start_matches('\u{feff}').trim().is_empty() {
            self.0.push((name.to_owned(), hasher.digest()));
        }
    }

    /// A recording, which may be large.
    fn file(&mut self, dir: &Path, path: &Path, problems: &mut Problems) {
        let name = path.strip_prefix(dir).unwrap_or(path).display().to_string();
        if self.0.iter().any(|(known, _)| *known == name) {
            return;
        }
        match Normalised::of(path) {
            Ok(hash) => self.0.push((name, hash)),
            Err(error) => {
                let place = Place { file: path.display().to_string(), line: None, column: None };
                problems.push(Problem::error(&place, format!("cannot be read: {error}"), ""));
            }
        }
    }
}

/// xxh3 of a content without its BOM, with `\r\n` as `\n`.
#[derive(Default)]
struct Normalised {
    hasher: Xxh3,
    /// A `\r` whose next byte is not here yet.
    held_return: bool,
    begun: bool,
}

impl Normalised {
    fn of(path: &Path) -> std::io::Result<u64> {
        let mut reader = std::io::BufReader::with_capacity(1 << 16, std::fs::File::open(path)?);
        let mut hasher = Self::default();
        loop {
            let chunk = reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(hasher.digest());
            }
            let length = chunk.len();
            hasher.update(chunk);
            reader.consume(length);
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        if !std::mem::replace(&mut self.begun, true) {
            bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        }
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.held_return) && bytes[0] != b'\n' {
            self.hasher.update(b"\r");
        }
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\r') {
            let (before, from) = rest.split_at(at);
            self.hasher.update(before);
            match from.get(1) {
                Some(b'\n') => {}
                Some(_) => self.hasher.update(b"\r"),
                None => self.held_return = true,
            }
            rest = &from[1..];
        }
        self.hasher.update(rest);
    }

    fn digest(mut self) -> u64 {
        if self.held_return {
            self.hasher.update(b"\r");
        }
        self.hasher.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(chunks: &[&str]) -> u64 {
        let mut hasher = Normalised::default();
        for chunk in chunks {
            hasher.update(chunk.as_bytes());
        }
        hasher.digest()
    }

    #[test]
    fn line_ends_do_not_count_and_chunks_do_not_matter() {
        let unix = hash(&["a\nb\n"]);
        assert_eq!(hash(&["a\r\nb\r\n"]), unix);
        assert_eq!(hash(&["\u{feff}a\r", "\nb", "\r", "\n"]), unix);
        assert_ne!(hash(&["a\rb\n"]), unix);
        assert_eq!(hash(&["a\r", "b"]), hash(&["a\rb"]));
        assert_ne!(hash(&["a\r"]), hash(&["a"]));
    }
}
