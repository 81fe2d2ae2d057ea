//! A WebSocket client that answers pings only while it reads, as most do.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::TIMEOUT;

pub const REALTIME: &str = "/ws/v1/realtimeData";

/// A connection to `/ws/v1/realtimeData` of a node.
pub struct Socket {
    socket: WebSocket<TcpStream>,
}

/// Why a WebSocket was not opened.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub body: String,
}

impl Socket {
    #[track_caller]
    pub fn open(port: u16) -> Self {
        Self::try_open(port, &[]).unwrap_or_else(|refused| panic!("the WebSocket at {port}: {refused:?}"))
    }

    /// With more headers.
    pub fn try_open(port: u16, headers: &[(&'static str, &str)]) -> Result<Self, Refused> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the node listens");
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://127.0.0.1:{port}{REALTIME}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(HandshakeError::Failure(Error::Http(answer))) => {
                let body = String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default()).into_owned();
                Err(Refused { status: answer.status().as_u16(), body })
            }
            Err(error) => panic!("the handshake: {error}"),
        }
    }

    #[track_caller]
    pub fn ask(&mut self, request: &Value) {
        self.send(request.to_string());
    }

    #[track_caller]
    pub fn send(&mut self, message: impl Into<Message>) {
        self.socket.send(message.into()).expect("the node takes a message");
    }

    /// The next message with JSON; a connection that ends fails the test.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        match self.read() {
            Ok(json) => json,
            Err(closed) => panic!("a message was awaited, but the connection ended: {closed:?}"),
        }
    }

    /// The next message, or how the connection was closed.
    #[track_caller]
    pub fn read(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(frame)) => return Err(frame),
                Ok(_) => {}
                Err(Error::Io(error)) if is_timeout(&error) => panic!("no message within {TIMEOUT:?}"),
                Err(_) => return Err(None),
            }
        }
    }

    /// The rows of the next list, all parts of it.
    #[track_caller]
    pub fn list(&mut self, kind: &str, all: bool) -> Vec<Value> {
        let mut rows = Vec::new();
        loop {
            let mut message = self.next();
            assert_eq!((&message["type"], &message["all"]), (&kind.into(), &all.into()), "{message}");
            rows.append(message["data"].as_array_mut().expect("rows"));
            if message["more"] == false {
                return rows;
            }
        }
    }

    /// Reads lists until a row fits; the answer is all rows before it and itself.
    #[track_caller]
    pub fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let (mut rows, end) = (Vec::new(), Instant::now() + TIMEOUT);
        while Instant::now() < end {
            for row in self.next()["data"].as_array().into_iter().flatten() {
                rows.push(row.clone());
                if fits(row) {
                    return rows;
                }
            }
        }
        panic!("not within {TIMEOUT:?}: {what}; last: {:?}", rows.last());
    }

    /// Says goodbye and waits for the end.
    pub fn close(mut self) {
        let _ = self.socket.close(None);
        while self.read().is_ok() {}
    }
}

/// A WebSocket of which nothing is read but what the test reads byte by byte: no ping is ever answered.
#[track_caller]
pub fn open_deaf(port: u16, request: &Value) -> TcpStream {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let head = format!(
        "GET {REALTIME} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    let text = request.to_string();
    assert!(text.len() < 126, "a short request, please");
    // A frame with text in it, masked with zeros.
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).unwrap();
    stream
}

/// Reads until the other end has closed, and gives the last bytes.
#[track_caller]
pub fn read_to_end(stream: &mut TcpStream, patience: Duration) -> Vec<u8> {
    let (end, mut last, mut chunk) = (Instant::now() + patience, Vec::new(), vec![0; 256 * 1024]);
    loop {
        assert!(Instant::now() < end, "the connection is still open after {patience:?}");
        match stream.read(&mut chunk) {
            Ok(0) => return last,
            Ok(length) => {
                last.extend_from_slice(&chunk[..length]);
                last.drain(..last.len().saturating_sub(4096));
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return last,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
