//! What strangers do at the link's port is told in the log, but no stranger fills the log.

use std::net::{IpAddr, Ipv4Addr};

use hotpair_core::protocol::RefusalCode;
use hotpair_core::types::Millis;

/// One line in so long for each kind and address.
const EVERY_MS: u64 = 60_000;
/// So many addresses are told apart; those beyond share a line.
const MAX_KNOWN: usize = 64;
/// Stands for all addresses that do not fit.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What went wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Refused(RefusalCode),
    NoGreeting,
    NotAccepted,
}

/// Counts what is not told.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    trouble: Trouble,
    from: IpAddr,
    at: Millis,
    untold: u64,
}

impl Complaints {
    /// What is to be put behind the line when it is to be told now; none: it is only counted.
    pub(super) fn tell(&mut self, now: Millis, trouble: Trouble, from: Option<IpAddr>) -> Option<String> {
        let known = |told: &Told, from| told.trouble == trouble && told.from == from;
        let mut from = from.unwrap_or(OTHERS);
        if !self.told.iter().any(|told| known(told, from)) && self.told.len() >= MAX_KNOWN {
            self.told.retain(|told| now.since(told.at) < EVERY_MS || told.untold > 0);
            if self.told.len() >= MAX_KNOWN {
                self.told.retain(|told| now.since(told.at) < EVERY_MS);
            }
            if self.told.len() >= MAX_KNOWN {
                from = OTHERS;
            }
        }
        let Some(told) = self.told.iter_mut().find(|told| known(told, from)) else {
            self.told.push(Told { trouble, from, at: now, untold: 0 });
            return Some(String::new());
        };
        if now.since(told.at) < EVERY_MS {
            told.untold += 1;
            return None;
        }
        told.at = now;
        Some(match (std::mem::take(&mut told.untold), from == OTHERS) {
            (0, _) => String::new(),
            (count, false) => format!(" (and {count} more from there since the last such line)"),
            (count, true) => format!(" (and {count} more since the last such line)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: Trouble = Trouble::Refused(RefusalCode::NotHotpair);

    #[expect(clippy::unnecessary_wraps, reason = "an address may be unknown: so it is asked for")]
    fn ip(number: u32) -> Option<IpAddr> {
        Some(Ipv4Addr::from_bits(0x0A00_0000 + number).into())
    }

    #[test]
    fn one_line_a_minute_tells_of_the_others() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.tell(Millis(5), NOISE, ip(1)).as_deref(), Some(""));
        for _ in 0..1556 {
            assert_eq!(complaints.tell(Millis(59_000), NOISE, ip(1)), None);
        }
        assert_eq!(complaints.tell(Millis(59_000), NOISE, ip(2)).as_deref(), Some(""), "another address");
        assert_eq!(complaints.tell(Millis(59_000), Trouble::NoGreeting, ip(1)).as_deref(), Some(""), "another trouble");
        let told = complaints.tell(Millis(60_005), NOISE, ip(1));
        assert_eq!(told.as_deref(), Some(" (and 1556 more from there since the last such line)"));
        assert_eq!(complaints.tell(Millis(60_006), NOISE, ip(1)), None);
        assert_eq!(complaints.tell(Millis(200_000), NOISE, ip(2)).as_deref(), Some(""));
    }

    #[test]
    fn many_addresses_take_no_more_lines_nor_memory() {
        let mut complaints = Complaints::default();
        let lines = (0..10_000).filter(|number| complaints.tell(Millis(1), NOISE, ip(*number)).is_some()).count();
        assert_eq!((lines, complaints.told.len()), (MAX_KNOWN + 1, MAX_KNOWN + 1));
        // A minute later the old ones have given way.
        assert_eq!(complaints.tell(Millis(70_000), NOISE, ip(20_000)).as_deref(), Some(""));
        assert!(complaints.told.len() <= 2, "{}", complaints.told.len());
    }
}
