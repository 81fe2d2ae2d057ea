//! `hotpair.toml` and `project/`, parsed into types that cannot be wrong.
//!
//! [`Config::load`] reads everything that a run would read and collects *all* that is wrong, each with file, line, key,
//! the value found and how to mend it. A program that embeds a node builds a [`Config`] itself and asks
//! [`Config::validate`].

mod alarm_condition;
mod alarms_csv;
mod checks;
mod csv_table;
mod embedded;
mod keys;
mod problem;
pub mod project;
mod settings;
pub mod sources;
mod sources_toml;
mod suggest;
mod tags_csv;
pub mod templates;
mod values;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use hotpair_core::types::{Mode, RecoveryMode, StandbyActivityLevel};

pub use checks::detection_time_ms;
pub use csv_table::delimiter_of;
pub(crate) use csv_table::number;
pub use embedded::ProjectError;
pub use problem::{Problem, Problems, Severity};
pub use project::Project;

/// This node's own settings: the content of `hotpair.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[node]`
    pub node: NodeSettings,
    /// `[project]`
    pub project: ProjectSettings,
    /// `[http]`
    pub http: HttpSettings,
    /// `[redundancy]`
    pub redundancy: RedundancySettings,
    /// `[alarms]`
    pub alarms: AlarmSettings,
    /// `[license]`
    pub license: LicenseSettings,
    /// `[hooks]`
    pub hooks: HookSettings,
    /// `[log]`
    pub log: LogSettings,
}

/// `[node]`: who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// The same on both nodes; history is stored under it.
    pub name: String,
    /// The folder of what must last.
    pub data_dir: PathBuf,
    /// Where a browser is sent when this node is Running; none: the peer's link address.
    pub public_address: Option<String>,
}

/// `[project]`: where the project stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectSettings {
    /// The folder of `tags.csv`, `alarms.csv`, `sources.toml` and `history.toml`.
    pub dir: PathBuf,
}

/// `[http]`: the page and the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Whether HTTP is served at all; an embedding program may say no.
    pub enabled: bool,
    /// The address to listen on.
    pub bind: IpAddr,
    /// The port to listen on; 0: any free one.
    pub port: u16,
    /// The port of HTTPS, once `[http.tls]` is available.
    pub https_port: u16,
    /// Who may use it.
    pub auth: Auth,
    /// `host:port` that the peer is told for its clients; none: the link's local address and the HTTP port.
    pub advertise: Option<String>,
}

/// `http.auth`: who may use the page and the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Users with a password.
    Required,
    /// Everybody who reaches the port.
    Off,
}

/// `[redundancy]`: this node's place in the pair. All times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedundancySettings {
    /// What this node is.
    pub mode: Mode,
    /// Whether a Standby keeps its source connections open.
    pub standby_activity_level: StandbyActivityLevel,
    /// An unavailable peer is taken over this long after its last sign of life.
    pub failover_time_ms: u64,
    /// How long a node that starts waits for its peer.
    pub connection_wait_time_ms: u64,
    /// What a Master that was down does when it comes back.
    pub recovery_mode: RecoveryMode,
    /// Master: the address to listen on.
    pub bind: IpAddr,
    /// Master: the port to listen on; 0: any free one.
    pub port: u16,
    /// Backup: name or address of the Master.
    pub master_host: String,
    /// Backup: the Master's port.
    pub master_port: u16,
    /// The link is encrypted.
    pub use_ssl: bool,
    /// A ping is sent each so often.
    pub ping_rate_ms: u64,
    /// A ping unanswered for this long is missed.
    pub ping_timeout_ms: u64,
    /// So many missed pings in a row make the peer unavailable.
    pub missed_pings: u32,
    /// A connection that is not there after this time is given up.
    pub connect_timeout_ms: u64,
    /// A peer that is proven dead is taken over at once.
    pub fast_failover: bool,
    /// An answer waits this long for the peer to have applied the change.
    pub replication_timeout_ms: u64,
    /// A Switch is given up after this time.
    pub switch_timeout_ms: u64,
    /// What decides when the nodes cannot see each other.
    pub arbitration: Arbitration,
}

/// `redundancy.arbitration`: what decides when the nodes cannot see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arbitration {
    /// Each runs rather than nobody.
    Availability,
    /// Who has the witness's lease runs.
    Witness,
}

/// `[alarms]`: how long alarms wait, and how much is kept of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmSettings {
    /// An alarm that cleared so many hours ago and that nobody acknowledged is acknowledged by the node, at most
    /// 8760; 0: never.
    pub acknowledge_stale_after_h: u32,
    /// So many of the newest entries of the alarm journal are kept, 1,000 to 100,000,000.
    pub journal_entries: u64,
}

/// `[license]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicenseSettings {
    /// Of a later version: a file that is there is an error now.
    pub file: Option<PathBuf>,
    /// Modules of a node without a licence file, while developing.
    pub modules: Vec<String>,
}

/// `[hooks]`: commands run at each change of status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookSettings {
    /// Run when this node becomes Running.
    pub on_running: Option<String>,
    /// Run when this node becomes Standby.
    pub on_standby: Option<String>,
}

/// `[log]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// What is worth a line.
    pub level: LogLevel,
}

/// `log.format`: the form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.level`: what is worth a line of the log; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What does not work.
    Error,
    /// What may soon not work.
    Warn,
    /// What happens.
    Info,
    /// Why it happens.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As in the file: `info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Config {
    /// The defaults for a node of this mode. `node.name`, and for a Backup `redundancy.master_host`, are still to be
    /// said; `http.auth` and `redundancy.use_ssl` are at their safe defaults, which this version cannot serve yet.
    pub fn new(mode: Mode) -> Self {
        Self {
            node: NodeSettings {
                name: String::new(),
                data_dir: PathBuf::from("/var/lib/hotpair"),
                public_address: None,
            },
            project: ProjectSettings { dir: PathBuf::from("project") },
            http: HttpSettings {
                enabled: true,
                bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port: 8066,
                https_port: 10043,
                auth: Auth::Required,
                advertise: None,
            },
            redundancy: RedundancySettings {
                mode,
                standby_activity_level: StandbyActivityLevel::Warm,
                failover_time_ms: 1000,
                connection_wait_time_ms: 5000,
                recovery_mode: RecoveryMode::Automatic,
                bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                port: 8099,
                master_host: String::new(),
                master_port: 8099,
                use_ssl: true,
                ping_rate_ms: 100,
                ping_timeout_ms: 300,
                missed_pings: 3,
                connect_timeout_ms: 1000,
                fast_failover: true,
                replication_timeout_ms: 500,
                switch_timeout_ms: 2000,
                arbitration: Arbitration::Availability,
            },
            alarms: AlarmSettings { acknowledge_stale_after_h: 0, journal_entries: 1_000_000 },
            license: LicenseSettings { file: Some(PathBuf::from("license.jwt")), modules: Vec::new() },
            hooks: HookSettings::default(),
            log: LogSettings { format: LogFormat::Text, level: LogLevel::Info },
        }
    }

    /// Reads `hotpair.toml` at `path`, the overrides `HOTPAIR__SECTION__KEY` in `environment` (other variables are
    /// ignored) and the project. Relative paths in the file are relative to its folder. `insecure` is the operator's
    /// word that an open network without encryption or users is meant.
    ///
    /// The error holds every problem of every file, at least one of them an error, and the warnings too.
    pub fn load(
        path: &Path,
        insecure: bool,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded, Problems> {
        let (config, project, problems) = Self::read(path, insecure, environment);
        match (config, project) {
            (Some(config), Some(project)) if !problems.has_errors() => {
                Ok(Loaded { config, project, warnings: problems })
            }
            _ => Err(problems),
        }
    }

    /// As [`Self::load`], with whatever could be read beside the problems: for a summary.
    pub fn read(
        path: &Path,
        insecure: bool,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Option<Self>, Option<Project>, Problems) {
        let mut problems = Problems::default();
        let Some((config, places)) = keys::read(path, environment, &mut problems) else {
            return (None, None, problems);
        };
        checks::check(&config, &places, insecure, &mut problems);
        let project = project::read(&config.project.dir, &mut problems);
        (Some(config), project, problems)
    }

    /// What is wrong or unwise with these settings; the project is not looked at. An embedding program must not start
    /// a node while [`Problems::has_errors`].
    pub fn validate(&self, insecure: bool) -> Problems {
        let mut problems = Problems::default();
        checks::check(self, &settings::Places::default(), insecure, &mut problems);
        problems
    }
}

/// A configuration and its project, without errors.
#[derive(Debug)]
pub struct Loaded {
    /// This node's settings.
    pub config: Config,
    /// What both nodes have in common.
    pub project: Project,
    /// What is unwise.
    pub warnings: Problems,
}
