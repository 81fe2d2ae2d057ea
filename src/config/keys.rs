//! The keys of `hotpair.toml`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use hotpair_core::types::{Mode, RecoveryMode, StandbyActivityLevel};

use super::problem::{Problem, Problems};
use super::settings::{Document, Places, Settings};
use super::values::words;
use super::{Arbitration, Auth, Config, LogFormat, LogLevel};

words!(Mode { "independent" => Self::Independent, "master" => Self::Master, "backup" => Self::Backup });
words!(RecoveryMode { "automatic" => Self::Automatic, "manual" => Self::Manual });
words!(StandbyActivityLevel { "cold" => Self::Cold, "warm" => Self::Warm });
words!(Auth { "required" => Self::Required, "off" => Self::Off });
words!(Arbitration { "availability" => Self::Availability, "witness" => Self::Witness });
words!(LogFormat { "text" => Self::Text, "json" => Self::Json });
words!(LogLevel {
    "error" => Self::Error,
    "warn" => Self::Warn,
    "info" => Self::Info,
    "debug" => Self::Debug,
    "trace" => Self::Trace,
});

const SECTIONS: [&str; 8] = ["node", "project", "http", "redundancy", "alarms", "license", "hooks", "log"];

/// Reads the file and the environment; the places say where each key stands. None when there is no such file or it is
/// not TOML.
pub(super) fn read(
    path: &Path,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Problems,
) -> Option<(Config, Places)> {
    let document = Document::read(path, problems)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&document, folder, environment, problems)
}

fn parse(
    document: &Document,
    folder: &Path,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Problems,
) -> Option<(Config, Places)> {
    let mut result = None;
    document.parse(problems, |document, top, problems| {
        let first = problems.len();
        let mut settings = document.sections(top, problems, &SECTIONS);
        settings.override_from(environment, problems);
        result = Some(take(settings, folder, problems));
        problems.sort_from(first);
    });
    result
}

fn take(mut settings: Settings, folder: &Path, problems: &mut Problems) -> (Config, Places) {
    for (key, remedy) in [
        ("node.name", "set it to the plant's or the line's name, the same on both nodes"),
        ("redundancy.mode", "set it to \"independent\", \"master\" or \"backup\""),
    ] {
        settings.require(key, remedy, problems);
    }
    if let Some(place) = settings.present("http.tls") {
        problems.push(
            Problem::error(&place, "not available in this version", "remove the section [http.tls]").of("http.tls"),
        );
    }

    let mut config = Config::new(Mode::Independent);
    let Config { node, project, http, redundancy, alarms, license, hooks, log } = &mut config;
    // One line a key; the key's name is the field's.
    macro_rules! take {
        ($($section:ident: $($key:ident),*;)*) => {$($(
            settings.set(concat!(stringify!($section), ".", stringify!($key)), &mut $section.$key, problems);
        )*)*};
    }
    take! {
        node: name, data_dir, public_address;
        project: dir;
        http: enabled, bind, port, https_port, auth, advertise;
        redundancy: mode, standby_activity_level, failover_time_ms, connection_wait_time_ms, recovery_mode, bind, port,
            master_host, master_port, use_ssl, ping_rate_ms, ping_timeout_ms, missed_pings, connect_timeout_ms,
            fast_failover, replication_timeout_ms, switch_timeout_ms, arbitration;
        alarms: acknowledge_stale_after_h, journal_entries;
        license: file, modules;
        hooks: on_running, on_standby;
        log: format, level;
    }
    for path in [&mut node.data_dir, &mut project.dir].into_iter().chain(license.file.as_mut()) {
        *path = resolved(folder, path);
    }
    (config, settings.finish(problems))
}

fn resolved(folder: &Path, path: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { path.to_owned() } else { folder.join(path) }
}
