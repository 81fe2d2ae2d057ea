//! `hotpair.toml` and the variables that override it: a configuration that a node can start with, or problems that say
//! where.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use hotpair::config::Config;

use super::folder;

const FILES: [&str; 2] = ["hotpair.toml", "environment"];

pub fn run(data: &[u8]) {
    let folder = folder::write(data, &FILES[..1]);
    let path = folder.join(FILES[0]);
    let environment = folder::parts(data, &FILES)[1].unwrap_or_default();
    let variables = || {
        environment.split(|byte| *byte == b'\n').filter_map(|line| {
            let equals = line.iter().position(|byte| *byte == b'=')?;
            let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
            Some((text(&line[..equals]), text(&line[equals + 1..])))
        })
    };
    for insecure in [false, true] {
        let (config, _, problems) = Config::read(&path, insecure, variables());
        folder::assert_told(&problems, &folder);
        match config {
            None => assert!(problems.has_errors(), "refused without a reason"),
            Some(config) => {
                // What the file is told is what a program is told that has these settings.
                let of_program = config.validate(insecure);
                if of_program.has_errors() {
                    assert!(problems.has_errors(), "{of_program}");
                }
                assert!(insecure || config.validate(true).len() <= of_program.len());
            }
        }
        let again = Config::read(&path, insecure, variables()).2;
        assert_eq!(again.to_string(), problems.to_string());
    }
}
