//! Drawn from a seed: local faults of both nodes, one upon the other, while people write and press Switch and the
//! connection breaks now and then. `HOTPAIR_ACTOR_SEEDS=2000` plays so many; a seed that fails is named.

use std::collections::BTreeMap;

use hotpair_actors::directory::names;
use hotpair_actors::injure::Injure;
use hotpair_actors::messages::ClearFault;
use hotpair_core::protocol::WriteOutcome;
use hotpair_core::types::{Mode, Status};
use hotpair_core::value::Value;

use crate::pair::replicated;
use crate::stage::{Backup, Master, Stage};

const STEPS: usize = 60;

/// xorshift64*
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % n
    }

    fn node(&mut self) -> Mode {
        if self.below(2) == 0 { Master } else { Backup }
    }
}

async fn play(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut stage = Stage::new(|settings| settings.failover_time_ms = 2000);
    stage.cable.set_delay_ms(dice.below(20));
    stage.start(Master);
    stage.start(Backup);
    stage.until_ready(Master).await;
    // Of each tag the values that may be there at the end.
    let mut may_be: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
    let mut done = 0;
    for step in 0..STEPS {
        let node = dice.node();
        match dice.below(10) {
            0..5 => {
                let name = names::ALL[dice.below(7) as usize];
                let how = match dice.below(6) {
                    0 | 1 => Injure::Panic,
                    2 | 3 => Injure::Stop,
                    4 => Injure::Stuck { ms: dice.below(300) },
                    _ => Injure::Flood { ms: dice.below(300) },
                };
                stage.injure(node, name, how);
            }
            5..8 => {
                let (tag, value) = (dice.below(40) as usize, (step + 1).cast_signed() as i64);
                let answer = stage.send_write(node, tag, value, None);
                let values = may_be.entry(tag).or_insert_with(|| vec![0]);
                if let Ok(WriteOutcome::Done { .. }) = stage.run(answer).await {
                    values.clear();
                    done += 1;
                }
                // One that was refused may have been made all the same, if that was not known.
                values.push(value);
            }
            8 => drop(stage.press_switch(node)),
            _ => stage.cable.reset(),
        }
        if dice.below(3) > 0 {
            stage.pass(dice.below(700)).await;
        }
    }
    for node in [Master, Backup] {
        let supervisor = stage.node(node).directory.supervisor().unwrap().clone();
        stage.pass(1000).await;
        let _ = stage.run(supervisor.send(ClearFault)).await;
    }
    let settled = |stage: &Stage| {
        let views = [Master, Backup].map(|node| stage.view(node));
        let so = |status| views.iter().filter(|view| view.status == status).count() == 1;
        so(Status::Running) && so(Status::Standby) && views.iter().all(|view| view.failover_ready && !view.switching)
    };
    stage.until(&format!("settled, seed {seed}"), settled).await;
    stage.pass(3000).await;
    assert!(settled(&stage), "seed {seed}: {}", stage.tell());
    let runs = if stage.status(Master) == Status::Running { Master } else { Backup };
    assert!(replicated(&stage.write(runs, 41, 7).await), "seed {seed}");
    assert!(done > 0, "seed {seed}: nothing was written");
    for (tag, values) in may_be {
        let read = [Master, Backup].map(|node| stage.read(node, tag));
        assert_eq!(read[0], read[1], "seed {seed}: tag {tag}");
        assert!(
            values.iter().any(|value| read[0] == Value::Int64(*value)),
            "seed {seed}: tag {tag} {values:?} {read:?}"
        );
    }
    for node in [Master, Backup] {
        assert_eq!(stage.fatal(node), None, "seed {seed}");
        let begun = stage.node(node).tenures_begun(hotpair_core::protocol::Tenure::DualRunning);
        assert_eq!(begun, 0, "seed {seed}: two were Running: {}", stage.tell());
    }
}

#[tokio::test(start_paused = true)]
async fn local_faults_one_upon_the_other_lose_nothing() {
    let seeds = std::env::var("HOTPAIR_ACTOR_SEEDS").map_or(30, |seeds| seeds.parse().expect("a number of seeds"));
    for seed in 1..=seeds {
        play(seed).await;
    }
}
