//! What is on disk when a node has given Running away.

use super::pair::Pair;

#[test]
fn a_node_that_stops_alone_has_its_last_transitions_on_disk_first() {
    let mut pair = Pair::new(false);
    pair.link_down();
    for _ in 0..10 {
        pair.change(0, 15.0);
        pair.change(0, 0.0);
    }
    pair.begin_switch_alone();
    assert!(!pair.nodes[0].quiesced, "a batch is under way, and more waits behind it");
    while !pair.nodes[0].quiesced {
        assert!(pair.work(0), "it waits for its disk");
    }
    let [stopped, _] = &pair.nodes;
    assert_eq!(&stopped.disk.held, stopped.machine.held());
    assert_eq!(stopped.machine.view().unstored, 0);
}

#[test]
fn a_disk_that_fails_keeps_nobody_from_stopping() {
    let mut pair = Pair::new(false);
    pair.link_down();
    pair.nodes[0].disk.failing = true;
    pair.change(0, 15.0);
    pair.begin_switch_alone();
    pair.work(0);
    assert!(pair.nodes[0].quiesced);
}

#[test]
fn a_follower_whose_disk_fails_keeps_no_more_than_it_may_and_gets_the_rest_when_it_works_again() {
    let mut pair = Pair::new(false);
    pair.nodes[1].disk.failing = true;
    for turn in 0..400_u16 {
        pair.change(0, if turn % 2 == 0 { 15.0 } else { 0.0 });
        while pair.deliver(0) || pair.deliver(1) || pair.work(0) || pair.work(1) {}
        assert!(pair.nodes[1].machine.view().unstored < 120);
    }
    assert!(!pair.nodes[1].machine.facts().in_sync);
    assert_eq!(pair.nodes[0].table.digest(), pair.nodes[1].table.digest(), "its states go on");
    pair.nodes[1].disk.failing = false;
    pair.settle(20_000);
    pair.assert_equal();
}

#[test]
fn a_journal_that_is_filled_up_waits_for_the_disk_and_not_in_memory() {
    let mut pair = Pair::new(false);
    pair.link_down();
    for turn in 0..400_u16 {
        pair.change(0, if turn % 2 == 0 { 15.0 } else { 0.0 });
        while pair.work(0) {}
    }
    pair.nodes[1].disk.failing = true;
    pair.link_up();
    pair.follow(1);
    pair.lane_up();
    for _ in 0..1000 {
        let _ = pair.deliver(0) || pair.deliver(1) || pair.work(0) || pair.work(1);
        assert!(pair.nodes[1].machine.view().unstored < 20);
    }
    pair.nodes[1].disk.failing = false;
    pair.settle(10_000);
    pair.assert_equal();
}
