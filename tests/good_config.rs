//! Configurations that must load, what becomes of them, and that no file makes the reader panic.
#![cfg(feature = "service")]
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use hotpair::cli::{check, init};
use hotpair::config::project::HistoryMode;
use hotpair::config::sources::SourceDef;
use hotpair::config::{AlarmSettings, Auth, Config, Loaded, templates};
use hotpair::sources::{Replay, Simulator, Source};
use hotpair_core::alarms::{AckMode, AlarmCondition, AlarmId, AlarmPriority, LimitLevel, SystemAlarm, Watched};
use hotpair_core::catalog::TagId;
use hotpair_core::types::Mode;
use hotpair_core::value::Value;
use proptest::prelude::*;
use tempfile::TempDir;

const MODES: [Mode; 3] = [Mode::Independent, Mode::Master, Mode::Backup];

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn load(folder: &Path, environment: &[(&str, &str)]) -> Loaded {
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(&folder.join("hotpair.toml"), false, environment).unwrap_or_else(|problems| panic!("{problems}"))
}

fn template(mode: Mode) -> TempDir {
    let folder = TempDir::new().unwrap();
    init::run(mode, folder.path()).unwrap();
    folder
}

#[test]
fn what_init_writes_passes_the_check() {
    for mode in MODES {
        let folder = template(mode);
        let report = check::run(&folder.path().join("hotpair.toml"), false, []);
        assert!(report.problems.is_empty(), "{report}");
        assert_eq!(report.exit_status(), 0);
        assert!(report.to_string().contains(&format!("node \"Line1\", mode {mode}")), "{report}");
        assert!(report.to_string().contains(" tags with history (not recorded in this version), "), "{report}");
        assert!(report.to_string().ends_with("1 source: plant (simulator)\nno problems"), "{report}");
    }
}

#[test]
fn init_overwrites_nothing() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "project/tags.csv", "mine");
    let error = init::run(Mode::Master, folder.path()).unwrap_err();
    assert!(error.to_string().contains("project/tags.csv would be overwritten"), "{error}");
    assert_eq!(error.exit_status(), 2);
    assert!(!folder.path().join("hotpair.toml").exists());
    assert_eq!(std::fs::read_to_string(folder.path().join("project/tags.csv")).unwrap(), "mine");
    let report = check::run(&folder.path().join("hotpair.toml"), false, []);
    assert_eq!(report.exit_status(), 2);
}

#[test]
fn documented_timing_profiles_pass() {
    for (rate, timeout, missed, failover) in
        [(100, 300, 3, 1000), (20, 100, 5, 300), (10, 50, 3, 100), (1000, 3000, 3, 10_000)]
    {
        for mode in MODES {
            let mut config = embedded(mode);
            config.redundancy.ping_rate_ms = rate;
            config.redundancy.ping_timeout_ms = timeout;
            config.redundancy.missed_pings = missed;
            config.redundancy.failover_time_ms = failover;
            let problems = config.validate(false);
            assert!(problems.is_empty(), "{problems}");
        }
    }
}

/// What a program that embeds a node builds.
fn embedded(mode: Mode) -> Config {
    let mut config = Config::new(mode);
    config.node.name = String::from("Line1");
    config.node.data_dir = std::env::temp_dir();
    config.http.auth = Auth::Off;
    config.redundancy.bind = "127.0.0.1".parse().unwrap();
    config.redundancy.master_host = String::from("localhost");
    config.redundancy.use_ssl = false;
    config
}

#[test]
fn an_embedding_program_hears_what_is_wrong() {
    let mut config = embedded(Mode::Master);
    config.node.name.clear();
    config.redundancy.failover_time_ms = 50;
    assert_eq!(
        config.validate(false).to_string(),
        "node.name = \"\": must not be empty; history is stored under it: the same on both nodes\n\
         redundancy.failover_time_ms = 50: too short: a peer is unavailable after 500 ms at the earliest (3 missed \
         pings: 2 × ping_rate_ms 100 + ping_timeout_ms 300); use at least 500, or lower ping_rate_ms, ping_timeout_ms \
         or missed_pings"
    );
    // Without HTTP nobody asks who may use it.
    let mut config = embedded(Mode::Backup);
    config.http.enabled = false;
    config.http.auth = Auth::Required;
    assert!(config.validate(false).is_empty());
}

#[test]
fn the_environment_overrides_the_file() {
    let folder = template(Mode::Master);
    let loaded = load(
        folder.path(),
        &[
            ("HOTPAIR__REDUNDANCY__PORT", "0"),
            ("HOTPAIR__REDUNDANCY__MODE", "backup"),
            ("HOTPAIR__HTTP__ENABLED", "false"),
            ("HOTPAIR__LICENSE__MODULES", "alarms, history"),
            ("HOTPAIR__NODE__NAME", "42"),
            ("HOTPAIR__ALARMS__ACKNOWLEDGE_STALE_AFTER_H", "24"),
            ("HOTPAIR_OTHER", "not ours"),
        ],
    );
    assert_eq!(loaded.config.redundancy.port, 0);
    assert_eq!(loaded.config.redundancy.mode, Mode::Backup);
    assert!(!loaded.config.http.enabled);
    assert_eq!(loaded.config.license.modules, ["alarms", "history"]);
    assert_eq!(loaded.config.node.name, "42");
    let alarms = AlarmSettings { acknowledge_stale_after_h: 24, journal_entries: 1_000_000 };
    assert_eq!(loaded.config.alarms, alarms);
    assert_eq!(loaded.config.node.data_dir, folder.path().join("data-master"));
}

#[test]
fn a_european_spreadsheet_is_read() {
    let folder = template(Mode::Independent);
    write(folder.path(), "project/alarms.csv", "\u{feff}tag;kind;limit\r\nPlant/Area1/Tank1/Level;H;99,5\r\n;;\r\n");
    write(
        folder.path(),
        "project/tags.csv",
        "\u{feff}path;type;writable;initial;eu_high;history;\r\nPlant/Area1/Tank1/Level;Float64;FALSE;0,5;100;raw;\r\nPlant/B;String;TRUE;a,b;;;\r\n;;;;;;\r\n",
    );
    let project = load(folder.path(), &[]).project;
    let a = project.catalog.get(project.catalog.find("Plant/Area1/Tank1/Level").unwrap()).unwrap();
    assert_eq!(a.initial, Some(Value::Float64(0.5)));
    assert!(a.source_fed && !a.retain);
    let b = project.catalog.get(project.catalog.find("Plant/B").unwrap()).unwrap();
    assert_eq!(b.initial, Some(Value::String("a,b".into())));
    assert!(b.writable && b.retain && !b.source_fed);
    assert_eq!(project.tag_history, [Some(HistoryMode::Raw), None]);
    let alarm = project.alarms.get(AlarmId(0)).unwrap();
    assert!(matches!(alarm.condition, AlarmCondition::Limit { limit: 99.5, .. }));
    assert_eq!((&*alarm.path, &*alarm.name), ("Plant/Area1/Tank1/Level", "H"));
    assert_eq!(project.catalog.find("System/Sources/plant/Position"), None);
}

#[test]
fn alarms_become_what_core_judges() {
    let folder = template(Mode::Independent);
    write(folder.path(), "project/sources.toml", "");
    write(folder.path(), "project/tags.csv", "path,type,eu_low,eu_high\nA,Float64,-20,60\nB,Bool,,\nC,Int64,,\n");
    write(
        folder.path(),
        "project/alarms.csv",
        "tag,name,kind,limit,inclusive,deadband,period_ms,active_delay_ms,resume_delay_ms,priority,ack_mode,description\n\
         A,Fast,RateOfChange,2.5,true,0.5,60000,,,,,\nA,,RateOfChange,2.5,,,,,,,,\n\
         A,,L2,-10,TRUE,1,,200,3000,Critical,ManualWithComment,cold\n\
         B,,FalseToTrue,,,,,,,Low,Automatic,\nC,,Equivalent,7,,,,,,,,\n",
    );
    let project = load(folder.path(), &[]).project;
    let alarms: Vec<_> = project.alarms.iter().map(|(_, alarm)| alarm).collect();
    let rate = |inclusive, deadband, period_ms| AlarmCondition::RateOfChange {
        limit: 2.5,
        inclusive,
        deadband,
        period_ms,
        range: 80.0,
    };
    assert_eq!((&*alarms[0].name, &alarms[0].condition), ("Fast", &rate(true, 0.5, 60_000)));
    assert_eq!((&*alarms[1].name, &alarms[1].condition), ("RateOfChange", &rate(false, 0.0, 1_000)));
    assert_eq!((alarms[1].priority, alarms[1].ack_mode), (AlarmPriority::Medium, AckMode::Manual));
    let level = AlarmCondition::Limit { level: LimitLevel::L2, limit: -10.0, inclusive: true, deadband: 1.0 };
    assert_eq!((&*alarms[2].path, &*alarms[2].name, &alarms[2].condition), ("A", "L2", &level));
    assert_eq!((alarms[2].active_delay_ms, alarms[2].resume_delay_ms), (200, 3_000));
    assert_eq!((alarms[2].priority, alarms[2].ack_mode), (AlarmPriority::Critical, AckMode::ManualWithComment));
    assert_eq!((&*alarms[2].description, alarms[2].watched), ("cold", Watched::Tag(TagId(0))));
    assert_eq!((&alarms[3].condition, alarms[3].ack_mode), (&AlarmCondition::FalseToTrue, AckMode::Automatic));
    assert_eq!(alarms[4].condition, AlarmCondition::Equivalent(Value::Int64(7)));
    assert_eq!((alarms[4].watched, alarms.len()), (Watched::Tag(TagId(2)), 5 + SystemAlarm::ALL.len()));
    let report = check::run(&folder.path().join("hotpair.toml"), false, []);
    assert!(report.to_string().contains("3 tags, 5 alarms, 0 sources"), "{report}");
}

#[test]
fn a_replay_feeds_the_tags_of_its_header() {
    let folder = template(Mode::Independent);
    write(folder.path(), "project/alarms.csv", "");
    write(folder.path(), "project/tags.csv", "path,type\nPlant/A,Float64\nPlant/B,Float64\n");
    write(
        folder.path(),
        "project/sources.toml",
        "[[source]]\nname=\"r\"\ntype=\"replay\"\nfile=\"run.csv\"\nspeed=2\n",
    );
    write(folder.path(), "project/run.csv", "t,Plant/B\r\n0,1\r\n");
    let project = load(folder.path(), &[]).project;
    let fed: Vec<_> = project.catalog.iter().map(|(_, tag)| tag.source_fed).collect();
    assert_eq!(fed, [false, true, true]);
    let position = project.catalog.get(project.catalog.find("System/Sources/r/Position").unwrap()).unwrap();
    assert!(!position.retain && !position.writable);
    let SourceDef::Replay(replay) = &project.sources[0] else { panic!("a replay") };
    assert_eq!((replay.time_column.as_str(), replay.speed, replay.delimiter), ("t", 2.0, b','));
    let names: Vec<_> = project.hash.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["tags.csv", "sources.toml", "run.csv", "history.toml"]);

    // Line ends do not count, content does.
    write(folder.path(), "project/run.csv", "t,Plant/B\n0,1\n");
    assert_eq!(load(folder.path(), &[]).project.hash, project.hash);
    write(folder.path(), "project/run.csv", "t,Plant/B\n0,2\n");
    assert_ne!(load(folder.path(), &[]).project.hash, project.hash);
}

#[test]
fn a_source_is_made_from_what_the_file_says() {
    let folder = template(Mode::Independent);
    write(folder.path(), "project/alarms.csv", "");
    write(folder.path(), "project/tags.csv", "path,type\nPlant/A,Float64\nPlant/Area1/Tank1/Level,Float64\n");
    let sources = "[[source]]\nname=\"r\"\ntype=\"replay\"\nfile=\"run.csv\"\ntime_unit=\"h\"\n[[source]]\nname=\"s\"\ntype=\"simulator\"\n";
    write(folder.path(), "project/sources.toml", sources);
    write(folder.path(), "project/run.csv", "\u{feff}t;Plant/A\r\n0,5;1,5\r\n");
    let project = load(folder.path(), &[]).project;
    for (source, feeds) in
        project.sources.iter().zip([vec!["Plant/A", "System/Sources/r/Position"], vec!["Plant/Area1/Tank1/Level"]])
    {
        let source: Box<dyn Source> = match source {
            SourceDef::Replay(def) => Box::new(Replay::open(def.into(), project.catalog.clone()).unwrap()),
            SourceDef::Simulator(def) => Box::new(Simulator::new(def.into(), &project.catalog).unwrap()),
        };
        assert_eq!(source.paths().iter().map(|path| &**path).collect::<Vec<_>>(), feeds);
        assert!(feeds.iter().all(|path| project.catalog.get(project.catalog.find(path).unwrap()).unwrap().source_fed));
    }
}

#[test]
fn a_hundred_thousand_tags_load_quickly() {
    let folder = template(Mode::Independent);
    let mut tags =
        "path,type,unit,description,writable,initial,retain,eu_low,eu_high,deadband,history,stale_after_ms\n"
            .to_owned();
    for tag in 0..100_000 {
        let area = tag % 100;
        writeln!(tags, "Plant/Area{area}/Tag{tag},Float64,°C,a tag of many,false,40,,0,120,0.15,on_change,").unwrap();
    }
    write(folder.path(), "project/tags.csv", tags);
    write(folder.path(), "project/alarms.csv", "");
    let start = std::time::Instant::now();
    let project = load(folder.path(), &[]).project;
    let took = start.elapsed();
    assert_eq!(project.catalog.len(), 100_000);
    println!("100,000 tags in {took:?}");
    // Without optimisation, on a busy machine; optimised it is far below a second.
    assert!(took.as_secs() < 20, "{took:?}");
}

/// A file with some of its bytes replaced, dropped or doubled.
fn mutated(content: &str, mutations: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = content.as_bytes().to_vec();
    for &(at, how, byte) in mutations {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match how % 4 {
            0 => bytes[at] = byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, byte),
            _ => bytes.insert(at, b"\n,\";=[]#*/.-0\r"[usize::from(byte) % 14]),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_makes_the_reader_panic(
        which in 0..5_usize,
        mutations in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..12),
    ) {
        let folder = template(Mode::Master);
        let toml = templates::hotpair_toml(Mode::Master);
        let (name, content) = [
            ("hotpair.toml", toml.as_str()),
            ("project/tags.csv", templates::TAGS_CSV),
            ("project/alarms.csv", templates::ALARMS_CSV),
            ("project/sources.toml", templates::SOURCES_TOML),
            ("project/history.toml", "[history]\nkeep_days = 30\n"),
        ][which];
        write(folder.path(), name, mutated(content, &mutations));
        let report = check::run(&folder.path().join("hotpair.toml"), false, []);
        prop_assert!(!report.to_string().is_empty());
    }
}
