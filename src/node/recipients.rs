//! Addresses of the actors, for actix programs that embed a node.

use actix::{Message, Recipient};
use hotpair_actors::directory::Directory;
use hotpair_actors::messages::{Happened, Operate, PressSwitch, Publish, Write};
use hotpair_actors::post::Post;

/// A message that a program may send to an actor of a node: see [`super::NodeHandle::recipient`].
pub trait Addressed: Message<Result = ()> + Send + Sized + 'static {
    /// The actor that takes it; none while the node is not there.
    fn recipient(directory: &Directory) -> Option<Recipient<Self>>;
}

impl Addressed for Write {
    fn recipient(directory: &Directory) -> Option<Recipient<Self>> {
        directory.tag_replicator().map(Post::recipient)
    }
}

impl Addressed for Publish {
    fn recipient(directory: &Directory) -> Option<Recipient<Self>> {
        directory.tag_replicator().map(Post::recipient)
    }
}

impl Addressed for Operate {
    fn recipient(directory: &Directory) -> Option<Recipient<Self>> {
        directory.alarm_replicator().map(Post::recipient)
    }
}

impl Addressed for PressSwitch {
    fn recipient(directory: &Directory) -> Option<Recipient<Self>> {
        directory.state_arbiter().map(Post::recipient)
    }
}

impl Addressed for Happened {
    fn recipient(directory: &Directory) -> Option<Recipient<Self>> {
        directory.state_arbiter().map(Post::recipient)
    }
}
