//! The reader on files written by Python, on files assembled by hand, and on bombs.

use super::value::{Dialect, Value};
use super::{Machine, Refusal, read};
use crate::weights::file::WeightFile;
use crate::weights::raw::Contents;
use std::path::PathBuf;

fn file(path: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", path].iter().collect();
    std::fs::read(path).unwrap()
}

#[test]
fn arrays_of_every_kind_in_every_protocol() {
    let in_memory = |path: &str| WeightFile::from_bytes(path.into(), file(path));
    let want_file = in_memory("goldens/pickles.safetensors");
    let want = crate::weights::safetensors_file::read(&want_file).unwrap();
    for protocol in 0..=5 {
        let got_file = in_memory(&format!("goldens/py3_protocol{protocol}.pkl"));
        let got = read(&got_file.range(0..got_file.len()).unwrap()).unwrap();
        assert_eq!(got.cfg.as_deref(), Some("MODEL:\n  TYPE: x\n"));
        let arrays: Vec<&str> = got.tensors.keys().map(String::as_str).collect();
        assert_eq!(arrays, ["again", "big", "counts", "empty", "f2", "f4", "f8", "fortran", "scalar_array"]);
        for (name, want) in &want.tensors {
            let tensor = &got.tensors[name];
            assert_eq!(tensor.shape, want.shape, "{name} by protocol {protocol}");
            let values = tensor.values(&got_file, |v| v as f32).unwrap().unwrap();
            let want = want.values(&want_file, |v| v as f32).unwrap().unwrap();
            assert_eq!(values, want, "{name} by protocol {protocol}");
        }
        assert!(got.tensors["fortran"].is_transposed() && got.tensors["big"].big_endian);
        assert_eq!(got.tensors["counts"].element.name(), "i8");
        assert!(got.tensors["counts"].values(&got_file, |v| v).unwrap().is_none());
        let others: Vec<(&str, &str)> = got.others.iter().map(|(name, what)| (name.as_str(), *what)).collect();
        let number = "a number";
        let want = [
            ("large", number),
            ("list", "a list"),
            ("none", "None"),
            ("number", number),
            ("numpy_number", number),
            ("real", number),
            ("truth", "a truth value"),
        ];
        assert_eq!(others, want);
    }
}

#[test]
fn detectron_s_files_are_read_with_and_without_blobs() {
    let with = read(&file("fixtures/pk01_py2_blobs_cfg.pkl")).unwrap();
    assert_eq!((with.tensors.len(), with.others.len()), (45, 0));
    assert!(with.cfg.unwrap().contains("add_ResNet18_conv4_body"));
    let bare = read(&file("fixtures/pk02_py3_bare_extras.pkl")).unwrap();
    assert_eq!(bare.tensors.keys().filter(|name| name.ends_with("_momentum")).count(), 45);
    assert_eq!(bare.cfg, None);
}

/// Appends parts to a pickle of protocol 2.
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn op(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend(bytes.as_ref());
        self
    }

    /// A short string of Python 2.
    fn text(self, text: &str) -> Self {
        let len = u8::try_from(text.len()).unwrap();
        self.op([b'U', len]).op(text)
    }

    /// An array with the state that `state` puts between MARK and TUPLE.
    fn array(self, state: impl FnOnce(Self) -> Self) -> Self {
        let empty = self.op(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R");
        state(empty.op("(")).op("tb")
    }

    fn dtype(self, name: &str) -> Self {
        self.op("cnumpy\ndtype\n").text(name).op([b'K', 0, b'K', 1, 0x87, b'R'])
    }

    fn read(self) -> Result<Contents, Refusal> {
        read(&self.op(".").0)
    }

    #[track_caller]
    fn refused(self, says: &str) {
        match self.read() {
            Ok(_) => panic!("accepted, although {says}"),
            Err(refusal) => assert!(refusal.what.contains(says), "{refusal:?} does not say {says:?}"),
        }
    }
}

#[test]
fn a_file_assembled_by_hand_is_read() {
    let shape = [b'K', 2, b'K', 3, 0x86];
    let pickle = Pickle::new()
        .op("}")
        .text("w")
        .array(|p| p.op([b'K', 1]).op(shape).dtype("f2").op([0x89]).text("............"));
    let contents = pickle.op("s").read().unwrap();
    assert_eq!(contents.tensors["w"].shape, [2, 3]);
}

/// A dictionary of one array as Python 2's `cPickle` writes it in protocol 0, which is text.
#[test]
fn the_oldest_protocol_is_read() {
    let state = "(I1\n(I2\nI2\ntp8\ncnumpy\ndtype\np9\n(S'f4'\nI0\nI1\ntRp10\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n\
                 S'\\x00\\x00\\x80?\\x00\\x00\\x00@\\x00\\x00@@\\x00\\x00\\n\\''\ntb";
    let array = "cnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntRp5\n";
    let numbers = "sS'rate'\nF0.1\nsS'large'\nL123456789012345678901L\nsS'list'\n(lp6\nI01\na";
    let file = format!("(dp1\nS'conv1_w'\np2\n{array}{state}{numbers}sVname\ng2\ns.");
    let contents = read(file.as_bytes()).unwrap();
    let in_memory = WeightFile::from_bytes("old.pkl".into(), file.clone().into_bytes());
    let tensor = &contents.tensors["conv1_w"];
    assert_eq!(tensor.shape, [2, 2]);
    let last = f32::from_le_bytes([0, 0, b'\n', b'\'']);
    assert_eq!(tensor.values(&in_memory, |v| v as f32).unwrap().unwrap(), [1.0, 2.0, 3.0, last]);
    let others: Vec<(&str, &str)> = contents.others.iter().map(|(name, what)| (name.as_str(), *what)).collect();
    assert_eq!(others, [("large", "a number"), ("list", "a list"), ("name", "a string"), ("rate", "a number")]);
}

/// Python 2 writes an ordered dictionary as a call with a list of pairs; Python 3 adds the entries after the call.
#[test]
fn ordered_dictionaries_of_python_2_are_read() {
    let pairs =
        Pickle::new().op("ccollections\nOrderedDict\n](](").text("first").op("Ne](").text("second").op(b"K\x01ee\x85R");
    let contents = pairs.read().unwrap();
    assert_eq!(
        contents.others.into_iter().collect::<Vec<_>>(),
        [("first".to_owned(), "None"), ("second".to_owned(), "a number")]
    );
}

#[test]
fn objects_in_torch_s_files_are_opaque() {
    let run =
        |program: &[u8]| Machine::run(program, 0, Dialect::Torch).map(|outcome| outcome.heap.describe(&outcome.root));
    for (program, want) in [
        (b"cos\nsystem\nU\x02ls\x85R.".as_slice(), "an object of os.system"),
        (b"cos\nsystem\n.", "os.system"),
        (b"c__builtin__\neval\n)\x81}b.", "an object of __builtin__.eval"),
        (b"c__builtin__\neval\n)}\x92Nb.", "an object of __builtin__.eval"),
        (b"ca\nb\n)R)R(NNu(NeNaNNs.", "an object of a.b"),
        (b"cnumpy\ndtype\nN\x85R.", "an object"),
        (b"\x8f(K\x01K\x02\x90.", "a set"),
        (b"(K\x01\x91.", "a set"),
        (b"\x8b\x09\0\0\x00123456789.", "a number"),
        (b"ctorch\nSize\n(K\x01K\x02t\x85R.", "a tuple"),
        (b"ctorch\nfloat32\n.", "a class or function"),
        (b"ctorch\nfloat99\n.", "torch.float99"),
    ] {
        assert_eq!(run(program).as_deref(), Ok(want), "{program:?}");
    }
    for (program, says) in [
        (b"NK\x01\x85R.".as_slice(), "a call of None"),
        (b"N)\x81.", "an object of None"),
        (b"N(K\x01\x90.", "not a set"),
        (b"ios\nsystem\n.", "INST"),
        (b"ctorch\nSize\nN\x85R.", "Size called with (None)"),
    ] {
        let refusal = run(program).unwrap_err();
        assert!(refusal.what.contains(says), "{program:?}: {refusal:?}");
    }
}

#[test]
fn the_end_of_a_program_is_returned() {
    let two = [b"\x80\x02K\x07.".as_slice(), b"\x80\x02U\x01x."].concat();
    let first = Machine::run(&two, 0, Dialect::Torch).unwrap();
    assert_eq!((first.root, first.end), (Value::Int(7), 5));
    let second = Machine::run(&two, first.end, Dialect::Torch).unwrap();
    assert_eq!((second.root.kind(), second.end), ("a string", two.len()));
    // `ended` means that more bytes may help.
    for len in 6..two.len() {
        let refusal = Machine::run(&two[..len], first.end, Dialect::Torch).err().unwrap();
        assert!(refusal.ended && refusal.at >= first.end, "{len}: {refusal:?}");
    }
    assert!(!Machine::run(b"\xff", 0, Dialect::Torch).err().unwrap().ended);
}

#[test]
fn disallowed_names_are_refused_by_name() {
    let system = |module: &str| Pickle::new().op(format!("c{module}\nsystem\n")).text("touch /tmp/x").op([0x85, b'R']);
    system("os").refused("\"os.system\"");
    system("posix").refused("\"posix.system\"");
    Pickle::new().op("c__builtin__\neval\n").refused("\"__builtin__.eval\"");
    Pickle::new().op([0x80, 4, 0x8c, 2]).op("os").op([0x8c, 6]).op("system").op([0x93]).refused("\"os.system\"");
    Pickle::new().op(format!("c{}\n{}\n", "x".repeat(500), "y".repeat(500))).refused("xxx\"");
    Pickle::new().op(format!("c{}\nx\n", "x".repeat(5000))).refused("without a name");
    Pickle::new().op("(ios\nsystem\n").refused("INST");
    Pickle::new().op("(cos\nsystem\no").refused("\"os.system\"");
    Pickle::new().op(b"cnumpy\nndarray\n)\x81").refused("the disallowed instruction NEWOBJ");
    for (code, name) in [
        (b'o', "OBJ"),
        (0x81, "NEWOBJ"),
        (0x92, "NEWOBJ_EX"),
        (0x82, "EXT1"),
        (b'P', "PERSID"),
        (b'Q', "BINPERSID"),
        (0x8b, "LONG4"),
        (0x8f, "EMPTY_SET"),
    ] {
        Pickle::new().op([code]).refused(&format!("the disallowed instruction {name}"));
    }
    Pickle::new().op([0xff]).refused("0xff");
    Pickle::new().op([0x80, 6]).refused("protocol 6");
    // Known functions with other arguments than in weight files.
    Pickle::new().op("cnumpy\nndarray\n)R").refused("NdArray called with ()");
    Pickle::new().op("c_codecs\nencode\nX\x01\x00\x00\x00x").text("zip").op([0x86, b'R']).refused("other than latin1");
    Pickle::new().op("NK\x01").op([0x85, b'R']).refused("a call of None");
    Pickle::new().op("}K\x01b").refused("a state for a dictionary");
}

#[test]
fn broken_programs_are_refused() {
    for (program, says) in [
        ("".as_bytes(), "on an empty stack"),
        (b"t", "needs a MARK"),
        (b"(N(0", "on an empty stack"),
        (b"N\x86", "a tuple with too few values"),
        (b"}N(\x85", "a tuple with too few values"),
        (b"Ns", "not a dictionary"),
        (b"}NNNu", "needs a MARK"),
        (b"}(Nu", "a key without a value"),
        (b"(u", "not a dictionary"),
        (b"]NNs", "not a dictionary"),
        (b"NNa", "items appended to None"),
        (b"h\x07", "the empty memo index 7"),
        (b"q\x07", "on an empty stack"),
        (b"T\xff\xff\xff\xff", "negative length"),
        (b"X\xff\xff\xff\xff", "4294967295 bytes with"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "bytes with"),
        (b"\x8a\x09123456789", "an integer of 9 bytes"),
        (b"I1.5\n", "an invalid integer"),
        (b"gx\n", "an invalid memo index"),
        (b"Sabc\n", "a string without quotes"),
        (b"S'\n", "a string without quotes"),
        (b"S'\\q'\n", "an unknown escape"),
        (b"I1", "an unterminated line"),
        (b"(Nd", "a key without a value"),
        (b"a", "items without a list"),
        (b"ccollections\nOrderedDict\n](NNtaa\x85R", "items appended to a class or function"),
        (b"ccollections\nOrderedDict\n]Na\x85R", "items that are not pairs"),
        (b"N", "None instead of a dictionary"),
        (b"}NNs", "None where a blob's name should be"),
    ] {
        Pickle::new().op(program).refused(says);
    }
    assert_eq!(read(b"").unwrap_err().what, "the end of the file before STOP");
}

#[test]
fn inconsistent_arrays_are_refused() {
    let in_blobs = |state: &dyn Fn(Pickle) -> Pickle| Pickle::new().op("}").text("w").array(state).op("s");
    let shape = [b'K', 2, b'K', 3, 0x86];
    let twelve = "............";
    in_blobs(&|p| p.op([b'K', 1]).op(shape).dtype("f4").op([0x89]).text(twelve))
        .refused("shape [2, 3] and F32 with 12");
    let negative = [b'J', 0xff, 0xff, 0xff, 0xff, 0x85];
    in_blobs(&|p| p.op([b'K', 1]).op(negative).dtype("f4").op([0x89]).text("")).refused("not whole numbers");
    let huge = [b'J', 0xff, 0xff, 0xff, 0x7f];
    let huge = [b"(".as_slice(), &huge, &huge, &huge, b"t"].concat();
    in_blobs(&|p| p.op([b'K', 1]).op(&huge).dtype("f4").op([0x89]).text("")).refused("with 0 bytes");
    let many = [b"(".as_slice(), &b"K\x01".repeat(9), b"t"].concat();
    in_blobs(&|p| p.op([b'K', 1]).op(&many).dtype("f4").op([0x89]).text("....")).refused("9 axes");
    in_blobs(&|p| p.op([b'K', 1]).op(shape).op("N").op([0x89]).text(twelve)).refused("element type is None");
    in_blobs(&|p| p.op([b'K', 1]).op(shape).dtype("O8").op([0x89]).op("]")).refused("values are a list");
    in_blobs(&|p| p.op("N")).refused("not shape, element type, order and bytes");
    let unbuilt = Pickle::new().op("}").text("w").op("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n");
    unbuilt.op([0x85, b'R', b's']).refused("an array without values under \"w\"");
}

#[test]
fn bombs_neither_explode_nor_overflow_the_stack() {
    // A hundred thousand nested tuples: dropping them must not recurse.
    Pickle::new().op("N").op(vec![0x85; 100_000]).refused("a tuple instead of a dictionary");
    // Each tuple holds the one before twice, 2^60 items if they were expanded.
    let doubled = (0..60).fold(Pickle::new().op("Nq\x00"), |p, _| p.op(b"h\x00h\x00\x86q\x00"));
    doubled.refused("a tuple instead of a dictionary");
    // More instructions than any checkpoint has.
    Pickle::new().op(vec![b'N'; 1 << 20]).refused("instructions");
    Pickle::new().op(vec![b'('; 1 << 20]).refused("instructions");
    // One long text that is encoded many times is scanned at most twice.
    let encode =
        || Pickle::new().op("c_codecs\nencode\nq\x000X").op((1u32 << 20).to_le_bytes()).op(vec![b'x'; 1 << 20]);
    let once = b"h\x00h\x01h\x02\x86R0";
    let start = encode().op("q\x010").text("latin1").op("q\x020");
    start.op(once.repeat(50_000)).refused("the same text encoded too often");
    // Eighty thousand values under one key of a megabyte.
    let keys = Pickle::new().op("X").op((1u32 << 20).to_le_bytes()).op(vec![b'x'; 1 << 20]).op("q\x000}");
    keys.op(b"h\x00Ns".repeat(80_000)).refused("text where a blob's name should be");
    // Many dictionaries from one list of pairs.
    let pairs =
        Pickle::new().op("ccollections\nOrderedDict\nq\x000](").op(b"NN\x86".repeat(30_000)).op(b"eq\x01\x85q\x020");
    pairs.op(b"h\x00h\x02R0".repeat(30_000)).refused("more than 131072 entries");
    // A tuple of a hundred thousand items that is the state of many objects.
    let state = Pickle::new().op("(").op(vec![b'N'; 100_000]).op("tq\x000cnumpy\ndtype\n").text("f4").op([0x85, b'R']);
    state.op(b"h\x00b".repeat(70_000)).refused("whose state");
}
