//! Why a command did not do its work, in one sentence, and the exit status that this means.

use std::fmt;

const ANYTHING_ELSE: u8 = 1;
pub(super) const WRONG_INPUT: u8 = 2;
const REFUSED: u8 = 3;
const UNREACHABLE: u8 = 4;

/// The end of a command that did not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    exit_status: u8,
    message: String,
}

impl Failure {
    /// With an exit status that a command's own error has chosen.
    pub(super) fn new(exit_status: u8, message: String) -> Self {
        Self { exit_status, message }
    }

    /// The command line or the configuration is wrong (exit status 2).
    pub fn wrong_input(message: impl Into<String>) -> Self {
        Self { exit_status: WRONG_INPUT, message: message.into() }
    }

    /// The node refused (exit status 3); the message holds its reason.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit_status: REFUSED, message: message.into() }
    }

    /// The node cannot be reached (exit status 4).
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { exit_status: UNREACHABLE, message: message.into() }
    }

    /// Anything else (exit status 1).
    pub fn other(message: impl Into<String>) -> Self {
        Self { exit_status: ANYTHING_ELSE, message: message.into() }
    }

    /// The node refused; others may be told otherwise.
    pub(super) fn is_refusal(&self) -> bool {
        self.exit_status == REFUSED
    }

    /// What the process ends with.
    pub fn exit_status(&self) -> u8 {
        self.exit_status
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_those_of_the_interface() {
        let statuses =
            [Failure::other("x"), Failure::wrong_input("x"), Failure::refused("x"), Failure::unreachable("x")]
                .map(|failure| failure.exit_status());
        assert_eq!(statuses, [1, 2, 3, 4]);
    }
}
