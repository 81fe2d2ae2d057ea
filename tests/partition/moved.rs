//! The Master has another address than before.

use std::fs;
use std::net::Ipv4Addr;

use crate::pair::project::SETPOINT;
use crate::pair::site::{MASTER, Site};
use crate::pair::world::{alone, run};
use crate::pair::{Overlap, Pair};
use crate::{holds_and_works, write_alone, write_at};

const NAME: &str = "master.plant.test";
const OLD: Ipv4Addr = Ipv4Addr::new(10, 7, 1, 2);
const NEW: Ipv4Addr = Ipv4Addr::new(10, 7, 1, 7);
/// Nobody is there, and nothing says so.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 7, 99, 9);

#[test]
fn a_master_that_starts_at_another_address_is_found_by_its_name() {
    alone(|| {
        let (site, pair) = found_by_name();
        pair.master.write_replicated(SETPOINT, 3.0);
        pair.master.kill9();
        pair.backup.wait_shows("Running", "Faulted");
        write_at(&pair.backup, SETPOINT, 4.0);

        site.move_address(MASTER, OLD, NEW);
        resolve(NAME, &[NEW]);
        pair.master.start();
        pair.wait_ready("Running", "Standby");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::None);
    });
}

#[test]
fn a_master_whose_address_moves_while_it_runs_is_met_again_by_its_name() {
    alone(|| {
        let (site, pair) = found_by_name();
        pair.master.write_replicated(SETPOINT, 3.0);
        site.move_address(MASTER, OLD, NEW);
        for node in [&pair.master, &pair.backup] {
            node.wait_shows("Running", "Faulted");
        }
        write_alone(&pair.master, SETPOINT, 4.0);
        resolve(NAME, &[NEW]);
        pair.wait_ready("Running", "Standby");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::LinkWasCut);
    });
}

#[test]
fn a_master_named_by_address_is_met_again_after_a_restart_of_the_backup_with_the_new_one() {
    alone(|| {
        let (site, pair) = prepared(&OLD.to_string());
        pair.backup.write_replicated(SETPOINT, 3.0);
        assert_eq!(pair.backup.terminate().code(), Some(0));
        site.move_address(MASTER, OLD, NEW);
        write_alone(&pair.master, SETPOINT, 4.0);
        pair.backup.edit_config("master_host", &format!("{:?}", NEW.to_string()));
        pair.backup.start();
        pair.wait_ready("Running", "Standby");
        holds_and_works(&pair, 4.0);
        pair.verify(Overlap::None);
    });
}

#[test]
fn a_name_with_two_addresses_of_which_the_first_is_silent_leads_to_the_master() {
    alone(|| {
        let (_site, pair) = found_by_name();
        pair.backup.terminate();
        resolve(NAME, &[NOBODY, OLD]);
        run(&format!("ip route add blackhole {NOBODY}/32"));
        pair.backup.start();
        pair.wait_ready("Running", "Standby");
        holds_and_works(&pair, 1.5);
        pair.verify(Overlap::None);
    });
}

fn found_by_name() -> (Site, Pair) {
    resolve(NAME, &[OLD]);
    prepared(NAME)
}

/// The Master listens at all addresses of its machine.
fn prepared(master_host: &str) -> (Site, Pair) {
    let site = Site::build();
    // The Backup waits long enough to try a second address.
    let pair =
        Pair::builder().recovery("automatic").connection_wait_time_ms(5000).machines(site.machines.clone()).prepare();
    pair.master.edit_bind_of_link("0.0.0.0");
    pair.backup.edit_config("master_host", &format!("{master_host:?}"));
    pair.master.start();
    pair.backup.start();
    pair.wait_ready("Running", "Standby");
    (site, pair)
}

/// What /etc/hosts of this world says.
#[track_caller]
fn resolve(name: &str, addresses: &[Ipv4Addr]) {
    let lines: Vec<String> = addresses.iter().map(|address| format!("{address} {name}\n")).collect();
    let file = "/run/hosts";
    let first = !fs::exists(file).unwrap();
    fs::write(file, format!("127.0.0.1 localhost\n{}", lines.concat())).unwrap();
    if first {
        run(&format!("mount --bind {file} /etc/hosts"));
    }
}
