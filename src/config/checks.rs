//! Values of `hotpair.toml` that are impossible, alone or together.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;

use hotpair_core::types::Mode;

use super::problem::{Problem, Problems};
use super::settings::Places;
use super::{AlarmSettings, Arbitration, Auth, Config, RedundancySettings};

/// The longest node name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// No time of the pair is longer than a day: a longer one is a slip of the unit.
const MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// An alarm that nobody acknowledged waits no longer than a year: a longer time is a slip of the unit.
const MAX_STALE_AFTER_H: u32 = 365 * 24;

/// So many entries of the alarm journal can be kept: fewer lose a shift's, more fill disks.
const JOURNAL_ENTRIES: std::ops::RangeInclusive<u64> = 1_000..=100_000_000;

/// More missed pings than this are a slip.
const MAX_MISSED_PINGS: u32 = 1000;

/// Adds what is wrong or unwise, in the order of the lines.
pub(super) fn check(config: &Config, places: &Places, insecure: bool, problems: &mut Problems) {
    let first = problems.len();
    let mut checks = Checks { places, problems };
    checks.node(config);
    checks.http(config, insecure);
    checks.times(&config.redundancy);
    if config.redundancy.mode != Mode::Independent {
        checks.link(config, insecure);
        checks.failover_time(&config.redundancy);
    }
    checks.alarms(&config.alarms);
    checks.files(config);
    problems.sort_from(first);
}

/// What heartbeats need to notice that a peer is unavailable: the last of the missed pings is sent and times out.
pub fn detection_time_ms(redundancy: &RedundancySettings) -> u64 {
    u64::from(redundancy.missed_pings.saturating_sub(1))
        .saturating_mul(redundancy.ping_rate_ms)
        .saturating_add(redundancy.ping_timeout_ms)
}

struct Checks<'a> {
    places: &'a Places,
    problems: &'a mut Problems,
}

impl Checks<'_> {
    fn error(&mut self, key: &str, found: impl Display, message: impl Into<String>, remedy: impl Into<String>) {
        self.tell(Problem::error(self.places.of(key), message, remedy).of(key).found(found));
    }

    fn warning(&mut self, key: &str, found: impl Display, message: impl Into<String>, remedy: impl Into<String>) {
        self.tell(Problem::warning(self.places.of(key), message, remedy).of(key).found(found));
    }

    fn tell(&mut self, problem: Problem) {
        // A value of the wrong type was replaced by the default: what is wrong with that helps nobody.
        if !self.places.is_told(&problem.key) {
            self.problems.push(problem);
        }
    }

    fn node(&mut self, config: &Config) {
        let name = &config.node.name;
        let key = "node.name";
        let shown = format!("{name:?}");
        if name.trim().is_empty() {
            self.error(key, shown, "must not be empty", "history is stored under it: the same on both nodes");
        } else if name.len() > MAX_NAME_BYTES {
            let message = format!("longer than {MAX_NAME_BYTES} bytes ({})", name.len());
            self.error(key, shown, message, "take a shorter one");
        } else if name.trim() != name || name.chars().any(char::is_control) {
            self.error(key, shown, "begins or ends with a space, or holds a control character", "remove it");
        }
        if let Some(address) = &config.node.public_address
            && address.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            let remedy = "write it like \"http://line1.example:8066\"";
            self.error("node.public_address", format!("{address:?}"), "must be an address without spaces", remedy);
        }
    }

    fn http(&mut self, config: &Config, insecure: bool) {
        let http = &config.http;
        if !http.enabled {
            return;
        }
        match http.auth {
            Auth::Required => {
                let remedy = "set auth = \"off\" (with a loopback http.bind, or run with --insecure)";
                self.error("http.auth", "\"required\"", "users are not available in this version", remedy);
            }
            Auth::Off if is_loopback(http.bind) => {}
            Auth::Off if insecure => {
                let message = "everybody who reaches this port can operate the plant (--insecure)";
                self.warning("http.bind", quoted(http.bind), message, "bind to \"127.0.0.1\" when that is not meant");
            }
            Auth::Off => {
                let message = "auth = \"off\" is accepted on a loopback address only";
                self.error(
                    "http.bind",
                    quoted(http.bind),
                    message,
                    "set http.bind = \"127.0.0.1\", or run with --insecure",
                );
            }
        }
        if let Some(advertise) = &http.advertise
            && !is_host_and_port(advertise)
        {
            let remedy = "write it like \"10.0.0.1:8066\", without http://";
            self.error("http.advertise", format!("{advertise:?}"), "must be a host and a port", remedy);
        }
    }

    fn times(&mut self, redundancy: &RedundancySettings) {
        let r = redundancy;
        for (key, value, least) in [
            ("redundancy.failover_time_ms", r.failover_time_ms, 1),
            ("redundancy.connection_wait_time_ms", r.connection_wait_time_ms, 0),
            ("redundancy.ping_rate_ms", r.ping_rate_ms, 1),
            ("redundancy.ping_timeout_ms", r.ping_timeout_ms, 1),
            ("redundancy.connect_timeout_ms", r.connect_timeout_ms, 1),
            ("redundancy.replication_timeout_ms", r.replication_timeout_ms, 1),
            ("redundancy.switch_timeout_ms", r.switch_timeout_ms, 1),
        ] {
            if value < least || value > MAX_MS {
                let message = format!("must be from {least} to {MAX_MS} milliseconds");
                self.error(key, value, message, format!("the default is {}", default_of(key)));
            }
        }
        if r.missed_pings == 0 || r.missed_pings > MAX_MISSED_PINGS {
            let message = format!("must be from 1 to {MAX_MISSED_PINGS}");
            self.error("redundancy.missed_pings", r.missed_pings, message, "the default is 3");
        }
        if r.arbitration == Arbitration::Witness {
            let key = "redundancy.arbitration";
            self.error(key, "\"witness\"", "not available in this version", "set arbitration = \"availability\"");
        }
    }

    fn failover_time(&mut self, r: &RedundancySettings) {
        let least = detection_time_ms(r);
        if r.failover_time_ms != 0 && r.failover_time_ms < least && least <= MAX_MS {
            let message = format!(
                "too short: a peer is unavailable after {least} ms at the earliest ({} missed pings: {} × ping_rate_ms {} \
                 + ping_timeout_ms {})",
                r.missed_pings,
                r.missed_pings.saturating_sub(1),
                r.ping_rate_ms,
                r.ping_timeout_ms
            );
            let remedy = format!("use at least {least}, or lower ping_rate_ms, ping_timeout_ms or missed_pings");
            self.error("redundancy.failover_time_ms", r.failover_time_ms, message, remedy);
        }
    }

    fn link(&mut self, config: &Config, insecure: bool) {
        let (redundancy, http) = (&config.redundancy, &config.http);
        match redundancy.mode {
            Mode::Independent => {}
            Mode::Master => {
                let (a, b) = (redundancy.port, http.port);
                if http.enabled && a == b && a != 0 && overlap(redundancy.bind, http.bind) {
                    let message = format!("the same port as http.port on {}", redundancy.bind);
                    self.error("redundancy.port", a, message, "give each its own port");
                }
                if !redundancy.use_ssl {
                    let open = (!is_loopback(redundancy.bind)).then(|| quoted(redundancy.bind));
                    self.plain_link("redundancy.bind", open, insecure);
                }
            }
            Mode::Backup => {
                let host = redundancy.master_host.as_str();
                let key = "redundancy.master_host";
                if host.is_empty() {
                    let message = "missing: a Backup connects to its Master";
                    self.tell(Problem::error(self.places.of(key), message, "set it to the Master's address").of(key));
                } else if !is_host(host) {
                    let remedy = "write it like \"10.0.0.1\"; the port goes into master_port";
                    self.error(key, format!("{host:?}"), "must be a host name or an IP address", remedy);
                } else if !redundancy.use_ssl {
                    let open = (!is_loopback_host(host)).then(|| format!("{host:?}"));
                    self.plain_link(key, open, insecure);
                }
                let port = redundancy.master_port;
                if port == 0 {
                    self.error("redundancy.master_port", port, "must be from 1 to 65535", "the default is 8099");
                } else if http.enabled && port == http.port && is_loopback_host(host) {
                    let message = "master_host and master_port point at this node's own HTTP port";
                    self.warning("redundancy.master_port", port, message, "set them to the Master's redundancy.port");
                }
            }
        }
        if redundancy.use_ssl {
            let remedy = "set use_ssl = false (with a loopback link address, or run with --insecure)";
            self.error("redundancy.use_ssl", true, "TLS is not available in this version", remedy);
        }
    }

    /// The link is not encrypted; `open` is its address when others can reach it.
    fn plain_link(&mut self, key: &str, open: Option<String>, insecure: bool) {
        let Some(found) = open else { return };
        if insecure {
            let message = "the link is not encrypted (--insecure)";
            self.warning(key, found, message, "use a network that nobody else reaches");
        } else {
            let message = "use_ssl = false is accepted on a loopback address only";
            self.error(key, found, message, format!("set {key} = \"127.0.0.1\", or run with --insecure"));
        }
    }

    fn alarms(&mut self, alarms: &AlarmSettings) {
        let hours = alarms.acknowledge_stale_after_h;
        if hours > MAX_STALE_AFTER_H {
            let message = format!("must be from 0 to {MAX_STALE_AFTER_H} hours");
            self.error("alarms.acknowledge_stale_after_h", hours, message, "the default is 0: never");
        }
        let (entries, allowed) = (alarms.journal_entries, JOURNAL_ENTRIES);
        if !allowed.contains(&entries) {
            let message = format!("must be from {} to {}", allowed.start(), allowed.end());
            self.error("alarms.journal_entries", entries, message, "the default is 1000000");
        }
    }

    fn files(&mut self, config: &Config) {
        let data_dir = &config.node.data_dir;
        if let Err(reason) = can_be_created(data_dir) {
            let message = format!("cannot be created or written: {reason}");
            let remedy = "set it to a folder that this user may write";
            self.error("node.data_dir", quoted(data_dir.display()), message, remedy);
        }
        let key = "license.file";
        let Some(file) = &config.license.file else { return };
        let found = quoted(file.display());
        // To pass it over would let somebody believe that it counts. Without the key the default is looked for too.
        if file.exists() {
            let message = "licence files are not available in this version";
            let remove = if self.places.has(key) { "the file and this key" } else { "the file" };
            self.error(key, found, message, format!("set license.modules instead, and remove {remove}"));
        } else if self.places.has(key) {
            let message = "there is no such file, and licence files are not available in this version";
            self.warning(key, found, message, "set license.modules instead, and remove this key");
        }
    }
}

fn quoted(value: impl Display) -> String {
    format!("\"{value}\"")
}

fn default_of(key: &str) -> u64 {
    let r = Config::new(Mode::Master).redundancy;
    match key {
        "redundancy.failover_time_ms" => r.failover_time_ms,
        "redundancy.connection_wait_time_ms" => r.connection_wait_time_ms,
        "redundancy.ping_rate_ms" => r.ping_rate_ms,
        "redundancy.ping_timeout_ms" => r.ping_timeout_ms,
        "redundancy.connect_timeout_ms" => r.connect_timeout_ms,
        "redundancy.replication_timeout_ms" => r.replication_timeout_ms,
        _ => r.switch_timeout_ms,
    }
}

/// Whether only this machine reaches it.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn is_loopback_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

/// Whether one port on both is one too many.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_unspecified() || b.is_unspecified()
}

fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
        || (host.len() <= 253 && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_')))
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    !host.is_empty() && is_host(host) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Tries it out in the nearest folder that is there, and leaves nothing behind.
fn can_be_created(folder: &Path) -> Result<(), String> {
    let here = Path::new(".");
    let nearest = folder.ancestors().map(|at| if at.as_os_str().is_empty() { here } else { at }).find(|at| at.exists());
    let Some(nearest) = nearest else { return Err("no part of this path is there".to_owned()) };
    if !nearest.is_dir() {
        return Err(format!("{} is not a folder", nearest.display()));
    }
    let trial = nearest.join(format!(".hotpair-check-{}", std::process::id()));
    match std::fs::create_dir(&trial) {
        Ok(()) => {
            // What stays behind when this fails is an empty folder.
            let _ = std::fs::remove_dir(&trial);
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(format!("{}: {error}", nearest.display())),
    }
}
