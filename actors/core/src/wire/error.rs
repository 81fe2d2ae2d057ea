//! What can be wrong with bytes from a peer, in words that help to find out who sent them.

use std::fmt;

use super::{Kind, MAX_NAME_BYTES};

/// How many bytes of a stranger's first words an error keeps.
const SHOWN_BYTES: usize = 24;

/// Why bytes are not a frame, or a body not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The first bytes are not those of a frame.
    NotHotpair {
        /// What came instead, at most the first 24 bytes of it.
        start: Vec<u8>,
    },
    /// A kind of frame that this version does not have.
    UnknownKind {
        /// The kind's byte.
        code: u8,
    },
    /// A frame of the other connection.
    UnexpectedKind {
        /// What came.
        found: Kind,
        /// What this connection carries at this point.
        expected: Kind,
    },
    /// Flags that this version does not have.
    UnknownFlags {
        /// The flags' byte.
        flags: u8,
    },
    /// The header states, or the message needs, a longer body than this kind of frame may have.
    TooLong {
        /// Of the frame.
        kind: Kind,
        /// Of the body, in bytes.
        length: usize,
        /// Longest body, in bytes.
        limit: usize,
    },
    /// Header and body do not give the checksum that the header states.
    Checksum {
        /// In the header.
        stated: u32,
        /// Of what came.
        computed: u32,
    },
    /// The body is not what its frame should carry.
    Malformed {
        /// Where and why.
        reason: String,
    },
    /// The message ended before its body did.
    TrailingBytes {
        /// How many are left.
        bytes: usize,
    },
    /// A message that this version does not know: a newer peer's. It may be skipped.
    UnknownMessage {
        /// Its name.
        name: String,
    },
    /// A part of a message is longer than allowed.
    Limit {
        /// Which part.
        what: &'static str,
        /// Its length or count.
        found: usize,
        /// What is allowed.
        limit: usize,
    },
}

impl WireError {
    pub(super) fn not_hotpair(buffer: &[u8]) -> Self {
        Self::NotHotpair { start: buffer.iter().take(SHOWN_BYTES).copied().collect() }
    }

    pub(super) fn unknown_message(name: &str) -> Self {
        Self::UnknownMessage { name: name.chars().take(MAX_NAME_BYTES / 4).collect() }
    }

    /// The frame is whole, but what it says makes no sense.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed { reason: reason.into() }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHotpair { start } => {
                write!(f, "the other side is not a hotpair node: it sent \"{}\"{}", start.escape_ascii(), guess(start))
            }
            Self::UnknownKind { code } => {
                write!(f, "a frame of unknown kind {code}: the other node's version is too new, or the link is damaged")
            }
            Self::UnexpectedKind { found, expected } => write!(
                f,
                "a {found:?} frame on a connection that carries {expected:?} frames here: the other node's version \
                 does not fit, or something mixes up connections between the nodes"
            ),
            Self::UnknownFlags { flags } => {
                write!(f, "a frame with unknown flags 0x{flags:02X}: the other node's version is too new")
            }
            Self::TooLong { kind, length, limit } => {
                write!(f, "a {kind:?} frame of {length} bytes is too long; at most {limit} are allowed")
            }
            Self::Checksum { stated, computed } => write!(
                f,
                "a frame was damaged on its way: its checksum is {computed:08x} instead of {stated:08x}; check the \
                 network and the memory of both nodes"
            ),
            Self::Malformed { reason } => write!(f, "a frame's content is malformed: {reason}"),
            Self::TrailingBytes { bytes } => write!(f, "a frame's content is malformed: {bytes} bytes after its end"),
            Self::UnknownMessage { name } => {
                write!(f, "a message \"{}\" that this version does not know", name.escape_debug())
            }
            Self::Limit { what, found, limit } => write!(f, "{what}: {found}, but at most {limit} are allowed"),
        }
    }
}

impl std::error::Error for WireError {}

/// Who speaks like this, and which setting brought it here.
fn guess(start: &[u8]) -> &'static str {
    const METHODS: [&[u8]; 6] = [b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"PRI "];
    /// A TLS record of a handshake; an alert of a node that expected TLS and got none.
    const TLS: [&[u8]; 2] = [&[0x16, 0x03], &[0x15, 0x03]];
    if METHODS.iter().any(|method| start.starts_with(method)) {
        ". A browser or another HTTP client was sent to the link's port; the page is at `port` of [http]"
    } else if start.starts_with(b"HTTP/") {
        ". An HTTP server answers there: `master_host` and `master_port` of [redundancy] must name the Master's link \
         (its `port` of [redundancy]), not its page"
    } else if TLS.iter().any(|tls| start.starts_with(tls)) {
        ". That is TLS: set `use_ssl` of [redundancy] to the same on both nodes"
    } else {
        ". Check `master_host` and `master_port` of [redundancy] at the Backup, and who else uses the Master's `port`"
    }
}
