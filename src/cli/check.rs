//! `hotpair check`: reads everything a run would read and says what is wrong or unwise.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use hotpair_core::alarms::Watched;

use crate::config::{Config, Problems, Project};

/// What a check found.
#[derive(Debug)]
pub struct CheckReport {
    /// This node's settings; none when the file cannot be read.
    pub config: Option<Config>,
    /// The project; none when it cannot be read.
    pub project: Option<Project>,
    /// What is wrong or unwise.
    pub problems: Problems,
}

impl CheckReport {
    /// The exit status of the program: 0, also with warnings; 2 with errors.
    pub fn exit_status(&self) -> u8 {
        if self.problems.has_errors() { 2 } else { 0 }
    }
}

/// Checks the configuration at `path` as `hotpair run` would read it in this environment. Show the report to print it.
pub fn run(path: &Path, insecure: bool, environment: impl IntoIterator<Item = (OsString, OsString)>) -> CheckReport {
    let (config, project, mut problems) = Config::read(path, insecure, environment);
    if let (Some(config), Some(project), false) = (&config, &project, problems.has_errors()) {
        check_sources(config, project, &mut problems);
    }
    CheckReport { config, project, problems }
}

/// Makes each source, as a run would: what is wrong in the rows of a recording shows only there.
fn check_sources(config: &Config, project: &Project, problems: &mut Problems) {
    let file = config.project.dir.join("sources.toml").display().to_string();
    for def in &project.sources {
        if let Err(error) = crate::sources::open(def, &project.catalog) {
            problems.push_error(file.clone(), error.to_string());
        }
    }
}

impl fmt::Display for CheckReport {
    /// The problems, one a line, and a summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.problems.iter() {
            writeln!(f, "{problem}")?;
        }
        if let Some(config) = &self.config {
            writeln!(f, "node {:?}, mode {}", config.node.name, config.redundancy.mode)?;
        }
        if let Some(project) = &self.project {
            // Below System/ are the program's own.
            let tags = project.catalog.iter().filter(|(_, tag)| !tag.path.starts_with("System/")).count();
            write!(f, "{}, ", count(tags, "tag"))?;
            let recorded = project.tag_history.iter().flatten().count();
            if recorded > 0 {
                write!(f, "{} with history (not recorded in this version), ", count(recorded, "tag"))?;
            }
            // Those about the pair itself are the program's own.
            let alarms = project.alarms.iter().filter(|(_, alarm)| matches!(alarm.watched, Watched::Tag(_))).count();
            write!(f, "{}, ", count(alarms, "alarm"))?;
            f.write_str(&count(project.sources.len(), "source"))?;
            for (index, source) in project.sources.iter().enumerate() {
                let separator = if index == 0 { ": " } else { ", " };
                write!(f, "{separator}{} ({})", source.name(), source.kind())?;
            }
            writeln!(f)?;
        }
        let (errors, warnings) = (self.problems.errors().count(), self.problems.warnings().count());
        match (errors, warnings) {
            (0, 0) => f.write_str("no problems"),
            (errors, warnings) => write!(f, "{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
