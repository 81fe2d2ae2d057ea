//! A program that embeds a node: the example, run as a user would.

use std::process::Command;

#[test]
fn the_example_of_an_embedding_program_works() {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--locked", "--quiet", "--example", "embed"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    for line in [
        "master is Running, backup is Standby and in sync",
        "written at the backup, replicated: true",
        "the master reads Some(Float64(41.5))",
        "switched: the backup is Running and goes on counting from Some(Int64(",
        "both stopped",
    ] {
        assert!(said.contains(line), "{line:?} is missing in:\n{said}");
    }
    assert!(!said.contains("reads None"), "{said}");
}
