//! `hotpair status`: both nodes at a glance, once or at each change.

use serde_json::Value;

use super::node_client::NodeClient;
use super::picture::{self, Picture};
use super::terminal::{self, Paint};
use super::{Failure, StatusArgs, glance};
use crate::status::NodeStatus;

pub(super) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    match (args.watch, args.json) {
        (false, false) => terminal::say(&glance::lines(&node.status()?, Paint::for_stdout())),
        (false, true) => terminal::say(&format!("{:#}", node.status_json()?)),
        (true, false) => picture::watch(|| lines(&node)),
        (true, true) => picture::watch(|| Picture::json(node.status_json(), essence_of)),
    }
    Ok(())
}

fn lines(node: &NodeClient) -> Picture {
    match node.status() {
        Ok(status) => Picture::lines(
            glance::lines(&status, Paint::for_stdout()),
            glance::lines(&glance::at_rest(&status), Paint::PLAIN),
        ),
        Err(failure) => Picture::trouble(&failure),
    }
}

fn essence_of(value: &Value) -> String {
    match serde_json::from_value::<NodeStatus>(value.clone()) {
        Ok(status) => serde_json::to_string(&glance::at_rest(&status)).unwrap_or_default(),
        Err(_) => value.to_string(),
    }
}
