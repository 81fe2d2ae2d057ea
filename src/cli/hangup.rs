//! SIGHUP, which a closed terminal sends: a clean stop, unless whoever started this process had it ignored.

use std::fs;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// Waits for SIGHUP.
pub(super) struct Hangup {
    /// None: it is ignored, as under `nohup`. To listen would end that.
    signal: Option<Signal>,
}

impl Hangup {
    /// # Errors
    /// The signal cannot be taken.
    pub(super) fn listen() -> Result<Self, Failure> {
        // Where the system does not tell, a lost terminal counts.
        if fs::read_to_string("/proc/self/status").is_ok_and(|status| is_ignored(&status)) {
            return Ok(Self { signal: None });
        }
        let taken = signal(SignalKind::hangup());
        let taken = taken.map_err(|error| Failure::other(format!("signals cannot be taken: {error}")))?;
        Ok(Self { signal: Some(taken) })
    }

    /// Never returns when it is ignored.
    pub(super) async fn recv(&mut self) {
        match &mut self.signal {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Reads the process's own status: a mask in hexadecimal, its lowest bit is signal 1, which is SIGHUP.
fn is_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert!(is_ignored("Name:\thotpair\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"));
        assert!(!is_ignored("Name:\thotpair\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!is_ignored("") && !is_ignored("SigIgn:\tx\n"));
    }
}
