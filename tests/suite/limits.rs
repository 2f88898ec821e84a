//! What a file may cost: limits are honored, and counts that nothing backs are not believed.

use crate::fields::smooth;
use crate::forge::{Array, File, assemble, block, frame, raw_frame, varint};
use crate::open::{in_time, read_all, small, variant};
use cae::{ArrayOptions, Bound, Damage, Error, FormatError, Limits, ReadOptions, Reader, Region, Resource, Writer};
use std::io::Cursor;

fn sample() -> Vec<u8> {
    let mut w = Writer::new(Vec::new()).unwrap();
    let options = ArrayOptions { bound: Bound::Absolute(0.01), ..ArrayOptions::default() };
    w.add_array("a", &smooth::<f32>(&[20, 30], 1).view(), &options).unwrap();
    w.finish().unwrap()
}

fn under(change: impl FnOnce(&mut Limits)) -> Result<(), Error> {
    let mut options = ReadOptions::default();
    change(&mut options.limits);
    read_all(&sample(), options)
}

#[test]
fn each_limit_is_honored_to_the_byte() {
    let refused = |r: Result<(), Error>, what: Resource, needed: u64| match r {
        Err(Error::Limit { resource, wanted, allowed }) => {
            assert_eq!((resource, wanted, allowed), (what, needed, needed - 1));
        }
        other => panic!("{what:?}: {other:?}"),
    };
    refused(under(|l| l.array_bytes = 2399), Resource::ArrayBytes, 2400);
    under(|l| l.array_bytes = 2400).unwrap();
    refused(under(|l| l.frame_values = 599), Resource::FrameValues, 600);
    under(|l| l.frame_values = 600).unwrap();
    refused(under(|l| l.memory = 600 * 192 - 1), Resource::Memory, 600 * 192);
    under(|l| l.memory = 600 * 192).unwrap();
    let file = sample();
    let len = u64::from(u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap()));
    refused(under(|l| l.directory_bytes = len - 1), Resource::DirectoryBytes, len);
    under(|l| l.directory_bytes = len).unwrap();
}

#[test]
fn limits_are_finite_unless_lifted() {
    let l = Limits::default();
    for n in [
        l.memory,
        l.array_bytes,
        l.directory_bytes,
        l.frame_values,
        l.model_bytes,
        l.model_nodes,
        l.model_elements,
        l.model_operations,
    ] {
        assert!(n < 1 << 40);
    }
    assert_eq!(Limits::none().memory, u64::MAX);
}

/// A constant of 2^60 values in one frame of a few bytes.
#[test]
fn a_claim_of_two_to_the_sixty_values_costs_nothing() {
    in_time("a claim of two to the sixty values costs nothing", || {
        let huge = Array::new(&[1 << 30, 1 << 30], frame(0, 0, 0, &[0; 4]));
        let file = File::of(huge).bytes();
        let reader = Reader::new(&file).unwrap();
        let array = reader.arrays().next().unwrap();
        assert!(matches!(array.read::<f32>(), Err(Error::Limit { .. })));
        assert!(matches!(array.verify(), Err(Error::Limit { .. })));
        assert!(matches!(array.read_region::<f32>(&[0..1, 0..1]), Err(Error::Limit { .. })));
        let region = Region { start: vec![0, 0], extent: vec![1 << 30, 1 << 30] };
        let written = array.write_values::<f32>(&region, Damage::Fail, &mut Cursor::new(Vec::new()), &|_| ());
        assert!(matches!(written, Err(Error::Limit { .. })));
        assert!(matches!(
            array.stream_values::<f32>(&region, Damage::Salvage, &mut Vec::new(), &|_| ()),
            Err(Error::Limit { .. })
        ));
        array.breakdown().unwrap();
    });
}

/// One frame is small here, but a slab of them is not, which is what a pipe is given at a time.
#[test]
fn a_claim_of_a_huge_slab_of_small_frames_costs_nothing() {
    let mut array = Array::new(&[1, 1 << 40], vec![]);
    (array.flags, array.optional) = (8, [varint(1), varint(1 << 24)].concat());
    array.frames = vec![vec![]; 1 << 16];
    let bytes = File::of(array).bytes();
    let reader = Reader::new(&bytes).unwrap();
    let array = reader.arrays().next().unwrap();
    let region = Region { start: vec![0, 0], extent: vec![1, 1 << 40] };
    let streamed = array.stream_values::<f32>(&region, Damage::Fail, &mut Vec::new(), &|_| ());
    assert!(matches!(streamed, Err(Error::Limit { resource: Resource::ArrayBytes, .. })));
}

/// What is said of each damaged frame takes more than the file has for it.
#[test]
fn lists_of_damaged_frames_have_a_limit() {
    let mut array = Array::new(&[1 << 16], vec![]);
    (array.flags, array.optional) = (8, varint(1));
    array.frames = vec![vec![]; 1 << 16];
    let bytes = File::of(array).bytes();
    let mut options = ReadOptions::default();
    options.limits.memory = 2 << 20;
    let reader = Reader::new_with(&bytes, options).unwrap();
    let array = reader.arrays().next().unwrap();
    let all = Region { start: vec![0], extent: vec![1 << 16] };
    let written = array.write_values::<f32>(&all, Damage::Salvage, &mut Cursor::new(Vec::new()), &|_| ());
    for error in [
        array.verify().unwrap_err(),
        array.certify().unwrap_err(),
        array.breakdown().unwrap_err(),
        array.read_salvaged::<f32>(&all).unwrap_err(),
        written.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Limit { resource: Resource::Memory, .. }), "{error}");
    }
    assert_eq!(Reader::new(&bytes).unwrap().array_at(0).unwrap().verify().unwrap().0.len(), 1 << 16);
    assert!(reader.array_at(1).is_none());
}

#[test]
fn a_claim_of_two_to_the_sixty_frames_is_not_believed() {
    in_time("a claim of two to the sixty frames is not believed", || {
        let mut array = Array::new(&[1 << 30, 1 << 30], raw_frame(&[1.0]));
        array.flags = 8;
        array.optional = [varint(1), varint(1)].concat();
        let error = read_all(&File::of(array).bytes(), ReadOptions::default()).unwrap_err();
        assert!(
            matches!(error, Error::Format { kind: FormatError::Truncated { needed, .. }, .. } if needed == 1 << 60)
        );
    });
}

#[test]
fn shapes_whose_product_overflows_are_refused() {
    for shape in [&[1 << 32, 1 << 32][..], &[u64::MAX, 2], &[1 << 40, 1 << 40, 0], &[u64::MAX; 8]] {
        let error = read_all(&File::of(Array::new(shape, vec![])).bytes(), small()).unwrap_err();
        assert!(matches!(error, Error::Format { kind: FormatError::Value { .. }, .. }), "{shape:?}: {error}");
    }
}

#[test]
fn counts_beyond_the_bytes_there_are_refused() {
    let huge = varint(1 << 60);
    let name = [&[2][..], &huge].concat();
    for directory in [huge.clone(), [&[1][..], &name].concat()] {
        let error = read_all(&assemble(&[], &directory), small()).unwrap_err();
        assert!(matches!(variant(&error).as_str(), "Format(Value)" | "Format(Truncated)"), "{error}");
    }
    // Sections of a frame: class map, patches, and what a sparse frame holds.
    for (method, flags) in [(1, 4), (1, 8), (5, 0)] {
        let error = read_all(&File::of(Array::new(&[4], frame(0, method, flags, &huge))).bytes(), small()).unwrap_err();
        assert_eq!(variant(&error), "Format(Truncated)");
    }
}

/// The directory's limit leaves room for very many names.
#[test]
fn a_hundred_thousand_arrays_open_in_time() {
    in_time("many arrays", || {
        let empty = |i: u32| {
            let mut a = Array::new(&[0], vec![]);
            a.frames.clear();
            a.name = i.to_string().into_bytes();
            a
        };
        let mut file = File { models: vec![], arrays: (0..100_000).map(empty).collect() };
        let bytes = file.bytes();
        assert_eq!(Reader::new(&bytes).unwrap().arrays().len(), 100_000);
        // What is kept of so many is a multiple of their bytes.
        let mut options = ReadOptions::default();
        options.limits.memory = 32 << 20;
        assert!(matches!(read_all(&bytes, options), Err(Error::Limit { resource: Resource::Memory, .. })));
        file.arrays.push(empty(99_999));
        assert!(matches!(
            read_all(&file.bytes(), ReadOptions::default()),
            Err(Error::Format { kind: FormatError::DuplicateName, .. })
        ));
    });
}

/// Every kernel is told of 2^15 points and given a few bytes of noise.
#[test]
fn noise_that_claims_a_large_frame_ends_in_time() {
    for method in [0, 1, 2, 3, 4, 5, 6, 8u8] {
        for domain in 0..=3u8 {
            in_time(&format!("method {method} domain {domain}"), move || {
                let mut random = crate::fields::Random(u64::from(method));
                for len in [0, 1, 7, 40] {
                    let noise: Vec<u8> = (0..len).map(|_| random.bits() as u8).collect();
                    let file = File::of(Array::new(&[1 << 7, 1 << 8], frame(0, method, domain, &noise))).bytes();
                    assert!(read_all(&file, small()).is_err());
                }
            });
        }
    }
}

#[test]
fn class_maps_of_a_large_frame_end_in_time() {
    in_time("class map", || {
        let classes = [&[2, 0, 2][..], &[0, 0, 0x80, 0x3f], &block(&[0x30, 1, 2, 3])].concat();
        let sections = [block(&classes), vec![0; 4]].concat();
        let file = File::of(Array::new(&[1 << 7, 1 << 8], frame(0, 0, 4, &sections))).bytes();
        assert!(read_all(&file, small()).is_err());
    });
}
