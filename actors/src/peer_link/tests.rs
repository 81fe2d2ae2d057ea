#![allow(clippy::unwrap_used)]

use std::time::Duration;

use hotpair_core::types::Mode;
use tokio::net::{TcpListener, TcpStream};

use super::PeerLink;
use super::greet;
use crate::connection::Connection;
use crate::directory::names::PEER_LINK;
use crate::supervised;
use crate::testing::{shared, within_system};

/// As when PeerLink panics over the message that says so.
#[test]
fn a_connection_that_ended_unheard_is_noticed_by_the_restarted_link() {
    within_system(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = shared(Mode::Backup, listener.local_addr().unwrap().port());
        let near = Connection::from(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let (far, _) = listener.accept().await.unwrap();
        let greeting = greet::own_greeting(&shared, &near, 1);
        shared.link.take(&shared, near, Vec::new(), greeting, 1, Vec::new());
        assert!(shared.link.is_up());
        drop(far);
        while shared.link.ended_unheard().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let _address = supervised::start(&shared, PEER_LINK, |_| PeerLink::new(shared.clone()));
        listener.accept().await.unwrap();
        assert!(!shared.link.is_up());
    });
}
