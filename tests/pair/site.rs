//! Two machines, as network namespaces, and the network between them, for a test in a [`super::world`].
//!
//! ```text
//!   master  link 10.7.1.2 ---- 10.7.1.1  the test,  10.7.2.1 ---- 10.7.2.2 link  backup
//!           page 10.8.1.2 ---- 10.8.1.1  a router   10.8.2.1 ---- 10.8.2.2 page
//! ```
//!
//! The nodes meet over the links; the test asks them over the pages, which nothing here cuts but a power cut. Nothing in
//! between tells a node that its packets are lost.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::machine::Machine;
use super::watch::Record;
use super::world::{run, works};

pub const MASTER: usize = 0;
pub const BACKUP: usize = 1;

const NAMES: [&str; 2] = ["master", "backup"];

pub struct Site {
    pub machines: [Machine; 2],
    /// Where it is marked that the link was cut and made whole.
    pub record: OnceLock<Record>,
}

impl Site {
    #[track_caller]
    pub fn build() -> Self {
        run("echo 1 > /proc/sys/net/ipv4/ip_forward");
        let machines = [MASTER, BACKUP].map(|which| Machine {
            netns: Some(NAMES[which]),
            link: Ipv4Addr::new(10, 7, number(which), 2),
            page: Ipv4Addr::new(10, 8, number(which), 2),
        });
        for which in [MASTER, BACKUP] {
            power_on(NAMES[which], which);
        }
        Self { machines, record: OnceLock::new() }
    }

    fn link_is(&self, whole: bool) {
        if let Some(record) = self.record.get() {
            record.link_is(whole);
        }
    }

    fn name(&self, which: usize) -> &'static str {
        self.machines[which].netns.expect("a machine of a site is a namespace")
    }

    /// The plug of a machine's link is pulled at the other side: no carrier.
    #[track_caller]
    pub fn unplug(&self, which: usize) {
        self.link_is(false);
        run(&format!("ip link set link-{} down", self.name(which)));
    }

    #[track_caller]
    pub fn plug(&self, which: usize) {
        run(&format!("ip link set link-{} up", self.name(which)));
        self.link_is(true);
    }

    /// Nothing of the link gets to this machine any more, and nobody is told.
    #[track_caller]
    pub fn swallow_towards(&self, which: usize) {
        self.link_is(false);
        run(&format!("ip route replace blackhole {}/32", self.machines[which].link));
    }

    /// As a firewall that says so: ICMP "administratively prohibited".
    #[track_caller]
    pub fn prohibit_towards(&self, which: usize) {
        self.link_is(false);
        run(&format!("ip route replace prohibit {}/32", self.machines[which].link));
    }

    /// Everything passes both ways again.
    pub fn let_pass(&self) {
        for machine in &self.machines {
            works(&format!("ip route del {}/32", machine.link));
        }
        self.link_is(true);
    }

    #[track_caller]
    pub fn cut(&self) {
        self.swallow_towards(MASTER);
        self.swallow_towards(BACKUP);
    }

    /// The machine shuts its own interface: the kernel knows of no way any more.
    #[track_caller]
    pub fn interface_down(&self, which: usize) {
        self.link_is(false);
        run(&format!("ip -n {} link set dev link down", self.name(which)));
    }

    #[track_caller]
    pub fn interface_up(&self, which: usize) {
        run(&format!("ip -n {} link set dev link up", self.name(which)));
        route(self.name(which), which);
        self.link_is(true);
    }

    /// Each direction carries so much, and the router keeps at most `queue_ms` of it waiting.
    #[track_caller]
    pub fn rate(&self, rate: &str, queue_ms: u32) {
        for name in [MASTER, BACKUP].map(|which| self.name(which)) {
            run(&format!("tc qdisc replace dev link-{name} root tbf rate {rate} burst 16kb latency {queue_ms}ms"));
        }
    }

    #[track_caller]
    pub fn full_speed(&self) {
        for name in [MASTER, BACKUP].map(|which| self.name(which)) {
            run(&format!("tc qdisc del dev link-{name} root"));
        }
    }

    /// How many bytes ever went over the link to this machine.
    #[track_caller]
    pub fn sent_to(&self, which: usize) -> u64 {
        let line = format!("ip -s -j link show dev link-{}", self.name(which));
        let output = Command::new("sh").args(["-c", &line]).output().expect("ip");
        let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON of ip");
        shown[0]["stats64"]["tx"]["bytes"].as_u64().expect("a counter of bytes")
    }

    /// The machine is dark at once: nobody hears of it, not even a goodbye of its kernel. Then its process is to be
    /// killed, and [`Self::power_off`] follows.
    #[track_caller]
    pub fn goes_dark(&self, which: usize) {
        self.link_is(false);
        run(&format!("ip link set link-{0} down && ip link set page-{0} down", self.name(which)));
    }

    /// Its kernel forgets all connections.
    #[track_caller]
    pub fn power_off(&self, which: usize) {
        // With the namespace go its ends of the cables, and sometimes ours.
        run(&format!("ip netns del {}", self.name(which)));
        for device in ["link", "page"] {
            works(&format!("ip link del {device}-{}", self.name(which)));
        }
    }

    #[track_caller]
    pub fn power_on(&self, which: usize) {
        power_on(self.name(which), which);
    }

    /// Gives a machine another address on its link instead of the one it has.
    #[track_caller]
    pub fn move_address(&self, which: usize, from: Ipv4Addr, to: Ipv4Addr) {
        let name = self.name(which);
        run(&format!("ip -n {name} addr del {from}/24 dev link && ip -n {name} addr add {to}/24 dev link"));
        route(self.name(which), which);
    }
}

fn number(which: usize) -> u8 {
    u8::try_from(which).expect("0 or 1") + 1
}

#[track_caller]
fn power_on(name: &str, which: usize) {
    let number = number(which);
    run(&format!("ip netns add {name} && ip -n {name} link set lo up"));
    for (device, network) in [("link", 7), ("page", 8)] {
        run(&format!(
            "ip link add {device}-{name} type veth peer name {device} netns {name} && \
             ip addr add 10.{network}.{number}.1/24 dev {device}-{name} && ip link set {device}-{name} up && \
             ip -n {name} addr add 10.{network}.{number}.2/24 dev {device} && ip -n {name} link set dev {device} up"
        ));
    }
    route(name, which);
}

#[track_caller]
fn route(name: &str, which: usize) {
    run(&format!("ip -n {name} route replace default via 10.7.{}.1", number(which)));
}
