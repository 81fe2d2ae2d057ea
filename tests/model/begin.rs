//! Where a run begins.

use crate::node::Happens;
use crate::pair::{Pair, Step, World};
use crate::plan::{Begin, Budget, FAILOVER_MS};

impl World {
    pub fn begin(&self) -> Pair {
        let pair = self.story();
        assert_eq!(pair.violation, None, "{}", self.describe(&pair));
        Pair { left: self.plan.budget, ..pair }
    }

    fn story(&self) -> Pair {
        let cold = Pair { left: plenty(), ..self.cold() };
        if self.plan.begin == Begin::Cold {
            return cold;
        }
        let boot = |who| Step::At(who, Happens::Boot);
        let running = self.settled(self.told(cold, &[boot(0), boot(1)]));
        let running = Pair { left: plenty(), ..running };
        match self.plan.begin {
            Begin::Cold | Begin::Running => running,
            Begin::Switched => self.settled(self.told(running, &[Step::At(0, Happens::PressSwitch)])),
            Begin::Both => {
                let cut = [
                    Step::Breaks(0),
                    Step::Arrives(0, 0),
                    Step::Arrives(1, 0),
                    Step::At(0, Happens::Suspects),
                    Step::At(1, Happens::Suspects),
                    Step::At(1, Happens::Waits(FAILOVER_MS)),
                ];
                self.written(self.told(running, &cut))
            }
            Begin::FailedOver | Begin::Returned => {
                let dead = [
                    Step::At(0, Happens::Dies { written: 0 }),
                    Step::Arrives(1, 0),
                    Step::At(1, Happens::Suspects),
                    Step::At(1, Happens::Waits(FAILOVER_MS)),
                ];
                let failed_over = self.written(self.told(running, &dead));
                if self.plan.begin == Begin::FailedOver {
                    return failed_over;
                }
                let back = [boot(0), Step::Dials, Step::Arrives(0, 0), Step::Arrives(1, 0), Step::Arrives(0, 0)];
                self.told(failed_over, &back)
            }
        }
    }

    fn told(&self, pair: Pair, steps: &[Step]) -> Pair {
        steps.iter().fold(pair, |pair, step| {
            let told = self.after(&pair, step);
            told.unwrap_or_else(|| panic!("{step:?} cannot happen: {}", self.describe(&pair)))
        })
    }

    /// What waited for the disks is there.
    fn written(&self, mut pair: Pair) -> Pair {
        for who in 0..2 {
            while self.known().process(pair.nodes[who]).is_some_and(crate::node::Process::has_writes) {
                pair = self.told(pair, &[Step::At(who, Happens::DiskWrites)]);
            }
        }
        pair
    }
}

fn plenty() -> Budget {
    Budget { deaths: 9, cuts: 9, silences: 9, switches: 9, ..Budget::default() }
}
