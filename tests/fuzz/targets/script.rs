//! Bytes as a sequence of choices: what a fuzzer changes in them changes one step of a story, not all of them.
#![allow(dead_code)]

/// When the bytes are used up, every choice is the first one.
pub struct Script<'a> {
    rest: &'a [u8],
}

/// Where counting and limits break, if they do.
const EDGES: [u64; 14] = [
    0,
    1,
    u8::MAX as u64,
    u16::MAX as u64,
    u32::MAX as u64,
    u32::MAX as u64 + 1,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX,
    u64::MAX - 1,
    1 << 53,
    (1 << 62) - 1,
    1 << 62,
    (1 << 62) + 1,
];

impl<'a> Script<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    pub fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// Mostly a small one, so that it fits what else happens; sometimes one at an edge.
    pub fn number(&mut self) -> u64 {
        match self.byte() % 8 {
            0..=4 => u64::from(self.byte() % 16),
            5 => u64::from(u16::from_le_bytes([self.byte(), self.byte()])),
            6 => EDGES[self.below(EDGES.len())],
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    /// Up to so many of the bytes as they are.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let length = self.below(most + 1).min(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// Whatever is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// A few changes to what was a real message.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % bytes.len();
            match self.byte() % 6 {
                0 => bytes[at] = self.byte(),
                1 => bytes[at] ^= 1 << (self.byte() % 8),
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..(at + 1 + self.below(8)).min(bytes.len()))),
                4 => drop(bytes.splice(at..at, self.take(16).iter().copied())),
                // MessagePack's 64-bit numbers of any size.
                _ => {
                    let number = self.number().to_be_bytes();
                    let end = (at + 8).min(bytes.len());
                    bytes[at..end].copy_from_slice(&number[..end - at]);
                }
            }
        }
    }
}
