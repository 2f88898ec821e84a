//! Files that are fetched range by range.

use crate::fields::{bits, smooth};
use crate::open::{cae_files, read_everything, variant};
use cae::{ArrayOptions, Bound, Error, ReadAt, ReadOptions, Reader, Resource, Writer};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Bytes elsewhere, from which of them on none can be had, and what was asked of them.
#[derive(Clone)]
struct Elsewhere {
    bytes: Arc<Vec<u8>>,
    cut: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<(u64, usize)>>>,
}

impl Elsewhere {
    fn new(bytes: Vec<u8>) -> Self {
        Elsewhere { bytes: Arc::new(bytes), cut: Arc::new(usize::MAX.into()), asked: Arc::default() }
    }

    /// The requests since the last time, in order of place.
    fn asked(&self) -> Vec<(u64, usize)> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort_unstable();
        asked
    }
}

impl ReadAt for Elsewhere {
    fn file_len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.asked.lock().unwrap().push((offset, into.len()));
        let start = offset as usize;
        let end = start + into.len();
        if end > self.cut.load(Relaxed) {
            return Err(io::Error::other("the line is cut"));
        }
        into.copy_from_slice(&self.bytes[start..end]);
        Ok(())
    }
}

/// Twelve frames, and attributes that make the directory longer than what is fetched at once.
fn file(attributes: usize) -> Vec<u8> {
    let mut w = Writer::new(Vec::new()).unwrap();
    let options = ArrayOptions {
        bound: Bound::Absolute(1e-3),
        frame_shape: Some(vec![10, 16, 15]),
        attributes: format!("{{\"note\":\"{}\"}}", "x".repeat(attributes)),
        ..ArrayOptions::default()
    };
    w.add_array("a", &smooth::<f32>(&[20, 32, 45], 3).view(), &options).unwrap();
    w.finish().unwrap()
}

#[test]
fn no_more_is_fetched_than_is_read() {
    for attributes in [10, 100_000] {
        let bytes = file(attributes);
        let source = Elsewhere::new(bytes.clone());
        let reader = Reader::from_read_at(source.clone(), ReadOptions::default()).unwrap();
        assert_eq!(reader.file_len(), bytes.len() as u64);
        assert_eq!(source.asked().len(), if attributes > 1 << 16 { 3 } else { 2 });

        let array = reader.array("a").unwrap();
        assert_eq!(array.frame_count(), 12);
        // Of frames 6 to 11 the two at the end of the first row.
        let corner = array.read_region::<f32>(&[10..20, 0..16, 29..31]).unwrap();
        let range = |f| (array.frame_range(f).start, array.frame_bytes(f).unwrap().len());
        let wanted = [7, 8].map(range);
        assert_eq!(source.asked()[..], [wanted[0], wanted[0], wanted[1], wanted[1]]);
        let here = Reader::new(&bytes).unwrap();
        let here = here.array("a").unwrap();
        assert_eq!(bits(&corner), bits(&here.read_region::<f32>(&[10..20, 0..16, 29..31]).unwrap()));

        assert_eq!(array.verify().unwrap().1, here.verify().unwrap().1);
        assert_eq!(source.asked().len(), 12);
    }
}

#[test]
fn all_files_of_all_kinds_are_read_as_in_memory() {
    for folder in ["golden", "invalid"] {
        for (name, bytes) in cae_files(folder) {
            let outcome =
                |reader: cae::Result<Reader>| reader.and_then(|r| read_everything(&r)).map_err(|e| e.to_string());
            let here = outcome(Reader::new(&bytes));
            let elsewhere = Elsewhere::new(bytes.clone());
            assert_eq!(outcome(Reader::from_read_at(elsewhere, ReadOptions::default())), here, "{name}");
        }
    }
}

#[test]
fn what_is_fetched_counts_as_memory() {
    let source = Elsewhere::new(file(10));
    let whole = Reader::from_read_at(source.clone(), ReadOptions::default()).unwrap();
    let array = whole.array("a").unwrap();
    let longest = (0..12).map(|f| array.frame_bytes(f).unwrap().len() as u64).max().unwrap();
    let mut options = ReadOptions::default();
    options.threads = 1;
    options.limits.memory = 10 * 16 * 15 * 192 + longest;
    let read = |options: &ReadOptions| {
        let reader = Reader::from_read_at(source.clone(), options.clone()).unwrap();
        reader.array("a").unwrap().read::<f32>().map(drop)
    };
    read(&options).unwrap();
    options.limits.memory -= 1;
    assert!(matches!(read(&options), Err(Error::Limit { resource: Resource::Memory, .. })));
}

/// It is not the file that is damaged then: no frame is given up.
#[test]
fn what_cannot_be_fetched_is_an_io_error() {
    let bytes = file(10);
    for cut in [0, 15, bytes.len() - 1] {
        let source = Elsewhere::new(bytes.clone());
        source.cut.store(cut, Relaxed);
        assert!(matches!(Reader::from_read_at(source, ReadOptions::default()), Err(Error::Io(_))), "{cut}");
    }
    // After the file was opened.
    let source = Elsewhere::new(bytes);
    let reader = Reader::from_read_at(source.clone(), ReadOptions::default()).unwrap();
    source.cut.store(0, Relaxed);
    let array = reader.array("a").unwrap();
    let whole = cae::Region { start: vec![0; 3], extent: vec![20, 32, 45] };
    let failures = [
        array.read::<f32>().err(),
        array.read_salvaged::<f32>(&whole).err(),
        array.verify().err(),
        array.certify().err(),
        array.breakdown().err(),
        array.frame_bytes(3).err(),
    ];
    for e in failures {
        assert!(matches!(&e, Some(Error::Io(_))), "{:?}", e.as_ref().map(variant));
    }
}

#[cfg(unix)]
#[test]
fn a_file_can_be_read_without_a_map() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cae");
    std::fs::write(&path, file(10)).unwrap();
    let mapped = Reader::open(&path).unwrap();
    let fetched = Reader::from_read_at(std::fs::File::open(&path).unwrap(), ReadOptions::default()).unwrap();
    let values = |r: &Reader| bits(&r.array("a").unwrap().read::<f32>().unwrap());
    assert_eq!(values(&fetched), values(&mapped));
}
