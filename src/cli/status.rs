//! `hotpair status`: both nodes at a glance, once or at each change.

use std::time::Duration;

use serde_json::Value;

use super::node_client::NodeClient;
use super::terminal::{self, Paint};
use super::{Failure, StatusArgs, glance};
use crate::status::NodeStatus;

const POLL: Duration = Duration::from_millis(500);

pub(super) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    match (args.watch, args.json) {
        (false, false) => terminal::say(&glance::lines(&node.status()?, Paint::for_stdout())),
        (false, true) => terminal::say(&format!("{:#}", node.status_json()?)),
        (true, false) => watch(|| Picture::of_lines(&node)),
        (true, true) => watch(|| Picture::of_json(&node)),
    }
    Ok(())
}

/// What is to be seen at one moment.
struct Picture {
    text: String,
    /// Equal for two pictures that differ in moving numbers only.
    essence: String,
    /// It may take the place of the one before on a terminal.
    redraws: bool,
}

impl Picture {
    fn of_lines(node: &NodeClient) -> Self {
        match node.status() {
            Ok(status) => Self {
                text: glance::lines(&status, Paint::for_stdout()),
                essence: glance::lines(&glance::at_rest(&status), Paint::PLAIN),
                redraws: true,
            },
            Err(failure) => Self {
                text: Paint::for_stdout().bad(&format!("{failure}; asking again")),
                essence: failure.to_string(),
                redraws: true,
            },
        }
    }

    /// One JSON document a line; trouble is told as `{"unreachable": "…"}`, so that a reader sees JSON and nothing else.
    fn of_json(node: &NodeClient) -> Self {
        let value =
            node.status_json().unwrap_or_else(|failure| serde_json::json!({ "unreachable": failure.to_string() }));
        Self { text: value.to_string(), essence: essence_of(&value), redraws: false }
    }
}

fn essence_of(value: &Value) -> String {
    match serde_json::from_value::<NodeStatus>(value.clone()) {
        Ok(status) => serde_json::to_string(&glance::at_rest(&status)).unwrap_or_default(),
        Err(_) => value.to_string(),
    }
}

/// Prints each changed picture until the process is stopped or its output is closed.
fn watch(look: impl Fn() -> Picture) {
    let in_place = terminal::stdout_is_terminal();
    let mut before: Option<Picture> = None;
    loop {
        let picture = look();
        let redraws = in_place && picture.redraws;
        // On a terminal the moving numbers move; in a file or a pipe they would be noise.
        let changed = match &before {
            None => true,
            Some(before) if redraws => before.text != picture.text,
            Some(before) => before.essence != picture.essence,
        };
        if changed {
            let start = match &before {
                _ if redraws => "\x1b[H\x1b[2J",
                Some(_) if picture.redraws => "\n",
                _ => "",
            };
            let text = format!("{start}{}", picture.text);
            if terminal::say_or_fail(&text).is_err() {
                return;
            }
            before = Some(picture);
        }
        std::thread::sleep(POLL);
    }
}
