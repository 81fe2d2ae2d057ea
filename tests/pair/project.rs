//! Projects for the pair: `tags.csv`, `alarms.csv` and `sources.toml`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of `project/`, the same on both nodes.
#[derive(Clone)]
pub struct Project {
    pub tags: String,
    /// Empty: there is no such file.
    pub alarms: String,
    pub sources: String,
}

pub const HEADER: &str = "path,type,unit,description,writable,initial,retain\n";

/// A retained tag of [`Project::memory_tags`] and [`Project::tennessee_eastman`].
pub const SETPOINT: &str = "Plant/Operator/Setpoint";
/// One that is not retained: it lives in memory only.
pub const FLEETING: &str = "Plant/Operator/Fleeting";
/// Counters, every second one retained.
pub const COUNTERS: [&str; 4] =
    ["Plant/Operator/Counter0", "Plant/Operator/Counter1", "Plant/Operator/Counter2", "Plant/Operator/Counter3"];

impl Project {
    /// Tags that only operators write.
    pub fn memory_tags() -> Self {
        Self { tags: format!("{HEADER}{}", operator_rows()), alarms: String::new(), sources: String::new() }
    }

    /// As [`Self::memory_tags`], and so many [`more_tag`]s.
    pub fn with_more_tags(count: usize) -> Self {
        let mut project = Self::memory_tags();
        for number in 0..count {
            writeln!(project.tags, "{},Float64,,,true,0,false", more_tag(number)).unwrap();
        }
        project
    }

    /// The tags of `tests/data/tennessee-eastman/tags.csv`, fed by a replay that starts over at its end, and
    /// the operator's own.
    pub fn tennessee_eastman(file: &str, speed: f64) -> Self {
        let mut tags = format!("{HEADER}{}", operator_rows());
        let mut plant = csv::Reader::from_path(data("tags.csv")).expect("the Tennessee Eastman tags");
        for row in plant.records() {
            let row = row.expect("a row of the Tennessee Eastman tags");
            let (path, description, unit, nominal, writable) = (&row[0], &row[1], &row[2], &row[3], &row[4]);
            writeln!(tags, "{path},Float64,{unit},{description},{writable},{nominal},false").unwrap();
        }
        let sources = format!(
            "[[source]]\nname = \"tennessee-eastman\"\ntype = \"replay\"\nfile = \"{}\"\ntime_column = \"hours\"\n\
             time_unit = \"h\"\nspeed = {speed:?}\nrepeat = true\n",
            data(file).display()
        );
        Self { tags, alarms: String::new(), sources }
    }

    /// The tags of the plant alone, without a value before the first row, fed by a replay that ends at its end, and
    /// alarms on them.
    pub fn tennessee_eastman_once(file: &str, speed: f64, alarms: &str) -> Self {
        let plant = Self::tennessee_eastman(file, speed);
        let mut tags = "path,type\n".to_owned();
        for row in csv::Reader::from_reader(plant.tags.as_bytes()).records() {
            let row = row.expect("a row of the tags");
            if !row[0].starts_with("Plant/Operator/") {
                writeln!(tags, "{},Float64", &row[0]).unwrap();
            }
        }
        Self { tags, alarms: alarms.to_owned(), sources: plant.sources.replace("repeat = true", "repeat = false") }
    }

    pub fn write_to(&self, dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("tags.csv"), &self.tags).unwrap();
        fs::write(dir.join("sources.toml"), &self.sources).unwrap();
        if !self.alarms.is_empty() {
            fs::write(dir.join("alarms.csv"), &self.alarms).unwrap();
        }
    }
}

/// A tag of [`Project::with_more_tags`].
pub fn more_tag(number: usize) -> String {
    format!("Plant/More/Area{:03}/Tag{number:06}", number / 1000)
}

fn operator_rows() -> String {
    let mut rows = format!("{SETPOINT},Float64,bar,A retained setpoint,true,1.5,true\n");
    writeln!(rows, "{FLEETING},Float64,bar,Lives in memory only,true,1.5,false").unwrap();
    for (i, path) in COUNTERS.iter().enumerate() {
        writeln!(rows, "{path},Int64,,A counter,true,0,{}", i % 2 == 0).unwrap();
    }
    rows.push_str("Plant/Operator/Enabled,Bool,,A switch,true,false,\n");
    rows.push_str("Plant/Operator/Note,String,,A remark,true,,\n");
    rows.push_str("Plant/Operator/Started,DateTime,,A time,true,,\n");
    rows.push_str("Plant/Operator/ReadOnly,Float64,,Nobody may write it,false,7,\n");
    rows
}

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tennessee-eastman").join(file)
}
