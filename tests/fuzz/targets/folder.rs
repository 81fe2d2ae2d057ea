//! Several files in one text, and the folder they are written to: a corpus that can be read.
#![allow(dead_code)]

use std::path::PathBuf;

use hotpair::config::Problems;
use tempfile::TempDir;

/// A line that begins so begins a file, and names it.
const MARK: &[u8] = b"=== ";

thread_local! {
    static FOLDER: TempDir = {
        // In memory, where there is such a place.
        let memory = std::path::Path::new("/dev/shm");
        let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        made.expect("a folder of its own")
    };
}

/// Writes the files of these names that are there, and removes the others. What comes before the first mark is the first
/// name's.
pub fn write(data: &[u8], names: &[&str]) -> PathBuf {
    let folder = FOLDER.with(|folder| folder.path().to_owned());
    for (name, content) in names.iter().zip(parts(data, names)) {
        match content {
            Some(content) => std::fs::write(folder.join(name), content).expect("room"),
            None => drop(std::fs::remove_file(folder.join(name))),
        }
    }
    folder
}

/// The text below each of these names.
pub fn parts<'a>(data: &'a [u8], names: &[&str]) -> Vec<Option<&'a [u8]>> {
    let mut found = vec![None; names.len()];
    let (mut name, mut start, mut at) = (Some(0), 0, 0);
    while at <= data.len() {
        let end = data[at..].iter().position(|byte| *byte == b'\n').map_or(data.len(), |length| at + length);
        let marked = data[at..end].strip_prefix(MARK);
        if marked.is_some() || end == data.len() {
            let until = if marked.is_some() { at } else { end };
            if let Some(place) = name
                && (start > 0 || until > 0)
            {
                found[place] = Some(&data[start.min(until)..until]);
            }
        }
        if let Some(marked) = marked {
            name = names.iter().position(|known| known.as_bytes() == marked);
            start = (end + 1).min(data.len());
        }
        at = end + 1;
    }
    found
}

/// Each says where and what, and not more than fits a screen.
pub fn assert_told(problems: &Problems, folder: &std::path::Path) {
    for problem in problems.iter() {
        assert!(!problem.message.is_empty() && !problem.file.is_empty(), "{problem:?}");
        assert!(problem.message.len() < 4000 && problem.remedy.len() < 4000, "{problem:?}");
        if let (Some(line), Ok(text)) = (problem.line, std::fs::read(&problem.file))
            && std::path::Path::new(&problem.file).starts_with(folder)
        {
            let lines = text.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
            assert!((1..=lines).contains(&line), "there is no such line: {problem:?}");
        }
        assert!(!problem.to_string().chars().any(|c| c.is_control() && c != '\n'), "{problem:?}");
    }
}
