//! A long frame in pieces, between which something shorter may go, and as much of it at once as the line carries.

use super::{Frame, GOES_ON, HEADER_BYTES, Kind, WireError, seal_with};

/// A frame that is being sent.
#[derive(Debug)]
pub struct Pieces {
    frame: Vec<u8>,
    /// Of its bytes.
    gone: usize,
}

impl Pieces {
    /// Of a whole frame.
    pub fn of(frame: Vec<u8>) -> Self {
        Self { frame, gone: 0 }
    }

    /// The next piece, of at most so many bytes (more than a header has), into `out`. True: it was the last.
    ///
    /// A frame that fits goes as it is.
    pub fn next(&mut self, most: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some(kind) = self.frame.get(2).and_then(|code| Kind::of_code(*code)) else {
            return true;
        };
        if self.gone == 0 && self.frame.len() <= most {
            *out = std::mem::take(&mut self.frame);
            return true;
        }
        let from = self.gone.max(HEADER_BYTES);
        let until = (from + most.saturating_sub(HEADER_BYTES).max(1)).min(self.frame.len());
        let last = until == self.frame.len();
        out.resize(HEADER_BYTES, 0);
        out.extend_from_slice(&self.frame[from..until]);
        // No piece is longer than the frame was.
        let _ = seal_with(out, kind, if last { 0 } else { GOES_ON });
        self.gone = until;
        last
    }
}

/// Puts frames together that come in pieces.
#[derive(Debug, Default)]
pub struct Assembly {
    kind: Option<Kind>,
    body: Vec<u8>,
}

impl Assembly {
    /// The next piece or frame of kinds 2 and 3. Gives what is whole. Errors: a piece of something else comes before the
    /// last one, or all of them are longer than one frame may be. They are final.
    pub fn take(&mut self, frame: &Frame<'_>) -> Result<Option<(Kind, Vec<u8>)>, WireError> {
        let kind = frame.kind;
        if self.kind.is_some_and(|begun| begun != kind) {
            return Err(WireError::malformed("a frame within the pieces of another one"));
        }
        let (length, limit) = (self.body.len() + frame.body.len(), kind.max_body_bytes());
        if length > limit {
            return Err(WireError::TooLong { kind, length, limit });
        }
        self.body.extend_from_slice(frame.body);
        self.kind = frame.goes_on.then_some(kind);
        Ok((!frame.goes_on).then(|| (kind, std::mem::take(&mut self.body))))
    }
}
