//! Which tenures a node's data went through, and where two nodes' data parted.
//!
//! Change numbers go on across epochs. A promotion starts a new epoch at the last change it had *completely*: its fork
//! point. Two nodes compare their lineages as PostgreSQL compares timelines: the newest epoch that both went through,
//! and the last change in it that both have, is where they parted.

use serde::{Deserialize, Serialize};

use crate::types::{Epoch, Seq};

/// How many fork points a lineage keeps. Nodes that parted longer ago than that compare from the beginning.
pub const MAX_FORKS: usize = 64;

/// The start of a tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fork {
    /// The tenure that started.
    pub epoch: Epoch,
    /// The last change of the tenure before it that its node had completely.
    pub at: Seq,
}

/// The tenures that a node's data went through, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lineage(Vec<Fork>);

impl Lineage {
    /// A lineage of these fork points, oldest first; of more than [`MAX_FORKS`] the newest are kept.
    pub fn new(mut forks: Vec<Fork>) -> Self {
        let surplus = forks.len().saturating_sub(MAX_FORKS);
        forks.drain(..surplus);
        Self(forks)
    }

    /// The fork points, oldest first.
    pub fn forks(&self) -> &[Fork] {
        &self.0
    }

    /// The tenure last run or followed.
    pub fn epoch(&self) -> Epoch {
        self.0.last().map_or(Epoch::NONE, |fork| fork.epoch)
    }

    /// This lineage, with a new tenure that starts at `fork.at`.
    pub fn promoted(&self, fork: Fork) -> Self {
        let mut forks = self.0.clone();
        forks.push(fork);
        Self::new(forks)
    }

    /// The last change that two nodes had in common, where `mine` and `theirs` are the last changes of each in its own
    /// newest epoch. 0 when they have no tenure in common: then everything that each has is its own.
    pub fn fork_point(&self, mine: Seq, other: &Self, theirs: Seq) -> Seq {
        for (index, fork) in self.0.iter().enumerate().rev() {
            if let Some(in_other) = other.0.iter().position(|o| o.epoch == fork.epoch) {
                return self.end_of(index, mine).min(other.end_of(in_other, theirs));
            }
        }
        0
    }

    /// The last change of tenure `index` that is still held. A later promotion may have started further back, when a
    /// restart had lost what was not retained.
    fn end_of(&self, index: usize, newest: Seq) -> Seq {
        self.0[index + 1..].iter().map(|later| later.at).min().unwrap_or(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn lineage(forks: &[(u64, u64, Seq)]) -> Lineage {
        Lineage::new(
            forks
                .iter()
                .map(|&(counter, node, at)| Fork { epoch: Epoch { counter, node: NodeId(node) }, at })
                .collect(),
        )
    }

    #[test]
    fn fork_points() {
        let master = lineage(&[(1, 1, 0)]);
        let backup = master.promoted(Fork { epoch: Epoch { counter: 2, node: NodeId(2) }, at: 480 });
        // The Master wrote on to 500 after the Backup had applied 480 and taken over.
        assert_eq!(master.fork_point(500, &backup, 700), 480);
        assert_eq!(backup.fork_point(700, &master, 500), 480);
        // A follower that is behind in the same tenure.
        assert_eq!(master.fork_point(300, &master, 500), 300);
        // Both took a tenure of their own from the same one.
        let both = master.promoted(Fork { epoch: Epoch { counter: 3, node: NodeId(1) }, at: 450 });
        assert_eq!(both.fork_point(600, &backup, 700), 450);
        // A restart lost what was not retained: its next tenure starts from nothing.
        let restarted = backup.promoted(Fork { epoch: Epoch { counter: 4, node: NodeId(2) }, at: 0 });
        assert_eq!(restarted.fork_point(900, &master, 500), 0);
        // Nothing in common.
        assert_eq!(lineage(&[(1, 2, 0)]).fork_point(9, &master, 5), 0);
        assert_eq!(Lineage::default().fork_point(0, &master, 5), 0);
    }

    #[test]
    fn old_fork_points_are_dropped() {
        let mut long = Lineage::default();
        for counter in 1..=100 {
            long = long.promoted(Fork { epoch: Epoch { counter, node: NodeId(1) }, at: counter });
        }
        assert_eq!(long.forks().len(), MAX_FORKS);
        assert_eq!(long.epoch().counter, 100);
    }
}
