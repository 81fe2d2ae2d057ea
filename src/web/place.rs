//! Places for connections that stay open, of which there are only so many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of the places, given back when dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    /// None: all `max` are taken.
    pub(super) fn take(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let place = Self(taken.clone());
        (taken.fetch_add(1, Ordering::AcqRel) < max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let count = Arc::default();
        let taken: Vec<_> = std::iter::from_fn(|| Place::take(&count, 64)).collect();
        assert_eq!(taken.len(), 64);
        assert_eq!(count.load(Ordering::Acquire), 64);
        drop(taken);
        assert_eq!(count.load(Ordering::Acquire), 0);
    }
}
