//! Any region equals that part of the whole, by whatever way and with however many threads it is read.

use crate::fields::{bits, masked, smooth};
use crate::open::testdata;
use cae::{ArrayOptions, Bound, Element, Error, Preset, ReadOptions, Reader, Region, Writer};
use ndarray::{ArrayD, Axis, Slice};
use std::ops::Range;

fn write<T: Element>(values: &ArrayD<T>, frame_shape: &[u64]) -> Vec<u8> {
    let mut w = Writer::new(Vec::new()).unwrap();
    let options = ArrayOptions {
        bound: Bound::Absolute(0.01),
        preset: Preset::Fast,
        frame_shape: Some(frame_shape.to_vec()),
        ..ArrayOptions::default()
    };
    w.add_array("a", &values.view(), &options).unwrap();
    w.finish().unwrap()
}

fn threads(n: usize) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.threads = n;
    options
}

/// Every box of an array of this shape, empty ones included.
fn boxes(shape: &[u64]) -> Vec<Vec<Range<u64>>> {
    let mut list = vec![vec![]];
    for n in shape {
        let ranges: Vec<Range<u64>> = (0..=*n).flat_map(|a| (a..=*n).map(move |b| a..b)).collect();
        list = list.iter().flat_map(|l| ranges.iter().map(|r| [l.clone(), vec![r.clone()]].concat())).collect();
    }
    list
}

fn part<T: Element>(whole: &ArrayD<T>, ranges: &[Range<u64>]) -> Vec<u64> {
    let mut view = whole.view();
    for (d, r) in ranges.iter().enumerate() {
        view.slice_axis_inplace(Axis(d), Slice::from(r.start as isize..r.end as isize));
    }
    bits(&view)
}

fn every_region_is_right<T: Element>(values: &ArrayD<T>, frame_shape: &[u64]) {
    let file = write(values, frame_shape);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cae");
    std::fs::write(&path, &file).unwrap();
    let readers = [
        Reader::new_with(&file, threads(1)),
        Reader::new_with(&file, threads(4)),
        Reader::open_with(&path, threads(1)),
    ];
    let readers = readers.map(Result::unwrap);
    let whole = readers[0].array("a").unwrap().read::<T>().unwrap();
    let shape: Vec<u64> = values.shape().iter().map(|n| *n as u64).collect();
    for (i, ranges) in boxes(&shape).iter().enumerate() {
        let expected = part(&whole, ranges);
        for (k, reader) in readers.iter().enumerate() {
            // Threads cost more than these frames do: every seventh box shows whether they agree.
            if k != 1 || i % 7 == 0 {
                let back = reader.array("a").unwrap().read_region::<T>(ranges).unwrap();
                assert!(bits(&back) == expected, "{ranges:?} by reader {k}");
            }
        }
    }
}

#[test]
fn every_region_of_small_arrays_equals_the_slice_of_the_whole() {
    every_region_is_right(&smooth::<f32>(&[23], 1), &[5]);
    every_region_is_right(&smooth::<f32>(&[7, 9], 2), &[3, 4]);
    every_region_is_right(&masked::<f64>(&[4, 5, 4], 3, -1.0), &[3, 2, 3]);
    every_region_is_right(&smooth::<f32>(&[2, 3, 2, 3], 4), &[1, 2, 2, 2]);
    every_region_is_right(&smooth::<f64>(&[], 5), &[]);
}

#[test]
fn whole_arrays_are_the_same_by_every_reader_and_number_of_threads() {
    let values = masked::<f32>(&[20, 30, 11], 9, -99.0);
    let file = write(&values, &[6, 7, 11]);
    let all: Vec<Vec<u64>> = [1, 2, 4, 0]
        .iter()
        .map(|n| bits(&Reader::new_with(&file, threads(*n)).unwrap().array("a").unwrap().read::<f32>().unwrap()))
        .collect();
    assert!(all.windows(2).all(|w| w[0] == w[1]));
}

/// A model is loaded by whoever comes first.
#[test]
fn one_reader_serves_several_threads() {
    let file = std::fs::read(testdata("golden").join("0.1_model_exact512.cae")).unwrap();
    let read =
        |reader: &Reader| -> Vec<Vec<u64>> { reader.arrays().map(|a| bits(&a.read::<f32>().unwrap())).collect() };
    let alone = read(&Reader::new(&file).unwrap());
    let shared = Reader::new(&file).unwrap();
    std::thread::scope(|scope| {
        let readers = [(); 4].map(|()| scope.spawn(|| read(&shared)));
        assert!(readers.into_iter().all(|r| r.join().unwrap() == alone));
    });
}

#[test]
fn a_file_does_not_depend_on_the_number_of_threads() {
    let values = masked::<f32>(&[20, 30], 9, -99.0);
    let files: Vec<Vec<u8>> = [1, 2, 4]
        .iter()
        .map(|n| {
            let mut w = Writer::new(Vec::new()).unwrap();
            let options = ArrayOptions {
                bound: Bound::Range(1e-3),
                preset: Preset::Small,
                frame_shape: Some(vec![6, 9]),
                threads: *n,
                ..ArrayOptions::default()
            };
            w.add_array("a", &values.view(), &options).unwrap();
            w.finish().unwrap()
        })
        .collect();
    assert!(files[0] == files[1] && files[1] == files[2]);
}

#[test]
fn regions_outside_the_array_and_wrong_buffers_are_refused() {
    let file = write(&smooth::<f32>(&[4, 5], 1), &[2, 2]);
    let reader = Reader::new(&file).unwrap();
    let array = reader.array("a").unwrap();
    let range = |start, end| Range { start, end };
    let wrong: [&[Range<u64>]; 5] =
        [&[0..5, 0..5], &[range(0, 4)], &[0..4, 0..5, 0..1], &[range(3, 2), 0..5], &[u64::MAX..u64::MAX, 0..1]];
    for ranges in wrong {
        assert!(matches!(array.read_region::<f32>(ranges), Err(Error::Argument(_))), "{ranges:?}");
    }
    let region = Region { start: vec![0, 0], extent: vec![2, 2] };
    assert!(matches!(array.read_into(&region, &mut [0f32; 3]), Err(Error::Argument(_))));
    assert!(matches!(array.read::<f64>(), Err(Error::Argument(_))));
    assert!(matches!(reader.array("b"), Err(Error::Argument(_))));
}
