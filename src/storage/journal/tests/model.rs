//! The file, the journal in memory and a slow, obvious reader do the same.

use std::collections::BTreeSet;

use hotpair_actors::journal::MemoryJournal;
use hotpair_core::catalog::path_matches;
use proptest::prelude::*;

use super::*;

/// What clients see of these entries.
pub(super) fn reference(held: &[AlarmEntry], query: &JournalQuery) -> Vec<AlarmEntry> {
    let shown = |entry: &&AlarmEntry| {
        !held.iter().any(|other| {
            let alike = match entry.kind {
                EntryKind::Raised | EntryKind::Cleared => true,
                EntryKind::Acknowledged | EntryKind::Commented => {
                    entry.operation.is_some() && entry.operation == other.operation
                }
                _ => false,
            };
            alike
                && (other.event, other.kind) == (entry.event, entry.kind)
                && (other.origin, other.position) < (entry.origin, entry.position)
        })
    };
    let fits = |entry: &&AlarmEntry| {
        query.path.is_empty()
            || query.path.iter().any(|pattern| {
                path_matches(pattern, &entry.path) || path_matches(pattern, &format!("{}/{}", entry.path, entry.name))
            })
    };
    let in_time = |entry: &&AlarmEntry| {
        query.start.is_none_or(|start| entry.time >= start) && query.end.is_none_or(|end| entry.time < end)
    };
    let mut found: Vec<_> = held.iter().filter(shown).filter(fits).filter(in_time).cloned().collect();
    found.sort_by_key(|entry| (entry.time, entry.origin, entry.position));
    found.into_iter().skip(query.offset as usize).take(query.limit).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Batch(JournalBatch),
    /// So many next entries of a log.
    More(Epoch, Vec<AlarmEntry>),
    Reopen,
}

fn origin() -> impl Strategy<Value = Epoch> {
    (0..2u64, prop_oneof![Just(1), Just(u64::MAX)]).prop_map(|(counter, node)| Epoch { counter, node: NodeId(node) })
}

/// Few events, kinds, times and paths, so that they collide.
fn any_entry() -> impl Strategy<Value = AlarmEntry> {
    (0..4u128, 0..4u8, -2..3i64, 0..3u8, 0..3u8).prop_map(|(event, kind, after, path, operation)| AlarmEntry {
        event: EventId(event),
        kind: [EntryKind::Raised, EntryKind::Cleared, EntryKind::Acknowledged, EntryKind::Commented][usize::from(kind)],
        time: UnixMillis(NOW.0 + after),
        path: Arc::from(["Plant/A", "Plant/B", "Other"][usize::from(path)]),
        operation: [None, Some(Arc::from("op")), Some(Arc::from("other"))][usize::from(operation)].clone(),
        ..entry(Epoch::NONE, 0)
    })
}

fn op() -> impl Strategy<Value = Op> {
    let state = prop_oneof![Just(None), (0..3u64).prop_map(|number| Some(state(number)))];
    let batch = (
        prop::collection::vec((origin(), 0..6u64, any_entry()), 0..3),
        prop::bool::weighted(0.2),
        prop::collection::vec((0..4u128, state), 0..3),
        prop::option::of(prop::collection::btree_set(0..3u8, 0..3)),
        prop::collection::btree_map(origin(), 0..9u64, 0..2),
    );
    let batch = batch.prop_map(|(entries, replace, states, shelves, included)| JournalBatch {
        skipped: Positions::new(),
        entries: entries
            .into_iter()
            .map(|(origin, position, entry)| Arc::new(AlarmEntry { origin, position, ..entry }))
            .collect(),
        replace,
        states: states.into_iter().map(|(key, state)| (AlarmKey(key), state)).collect(),
        shelves: shelves.map(|set: BTreeSet<u8>| set.iter().map(|path| shelf(&path.to_string(), NOW, 9)).collect()),
        included,
    });
    prop_oneof![
        4 => batch.prop_map(Op::Batch),
        4 => (origin(), prop::collection::vec(any_entry(), 1..8)).prop_map(|(origin, entries)| Op::More(origin, entries)),
        1 => Just(Op::Reopen),
    ]
}

fn any_query() -> impl Strategy<Value = JournalQuery> {
    let time = || prop::option::of((-3..4i64).prop_map(|after| UnixMillis(NOW.0 + after)));
    let path = prop::collection::vec(prop::sample::select(vec!["Plant/*", "*A", "Plant/B/H", "*", "x"]), 0..3);
    (time(), time(), path, 0..40usize, prop_oneof![3 => 0..3u64, 1 => 0..20u64]).prop_map(
        |(start, end, path, limit, offset)| JournalQuery {
            start,
            end,
            path: path.into_iter().map(String::from).collect(),
            limit,
            offset,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_file_does_what_memory_does(
        ops in prop::collection::vec(op(), 1..30),
        queries in prop::collection::vec(any_query(), 8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let model = MemoryJournal::new();
        let mut journal = open(dir.path()).0;
        for op in ops.into_iter().chain([Op::Reopen]) {
            let batch = match op {
                Op::Reopen => {
                    drop(journal);
                    let found;
                    (journal, found) = open(dir.path());
                    prop_assert_eq!(found, model.found(NOW));
                    continue;
                }
                Op::Batch(batch) => batch,
                Op::More(origin, entries) => {
                    let next = model.held().get(&origin).copied().unwrap_or(0) + 1;
                    let numbered = (next..).zip(entries);
                    let entries = numbered.map(|(position, entry)| Arc::new(AlarmEntry { origin, position, ..entry }));
                    JournalBatch { entries: entries.collect(), ..JournalBatch::default() }
                }
            };
            prop_assert_eq!(append(&journal, batch.clone()), append(&model, batch));
        }
        let held: Vec<AlarmEntry> = model.entries().iter().map(|entry| (**entry).clone()).collect();
        for (origin, last) in model.held() {
            prop_assert_eq!(read(&journal, origin, 1, 1000).len() as u64, last);
            prop_assert_eq!(read(&journal, origin, 2, 3), read(&model, origin, 2, 3));
        }
        for query in queries.into_iter().chain([JournalQuery::default()]) {
            prop_assert_eq!(journal.query(&query), Ok(reference(&held, &query)), "{:?}", &query);
            let all = JournalQuery { limit: usize::MAX, offset: 0, ..query.clone() };
            prop_assert_eq!(journal.count(&query), Ok(reference(&held, &all).len() as u64), "{:?}", &query);
        }
    }
}
