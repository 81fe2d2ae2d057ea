//! Whether two nodes fit each other: the decision on the greetings of a new connection.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::protocol::{Greeting, ProjectHash, Refusal, RefusalCode};
use crate::types::Mode;
use crate::wire::WireError;

/// What two nodes that fit use with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The newest protocol version that both speak.
    pub protocol: u16,
    /// The optional abilities that both have.
    pub features: u64,
    /// What is amiss without being a reason to refuse.
    pub remarks: Vec<Remark>,
}

/// A difference that people should know of and mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// History is stored under the node name, so that it cannot be found under another: its transfer is blocked.
    NodeName {
        /// This node's.
        mine: String,
        /// The peer's.
        theirs: String,
    },
    /// The two projects differ.
    Project {
        /// Names of the files that differ or that only one node has, sorted.
        files: Vec<String>,
        /// Tags or their types differ: tags that only one node has are not replicated.
        tag_list: bool,
    },
}

/// Whether the node that sent `theirs` can be the peer of the one that sent `mine`; symmetrical but for the wording.
pub fn check(mine: &Greeting, theirs: &Greeting) -> Result<Agreed, Refusal> {
    let oldest = mine.protocol.0.max(theirs.protocol.0);
    let newest = mine.protocol.1.min(theirs.protocol.1);
    if oldest > newest {
        return Err(Refusal::version(mine, theirs));
    }
    if mine.boot == theirs.boot || mine.node == theirs.node {
        return Err(Refusal::itself(mine, theirs));
    }
    if !matches!((mine.mode, theirs.mode), (Mode::Master, Mode::Backup) | (Mode::Backup, Mode::Master)) {
        return Err(Refusal::mode(mine, theirs));
    }
    Ok(Agreed { protocol: newest, features: mine.features & theirs.features, remarks: remarks(mine, theirs) })
}

fn remarks(mine: &Greeting, theirs: &Greeting) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if mine.name != theirs.name {
        remarks.push(Remark::NodeName { mine: mine.name.clone(), theirs: theirs.name.clone() });
    }
    let files = differing_files(&mine.project, &theirs.project);
    let tag_list = mine.project.tag_list != theirs.project.tag_list;
    if tag_list || !files.is_empty() {
        remarks.push(Remark::Project { files, tag_list });
    }
    remarks
}

/// Names of the files that differ, or that only one of the two projects has, sorted.
pub fn differing_files(mine: &ProjectHash, theirs: &ProjectHash) -> Vec<String> {
    let both = mine.files.iter().filter(|file| !theirs.files.contains(file));
    let both = both.chain(theirs.files.iter().filter(|file| !mine.files.contains(file)));
    let mut names: Vec<String> = both.map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Refusal {
    /// No protocol version in common.
    pub fn version(mine: &Greeting, theirs: &Greeting) -> Self {
        let (older, newer) = if mine.protocol.1 <= theirs.protocol.1 { (mine, theirs) } else { (theirs, mine) };
        Self::new(
            RefusalCode::Version,
            format!(
                "No protocol version in common: {} speaks {}, {} speaks {}. Update {} to version {} of hotpair, or to \
                 one between the two.",
                described(older),
                versions(older),
                described(newer),
                versions(newer),
                described(older),
                shown(&newer.version),
            ),
        )
    }

    /// Two greetings of the same process, or of the same data folder.
    pub fn itself(mine: &Greeting, theirs: &Greeting) -> Self {
        let reason = if mine.boot == theirs.boot {
            format!(
                "{} is connected to itself. Set `master_host` and `master_port` of [redundancy] at the Backup to the \
                 address of the Master.",
                described(mine)
            )
        } else {
            format!(
                "{} and {} have the same node id {}: both use the same data folder or a copy of it. Stop one of them \
                 and give it an empty folder of its own with `data_dir` of [node]; it gets its data from the other.",
                described(mine),
                described(theirs),
                mine.node
            )
        };
        Self::new(RefusalCode::Itself, reason)
    }

    /// Not one Master and one Backup.
    pub fn mode(mine: &Greeting, theirs: &Greeting) -> Self {
        let remedy = match (mine.mode, theirs.mode) {
            (Mode::Master, Mode::Master) => {
                "Set `mode = \"backup\"` of [redundancy] at the one that is to stand by, and its `master_host`"
            }
            (Mode::Backup, Mode::Backup) => {
                "Set `mode = \"master\"` of [redundancy] at one of them, and `master_host` at the other to its address"
            }
            _ => "Set `mode` of [redundancy] to \"master\" at one of them and to \"backup\" at the other",
        };
        let what = if mine.mode == theirs.mode {
            format!("{} and {} are both {}", described(mine), described(theirs), mine.mode)
        } else {
            format!("{} and {} are no pair", described(mine), described(theirs))
        };
        Self::new(RefusalCode::Mode, format!("{what}; a pair is one Master and one Backup. {remedy}."))
    }

    /// The Master `mine` has the Backup `present`, which is alive, and `theirs` came as another.
    pub fn second_backup(mine: &Greeting, present: &Greeting, theirs: &Greeting) -> Self {
        Self::new(
            RefusalCode::SecondBackup,
            format!(
                "{} has a Backup already, {}, and it is alive; {} cannot be a second one. To replace the first, stop it \
                 before this one is started; else set `master_host` of [redundancy] at {} to its own Master.",
                described(mine),
                described(present),
                described(theirs),
                described(theirs),
            ),
        )
    }

    /// A bulk connection that names a session which `mine` does not have.
    pub fn session(mine: &Greeting, session: u64) -> Self {
        Self::new(
            RefusalCode::Session,
            format!(
                "{} has no link with session {session:016x}: its control connection is gone or was replaced by another. \
                 The Backup must greet anew on a control connection; it does so by itself. If this repeats, look for a \
                 proxy or address translation between the nodes that mixes up connections to `port` of [redundancy].",
                described(mine)
            ),
        )
    }

    /// The first frame at `mine` was none, or no greeting.
    pub fn not_hotpair(mine: &Greeting, error: &WireError) -> Self {
        Self::new(
            RefusalCode::NotHotpair,
            format!("{} expected a greeting of its peer, but got something else: {error}.", described(mine)),
        )
    }

    fn new(code: RefusalCode, reason: String) -> Self {
        Self { code, reason }
    }
}

/// `"Line1" (Master, 00000000000000a1, 0.1.0)`.
fn described(greeting: &Greeting) -> String {
    format!("{} ({}, {}, {})", shown(&greeting.name), greeting.mode, greeting.node, shown_bare(&greeting.version))
}

/// A name that the peer may have chosen, fit for a log: quoted, without control characters, short.
fn shown(name: &str) -> String {
    format!("\"{}\"", shown_bare(name))
}

fn shown_bare(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

fn versions(greeting: &Greeting) -> String {
    match greeting.protocol {
        (oldest, newest) if oldest == newest => newest.to_string(),
        (oldest, newest) => format!("{oldest} to {newest}"),
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeName { mine, theirs } => write!(
                f,
                "The two nodes have different names, {} here and {} at the peer: history is not transferred. Set `name` \
                 of [node] to the same on both.",
                shown(mine),
                shown(theirs)
            ),
            Self::Project { files, tag_list } => {
                let files: Vec<String> = files.iter().map(|file| shown_bare(file)).collect();
                write!(f, "The two nodes have different projects: ")?;
                match (files.is_empty(), tag_list) {
                    (true, _) => write!(f, "the tag list")?,
                    (false, true) => write!(f, "{}, and with them the tag list", files.join(", "))?,
                    (false, false) => write!(f, "{}", files.join(", "))?,
                }
                if *tag_list {
                    write!(f, "; tags that only one node has are not replicated")?;
                }
                write!(
                    f,
                    ". Copy the project folder (`dir` of [project]) from the node that is right to the other one, and \
                     restart that one."
                )
            }
        }
    }
}
