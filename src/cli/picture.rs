//! What is to be seen at one moment, printed again at each change.

use std::time::Duration;

use serde_json::{Value, json};

use super::Failure;
use super::terminal::{self, Paint};

const POLL: Duration = Duration::from_millis(500);

/// What is to be seen at one moment.
pub(super) struct Picture {
    text: String,
    /// Equal for two pictures that differ in moving numbers only.
    essence: String,
    /// It may take the place of the one before on a terminal.
    redraws: bool,
}

impl Picture {
    /// Lines for people.
    pub(super) fn lines(text: String, essence: String) -> Self {
        Self { text, essence, redraws: true }
    }

    /// Why there is nothing to be seen, for people.
    pub(super) fn trouble(failure: &Failure) -> Self {
        Self::lines(Paint::for_stdout().bad(&format!("{failure}; asking again")), failure.to_string())
    }

    /// One JSON document in a line; trouble is told as `{"unreachable": "…"}`, so that a reader sees JSON and nothing
    /// else. `essence` gives what of it means a change.
    pub(super) fn json(answer: Result<Value, Failure>, essence: impl FnOnce(&Value) -> String) -> Self {
        let value = answer.unwrap_or_else(|failure| json!({ "unreachable": failure.to_string() }));
        Self { text: value.to_string(), essence: essence(&value), redraws: false }
    }
}

/// Prints each changed picture until the process is stopped or its output is closed.
pub(super) fn watch(look: impl Fn() -> Picture) {
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
