//! One pair: it is built, works under faults for its time, and is looked at, as closely as possible.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faults::{self, Dice, Excuse};
use crate::pair::alarms::text;
use crate::pair::site::{BACKUP, MASTER, Site};
use crate::pair::world::run;
use crate::pair::{EndOnDrop, Node, Overlap, Pair, Profile};
use crate::people::{self, Gone, People};
use crate::report::Report;

/// The pair must be ready again so soon after a fault is over.
const READY: Duration = Duration::from_secs(30);
/// A node that goes on after a pause needs a moment to notice; so does whoever hears of a switch.
const MOMENT: Duration = Duration::from_millis(500);
/// Somebody runs again so soon, whatever befalls one of them: the longest pause, the failover time and a start.
const NOBODY: Duration = Duration::from_secs(15);
const DISK: &str = "48m";

/// A fault, from its beginning until the pair was ready again.
struct Befell {
    name: &'static str,
    began: Instant,
    ended: Instant,
    excuse: Excuse,
}

pub fn play(seed: u64, until: Instant, report: &mut Report) {
    let mut dice = Dice::new(seed);
    let recovery = if dice.below(2) == 0 { "automatic" } else { "manual" };
    let fast = dice.below(3) == 0;
    let fast_failover = dice.below(4) != 0;
    let settings = format!(
        "{recovery}{}{}",
        if fast { ", fast" } else { "" },
        if fast_failover { "" } else { ", without proofs of death" }
    );
    println!("a pair: {settings}");
    report.pairs.push(settings);

    let site = Site::build();
    let mut builder = Pair::builder().recovery(recovery).fast_failover(fast_failover).machines(site.machines.clone());
    if fast {
        builder = builder.profile(Profile::Fast);
    }
    let pair = builder.project(people::project()).prepare();
    let _ = site.record.set(pair.watch.record());
    for node in [&pair.master, &pair.backup] {
        run(&format!("mount -t tmpfs -o size={DISK} none {}", node.data_dir().display()));
        node.start();
    }
    pair.wait_ready("Running", "Standby");

    let people = People::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| befall(&mut dice, &site, &pair, &people, until, report)));
    if let Err(panic) = outcome {
        let said = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(ToString::to_string));
        report.broken.push(said.unwrap_or_default());
    }
    report.broken.extend(people.wrong());
    if !report.broken.is_empty() {
        pair.master.print_log();
        pair.backup.print_log();
    }
    drop(pair);
    for which in [MASTER, BACKUP] {
        site.goes_dark(which);
        site.power_off(which);
    }
}

fn befall(dice: &mut Dice, site: &Site, pair: &Pair, people: &People, until: Instant, report: &mut Report) {
    let mut excused: Vec<Befell> = Vec::new();
    thread::scope(|scope| {
        for writer in &people.writers {
            scope.spawn(|| people.write(writer, pair));
        }
        scope.spawn(|| people.acknowledge(pair));
        scope.spawn(|| people.look_at_the_machine());
        let _end = EndOnDrop(&people.ended);
        while Instant::now() < until {
            thread::sleep(Duration::from_millis(dice.below(1000)));
            people.silence();
            let began = Instant::now();
            let (name, excuse) = faults::play(dice, site, pair, report);
            ready(pair, name);
            let silence = people.silence();
            println!("  {:>6.2} s  {name}", began.elapsed().as_secs_f64());
            look_at_values(pair, people, excuse.gone, name, report);
            if !report.broken.is_empty() {
                return;
            }
            report.injected(name, silence);
            excused.push(Befell { name, began, ended: Instant::now(), excuse });
        }
    });
    let (writes, replicated) = people.written();
    report.writes += writes;
    report.replicated += replicated;
    report.repeated += people.repeated.load(Ordering::Relaxed);
    ready(pair, "all is over");
    look_at_values(pair, people, Gone::Nothing, "all is over", report);
    pair.same_values();
    look_at_the_journal(pair, people, report);
    look_at_who_ran(pair, people, &excused, report);
}

#[track_caller]
fn ready(pair: &Pair, after: &str) {
    let end = Instant::now() + READY;
    loop {
        let both = [&pair.master, &pair.backup].map(Node::try_status);
        let running = both.iter().flatten().filter(|s| s.is_running()).count();
        let in_sync = both.iter().flatten().filter(|s| s.failover_ready && s.sync.phase == "Incremental").count();
        if running == 1 && in_sync == 2 {
            return;
        }
        assert!(Instant::now() < end, "after \"{after}\" the pair is not ready within {READY:?}: {both:#?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What was promised is there, at both nodes.
fn look_at_values(pair: &Pair, people: &People, gone: Gone, after: &str, report: &mut Report) {
    for writer in &people.writers {
        for node in [&pair.master, &pair.backup] {
            let mut lacks = writer.lacks(node, gone);
            if !lacks.is_empty() {
                // A connection may have stalled since both were seen in sync, and what is answered then travels later.
                ready(pair, after);
                lacks = writer.still_lacks(node, lacks);
            }
            report.broken.extend(lacks.iter().map(|lack| format!("after \"{after}\": {}", writer.says(node, lack))));
            writer.forget(node, gone);
            report.values_checked += people::TAGS;
        }
    }
}

/// Every acknowledgement that was answered "done" is in both journals, once.
fn look_at_the_journal(pair: &Pair, people: &People, report: &mut Report) {
    let journal = pair.same_journal();
    report.journal_rows += journal.len();
    let mut made: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for row in journal.iter().filter(|row| row["kind"] == "Acknowledged") {
        *made.entry((text(row, "eventId"), comment(row))).or_default() += 1;
    }
    let acknowledged = people.acknowledged.lock().unwrap();
    for ack in acknowledged.iter() {
        match made.get(&(ack.event.as_str(), ack.comment.as_str())) {
            Some(1) => {}
            Some(times) => report.broken.push(format!("DUPLICATE: {} {:?}: {times} times", ack.event, ack.comment)),
            None => report.broken.push(format!("LOST: acknowledgement of {} {:?}", ack.event, ack.comment)),
        }
    }
    report.acknowledged += acknowledged.len() as u64;
    report.acknowledged_on_both += acknowledged.iter().filter(|ack| ack.replicated).count() as u64;
}

fn comment(row: &Value) -> &str {
    ["comment", "ackNotes"].iter().find_map(|field| row[*field].as_str()).unwrap_or_default()
}

fn look_at_who_ran(pair: &Pair, people: &People, excused: &[Befell], report: &mut Report) {
    pair.verify(Overlap::LinkWasCut);
    for (from, to) in pair.watch.both_ran() {
        let both = to - from;
        let befell = excused.iter().find(|befell| befell.began <= to && from <= befell.ended);
        if befell.is_some_and(|befell| befell.excuse.cut) {
            report.both_ran += 1;
            report.both_ran_longest = report.both_ran_longest.max(both);
        } else if both > MOMENT && people.stood_still(from, to) {
            report.both_ran_starved += 1;
        } else if both > MOMENT {
            let (name, since) = befell.map_or(("no fault", Duration::ZERO), |befell| {
                (befell.name, from.saturating_duration_since(befell.began))
            });
            report.broken.push(format!("both nodes were Running for {both:?} on a whole link, {since:?} into: {name}"));
        }
    }
    report.stood_still += people.still.lock().unwrap().len();
    for (from, to) in pair.watch.nobody_ran() {
        if !excused.iter().any(|befell| befell.excuse.both_off && befell.began <= from && to <= befell.ended) {
            report.nobody_ran = report.nobody_ran.max(to - from);
            if to - from > NOBODY && !people.stood_still(from, to) {
                report.broken.push(format!("nobody was Running for {:?}, though one had power", to - from));
            }
        }
    }
}
