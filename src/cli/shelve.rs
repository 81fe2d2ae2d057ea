//! `hotpair shelve`: hides alarms for a time. They are judged and journaled all the same.

use serde_json::json;

use super::node_client::NodeClient;
use super::{Failure, ShelveArgs, shell_quote, terminal};

pub(super) fn run(args: &ShelveArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    let ShelveArgs { path, minutes, comment, .. } = args;
    let comment = comment.as_deref().unwrap_or_default();
    node.operate("alarms/shelve", json!({ "path": path, "minutes": minutes, "comment": comment }))?;
    terminal::say(&format!(
        "shelved for {minutes} minutes: {path}; to show it again: hotpair unshelve {} --url {}",
        shell_quote::word(path),
        shell_quote::word(node.base())
    ));
    Ok(())
}
