#![allow(clippy::unwrap_used)]

use std::rc::Rc;
use std::time::Duration;

use hotpair_core::types::Mode;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::line::Line;
use super::{CONFIRMS_WITHIN, write_all};
use crate::testing::shared;

/// A frame as long as that, of kind 2. Nobody looks into it here.
fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0; bytes];
    frame[2] = 2;
    frame
}

fn line() -> Rc<Line> {
    Rc::new(Line::new(shared(Mode::Backup, 0)))
}

/// What has come, when nothing more does.
async fn read(peer: &mut DuplexStream) -> usize {
    let (mut read, mut buffer) = (0, vec![0; 64 * 1024]);
    while let Ok(bytes) = timeout(Duration::from_millis(1), peer.read(&mut buffer)).await {
        match bytes.unwrap() {
            0 => break,
            bytes => read += bytes,
        }
    }
    read
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_confirms_nothing_gets_little_and_is_named() {
    let (ours, mut peer) = duplex(1024 * 1024);
    let (out, queue) = mpsc::channel(4);
    out.send(frame(500_000)).await.unwrap();
    let (line, began) = (line(), Instant::now());
    let (written, got) = tokio::join!(write_all(Box::new(ours), queue, &line), read(&mut peer));
    assert!(written.unwrap_err().contains("does not say that anything has arrived"));
    assert!(got <= 16 * 1024, "{got} bytes");
    assert!(began.elapsed() >= CONFIRMS_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_in_return_does_not_wait_for_a_long_frame() {
    let (ours, mut peer) = duplex(1024 * 1024);
    let (out, queue) = mpsc::channel(4);
    out.send(frame(500_000)).await.unwrap();
    let line = line();
    let goes_on = async {
        let before = read(&mut peer).await;
        // The peer sends a long frame, too, and must hear that it arrives.
        line.received(50_000);
        let said = read(&mut peer).await;
        assert!((said, before > 0) == (20, true), "{said} after {before} bytes");
        // Now it confirms, step by step, and all of it comes.
        let mut sent = before;
        while sent < 500_000 {
            line.arrived(sent as u64);
            let more = read(&mut peer).await;
            assert!(more > 0, "nothing follows {sent} bytes");
            sent += more;
        }
        drop(out);
    };
    let (written, ()) = tokio::join!(write_all(Box::new(ours), queue, &line), goes_on);
    assert_eq!(written, Ok(()));
}
