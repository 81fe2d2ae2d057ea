//! `sources.toml` and `history.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use super::csv_table::{Report, delimiter_of};
use super::problem::{Place, Problem, Problems};
use super::project::HistorySettings;
use super::settings::{Document, Settings};
use super::sources::{ReplayDef, SimulatorDef, SourceDef};
use super::suggest::{did_you_mean, nearest};
use super::tags_csv::{Tags, wrong_path};
use super::values::words;
use crate::sources::{TimeUnit, simulator};

words!(TimeUnit { "ms" => Self::Milliseconds, "s" => Self::Seconds, "h" => Self::Hours });

const TYPES: [&str; 2] = ["simulator", "replay"];

/// Types that the design names and this version does not have.
const LATER_TYPES: [&str; 4] = ["mqtt", "sparkplug", "opcua", "modbus"];

/// The longest name of a source, in bytes: it is a part of a tag's path.
const MAX_NAME_BYTES: usize = 64;

/// The longest header of a recording, in bytes.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Reads the sources and marks the tags that they feed.
pub(super) fn parse(
    document: &Document,
    dir: &Path,
    tags: Option<&mut Tags>,
    problems: &mut Problems,
) -> Vec<SourceDef> {
    let mut sources = Vec::new();
    document.parse(problems, |document, top, problems| {
        let first = problems.len();
        let mut feeders = Feeders { tags, by_index: BTreeMap::new() };
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for entry in document.entries(top, problems, "source") {
            source(entry, dir, &mut names, &mut feeders, &mut sources, problems);
        }
        problems.sort_from(first);
    });
    sources
}

/// Reads `history.toml`.
pub(super) fn parse_history(document: &Document, problems: &mut Problems) -> HistorySettings {
    let mut history = HistorySettings::default();
    document.parse(problems, |document, top, problems| {
        let first = problems.len();
        let mut settings = document.sections(top, problems, &["history"]);
        settings.set("history.keep_days", &mut history.keep_days, problems);
        if history.keep_days == Some(0) {
            let place = settings.place_of("history.keep_days");
            let problem = Problem::error(place, "must be at least 1", "without the key history stays for ever");
            problems.push(problem.of("history.keep_days").found(0));
        }
        settings.finish(problems);
        problems.sort_from(first);
    });
    history
}

fn source(
    mut entry: Settings,
    dir: &Path,
    names: &mut BTreeMap<String, usize>,
    feeders: &mut Feeders<'_>,
    sources: &mut Vec<SourceDef>,
    problems: &mut Problems,
) {
    let (mut name, mut kind) = (String::new(), String::new());
    entry.set("name", &mut name, problems);
    entry.set("type", &mut kind, problems);
    if entry.has("name") || !name.is_empty() {
        let line = entry.place().line.unwrap_or(0);
        let first = names.entry(name.clone()).or_insert(line);
        let wrong = if name.len() > MAX_NAME_BYTES {
            Some(format!("longer than {MAX_NAME_BYTES} bytes"))
        } else if name.contains('/') || wrong_path(&name).is_some() {
            Some("must be a name without /, * and control characters".to_owned())
        } else if *first != line {
            Some(format!("the source in line {first} has this name"))
        } else {
            None
        };
        if let Some(message) = wrong {
            let place = entry.place_of("name");
            problems.push(
                Problem::error(place, message, "give each source its own short name")
                    .of("name")
                    .found(format!("{name:?}")),
            );
        }
    } else {
        problems.push(Problem::error(entry.place(), "missing", "give each source its own short name").of("name"));
    }
    let def = match kind.as_str() {
        "simulator" => Some(SourceDef::Simulator(simulator_def(&mut entry, name, problems))),
        "replay" => replay_def(&mut entry, name, dir, problems).map(SourceDef::Replay),
        _ => {
            let (message, remedy) = if kind.is_empty() {
                ("missing", did_you_mean("", &TYPES))
            } else if LATER_TYPES.contains(&kind.as_str()) {
                ("not available in this version", did_you_mean("", &TYPES))
            } else {
                ("unknown type", did_you_mean(&kind, &TYPES))
            };
            let problem = Problem::error(entry.place_of("type"), message, remedy).of("type");
            problems.push(if kind.is_empty() { problem } else { problem.found(format!("{kind:?}")) });
            // What its other keys mean is not known.
            return;
        }
    };
    if let Some(def) = def {
        feeders.feed(&def, &entry, problems);
        sources.push(def);
    }
    entry.finish(problems);
}

fn simulator_def(entry: &mut Settings, name: String, problems: &mut Problems) -> SimulatorDef {
    let mut def = SimulatorDef { name, root: "Plant/".to_owned(), step_ms: 100, seed: None };
    entry.set("root", &mut def.root, problems);
    entry.set("step_ms", &mut def.step_ms, problems);
    entry.set("seed", &mut def.seed, problems);
    let root = def.root.trim_end_matches('/');
    if let Some((message, _)) = wrong_path(root) {
        let problem = Problem::error(entry.place_of("root"), message, "write it like \"Plant/\"");
        problems.push(problem.of("root").found(format!("{:?}", def.root)));
    }
    def.root = format!("{root}/");
    if !(10..=60_000).contains(&def.step_ms) {
        let problem = Problem::error(entry.place_of("step_ms"), "must be from 10 to 60000", "the default is 100");
        problems.push(problem.of("step_ms").found(def.step_ms));
    }
    def
}

/// None, with a problem, when its file's header cannot be read.
fn replay_def(entry: &mut Settings, name: String, dir: &Path, problems: &mut Problems) -> Option<ReplayDef> {
    let (mut file, mut time_column) = (String::new(), None::<String>);
    let (mut time_unit, mut speed, mut repeat) = (TimeUnit::Seconds, 1.0, false);
    entry.set("file", &mut file, problems);
    entry.set("time_column", &mut time_column, problems);
    entry.set("time_unit", &mut time_unit, problems);
    entry.set("speed", &mut speed, problems);
    entry.set("repeat", &mut repeat, problems);
    if speed <= 0.0 {
        let problem = Problem::error(entry.place_of("speed"), "must be above 0", "1 is real time");
        problems.push(problem.of("speed").found(speed));
    }
    if file.trim().is_empty() {
        let remedy = "set it to a CSV file with a header of tag paths";
        problems.push(Problem::error(entry.place_of("file"), "missing", remedy).of("file"));
        return None;
    }
    let path = dir.join(&file);
    let (delimiter, columns) = match header(&path) {
        Ok(header) => header,
        Err(reason) => {
            let problem =
                Problem::error(entry.place_of("file"), reason, "the path is relative to the project's folder");
            problems.push(problem.of("file").found(format!("{file:?}")));
            return None;
        }
    };
    let time_column = time_column.or_else(|| columns.first().cloned()).unwrap_or_default();
    if !columns.contains(&time_column) {
        let remedy = did_you_mean(&time_column, &columns.iter().take(20).map(String::as_str).collect::<Vec<_>>());
        let problem = Problem::error(entry.place_of("time_column"), "the file has no such column", remedy);
        problems.push(problem.of("time_column").found(format!("{time_column:?}")));
        return None;
    }
    Some(ReplayDef { name, file: path, delimiter, time_column, time_unit, speed, repeat })
}

/// What separates the cells of a recording, and its columns.
fn header(path: &Path) -> Result<(u8, Vec<String>), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    // A device or a pipe may never end, or never begin.
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut line = String::new();
    std::io::BufReader::new(file)
        .take(MAX_HEADER_BYTES)
        .read_line(&mut line)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let line = line.strip_prefix('\u{feff}').unwrap_or(&line).trim_end_matches(['\r', '\n']);
    if line.trim().is_empty() {
        return Err("its first line is empty, instead of a header of tag paths".to_owned());
    }
    let delimiter = delimiter_of(line);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|error| format!("its header cannot be read: {error}"))?;
    Ok((delimiter, record.iter().map(|cell| cell.trim().to_owned()).collect()))
}

/// Which source feeds which tag.
struct Feeders<'a> {
    tags: Option<&'a mut Tags>,
    by_index: BTreeMap<usize, Arc<str>>,
}

impl Feeders<'_> {
    fn feed(&mut self, def: &SourceDef, entry: &Settings, problems: &mut Problems) {
        let Some(tags) = self.tags.as_deref() else { return };
        let (fed, key) = match def {
            SourceDef::Simulator(def) => (simulated(def, tags, entry, problems), "root"),
            SourceDef::Replay(def) => (replayed(def, tags, problems), "file"),
        };
        self.claim(&fed, def.name(), entry.place_of(key), key, problems);
    }

    fn claim(&mut self, fed: &[usize], name: &str, place: &Place, key: &str, problems: &mut Problems) {
        let Some(tags) = self.tags.as_deref_mut() else { return };
        let name: Arc<str> = Arc::from(name);
        let mut conflicts = 0;
        let mut first = None;
        for &index in fed {
            let Some(def) = tags.defs.get_mut(index) else { continue };
            def.source_fed = true;
            if let Some(other) = self.by_index.insert(index, name.clone()) {
                conflicts += 1;
                first.get_or_insert_with(|| (def.path.clone(), other));
            }
        }
        if let Some((path, other)) = first {
            let others = if conflicts > 1 { format!(" and {} more", conflicts - 1) } else { String::new() };
            let message = format!("{path}{others}: fed by the source {other:?} too");
            problems.push(Problem::error(place, message, "a tag has one source").of(key));
        }
    }
}

/// The tags that a simulator feeds.
fn simulated(def: &SimulatorDef, tags: &Tags, entry: &Settings, problems: &mut Problems) -> Vec<usize> {
    let fed: Vec<_> = tags
        .defs
        .iter()
        .enumerate()
        .filter(|(_, tag)| simulator::feeds(&def.root, &tag.path))
        .map(|(index, _)| index)
        .collect();
    if fed.is_empty() {
        let message = format!("no tag under {} is one that the simulator feeds", def.root);
        let remedy =
            format!("it feeds tags like {}Area1/Tank1/Level; `hotpair init` writes a tags.csv of them", def.root);
        problems.push(Problem::warning(entry.place_of("root"), message, remedy).of("root"));
    }
    fed
}

/// The tags that the header of a recording names.
fn replayed(def: &ReplayDef, tags: &Tags, problems: &mut Problems) -> Vec<usize> {
    // It could be read a moment ago.
    let Ok((_, columns)) = header(&def.file) else { return Vec::new() };
    let file = def.file.display().to_string();
    let mut report = Report::new(&file, problems);
    let mut fed = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, column) in columns.iter().enumerate() {
        let place = format!("column {}", at + 1);
        if !seen.insert(column) {
            report.error(1, &place, &format!("{column:?}"), "this column is there twice", "remove one");
        } else if *column == def.time_column {
            // Not a tag.
        } else if let Some(found) = tags.by_path.get(column.as_str()) {
            fed.push(found.index);
        } else {
            let compared = if report.is_full() { 0 } else { MAX_COMPARED };
            let near = nearest(column, tags.defs.iter().map(|def| &*def.path).take(compared));
            let remedy = near.map_or_else(
                || "add it to tags.csv, or remove the column".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            report.error(1, &place, &format!("{column:?}"), "there is no such tag", &remedy);
        }
    }
    fed
}

/// With so many tags a suggestion is looked for: it is not worth seconds.
const MAX_COMPARED: usize = 10_000;
