//! Which of a source's updates are changes.

use hotpair_core::catalog::{Catalog, TagId};
use hotpair_core::quality::Quality;
use hotpair_core::value::Value;

use super::SourceUpdate;

/// Lets changes through and holds back what stays within a tag's deadband, measured from the last value let through.
///
/// The first update of each tag is always a change: after a takeover it says that the tag was read again.
#[derive(Debug)]
pub struct Deadband {
    last: Vec<Option<(Value, Quality)>>,
    repeats_count: bool,
}

impl Deadband {
    /// A filter that knows no value yet. `repeats_count`: see [`Source::repeats_count`](super::Source::repeats_count).
    pub fn new(catalog: &Catalog, repeats_count: bool) -> Self {
        Self { last: vec![None; catalog.len()], repeats_count }
    }

    /// Forgets all values: the next update of each tag is a change.
    pub fn forget(&mut self) {
        self.last.fill(None);
    }

    /// Takes out of `updates` what is no change. Returns why something else was taken out, if it was: a path that is
    /// no tag, or a value of a type that is not the tag's.
    pub fn retain_changes(&mut self, catalog: &Catalog, updates: &mut Vec<SourceUpdate>) -> Option<String> {
        let mut refused = None;
        updates.retain(|update| {
            let found = catalog.find(&update.path).and_then(|id| catalog.get(id).map(|tag| (id, tag)));
            let Some((TagId(index), tag)) = found else {
                refused = Some(format!("{} is no tag of this project", update.path));
                return false;
            };
            if update.value.value_type() != tag.value_type {
                let (path, of) = (&update.path, update.value.value_type());
                refused = Some(format!("{path} is of type {}, the source gave {of}", tag.value_type));
                return false;
            }
            let Some(last) = self.last.get_mut(index as usize) else { return false };
            let changed = match last {
                Some((value, quality)) => {
                    *quality != update.quality || is_change(value, &update.value, tag.deadband, self.repeats_count)
                }
                None => true,
            };
            if changed {
                *last = Some((update.value.clone(), update.quality));
            }
            changed
        });
        refused
    }
}

fn is_change(old: &Value, new: &Value, deadband: f64, repeats_count: bool) -> bool {
    let distance = match (old, new) {
        (Value::Float64(old), Value::Float64(new)) => (old.to_bits() != new.to_bits()).then(|| (new - old).abs()),
        (Value::Int64(old), Value::Int64(new)) => (old != new).then(|| old.abs_diff(*new) as f64),
        _ => return old != new || repeats_count,
    };
    match distance {
        // A distance that is no number (to or from NaN) is a change.
        Some(distance) => deadband <= 0.0 || distance.is_nan() || distance >= deadband,
        None => repeats_count && deadband <= 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_a_change() {
        let f = Value::Float64;
        for (old, new, deadband, repeats_count, change) in [
            (f(1.0), f(1.4), 0.5, false, false),
            (f(1.0), f(1.5), 0.5, false, true),
            (f(1.0), f(1.0), 0.0, false, false),
            (f(1.0), f(1.0), 0.0, true, true),
            (f(1.0), f(1.0), 0.5, true, false),
            (f(1.0), f(f64::NAN), 0.5, false, true),
            (f(f64::NAN), f(f64::NAN), 0.5, false, false),
            (f(1.0), f(1.0 + f64::EPSILON), 0.0, false, true),
            (Value::Int64(5), Value::Int64(6), 2.0, false, false),
            (Value::Int64(i64::MIN), Value::Int64(i64::MAX), 2.0, false, true),
            (Value::Bool(false), Value::Bool(true), 0.0, false, true),
            (Value::Bool(true), Value::Bool(true), 0.0, false, false),
        ] {
            assert_eq!(is_change(&old, &new, deadband, repeats_count), change, "{old:?} {new:?} {deadband}");
        }
    }
}
