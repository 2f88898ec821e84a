//! Files written field by field, so that any field can be wrong (SPEC 2 to 6).

/// An array as the directory and the frames hold it; every field goes into the file as it is.
#[derive(Clone)]
pub struct Array {
    pub name: Vec<u8>,
    pub data_type: u8,
    pub flags: u8,
    pub shape: Vec<u64>,
    pub bound: Vec<u8>,
    /// Dimension names, attributes, model index and frame shape, as the flags announce them.
    pub optional: Vec<u8>,
    pub frames: Vec<Vec<u8>>,
}

/// A model as the directory and the body hold it.
#[derive(Clone)]
pub struct Model {
    pub digest: [u8; 32],
    pub bytes: Vec<u8>,
}

/// A file before it is put together.
#[derive(Clone, Default)]
pub struct File {
    pub models: Vec<Model>,
    pub arrays: Vec<Array>,
}

pub const LOSSLESS: &[u8] = &[0];
pub const HEADER_LEN: usize = 16;

impl Array {
    /// An `f32` array of one frame, lossless.
    pub fn new(shape: &[u64], frame: Vec<u8>) -> Array {
        Array {
            name: b"a".to_vec(),
            data_type: 1,
            flags: 0,
            shape: shape.to_vec(),
            bound: LOSSLESS.to_vec(),
            optional: Vec::new(),
            frames: vec![frame],
        }
    }

    pub fn f64(mut self) -> Array {
        self.data_type = 2;
        self
    }

    fn entry(&self) -> Vec<u8> {
        let mut out = vec![2];
        out.extend(block(&self.name));
        out.extend([self.data_type, self.flags]);
        out.extend(varint(self.shape.len() as u64));
        self.shape.iter().for_each(|n| out.extend(varint(*n)));
        out.extend(&self.bound);
        out.extend(&self.optional);
        self.frames.iter().for_each(|f| out.extend(varint(f.len() as u64)));
        out
    }
}

impl File {
    pub fn of(array: Array) -> File {
        File { models: Vec::new(), arrays: vec![array] }
    }

    pub fn directory(&self) -> Vec<u8> {
        let mut out = varint((self.models.len() + self.arrays.len()) as u64);
        for m in &self.models {
            out.push(1);
            out.extend(m.digest);
            out.extend(varint(m.bytes.len() as u64));
        }
        self.arrays.iter().for_each(|a| out.extend(a.entry()));
        out
    }

    pub fn body(&self) -> Vec<u8> {
        let models = self.models.iter().flat_map(|m| m.bytes.clone());
        models.chain(self.arrays.iter().flat_map(|a| a.frames.concat())).collect()
    }

    pub fn bytes(&self) -> Vec<u8> {
        assemble(&self.body(), &self.directory())
    }
}

/// Header, body, directory and trailer, with right checksums.
pub fn assemble(body: &[u8], directory: &[u8]) -> Vec<u8> {
    let mut out = header(cae::VERSION, 0);
    out.extend(body);
    out.extend(directory);
    out.extend(trailer(directory, directory.len() as u32));
    out
}

pub fn header(version: (u8, u8), flags: u16) -> Vec<u8> {
    let mut out = b"\x89CAE\r\n\x1a\n".to_vec();
    out.extend([version.0, version.1]);
    out.extend(flags.to_le_bytes());
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out
}

pub fn trailer(directory: &[u8], len: u32) -> Vec<u8> {
    let covered = [directory, &len.to_le_bytes()].concat();
    [len.to_le_bytes(), crc32fast::hash(&covered).to_le_bytes()].concat()
}

/// A frame: checksum, digest, method, flags, then `sections` as they are.
pub fn frame(digest: u32, method: u8, flags: u8, sections: &[u8]) -> Vec<u8> {
    let covered = [&digest.to_le_bytes()[..], &[method, flags], sections].concat();
    [&crc32fast::hash(&covered).to_le_bytes()[..], &covered].concat()
}

/// Makes the checksum of a frame right again.
pub fn reseal_frame(frame: &mut [u8]) {
    let crc = crc32fast::hash(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Makes the checksum of the directory, which starts at `offset` of `file`, right again.
pub fn reseal_directory(file: &mut [u8], offset: usize) {
    let trailer_at = file.len() - 8;
    let sealed = trailer(&file[offset..trailer_at], (trailer_at - offset) as u32);
    file[trailer_at..].copy_from_slice(&sealed);
}

/// A frame of `f32` values stored as they are.
pub fn raw_frame(values: &[f32]) -> Vec<u8> {
    let bytes = le_bytes(values);
    frame(crc32fast::hash(&bytes), 1, 0, &bytes)
}

pub fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// An unsigned LEB128 integer.
pub fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v >= 128 {
        out.push(v as u8 | 128);
        v >>= 7;
    }
    out.push(v as u8);
    out
}

/// A length and the bytes.
pub fn block(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// ONNX, as far as invalid files need it: protocol buffers written field by field.
pub mod onnx {
    use super::varint;

    pub fn number(field: u64, v: u64) -> Vec<u8> {
        [varint(field << 3), varint(v)].concat()
    }

    pub fn bytes(field: u64, v: &[u8]) -> Vec<u8> {
        [varint(field << 3 | 2), super::block(v)].concat()
    }

    /// A float tensor of shape [N, `block`..].
    fn value(name: &str, block: &[u64]) -> Vec<u8> {
        let mut dims = bytes(1, &bytes(2, b"N"));
        block.iter().for_each(|n| dims.extend(bytes(1, &number(1, *n))));
        let tensor = [number(1, 1), bytes(2, &dims)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    }

    /// A layer of a perceptron: weights of [inputs][outputs], and the operator after it, if any.
    pub struct Dense<'a> {
        pub weights: &'a [Vec<f32>],
        pub biases: &'a [f32],
        pub function: &'a str,
    }

    fn floats(name: &str, dims: &[usize], values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        let raw: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
        let dims: Vec<u8> = dims.iter().flat_map(|d| number(1, *d as u64)).collect();
        [dims, number(2, 1), bytes(8, name.as_bytes()), bytes(9, &raw)].concat()
    }

    /// Gemm and a function for each layer.
    pub fn perceptron(layers: &[Dense]) -> Vec<u8> {
        let mut graph = bytes(2, b"g");
        let mut at = "x".to_owned();
        for (i, l) in layers.iter().enumerate() {
            let [w, b, sum, out] = ["w", "b", "s", "t"].map(|n| format!("{n}{i}"));
            let wide = [l.weights.len(), l.biases.len()];
            graph.extend(bytes(5, &floats(&w, &wide, l.weights.iter().flatten().copied())));
            graph.extend(bytes(5, &floats(&b, &wide[1..], l.biases.iter().copied())));
            let node = |inputs: &[&String], output: &String, op: &str| {
                let inputs: Vec<u8> = inputs.iter().flat_map(|n| bytes(1, n.as_bytes())).collect();
                bytes(1, &[inputs, bytes(2, output.as_bytes()), bytes(4, op.as_bytes())].concat())
            };
            graph.extend(node(&[&at, &w, &b], &sum, "Gemm"));
            graph.extend(node(&[&sum], &out, l.function));
            at = out;
        }
        let len = |n: usize| [n as u64];
        graph.extend(bytes(11, &value("x", &len(layers[0].weights.len()))));
        graph.extend(bytes(12, &value(&at, &len(layers[layers.len() - 1].biases.len()))));
        [number(1, 8), bytes(8, &number(2, 17)), bytes(7, &graph)].concat()
    }

    /// A chain of `nodes` operators `op` from [N, `block`..] to the same shape.
    pub fn chain(op: &str, nodes: usize, block: &[u64]) -> Vec<u8> {
        let name = |i: usize| format!("t{i}").into_bytes();
        let node = |i: usize| [bytes(1, &name(i)), bytes(2, &name(i + 1)), bytes(4, op.as_bytes())].concat();
        let mut graph: Vec<u8> = (0..nodes).flat_map(|i| bytes(1, &node(i))).collect();
        graph.extend(bytes(2, b"g"));
        graph.extend(bytes(11, &value("t0", block)));
        graph.extend(bytes(12, &value(&format!("t{nodes}"), block)));
        [number(1, 8), bytes(8, &number(2, 17)), bytes(7, &graph)].concat()
    }
}
