//! The machine alone: one of them, and by hand what the other node and the disk say to it; or two of them, their queues
//! and their disks, and whatever may happen to these.

mod absorbing;
mod pair;
mod pair_checks;
mod pair_disk;
mod pair_hostile;
mod pair_random;
mod pair_reads;
mod pair_stop;
mod pair_timers;
mod requests;
mod stage;
mod syncs;
