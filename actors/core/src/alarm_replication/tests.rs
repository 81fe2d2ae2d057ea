//! The machine alone: two of them, their queues and their disks, and whatever may happen to these.

mod pair;
mod pair_checks;
mod pair_disk;
mod pair_hostile;
mod pair_random;
mod pair_reads;
mod pair_stop;
mod pair_timers;
