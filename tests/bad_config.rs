//! Broken configurations, each with the exact message it gives: see `bad_config/expected.txt`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test bad_config` writes that file anew: read the difference.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use hotpair::config::{Config, Problems};
use tempfile::TempDir;

const GOOD: &str = r#"[node]
name = "Line1"
data_dir = "data"
[project]
dir = "project"
[http]
port = 8066
auth = "off"
[redundancy]
mode = "master"
bind = "127.0.0.1"
use_ssl = false
"#;
const BACKUP: &str = "mode = \"backup\"\nmaster_host = \"127.0.0.1\"";
const TAGS: &str = "path,type,writable,initial,eu_low,eu_high,deadband,history\n\
    Plant/Level,Float64,,50,0,100,0.1,on_change\nPlant/Setpoint,Float64,true,,,,,\nPlant/Trip,Bool,,,,,,\n\
    Plant/Note,String,,,,,,\n";
/// Two tags that a simulator feeds and one that it reads.
const TANK: &str = "Plant/Area1/Tank1/Level,Float64\nPlant/Area1/Tank1/Pump/Running,Bool\n\
    Plant/Area1/Tank1/Pump/Command,Bool,true";
const RATES_WITHOUT_RANGE: &str = "Plant/Setpoint,,RateOfChange,5\nPlant/A,,RateOfChange,5";
const WIDE_DEADBANDS: &str = "Plant/Level,,H2,90,,11\nPlant/Level,,H,80,,61\nPlant/Level,,L,20,,60\n\
    Plant/Level,,L2,10,,10\nPlant/Level,,L3,5,,6";
const SIMULATOR: &str = "[[source]]\nname = \"plant\"\ntype = \"simulator\"\n";

/// A configuration on disk and its environment.
struct Case {
    folder: TempDir,
    insecure: bool,
    environment: Vec<(OsString, OsString)>,
}

impl Case {
    fn new() -> Self {
        let case = Self { folder: TempDir::new().unwrap(), insecure: false, environment: Vec::new() };
        case.file("hotpair.toml", GOOD).file("project/tags.csv", TAGS)
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// The good file with `from` replaced.
    fn toml(self, from: &str, to: &str) -> Self {
        assert!(GOOD.contains(from), "{from}");
        self.file("hotpair.toml", GOOD.replace(from, to))
    }

    /// The good file with lines at its end: in `[redundancy]`.
    fn more(self, lines: &str) -> Self {
        self.file("hotpair.toml", format!("{GOOD}{lines}\n"))
    }

    fn tag(self, row: &str) -> Self {
        self.file("project/tags.csv", format!("{TAGS}{row}\n"))
    }

    fn alarm(self, row: &str) -> Self {
        let header = "tag,name,kind,limit,inclusive,deadband,active_delay_ms,priority,ack_mode,period_ms,description";
        self.file("project/alarms.csv", format!("{header}\n{row}\n"))
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    fn load(&self) -> Problems {
        match Config::load(&self.folder.path().join("hotpair.toml"), self.insecure, self.environment.clone()) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => problems,
        }
    }

    /// The problems, without the folder's name.
    fn shown(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.load().to_string().replace(&folder, "")
    }
}

fn cases() -> Vec<(&'static str, Case)> {
    let new = Case::new;
    vec![
        ("no such file", Case { folder: TempDir::new().unwrap(), insecure: false, environment: vec![] }),
        ("not TOML, twice", new().file("hotpair.toml", "[node]\nname = \n[http]\nport = 80 66\n")),
        ("not UTF-8", new().file("hotpair.toml", b"[node]\nname = \"W\xE4rme\"\n")),
        ("an empty file", new().file("hotpair.toml", "")),
        ("unknown section", new().toml("[http]", "[htpp]")),
        ("unknown key", new().toml("port = 8066", "prot = 8066")),
        ("unknown key without a likeness", new().more("color = 1")),
        ("key in the wrong section", new().toml("port = 8066", "port = 8066\nmaster_host = \"a\"")),
        ("key before any section", new().file("hotpair.toml", format!("name = \"x\"\n{GOOD}"))),
        ("the same key twice", new().toml("port = 8066", "port = 8066\nport = 8067")),
        ("number as text", new().toml("port = 8066", "port = \"8066\"")),
        ("text as number", new().toml("\"Line1\"", "1")),
        ("flag as text", new().toml("use_ssl = false", "use_ssl = \"no\"")),
        ("port too large", new().toml("8066", "80660")),
        ("negative time", new().more("ping_rate_ms = -5")),
        ("unknown word", new().toml("\"master\"", "\"primary\"")),
        ("misspelt word", new().more("recovery_mode = \"automatc\"")),
        ("modules not a list", new().more("[license]\nmodules = \"alarms\"")),
        ("bind is a name", new().toml("127.0.0.1", "line1.example")),
        ("failover time too short", new().more("failover_time_ms = 50")),
        ("ping rate 0", new().more("ping_rate_ms = 0")),
        ("missed pings 0", new().more("missed_pings = 0")),
        ("a week", new().more("switch_timeout_ms = 604800000")),
        ("no mode, no name", new().file("hotpair.toml", "[http]\nauth = \"off\"\n[node]\ndata_dir = \"data\"\n")),
        ("empty name", new().toml("Line1", " ")),
        ("long name", new().toml("Line1", &"x".repeat(65))),
        ("public address with a space", new().toml("name =", "public_address = \"a b\"\nname =")),
        ("data_dir is under a file", new().toml("\"data\"", "\"hotpair.toml/data\"")),
        ("one port for two", new().toml("8066", "8099")),
        ("backup without a master", new().toml("mode = \"master\"", "mode = \"backup\"")),
        (
            "master_host with a port",
            new().toml("mode = \"master\"", "mode = \"backup\"\nmaster_host = \"10.0.0.1:8099\""),
        ),
        ("backup connects to itself", new().toml("mode = \"master\"", &format!("{BACKUP}\nmaster_port = 8066"))),
        ("open backup link", new().toml("mode = \"master\"", "mode = \"backup\"\nmaster_host = \"10.0.0.1\"")),
        ("open master link", new().toml("bind = \"127.0.0.1\"", "bind = \"0.0.0.0\"")),
        ("open master link by default", new().toml("bind = \"127.0.0.1\"\n", "")),
        ("open page", new().toml("port = 8066", "bind = \"0.0.0.0\"")),
        (
            "all open, insecure",
            new()
                .file("hotpair.toml", GOOD.replace("127.0.0.1", "0.0.0.0").replace("port = 8066", "bind = \"0.0.0.0\""))
                .insecure(),
        ),
        ("later: users", new().toml("auth = \"off\"\n", "")),
        ("later: TLS of the link", new().toml("use_ssl = false", "use_ssl = true")),
        ("later: TLS of the page", new().more("[http.tls]\ncert = \"a\"")),
        ("later: witness", new().more("arbitration = \"witness\"")),
        ("advertise is a URL", new().toml("port = 8066", "advertise = \"http://a:8066\"")),
        ("later: licence file", new().more("[license]\nfile = \"signed.jwt\"").file("signed.jwt", "x")),
        ("later: licence file of the default name", new().file("license.jwt", "x")),
        ("licence file is not there", new().more("[license]\nfile = \"license.jwt\"")),
        ("unknown log level", new().more("[log]\nlevel = \"verbose\"")),
        ("alarms waiting for two years", new().more("[alarms]\nacknowledge_stale_after_h = 17520")),
        ("a journal of nothing", new().more("[alarms]\njournal_entries = 0")),
        ("a journal of everything", new().variable("HOTPAIR__ALARMS__JOURNAL_ENTRIES", "1000000000")),
        ("unknown key of alarms", new().more("[alarms]\nstale_after_h = 1")),
        ("unknown variable", new().variable("HOTPAIR__REDUNDANCY__PROT", "1")),
        ("unknown variable without a likeness", new().variable("HOTPAIR__COLOR", "red")),
        ("wrong value in a variable", new().variable("HOTPAIR__REDUNDANCY__PORT", "eighty")),
        ("impossible value in a variable", new().variable("HOTPAIR__REDUNDANCY__FAILOVER_TIME_MS", "1")),
        ("no project", new().toml("\"project\"", "\"elsewhere\"")),
        ("no tags", new().file("project/tags.csv", "path,type\n")),
        ("empty tags.csv", new().file("project/tags.csv", "")),
        ("unknown column", new().file("project/tags.csv", "path,typ\nPlant/A,Bool\n")),
        ("column twice", new().file("project/tags.csv", "path,type,type\nPlant/A,Bool,Bool\n")),
        ("tags.csv not UTF-8", new().file("project/tags.csv", b"path,type,unit\nPlant/A,Float64,\xB0C\n")),
        ("unknown type", new().tag("Plant/A,Float32")),
        (
            "line numbers count empty lines",
            new().file("project/tags.csv", "\n\npath,type\r\n\r\n\r\nPlant/A,Bit\r\n,\r\nPlant/B,Bit\n"),
        ),
        (
            "simulator too fast",
            new().tag(TANK).file("project/sources.toml", format!("{SIMULATOR}step_ms = 1\nseed = 5\n")),
        ),
        ("path twice", new().tag("Plant/Level,Float64")),
        ("bad paths", new().tag("/Plant/A,Bool\nPlant//B,Bool\nPlant/C/,Bool\nPlant/*,Bool\nSystem/A,Bool\n,Bool")),
        ("path with a line break", new().tag("\"Plant/\nA\",Bool")),
        ("long path", new().tag(&format!("Plant/{},Bool", "x".repeat(256)))),
        (
            "initial does not fit",
            new().tag("Plant/A,Int64,,1.5\nPlant/B,Bool,,2\nPlant/C,DateTime,,noon\nPlant/D,Float64,,NaN"),
        ),
        ("initial out of range", new().tag("Plant/A,Float64,,150,0,100")),
        ("range upside down", new().tag("Plant/A,Float64,,,100,0")),
        ("range of a Bool", new().tag("Plant/A,Bool,,,0,1")),
        ("negative deadband", new().tag("Plant/A,Float64,,,,,-1")),
        ("unknown flag and history", new().tag("Plant/A,Bool,yes,,,,,onchange")),
        ("too many cells", new().tag("Plant/A,Bool,,,,,,,a, b")),
        ("open quote", new().tag("Plant/A,String,,\"abc\nPlant/B,Bool")),
        ("many problems", new().file("project/tags.csv", many_broken_rows())),
        ("alarm on no tag", new().alarm("Plant/Lvel,,H,1")),
        ("alarm of an unknown kind", new().alarm("Plant/Level,,HH,1")),
        ("alarm that does not fit the type", new().alarm("Plant/Trip,,H,1\nPlant/Level,,FalseToTrue\nPlant/Note,,L,1")),
        (
            "alarm without a limit",
            new().alarm("Plant/Level,,H\nPlant/Level,a,Equivalent\nPlant/Level,,RateOfChange,-1"),
        ),
        ("alarm with wrong cells", new().alarm("Plant/Level,,H,1,maybe,-1,soon,Urgent,Auto")),
        ("alarm twice", new().alarm("Plant/Level,,H,1\nPlant/Level,,H,2")),
        ("alarm twice, once by the name of its kind", new().alarm("Plant/Level,,H,1\nPlant/Level,H,L,0")),
        ("names of alarms", new().alarm("Plant/Level,a/b,H,1\nPlant/Level,a*,H,1\nPlant/Level,\"a\nb\",H,1")),
        ("long name of an alarm", new().alarm(&format!("Plant/Level,{},H,1", "x".repeat(129)))),
        ("long description of an alarm", new().alarm(&format!("Plant/Level,,H,1,,,,,,,{}", "x".repeat(513)))),
        ("alarm named like a tag", new().tag("Plant/Level/H,Bool").alarm("Plant/Level,,H,90")),
        ("alarm on the program's own tag", new().alarm("System/Redundancy/PeerNode/IsConnected,,TrueToFalse")),
        ("delays of a week", new().alarm("Plant/Level,,H,90,,,604800000")),
        ("rate of change without a range", new().tag("Plant/A,Float64,,,0").alarm(RATES_WITHOUT_RANGE)),
        ("rate of change of a range upside down", new().tag("Plant/A,Float64,,,9,1").alarm("Plant/A,,RateOfChange,5")),
        (
            "rate of change that never clears",
            new().alarm("Plant/Level,,RateOfChange,5,,5\nPlant/Level,a,RateOfChange,120"),
        ),
        (
            "periods",
            new().alarm(
                "Plant/Level,,H,90,,,,,,1000\nPlant/Level,a,RateOfChange,5,,,,,,0\nPlant/Level,b,RateOfChange,5,,,,,,1.5\n\
                 Plant/Level,c,RateOfChange,5,,,,,,86400001",
            ),
        ),
        ("limits do not rise", new().alarm("Plant/Level,,H,90\nPlant/Level,,H2,80")),
        ("limits outside of the range", new().alarm("Plant/Level,,H,110\nPlant/Level,,L,-1\nPlant/Level,,L2,-5,,2")),
        ("dead-band over the range", new().alarm("Plant/Level,,H,90,,95\nPlant/Setpoint,,H,90,,95")),
        ("dead-bands over the next limit", new().alarm(WIDE_DEADBANDS)),
        ("source of a later type", new().file("project/sources.toml", "[[source]]\nname = \"a\"\ntype = \"mqtt\"\n")),
        ("source without name and type", new().file("project/sources.toml", "[[source]]\n")),
        ("source with unknown keys", new().tag(TANK).file("project/sources.toml", format!("{SIMULATOR}step = 5\n"))),
        ("[source] instead of [[source]]", new().file("project/sources.toml", "[source]\nname = \"a\"\n")),
        (
            "two sources of one name",
            new().tag(TANK).file("project/sources.toml", format!("{SIMULATOR}{SIMULATOR}root = \"Other/\"\n")),
        ),
        (
            "two sources of one tag",
            new().tag(TANK).file("project/sources.toml", format!("{SIMULATOR}{}", SIMULATOR.replace("plant", "b"))),
        ),
        ("simulator with nothing to feed", new().file("project/sources.toml", SIMULATOR)),
        ("replay of a folder", new().file("project/sources.toml", replay("file = \".\""))),
        ("key that a terminal would obey", new().more("\"\\u001b[31m\" = 1")),
        ("file of another kind", new().file("hotpair.toml", many_keys())),
        ("replay without a file", new().file("project/sources.toml", replay("")).file("project/b.csv", "")),
        (
            "replay of no file",
            new().file("project/sources.toml", replay("file = \"a.csv\"\nspeed = 0\ntime_unit = \"min\"")),
        ),
        (
            "replay of unknown tags",
            new()
                .file("project/sources.toml", replay("file = \"a.csv\""))
                .file("project/a.csv", "time,Plant/Levl,x y\n0,1,2\n"),
        ),
        (
            "replay without its time column",
            new()
                .file("project/sources.toml", replay("file = \"a.csv\"\ntime_column = \"t\""))
                .file("project/a.csv", "time,Plant/Level\n"),
        ),
        ("history", new().file("project/history.toml", "[history]\nkeep_days = 0\nkeep = 1\n")),
        (
            "problems of all files at once",
            new()
                .toml("8066", "\"x\"")
                .tag("Plant/A,Bol")
                .alarm("Plant/B,,H,1")
                .file("project/sources.toml", replay("file = \"a.csv\""))
                .file("project/history.toml", "[hist]\n"),
        ),
    ]
}

/// More unknown keys than are told.
fn many_keys() -> String {
    (0..30).map(|key| format!("k{key:02} = 1")).collect::<Vec<_>>().join("\n")
}

fn replay(lines: &str) -> String {
    format!("[[source]]\nname = \"recording\"\ntype = \"replay\"\n{lines}\n")
}

fn many_broken_rows() -> String {
    let mut text = "path,type\n".to_owned();
    for row in 0..22 {
        writeln!(text, "Plant/{row},float").unwrap();
    }
    text
}

#[test]
fn every_problem_says_what_where_and_how_to_mend_it() {
    let mut shown = String::new();
    for (name, case) in cases() {
        writeln!(shown, "# {name}\n{}\n", case.shown()).unwrap();
    }
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_config/expected.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(expected.parent().unwrap()).unwrap();
        std::fs::write(&expected, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(expected).unwrap();
    let mut blocks = expected.split("\n# ");
    for block in shown.split("\n# ") {
        assert_eq!(Some(block), blocks.next(), "UPDATE_SNAPSHOTS=1 writes the file anew");
    }
    assert_eq!(blocks.next(), None);
}

#[test]
fn every_case_is_a_problem() {
    for (name, case) in cases() {
        assert!(!case.load().is_empty(), "{name}");
    }
}
