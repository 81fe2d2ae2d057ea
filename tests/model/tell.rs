//! A path, for people.

use std::fmt::Write;

use hotpair_core::protocol::{Control, Report};

use crate::pair::{Pair, Step, World};

const NAMES: [&str; 2] = ["Master", "Backup"];
/// Of a quiet run that does not end, so many steps are told.
const TOLD_STEPS: usize = 80;

impl World {
    /// A step, in words.
    pub fn tell(&self, pair: &Pair, step: &Step) -> String {
        match step {
            Step::At(who, happens) => format!("{}: {happens:?}", NAMES[*who]),
            Step::Arrives(who, conn) => {
                let what = pair.conns.get(*conn).and_then(|conn| conn.wires[*who].first().copied());
                let known = self.known();
                let what = what.and_then(|message| known.messages.get(message as usize));
                format!("{} hears {}", NAMES[*who], what.map_or("that the connection is closed".into(), brief))
            }
            Step::Dials => "the Backup connects".into(),
            Step::Breaks(conn) => format!("connection {conn} breaks, what is under way is lost"),
            Step::SyncBegins(who) => format!("{}: the sync begins", NAMES[*who]),
            Step::SyncEnds(who) => format!("{}: the sync ends", NAMES[*who]),
            Step::LeaderKnows(who) => format!("{} hears that its follower is in sync", NAMES[1 - who]),
            Step::CatchesUp(who) => format!("{} takes the newest change", NAMES[*who]),
            Step::LaneBreaks => "the bulk connection breaks".into(),
        }
    }

    /// A path from the beginning.
    pub fn tell_path(&self, path: Vec<(Pair, Option<Step>)>, story: &mut String) {
        for (pair, step) in path {
            let _ = writeln!(story, "      {}", self.describe(&pair));
            if let Some(step) = step {
                let _ = writeln!(story, "{}", self.tell(&pair, &step));
            }
        }
    }

    /// What goes on when nothing fails any more.
    pub fn tell_quiet(&self, pair: &Pair, backwards: bool, story: &mut String) {
        let _ = writeln!(story, "\nWhen nothing fails any more:\n");
        let mut pair = pair.clone();
        for _ in 0..TOLD_STEPS {
            let Some(steps) = self.quiet_steps(&pair, backwards).filter(|steps| !steps.is_empty()) else { return };
            for step in steps {
                let _ = writeln!(story, "{}", self.tell(&pair, &step));
                pair = self.after(&pair, &step).unwrap_or(pair);
            }
            let _ = writeln!(story, "      {}", self.describe(&pair));
        }
    }
}

fn brief(message: &Control) -> String {
    match message {
        Control::Greeting(greeting) => {
            format!("greeting of boot {}, {}", greeting.boot.0, brief_report(&greeting.report))
        }
        Control::Report(report) => brief_report(report),
        other => format!("{other:?}"),
    }
}

fn brief_report(report: &Report) -> String {
    let Report { status, lineage, tenure, applied, durable, in_sync, switching, .. } = report;
    let epoch = lineage.epoch();
    format!(
        "report: {status} under {} of {}, {tenure:?}, holds {applied}/{durable}{}{}",
        epoch.counter,
        epoch.node.0,
        if *in_sync { ", in sync" } else { "" },
        if *switching == 0 { String::new() } else { format!(", in switch {switching}") },
    )
}
