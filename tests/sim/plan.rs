//! What a seed decides beforehand: settings, delays, tags and alarms.

use std::sync::Arc;

use hotpair_core::alarms::AlarmList;
use hotpair_core::catalog::{Catalog, TagDef};
use hotpair_core::types::RecoveryMode;
use hotpair_core::value::{Value, ValueType};

use crate::rng::Rng;

/// Tags and alarms.
#[derive(Clone, Debug)]
pub struct Project {
    pub catalog: Arc<Catalog>,
    pub alarms: Arc<AlarmList>,
}

#[derive(Debug)]
pub struct Plan {
    pub recovery: RecoveryMode,
    pub fast_failover: bool,
    pub failover_time_ms: u64,
    pub connection_wait_time_ms: u64,
    pub switch_timeout_ms: u64,
    pub replication_timeout_ms: u64,
    pub verify_every_ms: u64,
    /// So few changes in a batch that a sync takes several.
    pub batch_updates: usize,
    /// Greatest delay of a packet, of a message between two actors, of a disk operation; in microseconds.
    pub net_us: u64,
    pub mail_us: u64,
    pub disk_us: u64,
    pub write_every_us: u64,
    pub projects: [Project; 2],
    /// Which of them each node has at first.
    pub project_of: [usize; 2],
    /// An operator does something this often; in microseconds.
    pub operate_every_us: u64,
    /// How often writes go beyond the limits, or come back.
    pub flip_percent: u64,
    pub stale_after_ms: Option<u64>,
    /// Offset of each node's clocks.
    pub mono_offset_ms: [u64; 2],
    pub wall_offset_ms: [i64; 2],
}

impl Plan {
    pub fn draw(rng: &mut Rng) -> Self {
        let failover_time_ms = rng.pick(&[500, 1000, 2000]);
        let rate = rng.pick(&[0, 1, 1, 2]);
        Self {
            recovery: rng.pick(&[RecoveryMode::Automatic, RecoveryMode::Manual]),
            fast_failover: rng.percent(70),
            failover_time_ms,
            connection_wait_time_ms: rng.pick(&[300, 1000, 3000]),
            switch_timeout_ms: rng.pick(&[300, 1000, 2000]),
            replication_timeout_ms: rng.pick(&[100, 500, 1000]),
            verify_every_ms: rng.pick(&[300, 2000, 10_000]),
            batch_updates: rng.pick(&[1, 3, 8192]),
            net_us: rng.pick(&[200, 2_000, 30_000]),
            mail_us: rng.pick(&[0, 100, 3_000]),
            disk_us: rng.pick(&[100, 5_000, 80_000]),
            write_every_us: rng.pick(&[5_000, 30_000, 150_000]),
            projects: catalogs().map(|catalog| {
                let alarms = crate::alarms::list(&catalog, rate > 0);
                Project { catalog, alarms }
            }),
            project_of: [0, usize::from(rng.percent(25))],
            operate_every_us: [1_000_000, 300_000, 40_000][rate],
            flip_percent: [0, 10, 40][rate],
            stale_after_ms: rng.pick(&[None, None, Some(400), Some(3000)]),
            mono_offset_ms: [rng.range(0, 1_000_000), rng.range(0, 1_000_000)],
            wall_offset_ms: [0, rng.pick(&[0, -700, 700])],
        }
    }
}

fn tag(path: &str, value_type: ValueType, writable: bool, retain: bool) -> TagDef {
    TagDef {
        writable,
        retain,
        initial: (value_type == ValueType::Int64 && retain).then_some(Value::Int64(-1)),
        source_fed: !writable,
        ..TagDef::new(path, value_type)
    }
}

/// Tags that clients write on both nodes.
pub const KEYS: [&str; 4] = ["Plant/A", "Plant/B", "Plant/RetainedC", "Plant/RetainedD"];
pub const SOURCES: [&str; 4] = ["Source/Level", "Source/Total", "Source/Mode", "Source/Pump"];

/// Both have the keys and the sources. What else they have, and in which order, differs.
fn catalogs() -> [Arc<Catalog>; 2] {
    let mut tags: Vec<_> =
        KEYS.iter().map(|path| tag(path, ValueType::Int64, true, path.contains("Retained"))).collect();
    tags.push(tag(SOURCES[0], ValueType::Float64, false, false));
    tags.push(tag(SOURCES[1], ValueType::Float64, false, true));
    tags.push(tag(SOURCES[2], ValueType::String, false, false));
    tags.push(tag(SOURCES[3], ValueType::Bool, false, false));
    let mut other = tags.clone();
    other.reverse();
    other.insert(0, tag("Only/There", ValueType::Int64, true, true));
    tags.push(tag("Only/Here", ValueType::Int64, true, true));
    tags.push(tag("Both/Types", ValueType::Int64, true, false));
    other.push(tag("Both/Types", ValueType::Bool, true, false));
    [Arc::new(Catalog::new(tags).unwrap()), Arc::new(Catalog::new(other).unwrap())]
}
