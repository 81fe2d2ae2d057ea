//! What was answered is there, what is there is whole, and clients see it in order.

pub(super) mod crash;
