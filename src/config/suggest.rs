//! "Did you mean …?"

/// The one of `known` that `found` is most likely a slip of, when one is near enough.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = found.to_lowercase();
    let limit = (found.chars().count() / 3).min(4);
    known
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_lowercase(), limit), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "…"?`, or what is allowed when nothing is near.
pub(super) fn did_you_mean(found: &str, known: &[&str]) -> String {
    match nearest(found, known.iter().copied()) {
        Some(candidate) => format!("did you mean {candidate}?"),
        None => format!("allowed: {}", known.join(", ")),
    }
}

/// How many characters must be changed, added, dropped or swapped with their neighbour to make `a` of `b`; more than
/// `limit` when that is certain without counting.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        if row.iter().min().is_some_and(|&least| least > limit) {
            return limit + 1;
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["port", "bind", "ping_rate_ms", "failover_time_ms"];
        for (found, nearest_one) in [
            ("prot", Some("port")),
            ("PORT", Some("port")),
            ("failover_time", Some("failover_time_ms")),
            ("ping_rate", Some("ping_rate_ms")),
            ("ping-rate-ms", Some("ping_rate_ms")),
            ("color", None),
            ("pr", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, known), nearest_one, "{found}");
        }
    }
}
