//! kill -9 at every step of a write.
pub(in crate::storage::journal) fn step(_: &str) {}
pub(in crate::storage::journal) fn wal_pages() -> u32 {
    1000
}
