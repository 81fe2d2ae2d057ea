use std::collections::BTreeMap;
use std::io::Write as _;

use hotpair_core::value::Sample;

use super::*;

const START: i64 = 1_767_600_000_000;
/// Ten minutes between rows become one second.
const SPEED: f64 = 600.0;

type Tags = BTreeMap<String, Sample>;

fn float_tag(path: &str) -> TagDef {
    TagDef { path: path.into(), source_fed: true, ..position_tag("te") }
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/te_idv1_20.csv")
}

fn settings(file: PathBuf, repeat: bool) -> ReplaySettings {
    ReplaySettings {
        name: "te".to_owned(),
        file,
        delimiter: b',',
        time_column: "hours".to_owned(),
        time_unit: TimeUnit::Hours,
        speed: SPEED,
        repeat,
    }
}

fn te(repeat: bool) -> Replay {
    let settings = settings(fixture(), repeat);
    let mut tags: Vec<_> = header_paths(&settings).unwrap().iter().map(|path| float_tag(path)).collect();
    tags.push(position_tag("te"));
    Replay::open(settings, Arc::new(Catalog::new(tags).unwrap())).unwrap()
}

fn at(after_ms: u64) -> SourceTime {
    SourceTime { unix: UnixMillis(START + after_ms.cast_signed()), mono_ms: after_ms }
}

fn apply(tags: &mut Tags, out: Vec<SourceUpdate>) {
    for update in out {
        let sample = Sample { value: update.value, quality: update.quality, time: update.time };
        tags.insert(update.path.to_string(), sample);
    }
}

/// Steps until nothing is due before `until_ms`; the column XMEAS01 of each row that came.
fn run(replay: &mut Replay, tags: &mut Tags, now_ms: &mut u64, until_ms: u64) -> Vec<(i64, Value)> {
    let mut rows = Vec::new();
    while *now_ms < until_ms {
        let mut out = Vec::new();
        let next = replay.step(at(*now_ms), tags, &mut out);
        if let Some(update) = out.iter().find(|update| update.path.ends_with("XMEAS01")) {
            assert_eq!(out.len(), 54);
            rows.push((update.time.0, update.value.clone()));
        }
        apply(tags, out);
        *now_ms += next.after_ms.min(60_000);
    }
    rows
}

fn expected() -> Vec<Value> {
    let mut reader = csv::Reader::from_path(fixture()).unwrap();
    reader.records().map(|row| Value::Float64(row.unwrap()[1].parse().unwrap())).collect()
}

#[test]
fn each_row_comes_once_over_five_takeovers() {
    for seed in 0..20_u64 {
        let (mut tags, mut now_ms, mut rows) = (Tags::new(), 0, Vec::new());
        // Six tenures of irregular length, with gaps of up to three rows; the last one runs to the end.
        for tenure in 0..6_u64 {
            let mut replay = te(false);
            replay.resume(at(now_ms), &tags);
            let length_ms = 500 + (seed * 7_919 + tenure * 104_729) % 3_500;
            let until_ms = if tenure == 5 { now_ms + 60_000 } else { now_ms + length_ms };
            rows.extend(run(&mut replay, &mut tags, &mut now_ms, until_ms));
            now_ms = until_ms + (seed * 31 + tenure * 1_009) % 3_000;
        }
        let values: Vec<_> = rows.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(values, expected(), "seed {seed}");
        // Times are those at which rows were due: a takeover does not shift the recording.
        for (index, (time, _)) in rows.iter().enumerate() {
            assert!(
                (time - START - 1_000 * i64::try_from(index).unwrap()).abs() <= 2,
                "seed {seed} row {index}: {}",
                time - START
            );
        }
        let end = &tags["System/Sources/te/Position"].value;
        assert!(matches!(end, Value::Float64(end) if (end - 3.1667 * 3_600.0).abs() < 1e-6), "{end:?}");
    }
}

#[test]
fn a_repeated_recording_goes_on_over_laps_and_takeovers() {
    let (mut tags, mut now_ms, mut rows) = (Tags::new(), 0, Vec::new());
    for tenure in 1..=13 {
        let mut replay = te(true);
        replay.resume(at(now_ms), &tags);
        rows.extend(run(&mut replay, &mut tags, &mut now_ms, tenure * 7_300));
    }
    let laps: Vec<_> = expected().into_iter().cycle().take(rows.len()).collect();
    assert!((93..=96).contains(&rows.len()), "{}", rows.len());
    assert_eq!(rows.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), laps);
}

#[test]
fn two_nodes_give_a_row_the_same_time() {
    // The one that was Running gave the last row to nobody before it died.
    for speed in [SPEED, 599.0, 18_000.0] {
        let te = || {
            let mut replay = te(false);
            replay.settings.speed = speed;
            replay
        };
        let (mut tags, mut one, row_ms) = (Tags::new(), te(), 600_000.0 / speed);
        one.resume(at(0), &tags);
        let mut rows = Vec::new();
        for row in 0..20_u32 {
            let now_ms = (f64::from(row) * row_ms).ceil() as u64 + 3;
            let mut out = Vec::new();
            one.step(at(now_ms), &tags, &mut out);
            // Another process, whose clock counts from elsewhere and ticks at another fraction of a millisecond.
            let (mut other, mut again) = (te(), Vec::new());
            let theirs = SourceTime { unix: UnixMillis(START + now_ms.cast_signed() + 40), mono_ms: 70_000 };
            if row > 0 {
                other.resume(theirs, &tags);
                other.step(SourceTime { mono_ms: 70_001, ..theirs }, &tags, &mut again);
                assert_eq!(again[0].time, out[0].time, "speed {speed}, row {row}");
            }
            rows.push(out[0].time.0);
            apply(&mut tags, out);
        }
        let length = (rows[19] - rows[0]) as f64;
        assert!((length - 19.0 * row_ms).abs() <= 2.0, "speed {speed}: {length} ms");
    }
}

#[test]
fn a_clock_that_is_set_counts() {
    let (mut tags, mut now_ms) = (Tags::new(), 0);
    let mut replay = te(false);
    replay.resume(at(0), &tags);
    run(&mut replay, &mut tags, &mut now_ms, 3_500);
    let mut out = Vec::new();
    replay.step(SourceTime { unix: UnixMillis(START + 3_604_000), mono_ms: 4_000 }, &tags, &mut out);
    assert_eq!(out[0].time, UnixMillis(START + 3_604_000));
}

#[test]
fn after_a_long_gap_nothing_is_made_up_for() {
    let (mut tags, mut now_ms) = (Tags::new(), 0);
    let mut replay = te(false);
    replay.resume(at(0), &tags);
    assert_eq!(run(&mut replay, &mut tags, &mut now_ms, 3_500).len(), 4);
    now_ms = 100_000_000;
    replay.resume(at(now_ms), &tags);
    assert_eq!(run(&mut replay, &mut tags, &mut now_ms, 100_002_500).len(), 2);
}

#[test]
fn values_that_did_not_arrive_with_their_position_are_made_good() {
    let (mut tags, mut now_ms) = (Tags::new(), 0);
    let mut replay = te(false);
    replay.resume(at(0), &tags);
    run(&mut replay, &mut tags, &mut now_ms, 500);
    let path = "Plant/Measurements/XMEAS02";
    let old = tags[path].clone();
    run(&mut replay, &mut tags, &mut now_ms, 1_500);
    let lost = tags.insert(path.to_owned(), old).unwrap();
    replay.resume(at(1_600), &tags);
    let mut out = Vec::new();
    assert_eq!(replay.step(at(1_600), &tags, &mut out).after_ms, 0);
    assert_eq!(out.len(), 1);
    apply(&mut tags, out);
    assert_eq!(tags[path], lost, "with its value and its time");
}

#[test]
fn a_cold_standby_lets_go_of_the_file_and_a_lost_file_is_told_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.csv");
    std::fs::copy(fixture(), &file).unwrap();
    let mut replay = te(false);
    replay.settings.file.clone_from(&file);
    replay.standby(StandbyActivityLevel::Warm);
    assert!(replay.recording.is_some());
    replay.standby(StandbyActivityLevel::Cold);
    std::fs::remove_file(&file).unwrap();
    let (mut tags, mut now_ms) = (Tags::new(), 0);
    replay.resume(at(0), &tags);
    assert!(run(&mut replay, &mut tags, &mut now_ms, 2_500).is_empty());
    assert!(replay.fault().unwrap().contains("cannot be opened"));
    std::fs::copy(fixture(), &file).unwrap();
    assert_eq!(run(&mut replay, &mut tags, &mut now_ms, 5_500).len(), 3);
    assert_eq!(replay.fault(), None);
}

#[test]
fn errors_name_file_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.csv");
    let catalog = Arc::new(
        Catalog::new(vec![
            float_tag("A"),
            TagDef { value_type: ValueType::Bool, ..float_tag("B") },
            TagDef { value_type: ValueType::DateTime, ..float_tag("D") },
            position_tag("te"),
        ])
        .unwrap(),
    );
    for (text, error) in [
        ("", "r.csv: is empty"),
        ("hours,A\n", "r.csv: there is no row"),
        ("s,A\n1,2\n", "r.csv, line 1: there is no column \"hours\", the time_column"),
        ("hours,A,A\n1,2,3\n", "r.csv, line 1, column 3 (A): this column stands in the header twice"),
        ("hours,X\n1,2\n", "r.csv, line 1, column 2 (X): there is no tag of this path"),
        ("hours,A\n1,2\n\n2,3,4\n", "r.csv, line 4: has 3 cells, the header has 2"),
        ("hours,A\r\n1,2\r\n2,\"x\"\r\n", "r.csv, line 3, column 2 (A): \"x\" is no Float64"),
        ("hours,B\n1,yes\n", "r.csv, line 2, column 2 (B): \"yes\" is no Bool; true, false, 1 or 0 is expected"),
        ("hours,D\n1,noon\n", "r.csv, line 2, column 2 (D): \"noon\" is no DateTime"),
        (
            "A,hours\n1,2\n2,2\n",
            "r.csv, line 3, column 2 (hours): the time 2 is not after the one of the row before, 2",
        ),
        ("hours,A\n0.0,1\n0.0000001,2\n", "speed = 600, but at more than"),
        ("hours,A\n0,1\n1e300,2\n", "r.csv, line 3, column 1 (hours): the time 1e300 is more than 10,000 years after"),
        ("hours,A\n-1e308,1\n1e308,2\n", "r.csv, line 3, column 1 (hours): the time 1e308 is more than 10,000 years"),
    ] {
        std::fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
        let shown = Replay::open(settings(file.clone(), false), catalog.clone()).unwrap_err().to_string();
        assert!(shown.contains(error), "{text:?}: {shown}");
    }
    let good = "\u{feff}hours,A,B,D\n0,1.5,,2026-01-05T08:00:00.250Z\n1,,true,\n";
    std::fs::write(&file, good).unwrap();
    let mut replay = Replay::open(settings(file, false), catalog).unwrap();
    replay.resume(at(0), &Tags::new());
    let mut out = Vec::new();
    replay.step(at(0), &Tags::new(), &mut out);
    let values: Vec<_> = out.into_iter().map(|update| update.value).collect();
    let time = Value::DateTime(UnixMillis(1_767_600_000_250));
    assert_eq!(values, [Value::Float64(1.5), time, Value::Float64(0.0)]);
}

#[test]
fn a_recording_of_a_european_spreadsheet_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("r.csv");
    let text = TagDef { value_type: ValueType::String, ..float_tag("T") };
    let catalog = Arc::new(Catalog::new(vec![float_tag("A"), text, position_tag("te")]).unwrap());
    std::fs::write(&file, "\u{feff}\"hours\";A;T\r\n0,5;-1,25;a,b\r\n1.5;1e3;\r\n").unwrap();
    let settings = ReplaySettings { delimiter: b';', ..settings(file.clone(), false) };
    assert_eq!(header_paths(&settings).unwrap(), ["A", "T"]);
    let mut replay = Replay::open(settings.clone(), catalog.clone()).unwrap();
    replay.resume(at(0), &Tags::new());
    let mut out = Vec::new();
    assert_eq!(replay.step(at(0), &Tags::new(), &mut out).after_ms, 6_000, "an hour 600 times as fast");
    replay.step(at(6_000), &Tags::new(), &mut out);
    let values: Vec<_> = out.into_iter().map(|update| update.value).collect();
    let number = Value::Float64;
    let text = Value::String("a,b".into());
    assert_eq!(values, [number(-1.25), text, number(0.0), number(1_000.0), number(3_600.0)]);

    // Not a second comma, and none where commas separate.
    std::fs::write(&file, "hours;A;T\n0;1,000,5;\n").unwrap();
    let error = Replay::open(settings.clone(), catalog.clone()).unwrap_err().to_string();
    assert!(error.contains("line 2, column 2 (A): \"1,000,5\" is no Float64"), "{error}");
    std::fs::write(&file, "hours,A,T\n0,\"1,5\",\n").unwrap();
    let error = Replay::open(ReplaySettings { delimiter: b',', ..settings }, catalog).unwrap_err().to_string();
    assert!(error.contains("line 2, column 2 (A): \"1,5\" is no Float64"), "{error}");
}
