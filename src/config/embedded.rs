//! A project that a program makes itself, without files.

use std::fmt;
use std::sync::Arc;

use hotpair_core::alarms::{AlarmCondition, AlarmDef, AlarmList, Watched};
use hotpair_core::catalog::{Catalog, TagDef};
use hotpair_core::protocol::ProjectHash;
use hotpair_core::value::ValueType;
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::Project;
use super::alarm_condition::MAX_MS;
use super::alarms_csv::wrong_name;
use super::project::HistorySettings;
use super::tags_csv::wrong_path;

/// The name under which the alarms of two such projects are compared.
const ALARMS: &str = "alarms";

/// Why a program's tags and alarms are no project.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProjectError {
    /// Two tags have this path.
    #[error("two tags have the path {0}")]
    TagTwice(Arc<str>),
    /// The path of a tag is not allowed.
    #[error("the path {path:?} of a tag is not allowed: {problem}")]
    Path {
        /// The path.
        path: Arc<str>,
        /// What is wrong with it.
        problem: String,
    },
    /// Two alarms of one path have the same name.
    #[error("two alarms at {path} have the name {name}")]
    AlarmTwice {
        /// The path of their tag.
        path: Arc<str>,
        /// Their name.
        name: Arc<str>,
    },
    /// An alarm cannot be.
    #[error("the alarm {name:?} at {path}: {problem}")]
    Alarm {
        /// The path of its tag.
        path: Arc<str>,
        /// Its name.
        name: Arc<str>,
        /// What is wrong with it.
        problem: String,
    },
}

impl Project {
    /// A project of these tags alone, for a program that embeds a node and feeds the tags itself. Its only alarms are
    /// those of the system. The error is a path that stands there twice.
    pub fn of_tags(tags: Vec<TagDef>) -> Result<Self, Arc<str>> {
        let alarms = AlarmList::new(Vec::new()).map_err(|(path, _)| path)?;
        let catalog = Catalog::new(tags)?;
        Ok(Self::embedded(catalog, alarms, Vec::new()))
    }

    /// A project of these tags and alarms, for a program that embeds a node and feeds the tags itself. The id of a tag,
    /// which an alarm watches, is its place in `tags`; the alarm's path is the tag's. The alarms of the system are
    /// added.
    ///
    /// # Errors
    /// What `tags.csv` and `alarms.csv` may not say either: two of one name, a path or a name that is not allowed, an
    /// alarm that does not fit its tag's type, a limit that is no number.
    pub fn of(tags: Vec<TagDef>, alarms: Vec<AlarmDef>) -> Result<Self, ProjectError> {
        for tag in &tags {
            if let Some((problem, _)) = wrong_path(&tag.path) {
                return Err(ProjectError::Path { path: tag.path.clone(), problem });
            }
        }
        let catalog = Catalog::new(tags).map_err(ProjectError::TagTwice)?;
        for alarm in &alarms {
            if let Some(problem) = wrong_alarm(alarm, &catalog) {
                return Err(ProjectError::Alarm { path: alarm.path.clone(), name: alarm.name.clone(), problem });
            }
        }
        let files = if alarms.is_empty() { Vec::new() } else { vec![(ALARMS.to_owned(), hash_of(&alarms))] };
        let alarms = AlarmList::new(alarms).map_err(|(path, name)| ProjectError::AlarmTwice { path, name })?;
        Ok(Self::embedded(catalog, alarms, files))
    }

    fn embedded(catalog: Catalog, alarms: AlarmList, files: Vec<(String, u64)>) -> Self {
        Self {
            tag_history: vec![None; catalog.len()],
            alarms: Arc::new(alarms),
            sources: Vec::new(),
            history: HistorySettings::default(),
            hash: ProjectHash { tag_list: catalog.hash(), files },
            catalog: Arc::new(catalog),
        }
    }
}

/// What is wrong with an alarm by itself.
fn wrong_alarm(alarm: &AlarmDef, catalog: &Catalog) -> Option<String> {
    let Watched::Tag(id) = alarm.watched else {
        return Some("the alarms of the system are built in".to_owned());
    };
    let Some(tag) = catalog.get(id) else {
        return Some(format!("there is no tag {}: there are {}", id.0, catalog.len()));
    };
    if tag.path != alarm.path {
        return Some(format!("it watches tag {}, which is {}", id.0, tag.path));
    }
    if let Some((problem, _)) = wrong_name(&alarm.name) {
        return Some(format!("its name: {problem}"));
    }
    if alarm.active_delay_ms > MAX_MS || alarm.resume_delay_ms > MAX_MS {
        return Some(format!("a delay is longer than {MAX_MS} ms"));
    }
    wrong_condition(&alarm.condition, tag.value_type)
}

fn wrong_condition(condition: &AlarmCondition, of: ValueType) -> Option<String> {
    let fits = match condition {
        AlarmCondition::Limit { .. } | AlarmCondition::RateOfChange { .. } => {
            matches!(of, ValueType::Int64 | ValueType::Float64)
        }
        AlarmCondition::Equivalent(value) => value.value_type() == of,
        AlarmCondition::TrueToFalse | AlarmCondition::FalseToTrue => of == ValueType::Bool,
        AlarmCondition::System => return Some("a condition of the system's alarms".to_owned()),
    };
    if !fits {
        return Some(format!("{} does not fit the tag's type {of}", condition.kind()));
    }
    match condition {
        AlarmCondition::Limit { limit, deadband, .. } => {
            finite("limit", *limit).or_else(|| not_negative("deadband", *deadband))
        }
        AlarmCondition::RateOfChange { limit, deadband, period_ms, range, .. } => {
            let period = !(1..=MAX_MS).contains(period_ms);
            above_0("limit", *limit)
                .or_else(|| above_0("range", *range))
                .or_else(|| not_negative("deadband", *deadband))
                .or_else(|| period.then(|| format!("period_ms is {period_ms}, not 1 to {MAX_MS}")))
                .or_else(|| (deadband >= limit).then(|| "its deadband is not below its limit".to_owned()))
        }
        _ => None,
    }
}

fn finite(what: &str, number: f64) -> Option<String> {
    (!number.is_finite()).then(|| format!("its {what} is {number}, not a number"))
}

fn not_negative(what: &str, number: f64) -> Option<String> {
    finite(what, number).or_else(|| (number < 0.0).then(|| format!("its {what} is negative: {number}")))
}

fn above_0(what: &str, number: f64) -> Option<String> {
    finite(what, number).or_else(|| (number <= 0.0).then(|| format!("its {what} is not above 0: {number}")))
}

/// Two lists with equal hashes judge the same values alike.
fn hash_of(alarms: &[AlarmDef]) -> u64 {
    let mut hasher = Xxh3::new();
    let mut add = |part: &dyn fmt::Display| {
        hasher.update(part.to_string().as_bytes());
        hasher.update(&[0]);
    };
    for alarm in alarms {
        for text in [&alarm.path, &alarm.name, &alarm.description] {
            add(text);
        }
        add(&alarm.condition.kind());
        match &alarm.condition {
            AlarmCondition::Limit { limit, inclusive, deadband, .. } => {
                for part in [limit.to_bits(), u64::from(*inclusive), deadband.to_bits()] {
                    add(&part);
                }
            }
            AlarmCondition::RateOfChange { limit, inclusive, deadband, period_ms, range } => {
                let inclusive = u64::from(*inclusive);
                for part in [limit.to_bits(), inclusive, deadband.to_bits(), *period_ms, range.to_bits()] {
                    add(&part);
                }
            }
            AlarmCondition::Equivalent(value) => add(&format!("{value:?}")),
            AlarmCondition::TrueToFalse | AlarmCondition::FalseToTrue | AlarmCondition::System => {}
        }
        for part in [alarm.active_delay_ms, alarm.resume_delay_ms, alarm.priority as u64, alarm.ack_mode as u64] {
            add(&part);
        }
    }
    hasher.digest()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hotpair_core::alarms::{AckMode, AlarmPriority, LimitLevel, SystemAlarm};
    use hotpair_core::catalog::TagId;
    use hotpair_core::value::Value;

    use super::*;

    fn tag(path: &str, value_type: ValueType) -> TagDef {
        TagDef::new(Arc::from(path), value_type)
    }

    fn tags() -> Vec<TagDef> {
        vec![tag("Plant/Level", ValueType::Float64), tag("Plant/Trip", ValueType::Bool)]
    }

    fn high(limit: f64) -> AlarmDef {
        AlarmDef {
            path: Arc::from("Plant/Level"),
            name: Arc::from("H"),
            watched: Watched::Tag(TagId(0)),
            condition: AlarmCondition::Limit { level: LimitLevel::H, limit, inclusive: false, deadband: 0.0 },
            active_delay_ms: 0,
            resume_delay_ms: 0,
            priority: AlarmPriority::Medium,
            ack_mode: AckMode::Manual,
            description: Arc::from(""),
        }
    }

    #[test]
    fn tags_and_alarms_make_a_project() {
        let project = Project::of(tags(), vec![high(80.0)]).unwrap();
        assert_eq!(project.alarms.of_tag(TagId(0)).len(), 1);
        assert_eq!(project.alarms.len(), 1 + SystemAlarm::ALL.len());
        assert_eq!(Project::of_tags(tags()).unwrap().alarms.len(), SystemAlarm::ALL.len());
        assert_eq!(Project::of(tags(), Vec::new()).unwrap().hash, Project::of_tags(tags()).unwrap().hash);
    }

    #[test]
    fn projects_with_other_limits_differ() {
        let hash = |limit| Project::of(tags(), vec![high(limit)]).unwrap().hash;
        assert_eq!(hash(80.0), hash(80.0));
        assert_ne!(hash(80.0), hash(81.0));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let rate = |limit, deadband, period_ms, range| AlarmDef {
            condition: AlarmCondition::RateOfChange { limit, inclusive: false, deadband, period_ms, range },
            ..high(0.0)
        };
        let on_trip = |condition| AlarmDef {
            path: Arc::from("Plant/Trip"),
            watched: Watched::Tag(TagId(1)),
            condition,
            ..high(0.0)
        };
        for (alarm, problem) in [
            (high(f64::NAN), "its limit is NaN, not a number"),
            (AlarmDef { name: Arc::from("a/b"), ..high(1.0) }, "its name: must not hold /"),
            (AlarmDef { name: Arc::from(""), ..high(1.0) }, "its name: missing"),
            (AlarmDef { watched: Watched::Tag(TagId(1)), ..high(1.0) }, "it watches tag 1, which is Plant/Trip"),
            (AlarmDef { watched: Watched::Tag(TagId(2)), ..high(1.0) }, "there is no tag 2: there are 2"),
            (SystemAlarm::Disk.definition(), "the alarms of the system are built in"),
            (AlarmDef { active_delay_ms: MAX_MS + 1, ..high(1.0) }, "a delay is longer than 86400000 ms"),
            (on_trip(high(1.0).condition), "H does not fit the tag's type Bool"),
            (on_trip(AlarmCondition::Equivalent(Value::Int64(1))), "Equivalent does not fit the tag's type Bool"),
            (AlarmDef { condition: AlarmCondition::System, ..high(1.0) }, "a condition of the system's alarms"),
            (rate(0.0, 0.0, 1, 1.0), "its limit is not above 0: 0"),
            (rate(1.0, -1.0, 1, 1.0), "its deadband is negative: -1"),
            (rate(1.0, 1.0, 1, 1.0), "its deadband is not below its limit"),
            (rate(1.0, 0.0, 0, 1.0), "period_ms is 0, not 1 to 86400000"),
            (rate(1.0, 0.0, 1, f64::INFINITY), "its range is inf, not a number"),
        ] {
            let error = Project::of(tags(), vec![alarm]).unwrap_err().to_string();
            assert!(error.ends_with(&format!(": {problem}")), "{error}, not {problem}");
        }
        let error = |tags, alarms| Project::of(tags, alarms).unwrap_err().to_string();
        assert_eq!(error(tags(), vec![high(1.0), high(2.0)]), "two alarms at Plant/Level have the name H");
        assert_eq!(error([tags(), tags()].concat(), Vec::new()), "two tags have the path Plant/Level");
        let system = "the path \"System/A\" of a tag is not allowed: System/ is reserved for the program's own tags";
        assert_eq!(error(vec![tag("System/A", ValueType::Bool)], Vec::new()), system);
    }
}
