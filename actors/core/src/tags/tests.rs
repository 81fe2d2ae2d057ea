//! What a user of the table sees, then random runs of a leader and its follower.

use std::collections::HashSet;

use super::*;
use crate::catalog::TagDef;
use crate::value::ValueType;

mod random;

/// A tag of this path: `Float64`, without anything special.
fn tag(path: &str) -> TagDef {
    TagDef { writable: true, ..TagDef::new(path, ValueType::Float64) }
}

fn table(tags: impl IntoIterator<Item = TagDef>) -> TagTable {
    TagTable::new(Arc::new(Catalog::new(tags.into_iter().collect()).unwrap()))
}

/// A table of `count` plain tags.
fn plain(count: u32) -> TagTable {
    table((0..count).map(|index| tag(&format!("Plant/Tag{index}"))))
}

fn good(value: f64, time: i64) -> Sample {
    Sample { value: Value::Float64(value), quality: Quality::GOOD, time: UnixMillis(time) }
}

fn write(table: &mut TagTable, id: u32, value: f64) -> Seq {
    write_at(table, id, value, 1_000)
}

fn write_at(table: &mut TagTable, id: u32, value: f64, time: i64) -> Seq {
    table.write(TagId(id), Value::Float64(value), Quality::GOOD, UnixMillis(time))
}

/// Drains the outbox of `leader` whole into `follower`, whose ids are the same.
fn drain_into(leader: &mut TagTable, follower: &mut TagTable) -> Drained {
    let drained = leader.drain(usize::MAX, usize::MAX, |id, seq, sample| {
        assert_eq!(follower.apply(id, seq, sample.clone()), Applied::Taken);
    });
    follower.raise_last_seq(drained.watermark);
    drained
}

/// Ids that a drain of at most `max` takes, and its watermark.
fn drained_ids(table: &mut TagTable, max: usize) -> (Vec<u32>, Seq) {
    let mut ids = Vec::new();
    let drained = table.drain(max, usize::MAX, |id, _, _| ids.push(id.0));
    (ids, drained.watermark)
}

#[test]
fn before_anybody_wrote_tags_have_their_initial_value_or_wait_for_data() {
    let setpoint = TagDef { initial: Some(Value::Float64(21.5)), ..tag("Plant/Setpoint") };
    let name = TagDef { value_type: ValueType::String, ..tag("Plant/Name") };
    let table = table([setpoint, name]);
    let zero = UnixMillis(0);
    let initial = Sample { value: Value::Float64(21.5), quality: Quality::UNCERTAIN_INITIAL_VALUE, time: zero };
    let waiting =
        Sample { value: Value::String("".into()), quality: Quality::BAD_WAITING_FOR_INITIAL_DATA, time: zero };
    assert_eq!(table.get(TagId(0)), Some(initial));
    assert_eq!(table.get(TagId(1)), Some(waiting));
    assert_eq!(table.get(TagId(2)), None);
    assert_eq!((table.slot_seq(TagId(0)), table.slot_seq(TagId(2)), table.last_seq()), (0, 0, 0));
}

#[test]
fn a_slot_is_one_cache_line() {
    assert_eq!(size_of::<Slot>(), 64);
}

#[test]
fn retained_values_come_back_unless_the_type_changed() {
    let mut table = table([TagDef { retain: true, ..tag("Plant/Setpoint") }, tag("Plant/Level")]);
    assert!(table.restore(TagId(0), good(3.5, 77), 900));
    assert!(!table.restore(TagId(1), Sample { value: Value::Bool(true), ..good(0.0, 77) }, 901));
    assert!(!table.restore(TagId(2), good(1.0, 77), 902));
    table.finish_restore();
    assert_eq!(table.get(TagId(0)), Some(good(3.5, 77)), "a memory tag stays good");
    assert_eq!(table.last_seq(), 900);
    assert!(table.is_retained(TagId(0)) && !table.is_retained(TagId(1)) && !table.is_retained(TagId(2)));
    assert_eq!(write(&mut table, 1, 1.0), 901, "numbers go on where they stopped");
    let retained: Vec<_> = table.retained_changes(0).map(|(id, seq, sample)| (id, seq, sample.clone())).collect();
    assert_eq!(retained, [(TagId(0), 900, good(3.5, 77))]);
    assert_eq!(table.retained_changes(900).count(), 0);
}

#[test]
fn after_a_takeover_values_of_sources_are_last_usable_until_read_again() {
    let fed = |path| TagDef { source_fed: true, ..tag(path) };
    let mut table = table([fed("Plant/Temperature"), tag("Plant/Setpoint"), fed("Plant/Broken")]);
    write(&mut table, 0, 40.0);
    write(&mut table, 1, 41.0);
    table.write(TagId(2), Value::Float64(0.0), Quality::BAD_SENSOR_FAILURE, UnixMillis(1_000));
    let quality = |table: &TagTable, id| table.get(TagId(id)).unwrap().quality;
    assert_eq!(quality(&table, 0), Quality::GOOD);
    let digest = table.digest();

    table.begin_tenure();
    assert_eq!(
        table.get(TagId(0)),
        Some(Sample { quality: Quality::UNCERTAIN_LAST_USABLE_VALUE, ..good(40.0, 1_000) }),
        "value and time stay"
    );
    assert_eq!(quality(&table, 1), Quality::GOOD, "a memory tag stays as it is");
    assert_eq!(quality(&table, 2), Quality::BAD_SENSOR_FAILURE, "what was bad stays bad");
    assert_eq!(table.raw(TagId(0)), Some(&good(40.0, 1_000)));
    assert_eq!(table.digest(), digest, "raw values are compared, not what readers see");

    write(&mut table, 0, 40.1);
    assert_eq!(quality(&table, 0), Quality::GOOD);
}

#[test]
fn a_tag_that_changes_again_keeps_its_place_and_only_its_newest_value_travels() {
    let mut table = plain(3);
    table.open_outbox(0, &[]);
    table.drain(usize::MAX, usize::MAX, |_, _, _| ());
    write(&mut table, 0, 1.0);
    write(&mut table, 1, 2.0);
    write(&mut table, 0, 3.0);
    write(&mut table, 2, 4.0);
    let mut sent = Vec::new();
    let drained = table.drain(1, usize::MAX, |id, seq, sample| sent.push((id, seq, sample.clone())));
    assert_eq!(sent, [(TagId(0), 3, good(3.0, 1_000))]);
    assert_eq!((drained.watermark, drained.empty), (1, false), "change 2 has not been sent");
    assert_eq!(table.outbox(), Some(OutboxState { pending: 2, watermark: 1, total_at_open: 3 }));
    assert_eq!(drained_ids(&mut table, 1), (vec![1], 3));
    assert_eq!(drained_ids(&mut table, 1), (vec![2], 4));
}

#[test]
fn the_watermark_does_not_pass_a_change_that_was_made_and_overwritten_while_nobody_followed() {
    let mut table = plain(2);
    write(&mut table, 0, 1.0);
    // While the follower, which has change 1, is away: tag 0 changes as 2 and again as 4, tag 1 as 3.
    write(&mut table, 0, 2.0);
    write(&mut table, 1, 3.0);
    write(&mut table, 0, 4.0);
    table.open_outbox(1, &[]);
    let first = table.drain(1, usize::MAX, |_, _, _| ());
    assert_eq!(first.watermark, 1, "the other tag's oldest unsent change may be 2");
    let second = table.drain(1, usize::MAX, |_, _, _| ());
    assert_eq!((second.watermark, second.empty), (4, true));
}

#[test]
fn a_batch_ends_at_its_budget_but_always_takes_one() {
    let mut table = table([TagDef { value_type: ValueType::String, ..tag("Plant/Recipe") }, tag("Plant/Level")]);
    let text = Value::String("x".repeat(10_000).into());
    table.write(TagId(0), text, Quality::GOOD, UnixMillis(0));
    table.open_outbox(0, &[]);
    let first = table.drain(100, 50, |_, _, _| ());
    assert_eq!((first.count, first.bytes, first.empty), (1, 10_034, false));
    let second = table.drain(100, 50, |_, _, _| ());
    assert_eq!((second.count, second.bytes, second.empty), (1, 38, true));
    let third = table.drain(100, 50, |_, _, _| ());
    assert_eq!((third.count, third.watermark, third.empty), (0, 1, true));
}

#[test]
fn after_a_short_loss_of_the_link_only_what_changed_is_sent() {
    let (mut leader, mut follower) = (plain(100), plain(100));
    leader.open_outbox(0, &[]);
    assert_eq!(drain_into(&mut leader, &mut follower).count, 100, "also tags that nobody wrote");
    let applied = write(&mut leader, 7, 1.0);
    drain_into(&mut leader, &mut follower);
    leader.close_outbox();
    assert_eq!(leader.outbox(), None);
    write(&mut leader, 8, 2.0);
    write(&mut leader, 9, 3.0);

    leader.open_outbox(applied, &[]);
    follower.begin_following(applied);
    assert_eq!(leader.outbox().unwrap().pending, 2);
    assert_eq!(drain_into(&mut leader, &mut follower).watermark, 3);
    assert_eq!(leader.digest(), follower.digest());
}

#[test]
fn tags_that_the_follower_does_not_have_are_neither_sent_nor_compared() {
    let mut leader = table([tag("A"), tag("OnlyHere"), tag("B")]);
    // The follower has the common tags in another order, and one more.
    let mut follower = table([tag("B"), tag("OnlyThere"), tag("A")]);
    write(&mut leader, 0, 1.0);
    write(&mut leader, 1, 2.0);
    write(&mut leader, 2, 3.0);
    write(&mut leader, 1, 4.0);
    leader.open_outbox(0, &[TagId(1)]);
    write(&mut leader, 1, 5.0);
    let mapped = [Some(TagId(2)), None, Some(TagId(0))];
    let drained = leader.drain(usize::MAX, usize::MAX, |id, seq, sample| {
        follower.apply(mapped[id.0 as usize].unwrap(), seq, sample.clone());
    });
    follower.raise_last_seq(drained.watermark);
    assert_eq!((drained.count, drained.watermark), (2, 5));
    assert_eq!(leader.digest(), follower.digest_of([TagId(0), TagId(2)]));
    assert_ne!(leader.digest(), follower.digest());
    assert_eq!(write(&mut follower, 0, 9.0), 6, "after a takeover it numbers past what it was told");
    leader.close_outbox();
    leader.open_outbox(5, &[]);
    write(&mut leader, 1, 6.0);
    assert_eq!(drained_ids(&mut leader, 9).0, [1], "another follower may have it");
}

#[test]
fn digests_tell_every_difference_that_counts() {
    let mut one = plain(2);
    write(&mut one, 0, 1.0);
    let digest_after = |id, value, quality, time| {
        let mut other = plain(2);
        other.raise_last_seq(17);
        other.write(TagId(id), value, quality, UnixMillis(time));
        other.digest()
    };
    let (value, time) = (Value::Float64(1.0), 1_000);
    assert_eq!(one.digest(), digest_after(0, value.clone(), Quality::GOOD, time), "change numbers do not count");
    assert_ne!(one.digest(), digest_after(1, value.clone(), Quality::GOOD, time));
    assert_ne!(one.digest(), digest_after(0, Value::Float64(1.5), Quality::GOOD, time));
    assert_ne!(one.digest(), digest_after(0, value.clone(), Quality::UNCERTAIN, time));
    assert_ne!(one.digest(), digest_after(0, value, Quality::GOOD, time + 1));
}

#[test]
fn a_follower_never_goes_back_and_takes_no_wrong_type() {
    let mut follower = plain(1);
    assert_eq!(follower.apply(TagId(0), 5, good(5.0, 1)), Applied::Taken);
    assert_eq!(follower.apply(TagId(0), 4, good(4.0, 2)), Applied::Older);
    assert_eq!(follower.apply(TagId(0), 5, good(5.5, 1)), Applied::Taken);
    assert_eq!(follower.apply(TagId(0), 6, Sample { value: Value::Int64(6), ..good(0.0, 1) }), Applied::WrongType);
    assert_eq!(follower.apply(TagId(1), 7, good(7.0, 1)), Applied::UnknownTag);
    assert_eq!(follower.get(TagId(0)), Some(good(5.5, 1)));
    assert_eq!(follower.last_seq(), 6);
}

#[test]
fn a_node_that_wrote_on_alone_takes_the_leaders_word() {
    let (mut leader, mut old) = (plain(2), plain(2));
    for table in [&mut leader, &mut old] {
        write(table, 0, 1.0);
    }
    for value in [10.0, 11.0, 12.0] {
        write(&mut old, 0, value);
    }
    write(&mut leader, 1, 2.0);
    let divergent = old.divergent(1);
    assert_eq!(divergent, [Divergent { id: TagId(0), seq: 4, sample: good(12.0, 1_000) }]);

    old.begin_following(0);
    leader.open_outbox(0, &[]);
    drain_into(&mut leader, &mut old);
    assert_eq!(leader.digest(), old.digest());
    assert_eq!(old.last_seq(), 4, "numbers that were used are not used again");
}

#[test]
fn the_leaders_word_on_what_is_last_usable_reaches_the_followers_readers() {
    let mut follower = table([TagDef { source_fed: true, ..tag("Plant/Temperature") }]);
    follower.apply(TagId(0), 5, good(40.0, 1));
    follower.set_stale_before(5);
    assert_eq!(follower.get(TagId(0)).unwrap().quality, Quality::UNCERTAIN_LAST_USABLE_VALUE);
    follower.apply(TagId(0), 6, good(40.0, 2));
    assert_eq!(follower.get(TagId(0)).unwrap().quality, Quality::GOOD);
}

#[test]
fn of_two_values_the_newer_by_source_time_survives() {
    let mut leader = plain(5);
    let fork = (0..5).map(|id| write_at(&mut leader, id, 0.0, 100)).last().unwrap();
    for id in 1..5 {
        write_at(&mut leader, id, 1.0, 200);
    }
    leader.open_outbox(leader.last_seq(), &[]);
    let mut unite = |id, sample| leader.unite(TagId(id), sample, fork);
    assert_eq!(unite(0, good(9.0, 50)), United::Taken(10), "only the other changed it: its clock does not matter");
    assert_eq!(unite(1, good(9.0, 201)), United::Taken(11), "newer");
    assert_eq!(unite(2, good(9.0, 199)), United::KeptOwn(good(1.0, 200)), "older");
    assert_eq!(unite(3, good(9.0, 200)), United::KeptOwn(good(1.0, 200)), "at the same time");
    assert_eq!(unite(4, good(1.0, 199)), United::Equal);
    assert_eq!(unite(1, good(9.0, 201)), United::Equal, "told twice");
    let wrong = Sample { value: Value::Bool(true), ..good(0.0, 999) };
    assert_eq!(unite(4, wrong.clone()), United::KeptOwn(good(1.0, 200)));
    assert_eq!(unite(5, wrong.clone()), United::KeptOwn(wrong));
    assert_eq!(leader.get(TagId(1)), Some(good(9.0, 201)), "the source time is kept");
    assert_eq!(drained_ids(&mut leader, 9), (vec![0, 1], 11), "what was taken goes to the follower");
}

/// Nanoseconds a write; run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_write() {
    for count in [1_000, 1_000_000] {
        let mut table = plain(count);
        for open in [false, true] {
            if open {
                table.open_outbox(0, &[]);
            }
            let rounds = 20_000_000 / count;
            #[expect(clippy::disallowed_methods, reason = "it measures")]
            let start = std::time::Instant::now();
            for round in 0..rounds {
                for id in 0..count {
                    write(&mut table, id, f64::from(round));
                }
            }
            let ns = start.elapsed().as_nanos() as f64 / f64::from(rounds * count);
            println!("{count} tags, outbox open {open}: {ns:.1} ns a write");
        }
        #[expect(clippy::disallowed_methods, reason = "it measures")]
        let start = std::time::Instant::now();
        std::hint::black_box(table.digest());
        println!("{count} tags: digest {:?}", start.elapsed());
        #[expect(clippy::disallowed_methods, reason = "it measures")]
        let start = std::time::Instant::now();
        table.drain(usize::MAX, usize::MAX, |_, _, sample| {
            std::hint::black_box(sample);
        });
        println!("{count} tags: drain {:?}", start.elapsed());
    }
}

#[test]
fn a_reader_that_comes_again_sees_from_the_moment_whether_anything_changed() {
    let mut leader = plain(2);
    let before = leader.moment();
    assert_eq!(leader.moment(), before);
    write(&mut leader, 0, 1.0);
    let written = leader.moment();
    assert!(written != before && written.numbers_like(before));
    leader.begin_tenure();
    assert_ne!(leader.moment(), written, "values of sources are shown otherwise now");

    let mut follower = plain(2);
    follower.begin_following(5);
    let before = follower.moment();
    // Neither is past the last change that the follower knows.
    assert_eq!(follower.apply(TagId(0), 4, good(1.0, 0)), Applied::Taken);
    let taken = follower.moment();
    assert!(taken != before && taken.numbers_like(before));
    assert_eq!(follower.apply(TagId(0), 3, good(2.0, 0)), Applied::Older);
    assert_eq!(follower.moment(), taken);
    follower.begin_following(5);
    assert!(!follower.moment().numbers_like(taken));
}
