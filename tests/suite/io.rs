//! Files are complete or not there.

use crate::fields::{Random, smooth};
use crate::open::testdata;
use cae::{
    ArrayOptions, AtomicFile, Bound, Error, Limits, Preset, RawFile, Reader, Region, Source, Unsupported, Writer,
    decompress_frame,
};
use ndarray::{ArrayD, IxDyn};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

fn options() -> ArrayOptions<'static> {
    ArrayOptions { bound: Bound::Absolute(0.01), ..ArrayOptions::default() }
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// For readers that keep frames elsewhere, or decode them in an order of their own.
#[test]
fn frames_are_found_by_their_bytes_and_decode_alone() {
    let values = smooth::<f32>(&[20, 30], 2);
    let mut w = Writer::new(Vec::new()).unwrap();
    w.add_array("a", &values.view(), &ArrayOptions { frame_shape: Some(vec![8, 30]), ..options() }).unwrap();
    let file = w.finish().unwrap();
    let reader = Reader::new(&file).unwrap();
    let array = reader.array_at(0).unwrap();
    let mut rows = Vec::new();
    for f in 0..array.frame_count() {
        let range = array.frame_range(f);
        assert_eq!(*array.frame_bytes(f).unwrap(), file[range.start as usize..range.end as usize]);
        let shape = array.frame_region(f).extent;
        let mut out = vec![0f32; shape.iter().product()];
        decompress_frame(&array.frame_bytes(f).unwrap(), &shape, None, &Limits::default(), &mut out).unwrap();
        rows.extend(out);
    }
    assert_eq!(rows, array.read::<f32>().unwrap().into_raw_vec_and_offset().0);
    assert!(array.frame_range(3).is_empty() && array.frame_bytes(u64::MAX).unwrap().is_empty());
}

/// What parallel jobs wrote a file each is gathered without coding it again.
#[test]
fn copied_arrays_are_stored_as_they_were() {
    let part = |name: &str, seed| {
        let mut w = Writer::new(Vec::new()).unwrap();
        let more = ArrayOptions { attributes: r#"{"units":"K"}"#.into(), frame_shape: Some(vec![8, 30]), ..options() };
        w.add_array(name, &smooth::<f32>(&[20, 30], seed).view(), &more).unwrap();
        w.finish().unwrap()
    };
    let (a, b) = (part("a", 1), part("b", 2));
    let (first, second) = (Reader::new(&a).unwrap(), Reader::new(&b).unwrap());
    let (first, second) = (first.array("a").unwrap(), second.array("b").unwrap());
    let mut w = Writer::new(Vec::new()).unwrap();
    w.copy_array("a", &first).unwrap();
    assert!(matches!(w.copy_array("a", &second), Err(Error::Argument(_))));
    w.copy_array("c", &second).unwrap();
    w.add_array("new", &smooth::<f32>(&[4], 3).view(), &options()).unwrap();
    let file = w.finish().unwrap();
    let reader = Reader::new(&file).unwrap();
    assert_eq!(reader.arrays().map(|a| a.name().to_owned()).collect::<Vec<_>>(), ["a", "c", "new"]);
    for (name, original) in [("a", first), ("c", second)] {
        let copy = reader.array(name).unwrap();
        assert_eq!((copy.bound(), copy.attributes()), (original.bound(), original.attributes()));
        for f in 0..original.frame_count() {
            assert_eq!(copy.frame_bytes(f).unwrap(), original.frame_bytes(f).unwrap());
        }
        assert_eq!(copy.read::<f32>().unwrap(), original.read::<f32>().unwrap());
    }
}

/// A copy is no way to hide damage, and what was begun is not completed.
#[test]
fn a_damaged_frame_is_not_copied() {
    let mut w = Writer::new(Vec::new()).unwrap();
    let two = ArrayOptions { frame_shape: Some(vec![10, 30]), ..options() };
    w.add_array("a", &smooth::<f32>(&[20, 30], 2).view(), &two).unwrap();
    let mut file = w.finish().unwrap();
    let second = Reader::new(&file).unwrap().array("a").unwrap().frame_range(1);
    file[second.end as usize - 1] ^= 1;
    let reader = Reader::new(&file).unwrap();
    let mut w = Writer::new(Vec::new()).unwrap();
    let refused = w.copy_array("a", &reader.array("a").unwrap());
    assert!(matches!(refused, Err(Error::Format { place: cae::Place::Frame { array: 0, frame: 1 }, .. })));
    assert!(w.finish().is_err());
}

/// A model is stored once, whatever number of files had it, and where it was kept elsewhere it still is.
#[test]
fn models_are_copied_with_the_arrays_that_need_them() {
    let golden = |name: &str| std::fs::read(testdata("golden").join(format!("0.1_{name}.cae"))).unwrap();
    let (file, other) = (golden("model_exact512"), golden("model_conv16"));
    let (exact, conv) = (Reader::new(&file).unwrap(), Reader::new(&other).unwrap());
    let of_exact = exact.arrays().find(|a| a.model().is_some()).unwrap();
    let mut w = Writer::new(Vec::new()).unwrap();
    assert!(matches!(w.copy_array("early", &of_exact), Err(Error::Argument(_))));
    w.add_array("first", &smooth::<f32>(&[4], 3).view(), &options()).unwrap();
    assert!(matches!(w.copy_model(&exact, 0), Err(Error::Argument(_))));
    let mut w = Writer::new(Vec::new()).unwrap();
    for reader in [&conv, &exact, &conv] {
        (0..reader.models().len()).for_each(|m| w.copy_model(reader, m).unwrap());
    }
    assert!(w.copy_model(&conv, 9).is_err());
    w.copy_array("exact", &of_exact).unwrap();
    w.copy_model(&conv, 0).unwrap();
    let copy = w.finish().unwrap();
    let reader = Reader::new(&copy).unwrap();
    let models = conv.models().chain(exact.models()).collect::<Vec<_>>();
    assert_eq!(reader.models().collect::<Vec<_>>(), models);
    let copied = reader.array("exact").unwrap();
    assert_eq!(copied.model(), Some(conv.models().len()));
    assert_eq!(copied.read::<f32>().unwrap(), of_exact.read::<f32>().unwrap());
}

/// Hosts of lone frames tell a model that they must find from damage.
#[test]
fn a_lone_frame_says_that_it_needs_a_model() {
    for name in ["kernel_network", "model_conv16", "model_exact512"] {
        let file = std::fs::read(testdata("golden").join(format!("0.1_{name}.cae"))).unwrap();
        let reader = Reader::new(&file).unwrap();
        let array = reader.arrays().find(|a| a.model().is_some()).unwrap();
        let shape = array.frame_region(0).extent;
        let mut out = vec![0f32; shape.iter().product()];
        let lone = decompress_frame(&array.frame_bytes(0).unwrap(), &shape, None, &Limits::default(), &mut out);
        assert!(matches!(lone, Err(Error::Unsupported { kind: Unsupported::ModelNeeded, .. })), "{name}: {lone:?}");
    }
}

/// What a writer may make is what its readers are to allow.
#[test]
fn a_writer_keeps_the_limits_that_it_is_given() {
    let values = smooth::<f32>(&[20, 30], 2);
    let mut limits = Limits::default();
    limits.frame_values = 599;
    let mut w = Writer::new(Vec::new()).unwrap();
    w.set_limits(limits);
    let refused = w.add_array("a", &values.view(), &options());
    assert!(matches!(refused, Err(Error::Limit { wanted: 600, allowed: 599, .. })));
    w.set_limits(Limits::none());
    w.add_array("a", &values.view(), &options()).unwrap();
}

#[test]
fn a_committed_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cae");
    std::fs::write(&path, "old").unwrap();
    let mut w = Writer::create(&path).unwrap();
    w.add_array("a", &smooth::<f32>(&[5, 6], 1).view(), &options()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let len = w.commit().unwrap();
    assert_eq!(entries(folder.path()), ["a.cae"]);
    assert_eq!(Reader::open(&path).unwrap().file_len(), len);
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cae");
    let mut w = Writer::create(&path).unwrap();
    w.add_array("a", &smooth::<f32>(&[5, 6], 1).view(), &options()).unwrap();
    assert_eq!(entries(folder.path()).len(), 1);
    drop(w);
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn a_file_that_changed_before_it_was_committed_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cae");
    let mut w = Writer::create(&path).unwrap();
    // More than any buffer holds, so that the beginning is in the file.
    let mut random = Random(1);
    let noise = ArrayD::from_shape_fn(IxDyn(&[50_000]), |_| f64::from_bits(random.bits() >> 2));
    w.add_array("a", &noise.view(), &ArrayOptions { preset: Preset::Fast, ..ArrayOptions::default() }).unwrap();
    // Stands for a device that loses what was written to it.
    let temporary = folder.path().join(&entries(folder.path())[0]);
    let mut other = std::fs::File::options().write(true).open(temporary).unwrap();
    other.seek(SeekFrom::Start(1000)).unwrap();
    other.write_all(&[1; 9]).unwrap();
    drop(other);
    assert!(matches!(w.commit(), Err(Error::Format { .. } | Error::Argument(_))));
    assert!(entries(folder.path()).is_empty());
}

#[test]
fn folders_that_are_not_there_and_paths_without_a_name_are_io_errors() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Writer::create(folder.path().join("no/a.cae")), Err(Error::Io(_))));
    assert!(AtomicFile::create(folder.path().join("..")).is_err());
    assert!(matches!(Reader::open(folder.path().join("a.cae")), Err(Error::Io(_))));
    assert!(matches!(Reader::open(folder.path()), Err(Error::Io(_))));
}

#[test]
fn an_empty_file_is_truncated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cae");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Reader::open(&path), Err(Error::Format { .. })));
}

/// Accepts `room` bytes, as a disk does that is nearly full.
struct Full {
    room: usize,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = bytes.len().min(self.room);
        self.room -= n;
        if n == 0 && !bytes.is_empty() { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(n) }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_io_error_wherever_it_fills() {
    let values = smooth::<f32>(&[20, 20], 1);
    let write = |room| {
        let mut w = Writer::new(Full { room })?;
        w.add_array("a", &values.view(), &options())?;
        w.finish().map(|left| left.room)
    };
    let needed = (1 << 20) - write(1 << 20).unwrap();
    for room in 0..needed {
        assert!(matches!(write(room), Err(Error::Io(_))), "{room}");
    }
    assert_eq!(write(needed).unwrap(), 0);
}

#[test]
fn raw_files_of_the_wrong_length_are_refused_and_right_ones_read_by_region() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.f32");
    let values = smooth::<f32>(&[4, 5], 1);
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(&path, [&[9; 3], bytes.as_slice()].concat()).unwrap();
    assert!(RawFile::<f32>::open(&path, &[4, 5], 0).is_err());
    assert!(RawFile::<f32>::open(&path, &[u64::MAX, 5], 3).is_err());
    let source = RawFile::<f32>::open(&path, &[4, 5], 3).unwrap();
    let mut out = [0.0; 4];
    source.read(&Region { start: vec![1, 2], extent: vec![2, 2] }, &mut out).unwrap();
    assert_eq!(out, [values[[1, 2]], values[[1, 3]], values[[2, 2]], values[[2, 3]]]);
}

#[test]
fn an_array_that_is_refused_before_its_first_frame_does_no_harm() {
    let mut w = Writer::new(Vec::new()).unwrap();
    let values = smooth::<f32>(&[20, 20], 1);
    let wrong = ArrayOptions { bound: Bound::Absolute(-1.0), ..ArrayOptions::default() };
    assert!(matches!(w.add_array("a", &values.view(), &wrong), Err(Error::Argument(_))));
    w.add_array("a", &values.view(), &options()).unwrap();
    let file = w.finish().unwrap();
    assert_eq!(Reader::new(&file).unwrap().array("a").unwrap().values(), 400);
}

/// Fails where a real source would: halfway through.
struct Failing;

impl Source<f32> for Failing {
    fn shape(&self) -> Vec<u64> {
        vec![40, 10]
    }
    fn read(&self, region: &Region, out: &mut [f32]) -> cae::Result<()> {
        if region.start[0] >= 20 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        out.fill(1.0);
        Ok(())
    }
}

#[test]
fn a_source_that_fails_ends_the_writer_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for threads in [1, 4] {
        let mut w = Writer::create(folder.path().join("a.cae")).unwrap();
        let options = ArrayOptions { frame_shape: Some(vec![10, 10]), preset: Preset::Fast, threads, ..options() };
        assert!(matches!(w.add_source("a", &Failing, &options), Err(Error::Io(_))));
        // Frames of `a` are in the file, so that nothing can follow.
        let sound = smooth::<f32>(&[20, 20], 1);
        assert!(matches!(w.add_array("b", &sound.view(), &options), Err(Error::Argument(_))));
        assert!(matches!(w.commit(), Err(Error::Argument(_))));
        assert!(entries(folder.path()).is_empty());
    }
}
