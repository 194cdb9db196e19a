//! Keeps what a stranger wrote from steering the renter's terminal.

/// Longest control sequence that is swallowed whole; what is longer is not one.
const MAX_SEQUENCE_BYTES: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After ESC.
    Escape,
    /// After ESC and intermediate bytes.
    Intermediate,
    /// After CSI: parameters until a final byte.
    Control,
    /// OSC, DCS and their like: until BEL or ST.
    Quoted,
    /// ESC within such a string.
    StringEscape,
    /// First byte of a C1 control in UTF-8.
    C1,
}

/// Removes control sequences and control characters from a stream of bytes, except line breaks and tabs.
#[derive(Debug)]
pub struct TerminalFilter {
    state: State,
    length: usize,
}

impl Default for TerminalFilter {
    fn default() -> Self {
        Self { state: State::Text, length: 0 }
    }
}

impl TerminalFilter {
    /// What may be shown of the next bytes of the stream.
    pub fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.step(*byte, &mut shown);
        }
        shown
    }

    fn step(&mut self, byte: u8, shown: &mut Vec<u8>) {
        self.length += 1;
        // A line break ends whatever somebody has left open.
        if byte == b'\n' || self.length > MAX_SEQUENCE_BYTES {
            self.state = State::Text;
        }
        self.state = match (self.state, byte) {
            (State::Escape, b'[') => State::Control,
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Quoted,
            (State::Escape | State::Intermediate, 0x20..=0x2f) => State::Intermediate,
            (State::Control, 0x20..=0x3f) => State::Control,
            (State::Quoted, 0x1b) => State::StringEscape,
            (State::Quoted, 0x07) | (State::StringEscape, b'\\') => State::Text,
            (State::StringEscape, _) | (State::Quoted, _) => State::Quoted,
            (State::Escape | State::Intermediate | State::Control, 0x20..=0x7e) => State::Text,
            (State::C1, 0x80..=0x9f) => self.c1(byte),
            (State::C1, 0xa0..=0xbf) => {
                shown.extend([0xc2, byte]);
                State::Text
            }
            // Not UTF-8: without its second byte the first one could only meet another later.
            (_, _) => self.plain(byte, shown),
        };
        if self.state == State::Text {
            self.length = 0;
        }
    }

    /// A byte of text, or the start of something else.
    fn plain(&mut self, byte: u8, shown: &mut Vec<u8>) -> State {
        match byte {
            0x1b => State::Escape,
            0xc2 => State::C1,
            b'\n' | b'\t' | b'\r' | 0x20..=0x7e | 0x80.. => {
                shown.push(byte);
                State::Text
            }
            _ => State::Text,
        }
    }

    fn c1(&self, byte: u8) -> State {
        match byte {
            0x9b => State::Control,
            0x90 | 0x98 | 0x9d..=0x9f => State::Quoted,
            _ => State::Text,
        }
    }
}

/// A whole text at once.
pub fn clean(text: &str) -> String {
    String::from_utf8_lossy(&TerminalFilter::default().filter(text.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_stays_and_sequences_go() {
        for (given, shown) in [
            ("plain\ttext\r\n", "plain\ttext\r\n"),
            ("Grüße, 漢字 §", "Grüße, 漢字 §"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07x", "x"),
            ("\x1b]52;c;aGk=\x1b\\x", "x"),
            ("\x1bPq...\x1b\\x\x1b(Bz", "xz"),
            ("\u{9b}2Jx\u{9d}0;t\x07y\u{85}z", "xyz"),
            ("bell\x07 back\x08space\x7f nul\0", "bell backspace nul"),
            ("\x1b]0;never closed\nnext line", "\nnext line"),
            ("cut\x1b", "cut"),
        ] {
            assert_eq!(clean(given), shown, "{given:?}");
        }
        let endless = format!("\x1b]{}end", "x".repeat(2 * MAX_SEQUENCE_BYTES));
        assert!(clean(&endless).ends_with("end"), "nothing hides the rest of a stream");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_gets_through_however_it_is_cut(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let mut filter = TerminalFilter::default();
            let cut = cut.min(bytes.len());
            let mut parts = filter.filter(&bytes[..cut]);
            parts.extend(filter.filter(&bytes[cut..]));
            prop_assert_eq!(&parts, &TerminalFilter::default().filter(&bytes));
            prop_assert!(parts.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f || b"\n\r\t".contains(byte)));
            let text = String::from_utf8_lossy(&parts);
            let has_c1 = text.chars().any(|character| ('\u{80}'..='\u{9f}').contains(&character));
            prop_assert!(!has_c1);
        }
    }
}
