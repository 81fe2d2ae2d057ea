//! What a program that embeds a node does with it.

use hotpair_core::alarms::{AckMode, AlarmCondition, AlarmDef, AlarmPriority, EventId, LimitLevel, Watched};
use hotpair_core::quality::Quality;
use hotpair_core::types::Mode;
use hotpair_core::value::{Value, ValueType};

use super::*;
use crate::config::Project;
use crate::node::Node;

#[tokio::test]
async fn a_program_writes_sees_its_alarm_and_acknowledges_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(Mode::Independent);
    config.node.name = "Embedded".to_owned();
    config.node.data_dir = folder.path().to_owned();
    config.http.enabled = false;
    let level = TagDef { writable: true, ..TagDef::new("Plant/Level", ValueType::Float64) };
    let high = AlarmDef {
        path: "Plant/Level".into(),
        name: "H".into(),
        watched: Watched::Tag(TagId(0)),
        condition: AlarmCondition::Limit { level: LimitLevel::H, limit: 80.0, inclusive: false, deadband: 1.0 },
        active_delay_ms: 0,
        resume_delay_ms: 0,
        priority: AlarmPriority::High,
        ack_mode: AckMode::ManualWithComment,
        description: "".into(),
    };
    let node = Node::start_with(config, Project::of(vec![level], vec![high]).unwrap()).await.unwrap();
    node.subscribe_status().wait_for(|_| node.is_running()).await.unwrap();

    let item = |value| WriteItem {
        path: "Plant/Level".into(),
        value: Value::Float64(value),
        quality: Quality::GOOD,
        time: None,
    };
    let written = node.write(WriteBatch { items: vec![item(90.0)], operation: None }).await.unwrap();
    assert_eq!((written.results, written.replicated), (vec![ItemResult::Good], false));
    let event = node.alarm_table().live().next().map(|(_, live)| live.event).unwrap();

    let refused = node.acknowledge(event, "Ada", "").await.unwrap_err();
    assert_eq!(refused.to_string(), "not acknowledged: BadCommentMissing");
    let unknown = node.acknowledge(EventId(1), "Ada", "seen").await.unwrap_err();
    assert_eq!(unknown, NotAcknowledged::Result(AlarmResult::BadEventIdUnknown));
    assert_eq!(node.acknowledge(event, "Ada", "seen").await, Ok(Acknowledged { replicated: false }));
    let acked = node.alarm_table().live().next().map(|(_, live)| (live.acked, live.operator.clone())).unwrap();
    assert_eq!(acked, (true, "Ada".into()));
    node.shutdown().await;
    let stopped = node.acknowledge(event, "Ada", "seen").await.unwrap_err();
    assert_eq!(stopped.to_string(), "nothing was done: this node is stopping; try again");
}
