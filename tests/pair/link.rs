//! The link as a stranger sees it.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::Pair;

/// Bytes of a frame before its body: magic, kind, flags, length of the body (little endian), checksum.
const HEADER_BYTES: usize = 12;

/// What a real Backup says first, recorded by a listener in the Master's place. The Backup is gone afterwards.
#[track_caller]
pub fn greeting_of_a_backup() -> Vec<u8> {
    let pair = Pair::builder().connection_wait_time_ms(60_000).prepare();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, pair.backup.link_port)).expect("the port is free");
    listener.set_nonblocking(true).unwrap();
    pair.backup.spawn();
    let end = Instant::now() + super::TIMEOUT;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) => assert!(Instant::now() < end, "the Backup does not connect"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    stream.set_nonblocking(false).unwrap();
    read_frame(&mut stream).expect("the Backup greets first")
}

/// The next frame, header and body.
pub fn read_frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut frame = vec![0; HEADER_BYTES];
    stream.read_exact(&mut frame)?;
    let length = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]) as usize;
    assert!(length <= 65_536, "a control frame of {length} bytes");
    frame.resize(HEADER_BYTES + length, 0);
    stream.read_exact(&mut frame[HEADER_BYTES..])?;
    Ok(frame)
}
