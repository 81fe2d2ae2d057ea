//! Text that can be pasted into a shell.

use std::path::Path;

/// `path` as one word of a POSIX shell.
pub(super) fn path(path: &Path) -> String {
    word(&path.to_string_lossy())
}

/// `text` as one word of a POSIX shell.
pub(super) fn word(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_words_stay_readable() {
        assert_eq!(word("/tmp/hotpair-demo/hotpair.toml"), "/tmp/hotpair-demo/hotpair.toml");
        assert_eq!(word("http://127.0.0.1:8066"), "http://127.0.0.1:8066");
    }

    #[test]
    fn everything_else_is_quoted() {
        assert_eq!(word(""), "''");
        assert_eq!(word("my plant"), "'my plant'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("$(rm) `x` \"y\" ~"), "'$(rm) `x` \"y\" ~'");
        assert_eq!(word("Größe"), "'Größe'");
    }
}
