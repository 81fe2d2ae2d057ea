//! What operators ask for is done or refused.

use std::sync::Arc;

use super::action::{AlarmAction, AlarmRequest, AlarmResult, MAX_SHELVING_MS, Who};
use super::definition::AckMode;
use super::engine::{AlarmChange, AlarmEngine, Desk, Said};
use super::entry::{EventId, MAX_COMMENT_BYTES, MAX_OPERATOR_BYTES};
use super::pen::Pen;
use super::table::{AlarmTable, MAX_SHELF_PATH_BYTES, MAX_SHELVINGS};
use crate::mutant::{self, Mutant};
use crate::replicator::Now;

impl AlarmEngine {
    /// Does what an operator asks for. Only `Good` changes anything. Whether the request is a repetition is not looked at
    /// here.
    pub fn operate(
        &mut self,
        table: &mut AlarmTable,
        request: &AlarmRequest,
        pen: &mut Pen,
        now: Now,
        out: &mut Vec<AlarmChange>,
    ) -> AlarmResult {
        let mut desk = Desk { table, pen, now, out };
        // What is due by now comes first, so that nobody unshelves, or acknowledges, what is over.
        self.fire_due(&mut desk);
        let Who { operator, node } = &request.who;
        let said = |comment: &Arc<str>| Said {
            node: *node,
            operator: operator.clone(),
            comment: comment.clone(),
            operation: request.operation.clone(),
        };
        if !is_fit(operator, MAX_OPERATOR_BYTES) || !is_fit(comment_of(&request.action), MAX_COMMENT_BYTES) {
            return AlarmResult::BadOutOfRange;
        }
        let result = match &request.action {
            AlarmAction::Acknowledge { event, comment } => self.acknowledge(&mut desk, *event, said(comment)),
            AlarmAction::Comment { event, comment } => comment_on(&mut desk, *event, said(comment)),
            AlarmAction::Shelve { path, for_ms, comment } => self.shelve(&mut desk, path, *for_ms, said(comment)),
            AlarmAction::Unshelve { path, comment } => self.unshelve(&mut desk, path, said(comment)),
        };
        result.err().unwrap_or(AlarmResult::Good)
    }

    fn acknowledge(&mut self, desk: &mut Desk<'_>, event: EventId, said: Said) -> Result<(), AlarmResult> {
        let mut found = desk.table.find_event(event);
        if mutant::on(Mutant::AckMovesOn) && found.is_none() {
            found = desk.table.live().next().map(|(id, _)| id);
        }
        let Some(id) = found else {
            let known = desk.table.has_ended(event);
            return Err(if known {
                AlarmResult::BadConditionBranchAlreadyAcked
            } else {
                AlarmResult::BadEventIdUnknown
            });
        };
        let live = desk.table.state(id).and_then(|state| state.live.as_ref());
        if live.is_none_or(|live| live.acked && !mutant::on(Mutant::AcknowledgedTwice)) {
            return Err(AlarmResult::BadConditionBranchAlreadyAcked);
        }
        let wants_comment = desk.table.list().get(id).is_some_and(|def| def.ack_mode == AckMode::ManualWithComment);
        if wants_comment && said.comment.trim().is_empty() {
            return Err(AlarmResult::BadCommentMissing);
        }
        desk.acknowledge(id, said);
        self.follow(desk, id);
        Ok(())
    }

    fn shelve(&mut self, desk: &mut Desk<'_>, path: &Arc<str>, for_ms: u64, said: Said) -> Result<(), AlarmResult> {
        if !is_fit(path, MAX_SHELF_PATH_BYTES) {
            return Err(AlarmResult::BadOutOfRange);
        }
        if for_ms == 0 || for_ms > MAX_SHELVING_MS {
            return Err(AlarmResult::BadShelvingTimeOutOfRange);
        }
        if desk.table.fitting(path).is_empty() {
            return Err(AlarmResult::BadNodeIdUnknown);
        }
        if desk.table.shelf(path).is_none() && desk.table.shelves().count() >= MAX_SHELVINGS {
            return Err(AlarmResult::BadOutOfRange);
        }
        desk.shelve(path, for_ms, said);
        self.follow_shelf(desk, path);
        Ok(())
    }

    fn unshelve(&mut self, desk: &mut Desk<'_>, path: &Arc<str>, said: Said) -> Result<(), AlarmResult> {
        let Some(shelf) = desk.table.shelf(path).cloned() else { return Err(AlarmResult::BadConditionNotShelved) };
        desk.unshelve(&shelf, said);
        self.follow_shelf(desk, path);
        Ok(())
    }
}

fn comment_on(desk: &mut Desk<'_>, event: EventId, said: Said) -> Result<(), AlarmResult> {
    let Some(id) = desk.table.find_event(event) else { return Err(AlarmResult::BadEventIdUnknown) };
    if said.comment.trim().is_empty() {
        return Err(AlarmResult::BadCommentMissing);
    }
    if mutant::on(Mutant::CommentedTwice) {
        desk.comment(id, said.clone());
    }
    desk.comment(id, said);
    Ok(())
}

fn comment_of(action: &AlarmAction) -> &str {
    match action {
        AlarmAction::Acknowledge { comment, .. }
        | AlarmAction::Comment { comment, .. }
        | AlarmAction::Shelve { comment, .. }
        | AlarmAction::Unshelve { comment, .. } => comment,
    }
}

fn is_fit(text: &str, max: usize) -> bool {
    text.len() <= max && !text.chars().any(char::is_control)
}
