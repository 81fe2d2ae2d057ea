//! What a node shows of itself: the views of its actors put into the words of the API.

use std::net::IpAddr;

use hotpair_actors::directory::{ActorState as Actor, Snapshot};
use hotpair_actors::link::LinkView;
use hotpair_actors::shared::{EventRecord, Shared};
use hotpair_core::arbiter::View;
use hotpair_core::greeting::Remark;
use hotpair_core::license::compare;
use hotpair_core::types::{Configuration, Epoch, Mode, NodeId, Status};

use crate::config::{Auth, Config};
use crate::status::{
    ActorState, ActorStatus, Cause, Event, HoldStatus, LicenseComparison, LinkState, LinkStatus, NodeStatus,
    PeerStatus, SyncStatus, ThisNode,
};

pub(super) fn status(config: &Config, shared: &Shared) -> NodeStatus {
    let view = shared.view();
    let link = shared.link.view();
    let now = shared.clock.now();
    shared.refresh_replication();
    let replication = shared.replication();
    let epoch = view.epoch;
    let followed = view.peer.as_ref().is_some_and(|peer| peer.connected);
    let mut not_ready_reasons = view.not_ready.clone();
    let fresh = shared.gate.is_fresh(now);
    if !fresh {
        not_ready_reasons.push("this node was stopped and does not know yet how its peer is".into());
    }
    NodeStatus {
        node: ThisNode {
            name: config.node.name.clone(),
            id: shared.settings.node,
            mode: shared.settings.mode,
            status: view.status,
            since: shared.clock.on_wall(view.since),
            reason: reason(&view),
            version: shared.settings.version.clone(),
            uptime_s: now.0 / 1000,
        },
        peer: peer(shared, &view, &link),
        authorization: compare(&shared.settings.license, shared.peer_license().as_ref()).0,
        configuration: configuration(&link),
        epoch: epoch.counter,
        epoch_node: (epoch != Epoch::NONE).then_some(epoch.node),
        sync: SyncStatus {
            phase: replication.phase,
            progress: replication.progress,
            local_seq: replication.local_seq,
            peer_seq: followed.then_some(replication.peer_seq),
            lag_updates: replication.lag_updates,
            lag_ms: replication.lag_ms as f64,
        },
        failover_ready: view.failover_ready && fresh,
        not_ready_reasons,
        recovery_mode: recovery(shared, &link),
        standby_activity_level: config.redundancy.standby_activity_level,
        hold: view.hold.as_ref().map(|(until, reason)| HoldStatus {
            until: shared.clock.on_wall(*until),
            remaining_s: until.since(now).div_ceil(1000),
            reason: reason.clone(),
        }),
        switching: view.switching,
        link: LinkStatus {
            state: link_state(shared, &link),
            refused: link.refused.clone(),
            remarks: link_remarks(&link),
        },
        running: running(config, &view, &link),
        disk: shared.disk.trouble().or_else(|| shared.journal.trouble()),
        insecure: insecure(config),
    }
}

fn reason(view: &View) -> String {
    match &view.recovery_suspended {
        Some(why) => format!("{}; {why}", view.reason),
        None => view.reason.clone(),
    }
}

fn peer(shared: &Shared, view: &View, link: &LinkView) -> Option<PeerStatus> {
    let peer = view.peer.as_ref()?;
    let greeting = link.greeting.as_ref();
    Some(PeerStatus {
        status: peer.status,
        connected: peer.connected,
        id: greeting.map(|greeting| greeting.node),
        mode: greeting.map(|greeting| greeting.mode),
        address: link.address.clone().filter(|_| peer.connected),
        http: greeting.and_then(|greeting| url(&greeting.http)),
        last_seen_ms: greeting.map(|_| shared.last_seen_ms()),
        rtt_us: shared.rtt.lock().last_us.filter(|_| peer.connected),
        missed_pings: if greeting.is_some() { shared.missed_pings().0 } else { 0 },
    })
}

fn configuration(link: &LinkView) -> Configuration {
    match &link.greeting {
        None => Configuration::Unknown,
        Some(_) if link.remarks.iter().any(|remark| matches!(remark, Remark::Project { .. })) => {
            Configuration::Different
        }
        Some(_) => Configuration::Same,
    }
}

/// The Master's word counts.
fn recovery(shared: &Shared, link: &LinkView) -> hotpair_core::types::RecoveryMode {
    match (&link.greeting, shared.settings.mode) {
        (Some(master), Mode::Backup) => master.recovery,
        _ => shared.settings.recovery,
    }
}

fn link_state(shared: &Shared, link: &LinkView) -> LinkState {
    match shared.settings.mode {
        Mode::Independent => LinkState::None,
        _ if link.up => LinkState::Up,
        Mode::Master => LinkState::Listening,
        Mode::Backup => LinkState::Connecting,
    }
}

fn link_remarks(link: &LinkView) -> Vec<String> {
    let error = link.last_error.iter().filter(|_| !link.up).cloned();
    link.remarks.iter().map(ToString::to_string).chain(error).collect()
}

/// Where the Running node's page is.
fn running(config: &Config, view: &View, link: &LinkView) -> Option<String> {
    if view.status == Status::Running {
        let public = config.node.public_address.as_deref().or(config.http.advertise.as_deref());
        let own = std::net::SocketAddr::new(config.http.bind, config.http.port).to_string();
        return if config.http.enabled { url(public.unwrap_or(&own)) } else { None };
    }
    let runs = view.peer.as_ref().is_some_and(|peer| peer.status == Status::Running);
    link.greeting.as_ref().filter(|_| runs).and_then(|greeting| url(&greeting.http))
}

fn url(address: &str) -> Option<String> {
    match address {
        "" => None,
        address if address.contains("://") => Some(address.to_owned()),
        address => Some(format!("http://{address}")),
    }
}

fn insecure(config: &Config) -> Vec<String> {
    let mut what = Vec::new();
    let open = |ip: IpAddr| if ip.is_loopback() { "reachable from this machine only" } else { "open to the network" };
    if config.redundancy.mode != Mode::Independent && !config.redundancy.use_ssl {
        let reach = match config.redundancy.mode {
            Mode::Master => open(config.redundancy.bind),
            _ => "as far as the Master is",
        };
        what.push(format!("the link to the peer is not encrypted (redundancy.use_ssl = false), {reach}"));
    }
    if config.http.enabled && config.http.auth == Auth::Off {
        let reach = open(config.http.bind);
        what.push(format!("the page and the API ask nobody who they are (http.auth = \"off\"), {reach}"));
    }
    what
}

pub(super) fn event(record: &EventRecord) -> Event {
    let EventRecord { time, node, event } = record;
    let cause = match (event.peer, event.from, event.to) {
        (true, ..) => Cause::Peer,
        (_, _, Status::Faulted) => Cause::Fault,
        (_, Status::Faulted, _) => Cause::FaultCleared,
        (_, _, Status::Unknown) => Cause::Stop,
        _ => Cause::from(event.tenure),
    };
    Event {
        time: *time,
        node: node.unwrap_or(NodeId(0)),
        from: event.from,
        to: event.to,
        cause,
        user: event.user.clone(),
        epoch: event.epoch.counter,
        reason: event.reason.clone(),
    }
}

/// One readable line an event.
pub(super) fn log(record: &EventRecord) {
    let event = &record.event;
    let whose = if event.peer { "peer" } else { "this node" };
    let why = if event.reason.is_empty() { String::new() } else { format!(": {}", event.reason) };
    tracing::info!(from = %event.from, epoch = event.epoch.counter, "{whose} is {}{why}", event.to);
}

pub(super) fn actors(shared: &Shared) -> Vec<ActorStatus> {
    let now = shared.clock.now();
    let shown = |(name, snapshot): (&'static str, Snapshot)| ActorStatus {
        name: name.to_owned(),
        state: match snapshot.state {
            Actor::Working => ActorState::Running,
            Actor::Restarting => ActorState::Restarting,
            Actor::KeepsFailing => ActorState::Failed,
            Actor::Hanging => ActorState::Hung,
        },
        restarts: snapshot.panics + snapshot.stops + snapshot.hangs,
        progress_age_ms: Some(now.since(snapshot.alive_at)),
    };
    shared.directory.snapshots().into_iter().map(shown).collect()
}

pub(super) fn license(shared: &Shared) -> LicenseComparison {
    let own = &shared.settings.license;
    let peer = shared.peer_license();
    let (authorization, differences) = compare(own, peer.as_ref());
    let said = |text: &String| (!text.is_empty()).then(|| text.clone());
    LicenseComparison {
        authorization,
        modules: own.modules.clone(),
        peer_modules: peer.as_ref().map(|facts| facts.modules.clone()),
        only_here: differences.only_here,
        only_there: differences.only_there,
        invalid: said(&own.invalid),
        peer_invalid: peer.as_ref().and_then(|facts| said(&facts.invalid)),
    }
}
