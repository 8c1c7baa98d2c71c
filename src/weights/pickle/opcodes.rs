//! The instructions of a pickle, by byte, with their names in Python's `pickletools`.

macro_rules! opcodes {
    ($($name:ident = $byte:literal,)*) => {
        $(pub const $name: u8 = $byte;)*

        /// The instructions that weight files use.
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
    INT = b'I',
    BININT = b'J',
    BININT1 = b'K',
    BININT2 = b'M',
    LONG = b'L',
    LONG1 = 0x8a,
    LONG4 = 0x8b,
    FLOAT = b'F',
    BINFLOAT = b'G',
    STRING = b'S',
    BINSTRING = b'T',
    SHORT_BINSTRING = b'U',
    UNICODE = b'V',
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
    LIST = b'l',
    APPEND = b'a',
    APPENDS = b'e',
    EMPTY_DICT = b'}',
    DICT = b'd',
    SETITEM = b's',
    SETITEMS = b'u',
    EMPTY_SET = 0x8f,
    ADDITEMS = 0x90,
    FROZENSET = 0x91,
    PUT = b'p',
    BINPUT = b'q',
    LONG_BINPUT = b'r',
    MEMOIZE = 0x94,
    GET = b'g',
    BINGET = b'h',
    LONG_BINGET = b'j',
    GLOBAL = b'c',
    STACK_GLOBAL = 0x93,
    REDUCE = b'R',
    NEWOBJ = 0x81,
    NEWOBJ_EX = 0x92,
    BUILD = b'b',
    BINPERSID = b'Q',
    PROTO = 0x80,
    FRAME = 0x95,
}

/// The instructions that no weight file needs. They are listed so that an error can name them.
const REFUSED: &[(u8, &str)] = &[
    (b'2', "DUP"),
    (b'P', "PERSID"),
    (b'i', "INST"),
    (b'o', "OBJ"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
];

/// The name of the instruction `byte`, if there is such an instruction.
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
        // Python 3.8 and later have 68 instructions.
        assert_eq!(codes.len(), KNOWN.len() + REFUSED.len());
        assert_eq!(codes.len(), 68);
        assert_eq!((name(b'S'), name(b'R'), name(0xff)), (Some("STRING"), Some("REDUCE"), None));
    }
}
