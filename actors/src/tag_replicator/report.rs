//! The divergence report on disk: what was not dropped in silence.

use hotpair_core::replicator::DivergenceReport;

use crate::shared::Shared;

pub(super) fn store(shared: &Shared, report: &DivergenceReport) {
    let count = report.tags.len();
    tracing::warn!(tags = count, "both nodes had changes that the other did not have: the newer of each tag survived");
    match shared.report_file(report) {
        Ok((name, json)) => shared.disk.store_report(
            name,
            json,
            Box::new(|result| {
                if let Err(error) = result {
                    tracing::error!("the divergence report cannot be stored: {error}");
                }
            }),
        ),
        Err(error) => tracing::error!("the divergence report cannot be written: {error}"),
    }
}
