//! Decoding of the text forms in which pickles store bytes.

use super::raw::Encoding;

impl Encoding {
    /// Decodes `text`; `None` if it is not valid in this encoding.
    pub fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        let mut decoded = Vec::with_capacity(text.len());
        self.for_each_byte(text, |byte| decoded.push(byte))?;
        Some(decoded)
    }

    /// The decoded length of `text`; `None` if it is not valid in this encoding.
    pub fn len(self, text: &[u8]) -> Option<usize> {
        let mut len = 0;
        self.for_each_byte(text, |_| len += 1)?;
        Some(len)
    }

    fn for_each_byte(self, text: &[u8], mut byte: impl FnMut(u8)) -> Option<()> {
        let mut rest = text;
        while !rest.is_empty() {
            let (next, tail) = match self {
                Self::Plain => (Some(rest[0]), &rest[1..]),
                Self::Latin1 => latin1(rest)?,
                Self::Literal => literal(rest)?,
                Self::RawUnicode => raw_unicode(rest)?,
            };
            next.into_iter().for_each(&mut byte);
            rest = tail;
        }
        Some(())
    }
}

/// The next byte and the rest of the text. The byte is `None` for an escaped line break, which encodes nothing.
type Next<'a> = Option<(Option<u8>, &'a [u8])>;

/// The next byte of Latin-1 text in UTF-8.
fn latin1(text: &[u8]) -> Next<'_> {
    match text {
        [byte @ 0..0x80, rest @ ..] => Some((Some(*byte), rest)),
        [first @ (0xc2 | 0xc3), second @ 0x80..=0xbf, rest @ ..] => Some((Some(first << 6 | (second & 0x3f)), rest)),
        _ => None,
    }
}

/// The next byte of a Python 2 string literal.
fn literal(text: &[u8]) -> Next<'_> {
    let (escaped, rest) = match text {
        [b'\\', escaped, rest @ ..] => (*escaped, rest),
        [b'\\'] => return None,
        [byte, rest @ ..] => return Some((Some(*byte), rest)),
        [] => return None,
    };
    let byte = match escaped {
        b'\\' | b'\'' | b'"' => escaped,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'v' => 11,
        b'\n' => return Some((None, rest)),
        b'x' => return hexadecimal(rest, 2),
        b'0'..=b'7' => {
            let digits = text[1..].iter().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
            let value = text[1..=digits].iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            return Some((Some(u8::try_from(value).ok()?), &text[1 + digits..]));
        }
        _ => return None,
    };
    Some((Some(byte), rest))
}

/// The next byte of Latin-1 text with `\u` escapes.
fn raw_unicode(text: &[u8]) -> Next<'_> {
    match text {
        [b'\\', b'u', rest @ ..] => hexadecimal(rest, 4),
        [b'\\', b'U', rest @ ..] => hexadecimal(rest, 8),
        [byte, rest @ ..] => Some((Some(*byte), rest)),
        [] => None,
    }
}

/// The byte that the first `digits` hexadecimal digits of `text` encode.
fn hexadecimal(text: &[u8], digits: usize) -> Next<'_> {
    let (number, rest) = text.split_at_checked(digits)?;
    let value = number.iter().try_fold(0u32, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))?;
    Some((Some(u8::try_from(value).ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<u8> {
        (0..=255).collect()
    }

    #[test]
    fn latin1_text_is_bytes() {
        let text: String = all().iter().map(|&byte| char::from(byte)).collect();
        assert_eq!(Encoding::Latin1.decode(text.as_bytes()), Some(all()));
        assert_eq!(Encoding::Latin1.len(text.as_bytes()), Some(256));
        for other in ["\u{100}".as_bytes(), "€".as_bytes(), b"\xc2", b"\xff", b"\xc0\x80"] {
            assert_eq!((Encoding::Latin1.decode(other), Encoding::Latin1.len(other)), (None, None), "{other:?}");
        }
    }

    #[test]
    fn literals_are_bytes() {
        let escaped: String = all().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        assert_eq!(Encoding::Literal.decode(escaped.as_bytes()), Some(all()));
        let text = br#"a\\b\'c\"d\n\r\t\a\b\f\v\0\17\1777"#;
        assert_eq!(Encoding::Literal.decode(text).unwrap(), b"a\\b'c\"d\n\r\t\x07\x08\x0c\x0b\x00\x0f\x7f7");
        assert_eq!(Encoding::Literal.decode(b"a\\\nb").unwrap(), b"ab");
        for other in [b"\\".as_slice(), b"\\q", b"\\x1", b"\\xg0", b"\\777"] {
            assert_eq!(Encoding::Literal.decode(other), None, "{other:?}");
        }
    }

    #[test]
    fn raw_unicode_is_bytes() {
        let raw = [b"a\\q\xe9".as_slice(), b"\\u000a\\U000000ff"].concat();
        assert_eq!(Encoding::RawUnicode.decode(&raw).unwrap(), b"a\\q\xe9\n\xff");
        for other in [b"\\u0100".as_slice(), b"\\u00", b"\\U0000000"] {
            assert_eq!(Encoding::RawUnicode.decode(other), None, "{other:?}");
        }
    }
}
