//! Printing. Colours only where a person looks; a reader that went away is no reason to panic.

use std::io::{self, IsTerminal, Write};

use super::logging;

/// Prints a line on standard output. A closed output is ignored: there is nobody to tell.
pub(super) fn say(line: &str) {
    let _ = say_or_fail(line);
}

/// Prints a line on standard output.
///
/// # Errors
/// The output is closed: a command that prints for ever ends then.
pub(super) fn say_or_fail(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Prints the reason of a failure on standard error, behind the log if there is one.
pub(super) fn complain(message: &str) {
    let paint = Paint::when(wants_colours(&io::stderr()));
    let line = format!("{} {message}", paint.bad("hotpair:"));
    if !logging::end_with(&line) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// Whether the present standard output is a terminal that takes escape sequences.
pub(super) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether `stream` is a terminal and the user has nothing against colours (<https://no-color.org>).
pub(super) fn wants_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Colours by meaning, or none at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    pub(super) const PLAIN: Self = Self { on: false };

    pub(super) fn when(on: bool) -> Self {
        Self { on }
    }

    pub(super) fn for_stdout() -> Self {
        Self::when(wants_colours(&io::stdout()))
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn calm(self, text: &str) -> String {
        self.with("36", text)
    }

    pub(super) fn unsure(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colours_means_no_escape_sequences() {
        assert_eq!(Paint::PLAIN.bad("x"), "x");
        assert_eq!(Paint::when(true).bad("x"), "\x1b[31mx\x1b[0m");
    }
}
