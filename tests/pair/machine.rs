//! The machine that a node runs on: this one, or a network namespace with addresses of its own.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;

use super::ports;

#[derive(Clone, Debug)]
pub struct Machine {
    /// Of `ip netns`; none: the machine of the test.
    pub netns: Option<&'static str>,
    /// Where the other node meets it.
    pub link: Ipv4Addr,
    /// Where the test and people ask it.
    pub page: Ipv4Addr,
}

impl Machine {
    /// Both nodes on the loopback address, at ports of their own.
    pub fn this() -> Self {
        Self { netns: None, link: Ipv4Addr::LOCALHOST, page: Ipv4Addr::LOCALHOST }
    }

    /// A command on this machine, by the process that is started here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self.netns {
            None => Command::new(program),
            Some(name) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{name}")).arg("--").arg(program);
                command
            }
        }
    }

    /// What `hotpair run` needs to hear there.
    pub fn arguments(&self) -> &'static [&'static str] {
        if self.netns.is_some() { &["--insecure"] } else { &[] }
    }

    /// HTTP listens where the link is, so that the Master can prove its Backup dead, and where people ask.
    pub fn http_bind(&self) -> Ipv4Addr {
        if self.netns.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }
    }

    pub fn http_port(&self) -> u16 {
        if self.netns.is_some() { 8066 } else { ports::free() }
    }

    pub fn link_port(&self) -> u16 {
        if self.netns.is_some() { 8099 } else { ports::free() }
    }
}
