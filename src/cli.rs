//! The command line: what can be typed, and what each command's end means to the shell.
//!
//! One file a command. Exit status: 0 done; 2 the command line or the configuration is wrong; 3 refused by the node;
//! 4 the node cannot be reached; 1 anything else.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hotpair_core::types::Mode;

mod ack;
mod alarms;
pub mod check;
mod demo;
mod failure;
mod glance;
mod hangup;
mod hold;
pub mod init;
mod logging;
mod node_client;
mod picture;
mod run;
mod shell_quote;
mod shelve;
mod status;
mod switch;
mod terminal;
mod unshelve;

pub use failure::Failure;

/// Hot-standby redundancy for SCADA and IIoT nodes.
#[derive(Parser, Debug)]
#[command(name = "hotpair", version, about, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 done; 2 wrong command line or configuration; 3 refused by the node; \
                        4 node not reachable; 1 anything else.\nA first look: hotpair demo")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start a Master and a Backup on this machine with a simulated plant
    Demo(DemoArgs),
    /// Run one node in the foreground until SIGTERM or Ctrl-C
    Run(RunArgs),
    /// Read everything a run would read and say what is wrong or unwise
    Check(CheckArgs),
    /// Write a commented hotpair.toml and a small project to start from
    Init(InitArgs),
    /// Show both nodes at a glance
    Status(StatusArgs),
    /// Move Running to the other node
    Switch(SwitchArgs),
    /// Forbid automatic failover and recovery for a time (maintenance)
    Hold(HoldArgs),
    /// Show the alarms that are not normal
    Alarms(AlarmsArgs),
    /// Acknowledge an alarm, or all
    Ack(AckArgs),
    /// Hide alarms for a time; they are judged and journaled all the same
    Shelve(ShelveArgs),
    /// Show shelved alarms again
    Unshelve(UnshelveArgs),
}

#[derive(Args, Debug)]
struct DemoArgs {
    /// HTTP port of the Master; the Backup takes the next one
    #[arg(long, value_name = "PORT", default_value_t = 8066, value_parser = clap::value_parser!(u16).range(1..=65534))]
    http_port: u16,
    /// Port of the link between the two
    #[arg(long, value_name = "PORT", default_value_t = 8099, value_parser = clap::value_parser!(u16).range(1..))]
    link_port: u16,
    /// End by itself after so many seconds
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    /// Keep the two nodes' folders here (default: a temporary folder, removed at the end)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct RunArgs {
    /// This node's own settings
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Accept a link without TLS and a page without login on addresses that others can reach
    #[arg(long)]
    insecure: bool,
    /// Stop cleanly when standard input ends: so that a child never outlives the program that started it
    #[arg(long, hide = true)]
    stop_when_stdin_closes: bool,
}

#[derive(Args, Debug)]
struct CheckArgs {
    /// The settings to check
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Judge as `run --insecure` would
    #[arg(long)]
    insecure: bool,
}

#[derive(Args, Debug)]
struct InitArgs {
    /// What the node will be
    #[arg(long, value_enum)]
    mode: ModeArg,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    Master,
    Backup,
    Independent,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Master => Self::Master,
            ModeArg::Backup => Self::Backup,
            ModeArg::Independent => Self::Independent,
        }
    }
}

#[derive(Args, Debug)]
struct NodeUrl {
    /// HTTP address of either node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8066")]
    url: String,
}

#[derive(Args, Debug)]
struct StatusArgs {
    #[command(flatten)]
    node: NodeUrl,
    /// Print JSON and nothing else
    #[arg(long)]
    json: bool,
    /// Go on, and print again at each change
    #[arg(long)]
    watch: bool,
}

#[derive(Args, Debug)]
struct SwitchArgs {
    #[command(flatten)]
    node: NodeUrl,
    /// Why, for the event list of both nodes
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Args, Debug)]
struct HoldArgs {
    #[command(flatten)]
    node: NodeUrl,
    /// How long the hold lasts, unless it is released before
    #[arg(long, value_name = "N", required_unless_present = "release", value_parser = clap::value_parser!(u32).range(1..))]
    minutes: Option<u32>,
    /// Why; both nodes show it
    #[arg(long, value_name = "TEXT", required_unless_present = "release")]
    reason: Option<String>,
    /// End the hold now
    #[arg(long, conflicts_with_all = ["minutes", "reason"])]
    release: bool,
}

#[derive(Args, Debug)]
struct AlarmsArgs {
    #[command(flatten)]
    node: NodeUrl,
    /// Print JSON and nothing else
    #[arg(long)]
    json: bool,
    /// Go on, and print again at each change
    #[arg(long)]
    watch: bool,
    /// Shelved ones too, and what is shelved
    #[arg(long, conflicts_with = "history")]
    shelved: bool,
    /// The newest rows of the journal instead
    #[arg(long)]
    history: bool,
}

#[derive(Args, Debug)]
struct AckArgs {
    #[command(flatten)]
    node: NodeUrl,
    /// The occurrence, as 'hotpair alarms' shows it; its first digits are enough
    #[arg(value_name = "EVENT_ID", required_unless_present = "all", conflicts_with = "all")]
    event: Option<String>,
    /// All that wait for it, shelved ones too
    #[arg(long)]
    all: bool,
    /// Why, for the journal; some alarms want it
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Args, Debug)]
struct ShelveArgs {
    #[command(flatten)]
    node: NodeUrl,
    /// A tag's path, that and an alarm's name behind a '/', or '*' for any characters
    path: String,
    /// How long
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Args, Debug)]
struct UnshelveArgs {
    #[command(flatten)]
    node: NodeUrl,
    /// As it was shelved
    path: String,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

/// Reads this process's arguments, does what they ask and gives the exit status.
pub fn main() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(error) => return end_of_wrong_line(&error),
    };
    match dispatch(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::complain(&failure.to_string());
            ExitCode::from(failure.exit_status())
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check(&args),
        Command::Init(args) => init(&args),
        Command::Status(args) => status::run(&args),
        Command::Switch(args) => switch::run(&args),
        Command::Hold(args) => hold::run(&args),
        Command::Alarms(args) => alarms::run(&args),
        Command::Ack(args) => ack::run(&args),
        Command::Shelve(args) => shelve::run(&args),
        Command::Unshelve(args) => unshelve::run(&args),
    }
}

/// The report is what was asked for and goes to standard output; that it found errors is told on standard error.
fn check(args: &CheckArgs) -> Result<(), Failure> {
    let report = check::run(&args.config, args.insecure, std::env::vars_os());
    terminal::say(&report.to_string());
    match report.exit_status() {
        0 => Ok(()),
        status => Err(Failure::new(status, format!("{} cannot be run as it is", args.config.display()))),
    }
}

fn init(args: &InitArgs) -> Result<(), Failure> {
    let written =
        init::run(args.mode.into(), &args.dir).map_err(|error| Failure::new(error.exit_status(), error.to_string()))?;
    for file in written {
        terminal::say(&format!("written: {}", file.display()));
    }
    let config = shell_quote::path(&args.dir.join("hotpair.toml"));
    terminal::say(&format!("next: hotpair check --config {config}, then hotpair run --config {config}"));
    Ok(())
}

/// Help and version go to standard output with status 0; of an error one sentence is told, not clap's page.
fn end_of_wrong_line(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            terminal::say(text.trim_end());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            terminal::complain("a command is missing; 'hotpair --help' lists them");
            ExitCode::from(failure::WRONG_INPUT)
        }
        _ => {
            terminal::complain(&one_sentence(&text));
            ExitCode::from(failure::WRONG_INPUT)
        }
    }
}

/// What clap says before its usage lines, in one line, and where to read more.
fn one_sentence(text: &str) -> String {
    let told = text.strip_prefix("error: ").unwrap_or(text);
    let told = told.split("\nUsage:").next().unwrap_or(told);
    let told = told.split("\nFor more information").next().unwrap_or(told);
    let words: Vec<&str> = told.split_whitespace().collect();
    let asked = text.lines().find_map(|line| line.strip_prefix("Usage: hotpair ")).and_then(|usage| {
        usage.split_whitespace().next().filter(|word| word.starts_with(|first: char| first.is_ascii_lowercase()))
    });
    let help = asked.map_or_else(|| "hotpair --help".to_owned(), |command| format!("hotpair {command} --help"));
    format!("{} ('{help}' tells more)", words.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        CommandLine::try_parse_from(line.split_whitespace()).map(|parsed| parsed.command)
    }

    fn complaint(line: &str) -> String {
        one_sentence(&parse(line).unwrap_err().render().to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_interface() {
        let Command::Demo(demo) = parse("hotpair demo").unwrap() else { panic!("not demo") };
        assert_eq!((demo.http_port, demo.link_port, demo.duration), (8066, 8099, None));
        let Command::Status(status) = parse("hotpair status").unwrap() else { panic!("not status") };
        assert_eq!(status.node.url, "http://127.0.0.1:8066");
        assert!(!status.json && !status.watch);
        let Command::Init(init) = parse("hotpair init --mode backup").unwrap() else { panic!("not init") };
        assert_eq!((init.mode, init.dir), (ModeArg::Backup, PathBuf::from(".")));
    }

    #[test]
    fn every_command_takes_its_options() {
        for line in [
            "hotpair run --config a.toml --insecure",
            "hotpair run --config a.toml --stop-when-stdin-closes",
            "hotpair demo --http-port 9000 --link-port 9100 --duration 5 --dir /tmp/x",
            "hotpair check --config a.toml --insecure",
            "hotpair init --mode independent --dir d",
            "hotpair status --url http://a:1 --json --watch",
            "hotpair switch --url http://a:1 --reason planned",
            "hotpair hold --minutes 30 --reason maintenance",
            "hotpair hold --release",
            "hotpair alarms --url http://a:1 --json --watch --shelved",
            "hotpair alarms --history",
            "hotpair ack 00112233 --comment seen --url http://a:1",
            "hotpair ack --all",
            "hotpair shelve Plant/* --minutes 30 --comment works --url http://a:1",
            "hotpair unshelve Plant/* --comment done",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn a_wrong_line_is_told_in_one_sentence() {
        assert_eq!(
            complaint("hotpair run"),
            "the following required arguments were not provided: --config <FILE> ('hotpair run --help' tells more)"
        );
        assert_eq!(
            complaint("hotpair status --jsn"),
            "unexpected argument '--jsn' found tip: a similar argument exists: '--json' \
             ('hotpair status --help' tells more)"
        );
        assert_eq!(complaint("hotpair peers"), "unrecognized subcommand 'peers' ('hotpair --help' tells more)");
        for line in [
            "hotpair init --mode primary",
            "hotpair demo --http-port 65535",
            "hotpair demo --link-port 0",
            "hotpair hold --minutes 0 --reason x",
            "hotpair hold --reason x",
            "hotpair hold --minutes 5",
            "hotpair hold --release --minutes 5",
            "hotpair alarms --history --shelved",
            "hotpair ack",
            "hotpair ack 00112233 --all",
            "hotpair shelve Plant/*",
            "hotpair shelve Plant/* --minutes 0",
            "hotpair unshelve",
        ] {
            let told = complaint(line);
            assert!(!told.contains('\n') && told.ends_with("tells more)"), "{line}: {told}");
        }
    }
}
