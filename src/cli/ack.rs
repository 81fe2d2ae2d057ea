//! `hotpair ack`: acknowledges one occurrence of an alarm, or all that wait for it.

use serde_json::json;

use super::node_client::NodeClient;
use super::{AckArgs, Failure, terminal};
use crate::alarms_shown::AlarmShown;

/// Alarms that are asked for.
const MAX_ALARMS: usize = 100_000;
/// Digits of a whole event id.
const WHOLE: usize = 32;
/// So many digits are enough, when no other alarm begins so.
const FEWEST: usize = 4;

pub(super) fn run(args: &AckArgs) -> Result<(), Failure> {
    let node = NodeClient::new(&args.node.url)?;
    let comment = args.comment.as_deref().unwrap_or_default();
    match &args.event {
        Some(id) => {
            let id = whole(&node, id)?;
            acknowledge(&node, &id, comment)?;
            terminal::say(&format!("acknowledged: {id}"));
            Ok(())
        }
        None => all(&node, comment),
    }
}

/// The whole event id of one that may be given by its first digits.
fn whole(node: &NodeClient, id: &str) -> Result<String, Failure> {
    let digits: String = id.chars().filter(|c| *c != '-').flat_map(char::to_lowercase).collect();
    if digits.len() > WHOLE || digits.len() < FEWEST || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message = format!(
            "'{id}' is not an event id: {WHOLE} hexadecimal digits, or the first {FEWEST} or more of them; \
             'hotpair alarms' shows them"
        );
        return Err(Failure::wrong_input(message));
    }
    if digits.len() == WHOLE {
        return Ok(digits);
    }
    one_of(&live(node)?, &digits)
}

fn one_of(alarms: &[AlarmShown], digits: &str) -> Result<String, Failure> {
    let ids = alarms.iter().filter_map(|alarm| Some(alarm.event_id?.to_string()));
    let fitting: Vec<String> = ids.filter(|id| id.starts_with(digits)).collect();
    match &fitting[..] {
        [id] => Ok(id.clone()),
        [] => Err(Failure::refused(format!("no alarm that is not normal has an event id that begins with {digits}"))),
        more => Err(Failure::wrong_input(format!("{} event ids begin with {digits}: give more digits", more.len()))),
    }
}

fn all(node: &NodeClient, comment: &str) -> Result<(), Failure> {
    let waiting: Vec<_> = live(node)?.into_iter().filter(|alarm| alarm.ack_time.is_none()).collect();
    let (mut done, mut refused) = (0, Vec::new());
    for alarm in &waiting {
        let Some(id) = alarm.event_id else { continue };
        match acknowledge(node, &id.to_string(), comment) {
            Ok(()) => done += 1,
            // The others can be acknowledged all the same; not so when there is no node.
            Err(failure) if failure.is_refusal() => {
                refused.push(format!("{}/{}: {failure}", alarm.path, alarm.name));
            }
            Err(failure) => return Err(failure),
        }
    }
    terminal::say(&match done {
        0 if refused.is_empty() => "nothing waits to be acknowledged".to_owned(),
        1 => "acknowledged: 1 alarm".to_owned(),
        _ => format!("acknowledged: {done} alarms"),
    });
    match &refused[..] {
        [] => Ok(()),
        [one] => Err(Failure::refused(one.clone())),
        [first, ..] => Err(Failure::refused(format!("{} alarms were refused, the first one: {first}", refused.len()))),
    }
}

/// Also what is shelved; who acknowledges all wants none to wait.
fn live(node: &NodeClient) -> Result<Vec<AlarmShown>, Failure> {
    node.get(&format!("alarms?limit={MAX_ALARMS}&shelved=true"))
}

fn acknowledge(node: &NodeClient, id: &str, comment: &str) -> Result<(), Failure> {
    node.operate(&format!("alarms/{id}/ack"), json!({ "comment": comment }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn alarms(ids: &[&str]) -> Vec<AlarmShown> {
        let alarm = |id: &&str| {
            json!({"eventId": id, "path": "Plant/A", "name": id, "type": "H", "priority": "High",
                "state": "Active,Unacked", "activeTime": null, "clearTime": null, "ackTime": null, "operator": "",
                "ackNotes": "", "value": 6.5, "description": "", "ackMode": "Manual", "shelved": false})
        };
        serde_json::from_value(ids.iter().map(alarm).collect()).unwrap()
    }

    #[test]
    fn the_first_digits_of_an_event_id_are_enough() {
        let ids = ["00112233445566778899aabbccddeeff", "00112233445566778899aabbccddee00"];
        let alarms = alarms(&ids);
        assert_eq!(one_of(&alarms, "00112233445566778899aabbccddeef").unwrap(), ids[0]);
        assert_eq!(one_of(&alarms, "0011").unwrap_err().exit_status(), 2);
        assert_eq!(one_of(&alarms, "0012").unwrap_err().exit_status(), 3);
    }

    #[test]
    fn what_is_no_event_id_is_told_without_asking() {
        let nobody = NodeClient::new("127.0.0.1:1").unwrap();
        for wrong in ["", "012", "xyzw", "00112233445566778899aabbccddeeff0"] {
            assert_eq!(whole(&nobody, wrong).unwrap_err().exit_status(), 2, "{wrong}");
        }
        let id = whole(&nobody, "00112233-4455-6677-8899-AABBCCDDEEFF").unwrap();
        assert_eq!(id, "00112233445566778899aabbccddeeff");
    }
}
