//! A gateway that embeds a node: it does its own work only while its node is Running, and both gateways always know what
//! the other one did.
//!
//! `cargo run --example embed` starts two of them in one process, switches, and ends. Real ones run on two machines.

use std::sync::Arc;
use std::time::Duration;

use hotpair::config::Project;
use hotpair::core::catalog::TagDef;
use hotpair::core::protocol::WriteItem;
use hotpair::core::quality::Quality;
use hotpair::core::types::{Mode, Status, UnixMillis};
use hotpair::core::value::{Value, ValueType};
use hotpair::node::{SwitchOrder, TagUpdate, WriteBatch};
use hotpair::{Config, Node, NodeHandle};

const COUNTED: &str = "Gateway/Counted";
const SETPOINT: &str = "Gateway/Setpoint";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let master = start(Mode::Master, port, &folder.path().join("master")).await?;
    let backup = start(Mode::Backup, port, &folder.path().join("backup")).await?;
    // Each gateway's own work, in a task that goes on for ever and works only while its node is Running.
    let work = [tokio::spawn(count(master.clone(), "master")), tokio::spawn(count(backup.clone(), "backup"))];

    until(&master, "the pair to be ready", |status| status.failover_ready).await?;
    println!("master is Running, backup is Standby and in sync");

    // A write made at the Standby is carried out by the Running node, and both have it when the answer comes.
    let setpoint =
        WriteItem { path: Arc::from(SETPOINT), value: Value::Float64(41.5), quality: Quality::GOOD, time: None };
    let batch = WriteBatch { items: vec![setpoint], operation: Some(Arc::from("setpoint-1")) };
    let written = backup.write(batch).await?;
    println!("written at the backup, replicated: {}", written.replicated);
    println!("the master reads {:?}", master.read(SETPOINT).map(|sample| sample.value));

    let order = SwitchOrder { reason: "to show it".into(), user: "example".into(), ..SwitchOrder::default() };
    backup.switch(order).await?;
    let counted = backup.read(COUNTED).map(|sample| sample.value);
    println!("switched: the backup is Running and goes on counting from {counted:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    println!("the master, Standby now, reads {:?}", master.read(COUNTED).map(|sample| sample.value));

    work.iter().for_each(tokio::task::JoinHandle::abort);
    backup.shutdown().await;
    master.shutdown().await;
    println!("both stopped");
    Ok(())
}

async fn start(mode: Mode, port: u16, data: &std::path::Path) -> Result<NodeHandle, Box<dyn std::error::Error>> {
    let mut config = Config::new(mode);
    config.node.name = "Gateway".into();
    config.node.data_dir = data.to_owned();
    config.http.enabled = false;
    config.redundancy.use_ssl = false;
    config.redundancy.bind = [127, 0, 0, 1].into();
    config.redundancy.port = port;
    config.redundancy.master_host = "127.0.0.1".into();
    config.redundancy.master_port = port;
    let tags = vec![tag(COUNTED, ValueType::Int64, false), tag(SETPOINT, ValueType::Float64, true)];
    let project = Project::of_tags(tags).map_err(|path| format!("{path} stands there twice"))?;
    Ok(Node::start_with(config, project).await?)
}

/// The gateway's own work.
async fn count(node: NodeHandle, name: &str) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Asked each time before anything is done that must not be done twice.
        if !node.is_running() {
            continue;
        }
        let counted = match node.read(COUNTED).map(|sample| sample.value) {
            Some(Value::Int64(counted)) => counted,
            _ => 0,
        };
        let update = TagUpdate {
            path: Arc::from(COUNTED),
            value: Value::Int64(counted + 1),
            quality: Quality::GOOD,
            time: now(),
        };
        if node.publish(vec![update]).await.is_err() {
            println!("{name}: not Running any more, the value was not taken");
        }
    }
}

/// Waits for a status; every change is seen.
async fn until(
    node: &NodeHandle,
    what: &str,
    holds: impl Fn(&hotpair::status::NodeStatus) -> bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut changes = node.subscribe_status();
    let wait = changes.wait_for(|status| holds(status) && status.node.status != Status::Unknown);
    match tokio::time::timeout(Duration::from_secs(20), wait).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(format!("waited in vain for {what}").into()),
    }
}

fn tag(path: &str, value_type: ValueType, writable: bool) -> TagDef {
    TagDef { writable, retain: writable, ..TagDef::new(Arc::from(path), value_type) }
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis() as i64)
}
