//! A library between the program and the system, `between.c`: its wall clock can be set, its disk can hang.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::pair::Node;

pub struct Between {
    folder: TempDir,
}

impl Between {
    pub fn new() -> Self {
        let between = Self { folder: tempfile::tempdir().expect("a folder") };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/between.c");
        let made =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(between.library()).arg(source).status();
        assert!(made.expect("a C compiler").success());
        between
    }

    /// From the next start of this node on.
    pub fn stands_between(&self, node: &Node) {
        node.set_environment("LD_PRELOAD", &self.library().display().to_string());
        node.set_environment("HOTPAIR_TEST_CLOCK", &self.file(node.name, "clock").display().to_string());
        node.set_environment("HOTPAIR_TEST_HANG", &self.file(node.name, "hang").display().to_string());
    }

    /// The wall clock of a node shows so many seconds more than this machine's.
    pub fn set_clock(&self, node: &str, seconds: i64) {
        let (file, new) = (self.file(node, "clock"), self.file(node, "new"));
        // At once, never half written.
        fs::write(&new, seconds.to_string()).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// From now on nothing gets onto the disk of this node, and nothing says so.
    pub fn hang_disk(&self, node: &str) {
        fs::write(self.file(node, "hang"), "").unwrap();
    }

    pub fn release_disk(&self, node: &str) {
        fs::remove_file(self.file(node, "hang")).unwrap();
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("between.so")
    }

    fn file(&self, node: &str, what: &str) -> PathBuf {
        self.folder.path().join(format!("{node}.{what}"))
    }
}
