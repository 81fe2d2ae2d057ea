//! A node: the only place where everything meets.

mod aged;
mod alarm_lists;
mod divergence;
mod feed;
mod handle;
mod hooks;
mod metrics;
mod publish;
mod realtime;
mod recipients;
mod shown;
mod system_tags;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use hotpair_actors::host::Host;
use hotpair_actors::shared::{Disks, Found, FoundAlarms, HttpAt, Settings, Shared};
use hotpair_actors::supervisor;
use hotpair_core::protocol::LicenseFacts;
use hotpair_core::types::{BootId, Mode};
use tokio::sync::{oneshot, watch};

use crate::config::{Config, Problems, Project};
use crate::storage::{Journal, OpenError, Recovered, Storage};

pub use handle::{
    Acknowledged, HoldRefused, NodeHandle, NotAcknowledged, PublishRefused, SwitchOrder, SwitchRefused, TagUpdate,
    WriteBatch, Written,
};
pub use realtime::{TagWatch, TooManyTags, WatchStep};
pub use recipients::Addressed;

/// An actor that does not answer its supervisor for so long hangs.
const HANG_AFTER_MS: u64 = 2000;

/// Starts nodes.
pub struct Node;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings or project are wrong.
    #[error("{0}")]
    Wrong(Problems),
    /// What must last cannot be kept.
    #[error("{0}")]
    Storage(#[from] OpenError),
    /// The Master's door.
    #[error("the link cannot listen on {address}: {error}; set redundancy.bind and redundancy.port to free ones")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// A source cannot be made.
    #[error("{0}")]
    Source(#[from] crate::sources::SourceError),
    /// A thread, or randomness.
    #[error("{0}")]
    System(String),
}

impl Node {
    /// Starts a node as `config` says, with the project in its folder. When it returns, the rules are at work and the
    /// handle can be used from any thread and runtime.
    pub async fn start(config: Config) -> Result<NodeHandle, StartError> {
        let project = Project::load(&config.project.dir).map_err(StartError::Wrong)?;
        Self::start_with(config, project).await
    }

    /// As [`Node::start`], with a project that the program made itself: see [`Project::of_tags`].
    pub async fn start_with(config: Config, project: Project) -> Result<NodeHandle, StartError> {
        // Whoever embeds a node answers for where it listens: the file's rules for open networks are the service's.
        let problems = config.validate(true);
        if problems.has_errors() {
            return Err(StartError::Wrong(problems));
        }
        let (storage, recovered) = Storage::open(&config.node.data_dir)?;
        if !recovered.previous_shutdown_clean {
            tracing::info!("the last stop of this node was not clean: it goes on from what is on disk");
        }
        let storage = Arc::new(storage);
        let (journal, alarms) = Journal::open(&config.node.data_dir, config.alarms.journal_entries)?;
        let journal = Arc::new(journal);
        let listener = listen(&config)?;
        let settings = settings(&config, &project, &recovered)?;
        let found = Found {
            lineage: recovered.lineage,
            reserved: recovered.reserved,
            last_counter: recovered.last_counter,
            durable: recovered.durable,
            retained: recovered.retained,
            alarms: FoundAlarms { list: project.alarms.clone(), found: alarms },
        };
        let disks = Disks { durable: storage.clone(), journal: journal.clone() };
        let hooks = hooks::start(&config.hooks);
        let told = hooks.clone();
        let on_event = Box::new(move |record: &_| {
            shown::log(record);
            told.tell(record);
        });
        let report_files = divergence::ReportFiles::default();
        let on_report = Box::new(move |report: &_| report_files.file(report));
        let host = Host::of_process(listener);
        let shared = Shared::new(settings, project.catalog.clone(), found, disks, host, on_event, on_report);
        let runners = feed::prepare(&config, &project, &shared)?;
        let thread = run_actors(shared.clone()).await?;
        let handle = NodeHandle::new(config, shared, (storage, journal), runners, thread, hooks);
        handle.watch();
        Ok(handle)
    }
}

/// The actors have threads of their own, in a System of their own: they work under any runtime, or none.
async fn run_actors(shared: Arc<Shared>) -> Result<std::thread::JoinHandle<()>, StartError> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("hp-system".into())
        .spawn(move || {
            supervisor::run(shared, || {
                let _ = tell.send(());
            });
        })
        .map_err(|error| StartError::System(format!("the node's thread cannot be started: {error}")))?;
    told.await.map_err(|_| StartError::System("the actors could not be started".into()))?;
    Ok(thread)
}

fn listen(config: &Config) -> Result<Option<TcpListener>, StartError> {
    if config.redundancy.mode != Mode::Master {
        return Ok(None);
    }
    let address = SocketAddr::new(config.redundancy.bind, config.redundancy.port);
    let listen = || -> io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map(Some).map_err(|error| StartError::Listen { address, error })
}

fn settings(config: &Config, project: &Project, recovered: &Recovered) -> Result<Settings, StartError> {
    let link = &config.redundancy;
    let mut modules = config.license.modules.clone();
    modules.sort();
    modules.dedup();
    Ok(Settings {
        node: recovered.node,
        boot: BootId(random()?),
        name: config.node.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        mode: link.mode,
        recovery: link.recovery_mode,
        failover_time_ms: link.failover_time_ms,
        connection_wait_time_ms: link.connection_wait_time_ms,
        switch_timeout_ms: link.switch_timeout_ms,
        replication_timeout_ms: link.replication_timeout_ms,
        connect_timeout_ms: link.connect_timeout_ms,
        ping_rate_ms: link.ping_rate_ms,
        ping_timeout_ms: link.ping_timeout_ms,
        missed_pings: link.missed_pings,
        fast_failover: link.fast_failover,
        master: (link.master_host.clone(), link.master_port),
        http: HttpAt {
            advertise: config.http.advertise.clone(),
            port: config.http.enabled.then_some(config.http.port),
            bind: config.http.enabled.then_some(config.http.bind),
        },
        project: project.hash.clone(),
        license: LicenseFacts { modules, invalid: String::new() },
        hang_after_ms: HANG_AFTER_MS,
        alarms_stale_after_ms: match u64::from(config.alarms.acknowledge_stale_after_h) {
            0 => None,
            hours => Some(hours * 3_600_000),
        },
    })
}

fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| StartError::System(format!("the system gives no random numbers: {error}")))
}

/// Fresh status for whoever watches.
type StatusSender = watch::Sender<Arc<crate::status::NodeStatus>>;
