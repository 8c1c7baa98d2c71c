//! The instructions of a pickle, by byte and by the names that Python's `pickletools` gives them.

macro_rules! opcodes {
    ($($name:ident = $byte:literal,)*) => {
        $(pub const $name: u8 = $byte;)*

        /// The ones that weight files are made of.
        const KNOWN: &[(u8, &str)] = &[$(($byte, stringify!($name)),)*];
    };
}

opcodes! {
    MARK = b'(',
    STOP = b'.',
    POP = b'0',
    POP_MARK = b'1',
    NONE = b'N',
    NEWTRUE = 0x88,
    NEWFALSE = 0x89,
    BININT = b'J',
    BININT1 = b'K',
    BININT2 = b'M',
    LONG1 = 0x8a,
    BINFLOAT = b'G',
    BINSTRING = b'T',
    SHORT_BINSTRING = b'U',
    BINUNICODE = b'X',
    SHORT_BINUNICODE = 0x8c,
    BINUNICODE8 = 0x8d,
    BINBYTES = b'B',
    SHORT_BINBYTES = b'C',
    BINBYTES8 = 0x8e,
    BYTEARRAY8 = 0x96,
    EMPTY_TUPLE = b')',
    TUPLE = b't',
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87,
    EMPTY_LIST = b']',
    APPEND = b'a',
    APPENDS = b'e',
    EMPTY_DICT = b'}',
    SETITEM = b's',
    SETITEMS = b'u',
    BINPUT = b'q',
    LONG_BINPUT = b'r',
    MEMOIZE = 0x94,
    BINGET = b'h',
    LONG_BINGET = b'j',
    GLOBAL = b'c',
    STACK_GLOBAL = 0x93,
    REDUCE = b'R',
    BUILD = b'b',
    PROTO = 0x80,
    FRAME = 0x95,
}

/// The ones that no weight file needs, so that a refusal can name them.
const REFUSED: &[(u8, &str)] = &[
    (b'2', "DUP"),
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'L', "LONG"),
    (b'P', "PERSID"),
    (b'Q', "BINPERSID"),
    (b'S', "STRING"),
    (b'V', "UNICODE"),
    (b'd', "DICT"),
    (b'g', "GET"),
    (b'i', "INST"),
    (b'l', "LIST"),
    (b'o', "OBJ"),
    (b'p', "PUT"),
    (0x81, "NEWOBJ"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x8b, "LONG4"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x91, "FROZENSET"),
    (0x92, "NEWOBJ_EX"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
];

/// Whether the instruction `byte` is one of protocol 0, which is text.
pub fn is_text(byte: u8) -> bool {
    b"FILSVdglp".contains(&byte)
}

/// The name of the instruction `byte`, if there is one.
pub fn name(byte: u8) -> Option<&'static str> {
    KNOWN.iter().chain(REFUSED).find(|(code, _)| *code == byte).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_instruction_is_listed_twice() {
        let mut codes: Vec<u8> = KNOWN.iter().chain(REFUSED).map(|(code, _)| *code).collect();
        codes.sort_unstable();
        codes.dedup();
        // Python 3.8 and later know 68.
        assert_eq!(codes.len(), KNOWN.len() + REFUSED.len());
        assert_eq!(codes.len(), 68);
        assert_eq!((name(b'S'), name(b'R'), name(0xff)), (Some("STRING"), Some("REDUCE"), None));
    }
}
