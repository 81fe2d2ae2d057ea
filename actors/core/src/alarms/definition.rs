//! What an alarm is.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::catalog::TagId;
use crate::value::Value;

/// Place of an alarm in the [`AlarmList`] of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmId(pub u32);

/// Names an alarm on both nodes and on disk: derived from its path and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmKey(pub u128);

impl AlarmKey {
    /// The key of the alarm `name` at `path`.
    pub fn of(path: &str, name: &str) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path.as_bytes());
        hasher.update(name.as_bytes());
        Self(hasher.digest128())
    }
}

/// An alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmDef {
    /// The path of the tag that it watches; of a system alarm a path below `System/`.
    pub path: Arc<str>,
    /// Its name, unique among the alarms of its path; by default the name of its kind.
    pub name: Arc<str>,
    /// What it watches.
    pub watched: Watched,
    /// What makes it active.
    pub condition: AlarmCondition,
    /// The condition must hold so long before the alarm is active, in milliseconds.
    pub active_delay_ms: u64,
    /// The condition must be gone so long before the alarm is clear, in milliseconds.
    pub resume_delay_ms: u64,
    /// How urgent it is.
    pub priority: AlarmPriority,
    /// How it is acknowledged.
    pub ack_mode: AckMode,
    /// For people.
    pub description: Arc<str>,
}

/// What an alarm watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Watched {
    /// A tag of the catalog.
    Tag(TagId),
    /// The pair itself.
    System(SystemAlarm),
}

/// An alarm about the pair itself. Raised by the Running node, and an ordinary alarm otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemAlarm {
    /// The peer is gone without goodbye: there is no redundancy.
    PeerLost,
    /// Both nodes were Running at the same time.
    DualRunning,
    /// The licence modules of the two nodes differ.
    AuthorizationMismatch,
    /// A node's licence is expired or invalid.
    LicenseInvalid,
    /// The projects of the two nodes differ, or their names do.
    ConfigurationDifferent,
    /// An actor keeps failing, or a node is Faulted.
    ActorFailing,
    /// A disk cannot be written.
    Disk,
    /// Automatic recovery is suspended: the Master came back too often.
    RecoverySuspended,
}

impl SystemAlarm {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PeerLost,
        Self::DualRunning,
        Self::AuthorizationMismatch,
        Self::LicenseInvalid,
        Self::ConfigurationDifferent,
        Self::ActorFailing,
        Self::Disk,
        Self::RecoverySuspended,
    ];

    /// Its definition: path `System/Redundancy`, the name of the variant.
    pub fn definition(self) -> AlarmDef {
        let (priority, description) = match self {
            Self::PeerLost => (AlarmPriority::High, "The redundant node is lost: there is no failover target"),
            Self::DualRunning => (AlarmPriority::Critical, "Both nodes were Running at the same time"),
            Self::AuthorizationMismatch => (AlarmPriority::Medium, "The two nodes have different licence modules"),
            Self::LicenseInvalid => (AlarmPriority::High, "A node's licence is expired or invalid"),
            Self::ConfigurationDifferent => (AlarmPriority::High, "The two nodes have different projects or names"),
            Self::ActorFailing => (AlarmPriority::High, "A part of a node cannot work"),
            Self::Disk => (AlarmPriority::High, "A node's disk cannot be written"),
            Self::RecoverySuspended => {
                (AlarmPriority::Medium, "The Master came back too often: it recovers by a Switch only")
            }
        };
        AlarmDef {
            path: Arc::from("System/Redundancy"),
            name: Arc::from(format!("{self:?}")),
            watched: Watched::System(self),
            condition: AlarmCondition::System,
            active_delay_ms: 0,
            resume_delay_ms: 0,
            priority,
            ack_mode: AckMode::Manual,
            description: Arc::from(description),
        }
    }
}

/// What makes an alarm active.
#[derive(Clone, Debug, PartialEq)]
pub enum AlarmCondition {
    /// The value is beyond a limit; on tags of type Int64 and Float64.
    Limit {
        /// Which of the limits.
        level: LimitLevel,
        /// The limit, in the tag's unit.
        limit: f64,
        /// The limit itself is beyond the limit.
        inclusive: bool,
        /// The value must come back so far behind the limit before the alarm clears; in the tag's unit, not negative.
        deadband: f64,
    },
    /// The value changes by more than this within a period, up or down; on tags of type Int64 and Float64.
    RateOfChange {
        /// In percent of the tag's engineering range, above 0.
        limit: f64,
        /// A change of exactly that much is too much.
        inclusive: bool,
        /// The change must be so much smaller than the limit before the alarm clears; in percent, not negative.
        deadband: f64,
        /// In milliseconds, above 0.
        period_ms: u64,
        /// The engineering range, in the tag's unit, above 0.
        range: f64,
    },
    /// The value equals this one, which is of the tag's type.
    Equivalent(Value),
    /// A Bool became false; gone when it is true.
    TrueToFalse,
    /// A Bool became true; gone when it is false.
    FalseToTrue,
    /// Of a [`SystemAlarm`]: the node says so.
    System,
}

impl AlarmCondition {
    /// The kind that `alarms.csv` calls it by.
    pub fn kind(&self) -> AlarmKind {
        match self {
            Self::Limit { level, .. } => AlarmKind::Limit(*level),
            Self::RateOfChange { .. } => AlarmKind::RateOfChange,
            Self::Equivalent(_) => AlarmKind::Equivalent,
            Self::TrueToFalse => AlarmKind::TrueToFalse,
            Self::FalseToTrue => AlarmKind::FalseToTrue,
            Self::System => AlarmKind::System,
        }
    }
}

/// The kind of an alarm: its "type" for people. Shown as `H4`, `RateOfChange`, `System` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AlarmKind {
    /// One of the limits.
    Limit(LimitLevel),
    /// See [`AlarmCondition::RateOfChange`].
    RateOfChange,
    /// See [`AlarmCondition::Equivalent`].
    Equivalent,
    /// See [`AlarmCondition::TrueToFalse`].
    TrueToFalse,
    /// See [`AlarmCondition::FalseToTrue`].
    FalseToTrue,
    /// See [`SystemAlarm`].
    System,
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(level) => f.pad(&format!("{level:?}")),
            other => f.pad(&format!("{other:?}")),
        }
    }
}

/// The limits of a tag, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LimitLevel {
    /// Lowest.
    L4,
    /// Third low limit.
    L3,
    /// Second low limit.
    L2,
    /// Low.
    L,
    /// High.
    H,
    /// Second high limit.
    H2,
    /// Third high limit.
    H3,
    /// Highest.
    H4,
}

impl LimitLevel {
    /// Whether values above the limit are beyond it.
    pub fn is_high(self) -> bool {
        self >= Self::H
    }
}

/// How urgent an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AlarmPriority {
    /// Look at it during the shift.
    Low,
    /// The default.
    Medium,
    /// Act soon.
    High,
    /// Act now.
    Critical,
}

/// How an alarm is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AckMode {
    /// By the system, when it clears; an operator may do it earlier.
    Automatic,
    /// By an operator; the default.
    Manual,
    /// By an operator who says why.
    ManualWithComment,
}

/// All alarms of a node: those of its project, then those of the system.
#[derive(Debug, Default)]
pub struct AlarmList {
    defs: Vec<AlarmDef>,
    keys: Vec<AlarmKey>,
    by_key: HashMap<AlarmKey, AlarmId>,
    of_tag: HashMap<TagId, Vec<AlarmId>>,
    hash: u64,
}

impl AlarmList {
    /// A list of these alarms; those of the system are added. The error is an alarm that stands there twice, as
    /// `path` and `name`.
    pub fn new(mut defs: Vec<AlarmDef>) -> Result<Self, (Arc<str>, Arc<str>)> {
        defs.extend(SystemAlarm::ALL.map(SystemAlarm::definition));
        let mut list = Self { by_key: HashMap::with_capacity(defs.len()), ..Self::default() };
        let mut hasher = Xxh3::new();
        for (index, def) in defs.iter().enumerate() {
            let (id, key) = (AlarmId(index as u32), AlarmKey::of(&def.path, &def.name));
            if list.by_key.insert(key, id).is_some() {
                return Err((def.path.clone(), def.name.clone()));
            }
            list.keys.push(key);
            hasher.update(&key.0.to_le_bytes());
            if let Watched::Tag(tag) = def.watched {
                list.of_tag.entry(tag).or_default().push(id);
            }
        }
        list.hash = hasher.digest();
        list.defs = defs;
        Ok(list)
    }

    /// How many alarms there are; every id is below it.
    pub fn len(&self) -> usize {
        self.defs.len()
    }

    /// Whether there is no alarm.
    pub fn is_empty(&self) -> bool {
        self.defs.is_empty()
    }

    /// The definition of an alarm; none for an id of another list.
    pub fn get(&self, id: AlarmId) -> Option<&AlarmDef> {
        self.defs.get(id.0 as usize)
    }

    /// The key of an alarm; none for an id of another list.
    pub fn key(&self, id: AlarmId) -> Option<AlarmKey> {
        self.keys.get(id.0 as usize).copied()
    }

    /// The alarm of a key.
    pub fn find(&self, key: AlarmKey) -> Option<AlarmId> {
        self.by_key.get(&key).copied()
    }

    /// The alarms that watch a tag, in the order of their ids.
    pub fn of_tag(&self, tag: TagId) -> &[AlarmId] {
        self.of_tag.get(&tag).map_or(&[], Vec::as_slice)
    }

    /// The tags that are watched, each once, in the order of their first alarms.
    pub fn watched_tags(&self) -> impl Iterator<Item = TagId> {
        self.iter().filter_map(|(id, def)| match def.watched {
            Watched::Tag(tag) => (self.of_tag(tag).first() == Some(&id)).then_some(tag),
            Watched::System(_) => None,
        })
    }

    /// The alarm of the system.
    pub fn of_system(&self, alarm: SystemAlarm) -> Option<AlarmId> {
        let def = alarm.definition();
        self.find(AlarmKey::of(&def.path, &def.name))
    }

    /// All alarms in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (AlarmId, &AlarmDef)> {
        self.defs.iter().enumerate().map(|(index, def)| (AlarmId(index as u32), def))
    }

    /// Of all keys in order: two lists with equal hashes have the same alarms.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
