//! The lines that wait for whoever reads the log. A reader that stands still costs lines, never a thread of the node.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// So much may wait.
const MAX_BYTES: usize = 4 << 20;

/// Takes lines at once; a thread of its own writes them.
#[derive(Clone)]
pub(super) struct LineQueue {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    more: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// A line is at the reader's door.
    writing: bool,
    /// Since the queue was full. While there are some, nothing is taken: one gap is told better than many.
    lost: u64,
}

impl LineQueue {
    /// Starts the thread that writes to `out`. `tell_lost` is called on it when lines are taken again after so many
    /// were lost; what it says may go into the queue.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        tell_lost: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Self { shared: Arc::default() };
        let shared = queue.shared.clone();
        std::thread::Builder::new().name("hp-log".into()).spawn(move || shared.write_all(out, &tell_lost))?;
        Ok(queue)
    }

    /// Never blocks: what does not fit is lost and counted.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut waiting = self.shared.waiting.lock();
        if waiting.lost > 0 || waiting.bytes + line.len() > MAX_BYTES {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        self.shared.more.notify_one();
    }

    /// Waits until all is written, at most so long.
    pub(super) fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut waiting = self.shared.waiting.lock();
        while waiting.writing || waiting.lost > 0 || !waiting.lines.is_empty() {
            if self.shared.written.wait_until(&mut waiting, end).timed_out() {
                return;
            }
        }
    }
}

impl Shared {
    fn write_all(&self, mut out: impl Write, tell_lost: &impl Fn(u64)) {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.lost > 0 && waiting.bytes <= MAX_BYTES / 2 {
                let lost = std::mem::take(&mut waiting.lost);
                drop(waiting);
                tell_lost(lost);
                waiting = self.waiting.lock();
            }
            let Some(line) = waiting.lines.pop_front() else {
                self.written.notify_all();
                self.more.wait(&mut waiting);
                continue;
            };
            waiting.bytes -= line.len();
            waiting.writing = true;
            drop(waiting);
            // A reader that is gone is no reason to stop: another one may come.
            let _ = out.write_all(&line);
            waiting = self.waiting.lock();
            waiting.writing = false;
        }
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: self, bytes: Vec::new() }
    }
}

/// Collects one line; it goes into the queue when it is dropped.
pub(super) struct Line<'a> {
    queue: &'a LineQueue,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() {
            self.queue.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A pipe that nobody reads until the gate is opened.
    #[derive(Clone, Default)]
    struct Stuck {
        open: Arc<(Mutex<bool>, Condvar)>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Stuck {
        fn open(&self) {
            *self.open.0.lock() = true;
            self.open.1.notify_all();
        }
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut open = self.open.0.lock();
            while !*open {
                self.open.1.wait(&mut open);
            }
            self.read.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_time() {
        let (reader, told) = (Stuck::default(), Arc::new(Mutex::new(0)));
        let lost = told.clone();
        let queue = LineQueue::start(reader.clone(), move |count| *lost.lock() += count).unwrap();
        let (line, lines) = (vec![b'x'; 1024], 8 * 1024);
        for _ in 0..lines {
            queue.make_writer().write_all(&line).unwrap();
        }
        assert!(queue.shared.waiting.lock().bytes <= MAX_BYTES);
        let began = Instant::now();
        queue.flush(Duration::from_millis(50));
        assert!(began.elapsed() < Duration::from_secs(5));

        reader.open();
        queue.flush(Duration::from_secs(20));
        let written = reader.read.lock().len() / line.len();
        let lost = *told.lock() as usize;
        assert_eq!(written + lost, lines);
        // What waited, and the one line that was at the door.
        assert!((MAX_BYTES / line.len()..=MAX_BYTES / line.len() + 1).contains(&written), "{written}");
    }

    #[test]
    fn lines_are_written_whole_and_in_order() {
        let reader = Stuck::default();
        reader.open();
        let queue = LineQueue::start(reader.clone(), |_| panic!("nothing is lost")).unwrap();
        let mut line = queue.make_writer();
        line.write_all(b"one, ").unwrap();
        queue.push(b"zero\n".to_vec());
        line.write_all(b"in two pieces\n").unwrap();
        drop(line);
        queue.flush(Duration::from_secs(20));
        assert_eq!(reader.read.lock().as_slice(), b"zero\none, in two pieces\n");
    }
}
