//! Values of which nothing was heard for too long.

use hotpair_core::catalog::TagDef;
use hotpair_core::quality::Quality;
use hotpair_core::types::UnixMillis;
use hotpair_core::value::Sample;

/// What a reader is shown of a tag: a Good value that is older than the tag's `stale_after_ms` is an uncertain one. What
/// travels to the peer and lies on the disk stays as the source gave it.
pub(super) fn aged(tag: &TagDef, mut sample: Sample, now: UnixMillis) -> Sample {
    let age_ms = now.0.saturating_sub(sample.time.0);
    if sample.quality.is_good()
        && tag.stale_after_ms.is_some_and(|limit| u64::try_from(age_ms).is_ok_and(|age| age > limit))
    {
        sample.quality = Quality::UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE;
    }
    sample
}

#[cfg(test)]
mod tests {
    use hotpair_core::value::{Value, ValueType};

    use super::*;

    const STALE: Quality = Quality::UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE;

    fn tag(stale_after_ms: Option<u64>) -> TagDef {
        TagDef { source_fed: true, stale_after_ms, ..TagDef::new("Plant/Level", ValueType::Bool) }
    }

    #[test]
    fn only_a_good_value_beyond_its_limit_is_stale() {
        for (limit, time, quality, shown) in [
            (Some(1000), 9000, Quality::GOOD, Quality::GOOD),
            (Some(1000), 8999, Quality::GOOD, STALE),
            (Some(1000), 8999, Quality::GOOD_LOCAL_OVERRIDE, STALE),
            (Some(1000), 0, Quality::UNCERTAIN_LAST_USABLE_VALUE, Quality::UNCERTAIN_LAST_USABLE_VALUE),
            (Some(1000), 0, Quality::BAD, Quality::BAD),
            (None, 0, Quality::GOOD, Quality::GOOD),
            // The source's clock is ahead.
            (Some(1000), 20_000, Quality::GOOD, Quality::GOOD),
            (Some(1000), i64::MIN, Quality::GOOD, STALE),
            (Some(u64::MAX), 0, Quality::GOOD, Quality::GOOD),
        ] {
            let sample = Sample { value: Value::Bool(true), quality, time: UnixMillis(time) };
            let expected = Sample { quality: shown, ..sample.clone() };
            assert_eq!(aged(&tag(limit), sample, UnixMillis(10_000)), expected);
        }
        assert_eq!(STALE.to_string(), "Uncertain_NoCommunicationLastUsableValue");
    }
}
