//! `hotpair hold`: forbids automatic failover and recovery for a time, or allows them again.

use super::node_client::NodeClient;
use super::{Failure, HoldArgs, shell_quote, terminal};

pub(super) fn run(args: &HoldArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    if args.release {
        node.release()?;
        terminal::say("released: failover and recovery are automatic again");
        return Ok(());
    }
    let (Some(minutes), Some(reason)) = (args.minutes, &args.reason) else {
        return Err(Failure::wrong_input("give --minutes N and --reason TEXT, or --release"));
    };
    node.hold(minutes, reason)?;
    terminal::say(&format!(
        "held for {minutes} minutes: no automatic failover or recovery; Switch still works; \
         'hotpair hold --url {} --release' ends it",
        shell_quote::word(node.base())
    ));
    Ok(())
}
