//! Which alarms are shelved.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::alarms::{AlarmDef, AlarmId, AlarmList, Shelf};
use crate::catalog::path_matches;

/// At most so many shelvings are in force.
pub const MAX_SHELVINGS: usize = 1000;
/// The longest path of a shelving.
pub const MAX_SHELF_PATH_BYTES: usize = 1024;

/// The shelvings in force, and for each alarm by how many of them it is hidden.
#[derive(Debug)]
pub(super) struct Shelving {
    by_path: BTreeMap<Arc<str>, Shelf>,
    covered: Vec<u16>,
    /// All alarms in the order of path, `/` and name: those that a pattern can reach stand side by side.
    order: Vec<AlarmId>,
}

impl Shelving {
    pub(super) fn new(list: &AlarmList) -> Self {
        let mut order: Vec<AlarmId> = list.iter().map(|(id, _)| id).collect();
        order.sort_by_cached_key(|id| list.get(*id).map(full_name));
        Self { by_path: BTreeMap::new(), covered: vec![0; list.len()], order }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Shelf> {
        self.by_path.values()
    }

    pub(super) fn get(&self, path: &str) -> Option<&Shelf> {
        self.by_path.get(path)
    }

    pub(super) fn covers(&self, id: AlarmId) -> bool {
        self.covered.get(id.0 as usize).is_some_and(|by| *by > 0)
    }

    /// Whether there is room for a shelving of this path.
    pub(super) fn has_room(&self, path: &str) -> bool {
        path.len() <= MAX_SHELF_PATH_BYTES && (self.by_path.len() < MAX_SHELVINGS || self.by_path.contains_key(path))
    }

    /// Puts a shelving in force; gives the one whose place it took and the alarms that became hidden.
    pub(super) fn insert(&mut self, list: &AlarmList, shelf: Shelf) -> (Option<Shelf>, Vec<AlarmId>) {
        let path = shelf.path.clone();
        let before = self.by_path.insert(path.clone(), shelf);
        if before.is_some() {
            return (before, Vec::new());
        }
        let hidden = self.count(list, &path, |by| {
            *by = by.saturating_add(1);
            *by == 1
        });
        (None, hidden)
    }

    /// Ends a shelving; gives it and the alarms that are hidden no more.
    pub(super) fn remove(&mut self, list: &AlarmList, path: &str) -> Option<(Shelf, Vec<AlarmId>)> {
        let shelf = self.by_path.remove(path)?;
        let shown = self.count(list, path, |by| {
            *by = by.saturating_sub(1);
            *by == 0
        });
        Some((shelf, shown))
    }

    /// Counts for each alarm that fits; gives those where `count` says so.
    fn count(&mut self, list: &AlarmList, pattern: &str, count: impl Fn(&mut u16) -> bool) -> Vec<AlarmId> {
        let mut ids = self.fitting(list, pattern);
        ids.retain(|id| self.covered.get_mut(id.0 as usize).is_some_and(&count));
        ids
    }

    /// The alarms that fit a pattern: by the path of their tag, or by that and their name.
    pub(super) fn fitting(&self, list: &AlarmList, pattern: &str) -> Vec<AlarmId> {
        let start = pattern.split('*').next().unwrap_or_default();
        let from = self.order.partition_point(|id| list.get(*id).is_some_and(|def| bytes_of(def).lt(start.bytes())));
        let in_reach = self.order[from..].iter().filter_map(|id| Some((*id, list.get(*id)?)));
        in_reach
            .take_while(|(_, def)| bytes_of(def).take(start.len()).eq(start.bytes()))
            .filter(|(_, def)| path_matches(pattern, &def.path) || path_matches(pattern, &full_name(def)))
            .map(|(id, _)| id)
            .collect()
    }
}

fn full_name(def: &AlarmDef) -> String {
    format!("{}/{}", def.path, def.name)
}

fn bytes_of(def: &AlarmDef) -> impl Iterator<Item = u8> {
    def.path.bytes().chain([b'/']).chain(def.name.bytes())
}

/// For comparing two nodes.
pub(super) fn digest_of(shelf: &Shelf) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(b"shelf");
    hasher.update(shelf.path.as_bytes());
    hasher.update(&shelf.event.0.to_le_bytes());
    hasher.digest()
}
