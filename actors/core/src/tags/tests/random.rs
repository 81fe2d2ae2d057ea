//! Random runs: whatever happens to the link, the follower ends equal, and what it was promised on the way was true.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const TAGS: u32 = 12;
/// The follower has no such tag.
const EXCLUDED: u32 = 5;

#[derive(Clone, Debug)]
enum Step {
    Write(u32, i8),
    Drain {
        max_updates: usize,
        max_bytes: usize,
    },
    /// The oldest batch under way arrives.
    Arrive,
    /// The link is cut; batches under way are lost.
    Cut,
    /// The follower comes back from where it was, or from the beginning.
    Reconnect {
        full: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..TAGS, any::<i8>()).prop_map(|(id, value)| Step::Write(id, value)),
        4 => (0..6usize, 0..200usize).prop_map(|(max_updates, max_bytes)| Step::Drain { max_updates, max_bytes }),
        4 => Just(Step::Arrive),
        1 => Just(Step::Cut),
        2 => prop::bool::weighted(0.2).prop_map(|full| Step::Reconnect { full }),
    ]
}

type Batch = (Vec<(TagId, Seq, Sample)>, Seq);

struct Pair {
    leader: TagTable,
    follower: TagTable,
    /// The follower's promise: it holds every change up to here.
    applied: Seq,
    under_way: VecDeque<Batch>,
    /// The tag of every change, by number less one.
    changes: Vec<u32>,
}

/// The follower has the tags in reverse order.
fn mapped(id: TagId) -> TagId {
    TagId(TAGS - 1 - id.0)
}

impl Pair {
    fn new() -> Self {
        let path = |index| tag(&format!("Plant/Tag{index}"));
        let leader = table((0..TAGS).map(path));
        let follower = table((0..TAGS).rev().map(path));
        Self { leader, follower, applied: 0, under_way: VecDeque::new(), changes: Vec::new() }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Write(id, value) => {
                assert_eq!(
                    write_at(&mut self.leader, id, f64::from(value), i64::from(value)),
                    self.changes.len() as u64 + 1
                );
                self.changes.push(id);
            }
            Step::Drain { max_updates, max_bytes } if self.leader.outbox().is_some() => {
                self.drain(max_updates, max_bytes);
            }
            Step::Arrive => {
                if let Some((updates, watermark)) = self.under_way.pop_front() {
                    for (id, seq, sample) in updates {
                        self.follower.apply(mapped(id), seq, sample);
                    }
                    assert!(watermark >= self.applied, "the watermark never goes back in a session");
                    self.applied = watermark;
                    self.follower.raise_last_seq(watermark);
                }
            }
            Step::Cut => {
                self.leader.close_outbox();
                self.under_way.clear();
            }
            Step::Reconnect { full } => {
                self.under_way.clear();
                let from = if full { 0 } else { self.applied };
                self.applied = from;
                self.follower.begin_following(from);
                self.leader.open_outbox(from, &[TagId(EXCLUDED)]);
            }
            Step::Drain { .. } => {}
        }
    }

    fn drain(&mut self, max_updates: usize, max_bytes: usize) {
        let before = self.leader.outbox().unwrap();
        let mut updates = Vec::new();
        let drained =
            self.leader.drain(max_updates, max_bytes, |id, seq, sample| updates.push((id, seq, sample.clone())));
        let after = self.leader.outbox().unwrap();
        assert!(drained.count <= max_updates && (drained.bytes <= max_bytes || drained.count == 1));
        assert!(drained.count > 0 || max_updates == 0 || before.pending == 0, "it makes progress");
        assert_eq!(drained.count, updates.len());
        assert_eq!((after.pending, after.watermark), (before.pending - drained.count, drained.watermark));
        assert_eq!(drained.empty, after.pending == 0);
        let ids: HashSet<_> = updates.iter().map(|update| update.0).collect();
        assert_eq!(ids.len(), updates.len(), "no tag twice");
        assert!(!ids.contains(&TagId(EXCLUDED)));
        self.under_way.push_back((updates, drained.watermark));
    }

    fn check(&self) {
        if let Some(outbox) = self.leader.outbox() {
            assert!(outbox.pending < TAGS as usize, "at most each tag that the follower has");
            assert!(outbox.watermark <= self.leader.last_seq());
        }
        // The promise, word for word: of every change up to `applied` the follower has it or a later one of the tag.
        for (index, &id) in self.changes.iter().enumerate().take(self.applied as usize) {
            let seq = index as u64 + 1;
            let held = self.follower.slot_seq(mapped(TagId(id)));
            assert!(id == EXCLUDED || held >= seq, "change {seq} of tag {id} did not travel, applied {}", self.applied);
        }
        assert!(self.follower.last_seq() >= self.applied);
    }
}

proptest! {
    #[test]
    fn a_follower_ends_equal_and_was_promised_nothing_untrue(steps in prop::collection::vec(step(), 0..120)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.run(step);
            pair.check();
        }
        if pair.leader.outbox().is_none() {
            pair.run(&Step::Reconnect { full: false });
        }
        pair.drain(usize::MAX, usize::MAX);
        while !pair.under_way.is_empty() {
            pair.run(&Step::Arrive);
            pair.check();
        }
        prop_assert_eq!(pair.applied, pair.leader.last_seq());
        let common = (0..TAGS).filter(|&id| id != EXCLUDED).map(|id| mapped(TagId(id)));
        prop_assert_eq!(pair.leader.digest(), pair.follower.digest_of(common));
        let last = pair.applied;
        pair.follower.begin_tenure();
        prop_assert!(write(&mut pair.follower, 0, 1.0) > last, "a takeover numbers its changes past its fork point");
    }

    #[test]
    fn whichever_side_leads_the_same_values_survive(
        common in prop::collection::vec((0..TAGS, 0..9i8), 0..20),
        here in prop::collection::vec((0..TAGS, 0..9i8, 0..9i64), 0..20),
        there in prop::collection::vec((0..TAGS, 0..9i8, 0..9i64), 0..20),
    ) {
        let side = |own: &[(u32, i8, i64)]| {
            let mut table = plain(TAGS);
            for &(id, value) in &common {
                write_at(&mut table, id, f64::from(value), 5);
            }
            for &(id, value, time) in own {
                write_at(&mut table, id, f64::from(value), time);
            }
            table
        };
        let fork = common.len() as u64;
        let (mut one, mut other) = (side(&here), side(&there));
        let (of_one, of_other) = (one.divergent(fork), other.divergent(fork));
        let tied = |id| {
            let time = |divergent: &[Divergent]| divergent.iter().find(|d| d.id == id).map(|d| d.sample.time);
            time(&of_one).is_some() && time(&of_one) == time(&of_other)
        };
        let unite = |table: &mut TagTable, divergent: &[Divergent]| {
            for d in divergent {
                table.unite(d.id, d.sample.clone(), fork);
            }
        };
        unite(&mut one, &of_other);
        unite(&mut other, &of_one);
        for id in (0..TAGS).map(TagId).filter(|&id| !tied(id)) {
            prop_assert_eq!(one.raw(id), other.raw(id));
        }
        // Told again, nothing moves any more.
        let last = one.last_seq();
        unite(&mut one, &of_other);
        prop_assert_eq!(one.last_seq(), last);
    }
}
