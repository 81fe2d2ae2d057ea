//! `GET /metrics` in the OpenMetrics text form.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use hotpair_core::types::Status;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Shared;
use super::error::ApiError;
use crate::status::NodeMetrics;

pub(super) async fn metrics(shared: web::Data<Shared>) -> Result<HttpResponse, ApiError> {
    let text = text_of(shared.node.metrics()).map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("metrics cannot be written: {error}"))
    })?;
    Ok(HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(text))
}

fn text_of(metrics: NodeMetrics) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("hotpair");
    registry.register_collector(Box::new(Snapshot(metrics)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(NodeMetrics);

impl Collector for Snapshot {
    /// The encoder adds `_total` to counters and `_info` to infos.
    fn encode(&self, mut to: DescriptorEncoder) -> fmt::Result {
        let m = &self.0;
        status(to.encode_descriptor("status", "Status of this node", None, MetricType::Gauge)?, m.status)?;
        status(
            to.encode_descriptor("peer_status", "Status of the peer as this node sees it", None, MetricType::Gauge)?,
            m.peer_status,
        )?;
        let help = "1 when the Standby node of this pair could take over now";
        gauge(&mut to, "failover_ready", help, u64::from(m.failover_ready))?;
        gauge(&mut to, "epoch", "Counter of the present tenure of Running", m.epoch)?;

        let help = "Promotions of this node that nobody asked for";
        let mut family = to.encode_descriptor("failovers", help, None, MetricType::Counter)?;
        for (cause, count) in &m.failovers {
            counter(family.encode_family(&[("cause", format!("{cause:?}"))])?, *count)?;
        }
        let help = "Switches asked for at this node";
        let mut family = to.encode_descriptor("switches", help, None, MetricType::Counter)?;
        for (result, count) in &m.switches {
            counter(family.encode_family(&[("result", *result)])?, *count)?;
        }

        let classes: Vec<_> = m.peer_rtt.classes().collect();
        let help = "Round trips of pings to the peer";
        to.encode_descriptor("peer_rtt_seconds", help, None, MetricType::Histogram)?
            .encode_histogram::<[(&str, &str); 0]>(m.peer_rtt.sum_s(), m.peer_rtt.count(), &classes, None)?;
        let help = "Pings that stayed unanswered";
        counter(to.encode_descriptor("missed_pings", help, None, MetricType::Counter)?, m.missed_pings)?;
        gauge(&mut to, "sync_lag_updates", "Changes that the Standby node does not hold yet", m.sync_lag_updates)?;
        to.encode_descriptor("sync_lag_seconds", "Age of the oldest of them", None, MetricType::Gauge)?
            .encode_gauge(&m.sync_lag_seconds)?;
        let help = "Changes of tags that this node applied";
        counter(to.encode_descriptor("tag_updates", help, None, MetricType::Counter)?, m.tag_updates)?;
        gauge(&mut to, "tags", "Tags of the project", m.tags)?;

        let help = "Alarms by state; shelved ones count as shelved only";
        let mut family = to.encode_descriptor("alarms", help, None, MetricType::Gauge)?;
        for (state, count) in [
            ("active_unacked", m.alarms.active_unacked),
            ("active_acked", m.alarms.active_acked),
            ("cleared_unacked", m.alarms.cleared_unacked),
            ("shelved", m.alarms.shelved),
        ] {
            family.encode_family(&[("state", state)])?.encode_gauge(&as_gauge(count))?;
        }

        let help = "Actors that were replaced";
        let mut family = to.encode_descriptor("actor_restarts", help, None, MetricType::Counter)?;
        for (actor, cause, count) in &m.actor_restarts {
            counter(family.encode_family(&[("actor", actor.as_str()), ("cause", *cause)])?, *count)?;
        }
        let help = "Messages that wait in an actor's mailbox";
        let mut family = to.encode_descriptor("mailbox_depth", help, None, MetricType::Gauge)?;
        for (actor, depth) in &m.mailbox_depth {
            family.encode_family(&[("actor", actor.as_str())])?.encode_gauge(&as_gauge(*depth))?;
        }
        to.encode_descriptor("build", "The program", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn status(mut family: MetricEncoder<'_>, holds: Option<Status>) -> fmt::Result {
    for status in Status::ALL {
        let one = i64::from(holds == Some(status));
        family.encode_family(&[("status", status.to_string())])?.encode_gauge(&one)?;
    }
    Ok(())
}

fn gauge(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    to.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&as_gauge(value))
}

fn as_gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn counter(mut to: MetricEncoder<'_>, value: u64) -> fmt::Result {
    to.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)
}

#[cfg(test)]
mod tests {
    use hotpair_core::alarms::AlarmCounts;

    use super::*;
    use crate::status::Cause;

    #[test]
    fn every_documented_metric_is_there() {
        let mut metrics = NodeMetrics {
            status: Some(Status::Running),
            peer_status: None,
            failover_ready: true,
            epoch: 3,
            failovers: vec![(Cause::Failover, 1)],
            switches: vec![("done", 2), ("refused", 1)],
            missed_pings: 4,
            tags: 200,
            alarms: AlarmCounts { active_unacked: 3, shelved: 1, ..AlarmCounts::default() },
            tag_updates: 90_144,
            actor_restarts: vec![("Heartbeat".to_owned(), "panic", 1)],
            mailbox_depth: vec![("PeerLink".to_owned(), 0)],
            ..NodeMetrics::default()
        };
        metrics.peer_rtt.observe_us(180);
        let text = text_of(metrics).unwrap();
        for line in [
            "hotpair_status{status=\"Running\"} 1",
            "hotpair_status{status=\"Standby\"} 0",
            "hotpair_peer_status{status=\"Running\"} 0",
            "hotpair_failover_ready 1",
            "hotpair_epoch 3",
            "hotpair_failovers_total{cause=\"Failover\"} 1",
            "hotpair_switches_total{result=\"refused\"} 1",
            "hotpair_peer_rtt_seconds_count 1",
            "hotpair_peer_rtt_seconds_bucket{le=\"0.0001\"} 0",
            "hotpair_peer_rtt_seconds_bucket{le=\"0.0002\"} 1",
            "hotpair_peer_rtt_seconds_bucket{le=\"+Inf\"} 1",
            "hotpair_missed_pings_total 4",
            "hotpair_sync_lag_updates 0",
            "hotpair_sync_lag_seconds 0.0",
            "hotpair_tag_updates_total 90144",
            "hotpair_tags 200",
            "hotpair_alarms{state=\"active_unacked\"} 3",
            "hotpair_alarms{state=\"active_acked\"} 0",
            "hotpair_alarms{state=\"cleared_unacked\"} 0",
            "hotpair_alarms{state=\"shelved\"} 1",
            "hotpair_actor_restarts_total{actor=\"Heartbeat\",cause=\"panic\"} 1",
            "hotpair_mailbox_depth{actor=\"PeerLink\"} 0",
            concat!("hotpair_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
