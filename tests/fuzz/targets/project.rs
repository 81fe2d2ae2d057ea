//! A project's folder: tags, alarms, sources with a recording, history. Whatever stands in the files, it is either told
//! with its place or makes a project that works; its sources are stepped.

use std::collections::BTreeMap;
use std::sync::Arc;

use hotpair::config::Project;
use hotpair::core::alarms::AlarmCondition;
use hotpair::core::catalog::Catalog;
use hotpair::core::types::{StandbyActivityLevel, UnixMillis};
use hotpair::core::value::{Sample, Value};
use hotpair::sources::{self, ReadTags, Source, SourceTime};

use super::folder;

const FILES: [&str; 5] = ["tags.csv", "alarms.csv", "sources.toml", "history.toml", "recording.csv"];

pub fn run(data: &[u8]) {
    let folder = folder::write(data, &FILES);
    match Project::load(&folder) {
        Ok(project) => {
            assert_sound(&project);
            let again = Project::load(&folder).expect("it was read before");
            assert_eq!(project.hash, again.hash);
            for def in &project.sources {
                if let Ok(source) = sources::open(def, &project.catalog) {
                    play(source, &project.catalog);
                }
            }
        }
        Err(problems) => {
            assert!(problems.has_errors(), "refused without a reason");
            folder::assert_told(&problems, &folder);
        }
    }
}

/// Nothing was taken that a user would trip over.
fn assert_sound(project: &Project) {
    assert_eq!(project.tag_history.len(), project.catalog.len());
    for (_, tag) in project.catalog.iter() {
        assert!(!tag.path.is_empty() && !tag.path.chars().any(char::is_control), "{tag:?}");
        assert!(tag.deadband.is_finite() && tag.deadband >= 0.0, "{tag:?}");
        assert!(tag.eu_low.into_iter().chain(tag.eu_high).all(f64::is_finite), "{tag:?}");
        if let (Some(low), Some(high)) = (tag.eu_low, tag.eu_high) {
            assert!(low < high, "{tag:?}");
        }
        if let Some(initial) = &tag.initial {
            assert_eq!(initial.value_type(), tag.value_type);
            assert!(is_finite(initial), "{tag:?}");
        }
    }
    for index in 0..project.alarms.len() {
        let Some(alarm) = project.alarms.get(hotpair::core::alarms::AlarmId(index as u32)) else { continue };
        let numbers = match &alarm.condition {
            AlarmCondition::Limit { limit, deadband, .. } => vec![*limit, *deadband],
            AlarmCondition::RateOfChange { limit, deadband, range, .. } => vec![*limit, *deadband, *range],
            AlarmCondition::Equivalent(value) => {
                assert!(is_finite(value), "{alarm:?}");
                vec![]
            }
            _ => vec![],
        };
        assert!(numbers.iter().all(|number| number.is_finite()), "{alarm:?}");
    }
    for source in &project.sources {
        if let hotpair::config::sources::SourceDef::Replay(replay) = source {
            assert!(replay.speed.is_finite() && replay.speed > 0.0, "{replay:?}");
        }
    }
}

/// The tags as the source has left them.
struct Tags<'a> {
    catalog: &'a Catalog,
    samples: BTreeMap<Arc<str>, Sample>,
}

impl ReadTags for Tags<'_> {
    fn read(&self, path: &str) -> Option<Sample> {
        let tag = self.catalog.get(self.catalog.find(path)?)?;
        let unset = hotpair::core::quality::Quality::BAD_WAITING_FOR_INITIAL_DATA;
        let value = tag.initial.clone().unwrap_or(Value::default_of(tag.value_type));
        let initial = Sample { value, quality: unset, time: UnixMillis(0) };
        Some(self.samples.get(path).cloned().unwrap_or(initial))
    }
}

fn play(mut source: Box<dyn Source>, catalog: &Catalog) {
    let mut tags = Tags { catalog, samples: BTreeMap::new() };
    let mut now_ms = 0_u64;
    for step in 0..8 {
        let now = SourceTime { unix: UnixMillis(1_767_600_000_000 + now_ms.cast_signed()), mono_ms: now_ms };
        if step % 3 == 0 {
            source.standby(if step == 3 { StandbyActivityLevel::Cold } else { StandbyActivityLevel::Warm });
            source.resume(now, &tags);
        }
        let mut updates = Vec::new();
        let next = source.step(now, &tags, &mut updates);
        for update in updates {
            let tag = catalog.find(&update.path).and_then(|id| catalog.get(id)).expect("a tag of the project");
            assert_eq!(update.value.value_type(), tag.value_type, "{}", update.path);
            assert!(is_finite(&update.value), "{update:?}");
            let Sample { value, quality, time } =
                Sample { value: update.value, quality: update.quality, time: update.time };
            tags.samples.insert(update.path, Sample { value, quality, time });
        }
        now_ms += next.after_ms.clamp(1, 3_600_000);
    }
}

fn is_finite(value: &Value) -> bool {
    !matches!(value, Value::Float64(number) if !number.is_finite())
}
