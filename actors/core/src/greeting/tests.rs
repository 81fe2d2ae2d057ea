#![allow(clippy::unwrap_used)]

use super::*;
use crate::types::{BootId, NodeId};
use crate::wire;
use crate::wire::tests::greeting;

fn master() -> Greeting {
    greeting(1, Mode::Master)
}

fn backup() -> Greeting {
    greeting(2, Mode::Backup)
}

#[test]
fn a_master_and_a_backup_fit() {
    for (mine, theirs) in [(master(), backup()), (backup(), master())] {
        assert_eq!(check(&mine, &theirs), Ok(Agreed { protocol: 1, features: 0, remarks: Vec::new() }));
    }
}

#[test]
fn the_newest_common_version_and_the_common_features_are_used() {
    for (mine, theirs, agreed) in [
        ((1, 1), (1, 1), Some(1)),
        ((1, 3), (2, 5), Some(3)),
        ((2, 5), (1, 3), Some(3)),
        ((1, 2), (2, 2), Some(2)),
        ((1, 1), (2, 3), None),
        ((4, 5), (1, 3), None),
        // A range the wrong way round fits nothing.
        ((1, 9), (5, 4), None),
    ] {
        let mine = Greeting { protocol: mine, features: 0b0110, ..master() };
        let theirs = Greeting { protocol: theirs, features: 0b1100, ..backup() };
        match (check(&mine, &theirs), agreed) {
            (Ok(found), Some(protocol)) => assert_eq!((found.protocol, found.features), (protocol, 0b0100)),
            (Err(refusal), None) => assert_eq!(refusal.code, RefusalCode::Version),
            (found, _) => panic!("{:?} {:?}: {found:?}", mine.protocol, theirs.protocol),
        }
    }
}

#[test]
fn refusals_name_both_sides_and_the_remedy() {
    let copied = Greeting { node: NodeId(1), ..backup() };
    let same_process = Greeting { boot: BootId(101), ..backup() };
    let newer = Greeting { protocol: (2, 3), version: "2.0.0".into(), ..backup() };
    let (one, two) = ("\"Line1\" (Master, 0000000000000001, 0.1.0)", "(Backup, 0000000000000002, 0.1.0)");
    let independent = greeting(2, Mode::Independent);
    for (mine, theirs, code, said) in [
        (master(), newer, RefusalCode::Version, vec![one, "speaks 1, ", "speaks 2 to 3", "to version \"2.0.0\""]),
        (master(), copied, RefusalCode::Itself, vec![one, "the same data folder or a copy", "`data_dir` of [node]"]),
        (master(), same_process, RefusalCode::Itself, vec![one, "connected to itself", "`master_host`"]),
        (master(), greeting(2, Mode::Master), RefusalCode::Mode, vec![one, "both Master", "`mode = \"backup\"`"]),
        (greeting(1, Mode::Backup), backup(), RefusalCode::Mode, vec![two, "both Backup", "`mode = \"master\"`"]),
        (master(), independent.clone(), RefusalCode::Mode, vec![one, "(Independent,", "`mode` of [redundancy]"]),
        (independent, master(), RefusalCode::Mode, vec![one, "(Independent,", "`mode` of [redundancy]"]),
    ] {
        let refusal = check(&mine, &theirs).unwrap_err();
        assert_refusal(&refusal, code, &said);
    }
    assert_refusal(
        &Refusal::second_backup(&master(), &backup(), &greeting(3, Mode::Backup)),
        RefusalCode::SecondBackup,
        &[one, two, "(Backup, 0000000000000003, 0.1.0) cannot be a second one", "stop it"],
    );
    assert_refusal(&Refusal::session(&master(), 0xAB), RefusalCode::Session, &[one, "00000000000000ab", "greet anew"]);
    let http = wire::decode(b"GET / HTTP/1.1\r\n", wire::Kind::Control).unwrap_err();
    assert_refusal(&Refusal::not_hotpair(&master(), &http), RefusalCode::NotHotpair, &[one, "GET / HTTP", "[http]"]);
}

fn assert_refusal(refusal: &Refusal, code: RefusalCode, said: &[&str]) {
    assert_eq!(refusal.code, code);
    for part in said {
        assert!(refusal.reason.contains(part), "{part:?} is not in: {}", refusal.reason);
    }
    assert!(refusal.reason.ends_with('.') && !refusal.reason.contains("..") && !refusal.reason.contains("  "));
}

#[test]
fn differences_that_do_not_hinder_a_pair_are_remarks() {
    let mut theirs = Greeting { name: "Line2".into(), ..backup() };
    theirs.project.tag_list = 9;
    theirs.project.files = vec![("alarms.csv".into(), 2), ("recipes.csv".into(), 1), ("tags.csv".into(), 7)];
    let remarks = check(&master(), &theirs).unwrap().remarks;
    assert_eq!(
        remarks,
        [
            Remark::NodeName { mine: "Line1".into(), theirs: "Line2".into() },
            Remark::Project { files: vec!["recipes.csv".into(), "tags.csv".into()], tag_list: true },
        ]
    );
    assert_eq!(
        remarks[0].to_string(),
        "The two nodes have different names, \"Line1\" here and \"Line2\" at the peer: history is not transferred. Set \
         `name` of [node] to the same on both."
    );
    assert_eq!(
        remarks[1].to_string(),
        "The two nodes have different projects: recipes.csv, tags.csv, and with them the tag list; tags that only one \
         node has are not replicated. Copy the project folder (`dir` of [project]) from the node that is right to the \
         other one, and restart that one."
    );
}

#[test]
fn names_of_a_peer_cannot_forge_lines_of_a_log() {
    let theirs = Greeting { name: format!("a\n\u{1b}[31m\"{}", "x".repeat(200)), ..greeting(2, Mode::Master) };
    let reason = check(&master(), &theirs).unwrap_err().reason;
    assert!(reason.chars().all(|c| !c.is_control()) && reason.len() < 600, "{reason}");
}
