//! The tags of a project: what each is, and its dense id.

use std::collections::HashMap;
use std::sync::Arc;

use crate::value::{Value, ValueType};

/// Place of a tag in the catalog and in every table of this node. Two nodes with equal tag lists use equal ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId(pub u32);

/// What a tag is.
#[derive(Clone, Debug, PartialEq)]
pub struct TagDef {
    /// `Plant/Line1/Temperature`; case-sensitive, unique.
    pub path: Arc<str>,
    /// Its type.
    pub value_type: ValueType,
    /// Engineering unit, for people.
    pub unit: String,
    /// For people.
    pub description: String,
    /// Clients may write it.
    pub writable: bool,
    /// Its value outlives a stop of both nodes.
    pub retain: bool,
    /// The value before anybody wrote one.
    pub initial: Option<Value>,
    /// Low end of the engineering range.
    pub eu_low: Option<f64>,
    /// High end of the engineering range.
    pub eu_high: Option<f64>,
    /// A source's change smaller than this is no change; in the tag's unit. 0: every change counts.
    pub deadband: f64,
    /// A source feeds it: after a takeover its value is last usable until the source was read again.
    pub source_fed: bool,
    /// A value older than this is shown as stale. None: never.
    pub stale_after_ms: Option<u64>,
}

impl TagDef {
    /// A tag that nobody may write and nothing feeds, without an initial value; change what is otherwise.
    pub fn new(path: impl Into<Arc<str>>, value_type: ValueType) -> Self {
        Self {
            path: path.into(),
            value_type,
            unit: String::new(),
            description: String::new(),
            writable: false,
            retain: false,
            initial: None,
            eu_low: None,
            eu_high: None,
            deadband: 0.0,
            source_fed: false,
            stale_after_ms: None,
        }
    }
}

/// All tags of a node.
#[derive(Debug)]
pub struct Catalog {
    tags: Vec<TagDef>,
    by_path: HashMap<Arc<str>, TagId>,
    hash: u64,
}

impl Catalog {
    /// A catalog of these tags, with ids in this order. The error is a path that stands there twice.
    pub fn new(tags: Vec<TagDef>) -> Result<Self, Arc<str>> {
        let mut by_path = HashMap::with_capacity(tags.len());
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for (index, tag) in tags.iter().enumerate() {
            if by_path.insert(tag.path.clone(), TagId(index as u32)).is_some() {
                return Err(tag.path.clone());
            }
            hasher.update(tag.path.as_bytes());
            hasher.update(&[0, tag.value_type as u8]);
        }
        Ok(Self { tags, by_path, hash: hasher.digest() })
    }

    /// How many tags there are; every id is below it.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there is no tag.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// The definition of a tag of this catalog; none for an id of another one.
    pub fn get(&self, id: TagId) -> Option<&TagDef> {
        self.tags.get(id.0 as usize)
    }

    /// The id of a path.
    pub fn find(&self, path: &str) -> Option<TagId> {
        self.by_path.get(path).copied()
    }

    /// All tags in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (TagId, &TagDef)> {
        self.tags.iter().enumerate().map(|(index, tag)| (TagId(index as u32), tag))
    }

    /// Of paths and types in order: two catalogs with equal hashes use equal ids for equal tags.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// Whether `path` fits `pattern`, in which each `*` stands for any characters, also `/` and none.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let Some((start, mut rest)) = pattern.split_once('*') else { return pattern == path };
    let Some(mut path) = path.strip_prefix(start) else { return false };
    while let Some((middle, after)) = rest.split_once('*') {
        let Some(at) = path.find(middle) else { return false };
        path = &path[at + middle.len()..];
        rest = after;
    }
    path.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, fits) in [
            ("Plant/*", "Plant/A/B", true),
            ("Plant/*", "Plants", false),
            ("*", "", true),
            ("*/Level", "Plant/Tank1/Level", true),
            ("Plant/*/Level", "Plant/Level", false),
            ("a*b*c", "aXbYc", true),
            ("a*ba", "aba", true),
            ("ab*ba", "aba", false),
            ("Plant/A", "Plant/A", true),
            ("Plant/A", "Plant/AB", false),
        ] {
            assert_eq!(path_matches(pattern, path), fits, "{pattern} {path}");
        }
    }
}
