//! What a reader of a watch gets, of a node that runs alone.

use hotpair_core::catalog::TagDef;
use hotpair_core::protocol::WriteItem;
use hotpair_core::types::Mode;
use hotpair_core::value::ValueType;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, Project};
use crate::node::{Node, WriteBatch};

/// A reader in whose first round, and each later one, stand path, number and quality.
type Seen = Vec<(String, Option<f64>, String)>;

async fn node(tags: Vec<TagDef>) -> (NodeHandle, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(Mode::Independent);
    config.node.name = "Watched".to_owned();
    config.node.data_dir = folder.path().to_owned();
    config.http.enabled = false;
    let node = Node::start_with(config, Project::of_tags(tags).unwrap()).await.unwrap();
    node.subscribe_status().wait_for(|_| node.is_running()).await.unwrap();
    (node, folder)
}

fn tags(count: usize) -> Vec<TagDef> {
    (0..count).map(|i| tag(&format!("Plant/{i}"), None)).collect()
}

fn tag(path: &str, stale_after_ms: Option<u64>) -> TagDef {
    TagDef { writable: true, stale_after_ms, ..TagDef::new(path, ValueType::Float64) }
}

async fn write(node: &NodeHandle, path: &str, value: f64) {
    let item = WriteItem { path: path.into(), value: Value::Float64(value), quality: Quality::GOOD, time: None };
    let done = node.write(WriteBatch { items: vec![item], operation: None }).await;
    assert!(done.is_ok(), "{done:?}");
}

/// Steps until a round is over; each step takes at most `at_a_time` tags.
fn round(watch: &mut TagWatch, at_a_time: usize) -> Seen {
    let mut seen = Vec::new();
    loop {
        let mut taken = 0;
        let step = watch.step(&mut |path, sample| {
            taken += 1;
            let number = sample.as_ref().and_then(|sample| match sample.value {
                Value::Float64(number) => Some(number),
                _ => None,
            });
            seen.push((path.to_owned(), number, sample.map(|s| s.quality.to_string()).unwrap_or_default()));
            taken < at_a_time
        });
        assert!(taken <= at_a_time, "{taken} tags in a step that had room for {at_a_time}");
        if step.unwrap() == WatchStep::RoundOver {
            return seen;
        }
    }
}

#[tokio::test]
async fn all_once_then_what_changes_however_small_the_steps() {
    let (node, _folder) = node(tags(3000)).await;
    let mut watch = node.watch_tags(vec!["Plant/*".into(), "Plant/7".into(), "Plant/none".into()], 3000);
    let seen = round(&mut watch, 7);
    assert_eq!(seen.len(), 3001);
    assert_eq!(seen.iter().filter(|(path, ..)| path == "Plant/7").count(), 1);
    assert_eq!(seen.iter().find(|(path, ..)| path == "Plant/none").unwrap().2, "", "it is no tag");
    assert!(round(&mut watch, 7).is_empty());
    for i in [5, 2999, 5, 6] {
        write(&node, &format!("Plant/{i}"), f64::from(i)).await;
    }
    let numbers: Vec<_> = round(&mut watch, 2).into_iter().map(|(_, number, _)| number.unwrap()).collect();
    assert_eq!(numbers, [5.0, 6.0, 2999.0]);
    assert!(round(&mut watch, 7).is_empty());
    node.shutdown().await;
}

#[tokio::test]
async fn a_value_that_becomes_stale_is_told_without_a_change() {
    let (node, _folder) = node(vec![tag("Plant/Old", Some(200))]).await;
    write(&node, "Plant/Old", 1.0).await;
    let mut watch = node.watch_tags(vec!["Plant/Old".into()], 1);
    assert_eq!(round(&mut watch, 1), [("Plant/Old".to_owned(), Some(1.0), "Good".to_owned())]);
    let begun = Instant::now();
    let seen = loop {
        let seen = round(&mut watch, 1);
        if !seen.is_empty() {
            break seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing was told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(seen[0].2, "Uncertain_NoCommunicationLastUsableValue");
    node.shutdown().await;
}

#[tokio::test]
async fn more_tags_than_allowed_are_refused() {
    let (node, _folder) = node(tags(10)).await;
    for (patterns, max, refused) in [
        (vec!["*/1".to_owned()], 1, false),
        (vec!["Plant/*".to_owned()], 9, true),
        (vec!["Plant/*".to_owned()], 10, false),
    ] {
        let mut watch = node.watch_tags(patterns, max);
        assert_eq!(watch.step(&mut |_, _| true).is_err(), refused, "at most {max}");
    }
    let exact = (0..3).map(|i| format!("Plant/{i}")).collect();
    assert_eq!(node.watch_tags(exact, 2).step(&mut |_, _| true), Err(TooManyTags(2)));
    node.shutdown().await;
}
