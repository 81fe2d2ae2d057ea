//! `hotpair unshelve`: shows shelved alarms again.

use serde_json::json;

use super::node_client::NodeClient;
use super::{Failure, UnshelveArgs, terminal};

pub(super) fn run(args: &UnshelveArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    let comment = args.comment.as_deref().unwrap_or_default();
    node.operate("alarms/unshelve", json!({ "path": args.path, "comment": comment }))?;
    terminal::say(&format!("shown again: {}", args.path));
    Ok(())
}
