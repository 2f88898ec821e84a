//! The command line: what it prints, what it writes, how it ends.

use crate::open::testdata;
use serde_json::Value;
use sha2::Digest;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const WIND: &str = "navy_uwnd_20x37x72.f32";
const SST: &str = "coads_sst_3x45x60.f32";
const SEA: &str = "levitus_temp_8x20x30.f32";
const RELIEF: &str = "etopo_rose_45x90.f64";

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cae"))
}

fn cae(folder: &Path, args: &[&str]) -> Output {
    program().args(args).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The command must succeed; its stdout.
fn good(folder: &Path, args: &[&str]) -> String {
    let out = cae(folder, args);
    assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
    text(&out.stdout)
}

fn json(folder: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&good(folder, &[args, &["--json"]].concat())).unwrap()
}

/// The command must end with `status` and one line that says why; the line.
fn bad(folder: &Path, args: &[&str], status: i32) -> String {
    let before = names(folder);
    let out = cae(folder, args);
    one_line(&out, status, &format!("{args:?}"));
    assert_eq!(names(folder), before, "{args:?} leaves something behind");
    text(&out.stderr)
}

fn one_line(out: &Output, status: i32, what: &str) {
    let message = text(&out.stderr);
    assert_eq!(out.status.code(), Some(status), "{what}: {message}");
    assert!(message.starts_with("cae: ") && message.ends_with('\n'), "{what}: {message}");
    assert_eq!(message.lines().count(), 1, "{what}: {message}");
    for word in ["Error", "panicked", "Some(", "Os {"] {
        assert!(!message.contains(word), "{what}: {message}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A folder that holds copies of these files of testdata/raw.
fn folder(raw: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in raw {
        std::fs::copy(testdata("raw").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn f32s(path: PathBuf) -> Vec<f32> {
    std::fs::read(path).unwrap().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// An encoder and its decoder, as `--model` takes them.
fn autoencoder() -> String {
    let half = |side: &str| testdata(&format!("models/sigmoid512-{side}.onnx")).display().to_string();
    format!("{},{}", half("encoder"), half("decoder"))
}

fn npy(order: &str, shape: &str, values: &[f32]) -> Vec<u8> {
    let dict = format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': {shape}, }}");
    let text = format!("{dict:<117}\n");
    let values: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), &values].concat()
}

#[test]
fn nothing_that_is_read_is_written_over() {
    let folder = folder(&[WIND]);
    let d = folder.path();
    let before = std::fs::read(d.join(WIND)).unwrap();
    bad(d, &["compress", WIND, "-o", WIND, "--rel", "0.1", "--force"], 2);
    good(d, &["compress", WIND, "-o", "a.cae", "--rel", "0.1"]);
    bad(d, &["decompress", "a.cae", "-o", "./a.cae", "--force"], 2);
    bad(d, &["compress", WIND, "-o", "-", "--rel", "0.1"], 2);
    assert_eq!(std::fs::read(d.join(WIND)).unwrap(), before);
    good(d, &["verify", "a.cae"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_or_closed_stdout_is_no_panic() {
    let folder = folder(&[WIND]);
    let d = folder.path();
    good(d, &["compress", WIND, "-o", "a.cae", "--rel", "0.1"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let out = program().args(["inspect", "a.cae"]).current_dir(d).stdout(full).output().unwrap();
    one_line(&out, 1, "full");
    // A message that nobody gets is none the less what happened.
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let out = program().args(["inspect", "none.cae"]).current_dir(d).stderr(full).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let out = program().args(["inspect", "a.cae"]).current_dir(d).stdout(writer).output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", text(&out.stderr));
}

#[test]
fn names_do_not_steer_the_terminal() {
    let folder = folder(&[WIND]);
    let d = folder.path();
    good(d, &["compress", WIND, "-o", "a.cae", "--rel", "0.1", "--name", "a\u{1b}[31m"]);
    assert!(!good(d, &["inspect", "a.cae"]).contains('\u{1b}'));
}

#[test]
fn every_raw_file_goes_in_and_comes_out_within_its_bound() {
    let dir = folder(&[WIND, SST, SEA, RELIEF]);
    let d = dir.path();
    let cases: [(&str, &[&str]); 8] = [
        (WIND, &["--rel", "1e-2"]),
        (WIND, &["--abs", "0.1", "--preset", "fast"]),
        (SST, &["--rel", "1e-3", "--preset", "small"]),
        (SST, &["--lossless"]),
        (SEA, &["--abs", "0.01", "--fill", "-1e10"]),
        (SEA, &["--pw", "1e-2", "--fill", "-1e10", "--preset", "fast"]),
        (RELIEF, &["--abs", "5", "--threads", "1"]),
        (RELIEF, &["--lossless", "--frame", "20x30"]),
    ];
    for (input, options) in cases {
        let report = json(d, &[&["compress", input, "-o", "a.cae", "--force"], options].concat());
        for key in [
            "input_bytes",
            "output_bytes",
            "ratio",
            "ratio_without_model",
            "bound",
            "bound_mode",
            "max_error",
            "max_error_over_bound",
            "mean_pw_error",
            "psnr",
            "sections",
            "plan",
            "seconds",
            "threads",
        ] {
            assert!(report.get(key).is_some(), "{input}: no `{key}` in {report}");
        }
        let len = |name: &str| std::fs::metadata(d.join(name)).unwrap().len();
        assert_eq!(report["input_bytes"], len(input));
        assert_eq!(report["output_bytes"], len("a.cae"));
        assert!(report["max_error_over_bound"].as_f64().unwrap() <= 1.0);
        let sections = report["sections"].as_object().unwrap();
        assert_eq!(sections.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), len("a.cae"));

        let out = format!("out.{}", input.rsplit_once('.').unwrap().1);
        let report = json(d, &["decompress", "a.cae", "-o", &out, "--force"]);
        assert!(report["seconds"].is_number());
        assert_eq!(report["bytes"], len(input));
        if options[0] == "--lossless" {
            assert!(std::fs::read(d.join(&out)).unwrap() == std::fs::read(d.join(input)).unwrap());
        }

        let report = json(d, &["verify", "a.cae", "--against", input]);
        assert_eq!(report["ok"], true);
        assert_eq!(report["bad_frames"], Value::Array(vec![]));
        assert!(report["frames"].as_u64().unwrap() > 0);
        assert_eq!(report["digest"].as_str().unwrap().len(), 8);
        assert_eq!(report["against"]["bound_met"], true);
    }
}

#[test]
fn a_bound_holds_for_someone_who_reads_only_the_raw_bytes() {
    let dir = folder(&[SST]);
    good(dir.path(), &["compress", SST, "-o", "a.cae", "--abs", "0.05"]);
    good(dir.path(), &["decompress", "a.cae", "-o", "back.f32"]);
    let (x, y) = (f32s(dir.path().join(SST)), f32s(dir.path().join("back.f32")));
    assert_eq!(x.len(), y.len());
    for (x, y) in x.iter().zip(&y) {
        let same = x.to_bits() == y.to_bits();
        assert!(if x.is_finite() { (f64::from(*x) - f64::from(*y)).abs() <= 0.05 } else { same }, "{x} {y}");
    }
}

#[test]
fn several_arrays_share_a_file_and_are_picked_by_name_or_number() {
    let dir = folder(&[SST, SEA, RELIEF]);
    let d = dir.path();
    let report = json(d, &["compress", SST, SEA, RELIEF, "-o", "a.cae", "--rel", "1e-3"]);
    let arrays: Vec<&String> = report["arrays"].as_object().unwrap().keys().collect();
    assert_eq!(arrays, ["coads_sst", "etopo_rose", "levitus_temp"]);
    let message = bad(d, &["decompress", "a.cae", "-o", "x.npy"], 2);
    assert!(message.contains("--array") && message.contains("levitus_temp"), "{message}");
    bad(d, &["decompress", "a.cae", "-o", "x.npy", "--array", "sst"], 2);
    bad(d, &["decompress", "a.cae", "-o", "x.npy", "--array", "3"], 2);
    good(d, &["decompress", "a.cae", "-o", "name.f64", "--array", "etopo_rose"]);
    good(d, &["decompress", "a.cae", "-o", "number.f64", "--array", "2"]);
    assert_eq!(std::fs::read(d.join("name.f64")).unwrap(), std::fs::read(d.join("number.f64")).unwrap());
    good(d, &["decompress", "a.cae", "--array", "coads_sst"]);
    assert!(d.join("coads_sst.npy").exists());
    assert_eq!(json(d, &["inspect", "a.cae"])["arrays"].as_array().unwrap().len(), 3);
    bad(d, &["compress", SST, SST, "-o", "b.cae", "--rel", "1e-3"], 2);
}

#[test]
fn npy_files_in_either_order_give_the_same_array() {
    let dir = folder(&[]);
    let d = dir.path();
    let c: Vec<f32> = (0..24).map(|i| i as f32 * 0.5).collect();
    // The same 2x3x4 array with the first index fastest.
    let f: Vec<f32> = (0..24).map(|i| c[(i % 2) * 12 + (i / 2 % 3) * 4 + i / 6]).collect();
    std::fs::write(d.join("c.npy"), npy("False", "(2, 3, 4)", &c)).unwrap();
    std::fs::write(d.join("f.npy"), npy("True", "(2, 3, 4)", &f)).unwrap();
    good(d, &["compress", "c.npy", "-o", "c.cae", "--lossless", "--name", "x"]);
    good(d, &["compress", "f.npy", "-o", "f.cae", "--lossless", "--name", "x", "--frame", "1x2x3"]);
    for file in ["c.cae", "f.cae"] {
        good(d, &["decompress", file, "-o", "back.npy", "--force"]);
        let back = std::fs::read(d.join("back.npy")).unwrap();
        let (header, values) = back.split_at(back.len() - 96);
        assert_eq!(values, c.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        assert_eq!(header.len() % 64, 0);
        let header = String::from_utf8_lossy(header).into_owned();
        assert!(header.contains("'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }"), "{header}");
    }
    good(d, &["verify", "f.cae", "--against", "c.npy"]);
    good(d, &["verify", "c.cae", "--against", "f.npy"]);
    let text = String::from_utf8_lossy(&npy("False", "(2, 3, 4)", &[])).replace("<f4", ">f4");
    let header = [&b"\x93NUMPY"[..], &text.as_bytes()[text.find("NUMPY").unwrap() + 5..]].concat();
    let big_endian: Vec<u8> = c.iter().flat_map(|v| v.to_be_bytes()).collect();
    std::fs::write(d.join("b.npy"), [header, big_endian].concat()).unwrap();
    good(d, &["verify", "c.cae", "--against", "b.npy"]);
    std::fs::write(d.join("one.npy"), npy("False", "(3,)", &c[..3])).unwrap();
    std::fs::write(d.join("none.npy"), npy("False", "()", &c[..1])).unwrap();
    for file in ["one.npy", "none.npy"] {
        good(d, &["compress", file, "-o", "s.cae", "--lossless", "--force"]);
        good(d, &["decompress", "s.cae", "-o", "s.npy", "--force"]);
        good(d, &["verify", "s.cae", "--against", file]);
        good(d, &["verify", "s.cae", "--against", "s.npy"]);
    }
}

#[test]
fn files_of_a_run_are_stacked_to_one_array() {
    let dir = folder(&[WIND]);
    let d = dir.path();
    let step = |t: usize| format!("uwnd_{t:02}_37x72.f32");
    let bytes = std::fs::read(d.join(WIND)).unwrap();
    for (t, values) in bytes.chunks(bytes.len() / 20).enumerate() {
        std::fs::write(d.join(step(t)), values).unwrap();
    }
    let steps: Vec<String> = (0..20).map(step).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let asked = ["--stack", "-o", "s.cae", "--rel", "1e-3", "--provenance"];
    let report = json(d, &[&["compress"], steps.as_slice(), &asked].concat());
    assert_eq!(report["arrays"].as_object().unwrap().keys().collect::<Vec<_>>(), ["uwnd"]);
    good(d, &["compress", WIND, "-o", "w.cae", "--rel", "1e-3", "--name", "uwnd"]);
    for file in ["s", "w"] {
        good(d, &["decompress", &format!("{file}.cae"), "-o", &format!("{file}.npy")]);
    }
    assert_eq!(std::fs::read(d.join("s.npy")).unwrap(), std::fs::read(d.join("w.npy")).unwrap());
    good(d, &[&["verify", "s.cae", "--against"], steps.as_slice()].concat());
    bad(d, &[&["verify", "s.cae", "--against"], &steps[..19]].concat(), 2);
    let provenance = &json(d, &["inspect", "s.cae"])["arrays"][0]["attributes"]["provenance"];
    assert_eq!(provenance["source"].as_array().unwrap().len(), 20);
    let digest = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(provenance["source_sha256"], digest);

    // Files that do not fit, and one that is short.
    std::fs::write(d.join("other_3x72.f32"), &bytes[..3 * 72 * 4]).unwrap();
    fn stack<'a>(parts: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
        [&["compress"], parts, &["-o", "x.cae", "--lossless"], more].concat()
    }
    let message = bad(d, &stack(&[steps[0], "other_3x72.f32"], &["--stack"]), 2);
    assert!(message.contains("other_3x72.f32 is [3, 72]"), "{message}");
    bad(d, &stack(&steps[..2], &["--name", "x"]), 2);
    std::fs::write(d.join(steps[1]), &bytes[..8]).unwrap();
    let message = bad(d, &stack(&steps[..2], &["--stack"]), 2);
    assert!(message.contains("uwnd_01_37x72.f32: the file has 8 bytes, 10656 needed"), "{message}");

    // Either order of axes in the files, and names that have nothing in common.
    let c: Vec<f32> = (0..6).map(|i| i as f32).collect();
    std::fs::write(d.join("c.npy"), npy("False", "(2, 3)", &c)).unwrap();
    std::fs::write(d.join("f.npy"), npy("True", "(2, 3)", &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])).unwrap();
    good(d, &stack(&["c.npy", "f.npy"], &["--stack"]));
    good(d, &["decompress", "x.cae", "-o", "x.f32"]);
    assert_eq!(f32s(d.join("x.f32")), [&c[..], &c].concat());
    assert_eq!(json(d, &["inspect", "x.cae"])["arrays"][0]["name"], "c");
}

#[test]
fn broken_npy_files_give_one_line() {
    let dir = folder(&[]);
    let d = dir.path();
    let whole = npy("False", "(2, 3)", &[1.0; 6]);
    let edit = |from: &str, to: &str| String::from_utf8_lossy(&whole[10..]).replace(from, to);
    let with = |text: String| [&whole[..10], text.as_bytes()].concat();
    let cases: [(&str, Vec<u8>); 9] = [
        ("empty", vec![]),
        ("signature", b"\x93NUMPX\x01\x00".to_vec()),
        ("header cut", whole[..50].to_vec()),
        ("values cut", whole[..whole.len() - 1].to_vec()),
        ("values long", [&whole[..], &[0]].concat()),
        ("integers", with(edit("<f4", "<i4"))),
        ("structured", with(edit("'<f4'", "[(1)]"))),
        ("negative", with(edit("(2, 3)", "(-2, 3)"))),
        ("huge", with(edit("(2, 3), }   ", "(18446744073709551615, 9999999999999999999), }"))),
    ];
    for (name, bytes) in cases {
        std::fs::write(d.join("x.npy"), bytes).unwrap();
        let out = cae(d, &["compress", "x.npy", "-o", "a.cae", "--lossless"]);
        let status = out.status.code().unwrap();
        assert!(status == 1 || status == 2, "{name}: {status}");
        one_line(&out, status, name);
        assert_eq!(names(d), ["x.npy"], "{name}");
    }
}

#[test]
fn a_region_equals_that_part_of_the_whole_in_a_file_and_on_stdout() {
    let dir = folder(&[WIND]);
    let d = dir.path();
    good(d, &["compress", WIND, "-o", "a.cae", "--rel", "1e-3", "--preset", "fast", "--frame", "7x20x30"]);
    good(d, &["decompress", "a.cae", "-o", "all.f32"]);
    good(d, &["decompress", "a.cae", "-o", "part.f32", "--region", "5:16,:,17:70", "--threads", "2"]);
    let all = f32s(d.join("all.f32"));
    let expected: Vec<f32> = (5..16)
        .flat_map(|t| (0..37).flat_map(move |y| (17..70).map(move |x| (t * 37 + y) * 72 + x)))
        .map(|i| all[i])
        .collect();
    assert!(f32s(d.join("part.f32")) == expected);
    let out = cae(d, &["decompress", "a.cae", "-o", "-", "--region", "5:16,:,17:70"]);
    assert!(out.status.success() && out.stdout == std::fs::read(d.join("part.f32")).unwrap());
    let out = cae(d, &["decompress", "a.cae", "-o", "-", "--json"]);
    assert!(out.stdout == std::fs::read(d.join("all.f32")).unwrap());
    assert!(serde_json::from_str::<Value>(&text(&out.stderr)).unwrap()["seconds"].is_number());
    for region in ["0:21,:,:", "1:2,:", "3:2,:,:", "a:b,:,:", "1,2,3"] {
        bad(d, &["decompress", "a.cae", "-o", "x.f32", "--region", region], 2);
    }
}

#[test]
fn existing_files_are_replaced_only_when_told_to() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    std::fs::write(d.join("a.cae"), "mine").unwrap();
    bad(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.1"], 2);
    assert_eq!(std::fs::read(d.join("a.cae")).unwrap(), b"mine");
    good(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.1", "--force"]);
    std::fs::write(d.join("b.f32"), "mine").unwrap();
    bad(d, &["decompress", "a.cae", "-o", "b.f32"], 2);
    assert_eq!(std::fs::read(d.join("b.f32")).unwrap(), b"mine");
    good(d, &["decompress", "a.cae", "-o", "b.f32", "--force"]);
    assert_eq!(std::fs::metadata(d.join("b.f32")).unwrap().len(), 19200);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let dir = folder(&[]);
    let d = dir.path();
    let values: Vec<f32> = (0..200_000).map(|i| (i as f32 * 0.01).sin() + (i % 1013 * (i % 7)) as f32 * 1e-4).collect();
    std::fs::write(d.join("x_400x500.f32"), bytes(&values)).unwrap();
    let mut child = program()
        .args(["compress", "x_400x500.f32", "-o", "a.cae", "--rel", "1e-5", "--preset", "small"])
        .current_dir(d)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !names(d).iter().any(|name| name.ends_with(".part")) {
        assert!(child.try_wait().unwrap().is_none(), "ended before it wrote");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::fs::write(d.join("a.cae"), "another's").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert_eq!(std::fs::read(d.join("a.cae")).unwrap(), b"another's");
    assert_eq!(names(d), ["a.cae", "x_400x500.f32"]);
}

#[test]
fn wrong_commands_end_with_status_2() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    good(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.1"]);
    for args in [
        &["compress", SEA, "-o", "b.cae"][..],
        &["compress", SEA, "-o", "b.cae", "--rel", "0.1", "--abs", "1"],
        &["compress", SEA, "--rel", "0.1"],
        &["frobnicate"],
        &[],
    ] {
        assert_eq!(cae(d, args).status.code(), Some(2), "{args:?}");
    }
    std::fs::write(d.join("plain.f32"), [0; 8]).unwrap();
    std::fs::write(d.join("plain"), [0; 8]).unwrap();
    for args in [
        &["compress", SEA, "-o", "b.cae", "--rel", "0"][..],
        &["compress", SEA, "-o", "b.cae", "--rel=-1"],
        &["compress", SEA, "-o", "b.cae", "--rel", "nan"],
        &["compress", SEA, "-o", "b.cae", "--rel", "0.1", "--shape", "8x20x31"],
        &["compress", SEA, "-o", "b.cae", "--rel", "0.1", "--dtype", "f64"],
        &["compress", SEA, "-o", "b.cae", "--rel", "0.1", "--frame", "8x20"],
        &["compress", SEA, "-o", "b.cae", "--rel", "0.1", "--frame", "0x20x30"],
        &["compress", SEA, "-o", "b.cae", "--rel", "0.1", "--dims", "y,x"],
        &["compress", SEA, "-o", "b.cae", "--rel", "0.1", "--attr", "units"],
        &["compress", "plain.f32", "-o", "b.cae", "--rel", "0.1"],
        &["compress", "plain", "-o", "b.cae", "--rel", "0.1", "--shape", "2"],
        &["decompress", "a.cae", "-o", "b.f64"],
        &["verify", "a.cae", "--against", "plain.f32", "--shape", "2"],
    ] {
        bad(d, args, 2);
    }
}

#[test]
fn bad_files_end_with_status_1_and_one_line_that_names_them() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    good(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.1"]);
    let whole = std::fs::read(d.join("a.cae")).unwrap();
    std::fs::write(d.join("cut.cae"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(d.join("empty.cae"), "").unwrap();
    for file in ["cut.cae", "empty.cae", SEA, "missing.cae"] {
        for verb in [&["decompress", file, "-o", "x.f32"][..], &["inspect", file], &["verify", file]] {
            let message = bad(d, verb, 1);
            assert!(message.contains(file), "{message}");
        }
    }
    let message = bad(d, &["compress", "missing.npy", "-o", "x.cae", "--rel", "0.1"], 1);
    assert!(message.contains("missing.npy"), "{message}");
    let message = bad(d, &["compress", "missing_2x3.f32", "-o", "x.cae", "--rel", "0.1"], 1);
    assert!(message.contains("missing_2x3.f32"), "{message}");
    std::fs::write(d.join("short_8x20x30.f32"), [0; 100]).unwrap();
    assert!(bad(d, &["compress", "short_8x20x30.f32", "-o", "x.cae", "--rel", "0.1"], 2).contains("100 bytes"));
    for output in ["no/x.cae", "a.cae/x.cae"] {
        bad(d, &["compress", SEA, "-o", output, "--rel", "0.1"], 1);
        bad(d, &["decompress", "a.cae", "-o", &output.replace("x.cae", "x.npy")], 1);
    }
}

#[test]
fn a_damaged_frame_is_named_and_the_rest_salvaged() {
    let dir = folder(&[WIND]);
    let d = dir.path();
    good(d, &["compress", WIND, "-o", "a.cae", "--rel", "1e-2", "--frame", "5x37x72", "--preset", "fast"]);
    let mut bytes = std::fs::read(d.join("a.cae")).unwrap();
    bytes[40] ^= 1;
    std::fs::write(d.join("a.cae"), &bytes).unwrap();
    let out = cae(d, &["verify", "a.cae", "--json"]);
    assert_eq!(out.status.code(), Some(1));
    let report: Value = serde_json::from_str(&text(&out.stdout)).unwrap();
    assert_eq!((&report["ok"], &report["frames"]), (&Value::Bool(false), &Value::from(4)));
    assert_eq!(report["bad_frames"][0]["frame"], 0);
    assert_eq!(report["bad_frames"][0]["region"], "0:5,0:37,0:72");
    bad(d, &["decompress", "a.cae", "-o", "x.f32"], 1);
    let out = cae(d, &["decompress", "a.cae", "-o", "x.f32", "--salvage"]);
    assert_eq!(out.status.code(), Some(1));
    let back = f32s(d.join("x.f32"));
    assert!(back[..5 * 37 * 72].iter().all(|v| v.is_nan()) && back[5 * 37 * 72..].iter().all(|v| v.is_finite()));
    good(d, &["decompress", "a.cae", "-o", "y.f32", "--region", "5:20,:,:"]);
}

#[test]
fn a_file_that_was_cut_off_is_recovered_as_far_as_it_goes() {
    let dir = folder(&[]);
    let at = dir.path();
    let values: Vec<u8> = (0..6000).flat_map(|i| (i as f32 * 0.01).sin().to_le_bytes()).collect();
    std::fs::write(at.join("x_60x100.f32"), values).unwrap();
    good(at, &["compress", "x_60x100.f32", "-o", "whole.cae", "--abs", "1e-3", "--frame", "20x100"]);
    let whole = std::fs::read(at.join("whole.cae")).unwrap();
    std::fs::write(at.join("cut.cae"), &whole[..whole.len() - 100]).unwrap();
    bad(at, &["decompress", "cut.cae"], 1);
    bad(at, &["recover", "cut.cae", "-o", "out.cae"], 1);
    assert!(!at.join("out.cae").exists());

    for known in [&["--like", "whole.cae"][..], &["--shape", "60x100", "--dtype", "f32", "--frame", "20x100"]] {
        let told = cae(at, &[&["recover", "cut.cae", "-o", "out.cae", "--force"], known].concat());
        assert_eq!(told.status.code(), Some(1));
        assert!(text(&told.stderr).contains("1 of 3 frames is lost"), "{}", text(&told.stderr));
        let salvaged = cae(at, &["decompress", "out.cae", "-o", "back.f32", "--salvage", "--force"]);
        assert_eq!(salvaged.status.code(), Some(1));
        let back = f32s(at.join("back.f32"));
        assert!((0..4000).all(|i| (back[i] - (i as f32 * 0.01).sin()).abs() <= 1e-3));
        assert!(back[4000..].iter().all(|v| v.is_nan()));
    }
    let mut bit = whole.clone();
    bit[whole.len() - 20] ^= 8;
    std::fs::write(at.join("bit.cae"), bit).unwrap();
    let report = json(at, &["recover", "bit.cae", "-o", "mended.cae"]);
    assert_eq!((&report["frames"], &report["lost"]), (&Value::from(3), &Value::from(0)));
    assert_eq!(std::fs::read(at.join("mended.cae")).unwrap(), whole);
    bad(at, &["recover", "whole.cae", "-o", "out2.cae"], 2);
    bad(at, &["recover", "cut.cae", "-o", "out2.cae", "--shape", "60x100"], 2);
    bad(at, &["recover", "cut.cae", "-o", "mended.cae", "--like", "whole.cae"], 2);
    bad(at, &["recover", "cut.cae", "-o", "out2.cae", "--shape", "60x99", "--dtype", "f32"], 2);
    assert_eq!(names(at).len(), 7, "{:?}", names(at));
}

#[test]
fn values_beyond_the_bound_fail_verification() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    good(d, &["compress", SEA, "-o", "a.cae", "--abs", "0.01"]);
    let mut values = std::fs::read(d.join(SEA)).unwrap();
    values[..4].copy_from_slice(&500f32.to_le_bytes());
    std::fs::write(d.join("other_8x20x30.f32"), values).unwrap();
    let out = cae(d, &["verify", "a.cae", "--against", "other_8x20x30.f32", "--json"]);
    one_line(&out, 1, "verify");
    assert_eq!(serde_json::from_str::<Value>(&text(&out.stdout)).unwrap()["ok"], false);
    // Means say what they are, not by how much a point is off.
    good(d, &["compress", SEA, "-o", "m.cae", "--rmse", "0.01"]);
    good(d, &["decompress", "m.cae", "-o", "back_8x20x30.f32"]);
    let back = std::fs::read(d.join("back_8x20x30.f32")).unwrap();
    let aside = back.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    let aside = aside.map(|v| if v.abs() < 100.0 { v + 0.012 } else { v });
    std::fs::write(d.join("aside_8x20x30.f32"), aside.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    let message = bad(d, &["verify", "m.cae", "--against", "aside_8x20x30.f32"], 1);
    assert!(message.contains("root mean square"), "{message}");
}

#[test]
fn bounds_of_points_are_verified_where_they_are_given() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    let points = std::fs::metadata(d.join(SEA)).unwrap().len() as usize / 4;
    let bounds =
        |loose: f64| (0..points).flat_map(|i| if i % 2 == 0 { loose } else { 0.5 }.to_le_bytes()).collect::<Vec<u8>>();
    std::fs::write(d.join("e_8x20x30.f64"), bounds(0.01)).unwrap();
    std::fs::write(d.join("tight_8x20x30.f64"), bounds(1e-5)).unwrap();
    good(d, &["compress", SEA, "-o", "a.cae", "--bounds", "e_8x20x30.f64"]);
    let report = json(d, &["verify", "a.cae", "--against", SEA, "--bounds", "e_8x20x30.f64"]);
    assert_eq!(report["against"]["compared_with"], "the bound of each point");
    assert!(report["against"]["max_error_over_bound"].as_f64().unwrap() > 0.5);
    let report = json(d, &["verify", "a.cae", "--against", SEA]);
    assert_eq!(report["against"]["compared_with"], "the largest bound");
    let message = bad(d, &["verify", "a.cae", "--against", SEA, "--bounds", "tight_8x20x30.f64"], 1);
    assert!(message.contains("the largest error is"), "{message}");
    assert_eq!(cae(d, &["verify", "a.cae", "--bounds", "e_8x20x30.f64"]).status.code(), Some(2));
    // Where no point has a bound, all of them are coded without loss.
    std::fs::write(d.join("none_8x20x30.f64"), vec![0; points * 8]).unwrap();
    let none = json(d, &["compress", SEA, "-o", "none.cae", "--bounds", "none_8x20x30.f64"]);
    let lossless = json(d, &["compress", SEA, "-o", "lossless.cae", "--lossless"]);
    let bytes = |report: &Value| report["output_bytes"].as_u64().unwrap();
    assert!(bytes(&none) < bytes(&lossless) + bytes(&lossless) / 10, "{none} {lossless}");
    good(d, &["decompress", "none.cae", "-o", "none.f32"]);
    assert_eq!(std::fs::read(d.join("none.f32")).unwrap(), std::fs::read(d.join(SEA)).unwrap());
}

#[test]
fn arrays_without_dimensions_or_names_and_fills_that_are_no_numbers_have_their_ways() {
    let dir = folder(&[]);
    let d = dir.path();
    std::fs::write(d.join("scalar.f64"), 2.5f64.to_le_bytes()).unwrap();
    good(d, &["compress", "scalar.f64", "--shape", "", "-o", "s.cae", "--abs", "0.1", "--name", ""]);
    good(d, &["decompress", "s.cae", "--region", ""]);
    assert!(std::fs::read(d.join("s.npy")).unwrap().starts_with(b"\x93NUMPY"));
    let holes: Vec<u8> = [1.0, f32::NEG_INFINITY, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(d.join("holes_3.f32"), holes).unwrap();
    good(d, &["compress", "holes_3.f32", "-o", "h.cae", "--abs", "0.1", "--fill", "-inf"]);
    assert_eq!(json(d, &["inspect", "h.cae"])["arrays"][0]["attributes"]["_FillValue"], "-Infinity");
    good(d, &["verify", "h.cae", "--against", "holes_3.f32"]);
}

#[test]
fn metadata_and_provenance_travel_in_the_file() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    let args = [
        "compress",
        SEA,
        "-o",
        "a.cae",
        "--abs",
        "0.01",
        "--fill",
        "-1e10",
        "--dims",
        "z,y,x",
        "--attr",
        "units=K",
        "--attr",
        "n=3",
        "--provenance",
    ];
    good(d, &args);
    let array = &json(d, &["inspect", "a.cae"])["arrays"][0];
    assert_eq!(array["dims"], serde_json::json!(["z", "y", "x"]));
    let attributes = &array["attributes"];
    assert_eq!((&attributes["units"], &attributes["n"]), (&Value::from("K"), &Value::from(3)));
    assert_eq!(attributes["_FillValue"], -1e10);
    assert_eq!(attributes["provenance"]["source"], SEA);
    assert_eq!(attributes["provenance"]["source_sha256"].as_str().unwrap().len(), 64);
    assert!(attributes["errors"]["max_error_over_bound"].as_f64().unwrap() <= 1.0);
}

#[cfg(unix)]
#[test]
fn a_full_disk_gives_one_line_and_leaves_nothing() {
    let dir = folder(&[WIND]);
    let d = dir.path();
    good(d, &["compress", WIND, "-o", "a.cae", "--rel", "1e-3"]);
    let pair = autoencoder();
    good(d, &["compress", WIND, "--abs", "0.5", "--model", &pair, "-o", "m.cae"]);
    let whole = std::fs::read(d.join("a.cae")).unwrap();
    std::fs::write(d.join("long.cae"), [&whole[..], &[0; 9]].concat()).unwrap();
    let before = names(d);
    // A limit on the size of files makes every write beyond it fail, as a full disk does.
    for args in [
        &["decompress", "a.cae", "-o", "x.f32"][..],
        &["decompress", "a.cae", "-o", "x.npy"],
        &["compress", WIND, "--lossless", "-o", "b.cae"],
        &["compress", WIND, "--abs", "0.5", "--model", &pair, "-o", "b.cae"],
        &["model", "extract", "m.cae", "-o", "m.onnx"],
        &["recover", "long.cae", "-o", "b.cae"],
    ] {
        let script = "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"";
        let out = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_cae")])
            .args(args)
            .current_dir(d)
            .output()
            .unwrap();
        one_line(&out, 1, &format!("{args:?}"));
        let output = args[args.len() - 1];
        assert!(text(&out.stderr).starts_with(&format!("cae: {output}: ")), "{}", text(&out.stderr));
        assert_eq!(names(d), before, "{args:?}");
    }
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let out = program()
            .args(["decompress", "a.cae", "-o", "-"])
            .current_dir(d)
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        one_line(&out, 1, "stdout");
    }
}

/// What a special file is named would be lost by a rename over it.
#[cfg(unix)]
#[test]
fn outputs_that_are_no_regular_file_are_refused() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    std::os::unix::net::UnixListener::bind(d.join("socket")).unwrap();
    std::fs::create_dir(d.join("folder")).unwrap();
    for name in ["socket", "folder"] {
        bad(d, &["compress", SEA, "-o", name, "--rel", "0.1", "--force"], 1);
    }
}

#[test]
fn inspect_shows_what_is_sound_beside_a_damaged_frame() {
    let folder = folder(&[WIND]);
    let d = folder.path();
    good(d, &["compress", WIND, "-o", "a.cae", "--rel", "0.1", "--frame", "5x37x72"]);
    let mut file = std::fs::read(d.join("a.cae")).unwrap();
    // A byte of the first frame, which follows the header.
    file[16 + 9] ^= 0xff;
    std::fs::write(d.join("b.cae"), &file).unwrap();
    let out = cae(d, &["inspect", "b.cae", "--json"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    let report: Value = serde_json::from_str(&text(&out.stdout)).unwrap();
    let array = &report["arrays"][0];
    assert_eq!((&array["frames"], array["bad_frames"].as_array().unwrap().len()), (&4.into(), 1));
    let sections = report["sections"].as_object().unwrap();
    assert_eq!(sections.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), file.len() as u64);
    let out = cae(d, &["inspect", "b.cae"]);
    assert!(text(&out.stdout).contains("frame 0 of array 0 at byte 16"), "{}", text(&out.stdout));
}

#[test]
fn inspect_prints_what_it_printed_before() {
    crate::golden::update::goldens_if_asked();
    let golden = testdata("golden");
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/snapshots");
    for name in ["metadata", "frames", "masks_f32", "empty"] {
        let (major, minor) = cae::VERSION;
        let file = format!("{major}.{minor}_{name}.cae");
        for (args, extension) in [(&["inspect", &file][..], "txt"), (&["inspect", &file, "--json"], "json")] {
            let now = good(&golden, args);
            let path = snapshots.join(format!("inspect_{name}.{extension}"));
            if std::env::var_os("CAE_UPDATE_SNAPSHOTS").is_some() {
                std::fs::create_dir_all(&snapshots).unwrap();
                std::fs::write(&path, &now).unwrap();
            }
            assert_eq!(now, std::fs::read_to_string(&path).unwrap(), "{name}");
        }
    }
}

#[test]
fn advice_is_measured() {
    let folder = TempDir::new().unwrap();
    let wind = testdata(&format!("raw/{WIND}"));
    let wind = wind.to_str().unwrap();
    let report = json(folder.path(), &["advise", wind, "--abs", "0.5"]);
    let array = &report["arrays"][0];
    assert_eq!(array["values"], 20 * 37 * 72);
    assert_eq!(array["cv_rule"], false);
    let bytes = |way: &str| {
        let ways = array["ways"].as_array().unwrap();
        ways.iter().find(|w| w["way"] == way).unwrap()["tried_bytes"].as_u64().unwrap()
    };
    assert!(bytes("small") < bytes("balanced") && bytes("balanced") < bytes("lossless"));
    // What is tried is all of this array, so compression must give the same bytes.
    let made =
        json(folder.path(), &["compress", wind, "-o", "a.cae", "--abs", "0.5", "--preset", "fast", "--threads", "1"]);
    assert!(made["output_bytes"].as_u64().unwrap() - bytes("fast") < 100);
    let models = |side: &str| testdata(&format!("models/sigmoid512-{side}.onnx"));
    let pair = format!("{},{}", models("encoder").display(), models("decoder").display());
    let sea = testdata(&format!("raw/{SEA}"));
    let report = json(folder.path(), &["advise", sea.to_str().unwrap(), "--fill", "-1e10", "--model", &pair]);
    let ways = report["arrays"][0]["ways"].as_array().unwrap();
    assert!(ways.iter().any(|w| w["way"] == "autoencoder" && w["model_bytes"].as_u64().unwrap() > 30_000));
    assert!(bad(folder.path(), &["advise", "none_4.f32"], 1).contains("none_4.f32"));
    assert!(!bad(folder.path(), &["advise", wind, "--abs=-1"], 2).is_empty());
}

#[test]
fn models_are_checked_in_plain_words() {
    let folder = TempDir::new().unwrap();
    let model = |name: &str| testdata(&format!("models/{name}.onnx")).to_str().unwrap().to_owned();
    let (encoder, decoder) = (model("sigmoid512-encoder"), model("sigmoid512-decoder"));
    let said = good(folder.path(), &["model", "check", &encoder, &decoder]);
    for words in ["will do as encoder", "will do as decoder", "67 for each of its values", "they fit together"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(good(folder.path(), &["model", "check", &model("exact512-decoder")]).contains("exact: every engine"));
    for framework in ["pytorch", "keras", "flax"] {
        let (encoder, decoder) =
            (model(&format!("{framework}-conv-encoder")), model(&format!("{framework}-conv-decoder")));
        assert!(good(folder.path(), &["model", "check", &encoder, &decoder]).contains("they fit together"));
        let wind = testdata(&format!("raw/{WIND}"));
        let (wind, pair) = (wind.to_str().unwrap(), format!("{encoder},{decoder}"));
        good(folder.path(), &["compress", wind, "-o", "a.cae", "--abs", "0.5", "--model", &pair, "--force"]);
        good(folder.path(), &["verify", "a.cae", "--against", wind]);
    }
    let out = cae(folder.path(), &["model", "check", &encoder, &model("conv16-decoder")]);
    assert!(text(&out.stderr).contains("do not fit together: the encoder sees blocks of [512]"));
    assert_eq!(out.status.code(), Some(1));
    std::fs::write(folder.path().join("no.onnx"), b"no model").unwrap();
    assert!(bad(folder.path(), &["model", "check", "no.onnx"], 1).contains("will not do: "));
}

#[cfg(unix)]
#[test]
fn training_is_a_program_beside_or_on_the_path() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("cae");
    std::fs::copy(env!("CARGO_BIN_EXE_cae"), &program).unwrap();
    let run = |path: &Path| Command::new(&program).env("PATH", path).args(["train", "--help", "x y"]).output().unwrap();
    let missing = run(folder.path());
    one_line(&missing, 2, "no cae-train");
    assert!(text(&missing.stderr).contains("cargo install"));
    let write = |path: &Path| {
        std::fs::write(path, "#!/bin/sh\necho \"$1,$2\"\nexit 3\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let elsewhere = TempDir::new().unwrap();
    for at in [elsewhere.path(), folder.path()] {
        write(&at.join("cae-train"));
        let found = run(elsewhere.path());
        assert_eq!((text(&found.stdout).as_str(), found.status.code()), ("--help,x y\n", Some(3)));
        std::fs::remove_file(at.join("cae-train")).unwrap();
    }
}

#[test]
fn a_float_autoencoder_becomes_exact_and_both_are_certified() {
    let folder = TempDir::new().unwrap();
    let data = crate::golden::predicted_values(&[80, 8, 8]);
    let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(folder.path().join("x_80x8x8.f32"), bytes).unwrap();
    let model = |half: &str| testdata("models").join(format!("keras64-{half}.onnx")).display().to_string();
    let float = format!("{},{}", model("encoder"), model("decoder"));
    let convert = ["model", "exact", &float, "e.onnx,d.onnx", "--calibrate", "x_80x8x8.f32", "--pw", "0.01", "--json"];
    let report: Value = serde_json::from_str(&good(folder.path(), &convert)).unwrap();
    assert_eq!(report["exact"], true);
    // Our writer chooses the steps of float latents less well.
    assert!(report["change"].as_f64().unwrap() < 0.02, "{report}");
    assert!(report["output_error"]["rms"].as_f64().unwrap() < 0.02 * report["output_error"]["range"].as_f64().unwrap());
    let check: Value = serde_json::from_str(&good(folder.path(), &["model", "check", "d.onnx", "--json"])).unwrap();
    assert_eq!(check["exact"], true);
    for (name, pair, exact) in [("exact.cae", "e.onnx,d.onnx", 1), ("float.cae", &float, 0)] {
        good(folder.path(), &["compress", "x_80x8x8.f32", "-o", name, "--pw", "0.01", "--model", pair]);
        let report: Value = serde_json::from_str(&good(folder.path(), &["certify", name, "--json"])).unwrap();
        assert_eq!((&report["ok"], &report["arrays"]["x"]["frames"]["exact"]), (&true.into(), &exact.into()), "{name}");
        assert_eq!(report["models"][0]["exact"], exact == 1);
        assert!(good(folder.path(), &["certify", name]).contains("proved"));
    }
    // A damaged frame is not certified.
    let path = folder.path().join("exact.cae");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 200;
    bytes[at] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(cae(folder.path(), &["certify", "exact.cae"]).status.code(), Some(1));
    let tight = ["compress", "x_80x8x8.f32", "-o", "t.cae", "--pw", "1e-7", "--model", &float];
    let refused = cae(folder.path(), &tight);
    assert!(!refused.status.success() && text(&refused.stderr).contains("guard"), "{}", text(&refused.stderr));
    assert!(good(folder.path(), &[&tight[..], &["--guard", "fall-back"]].concat()).contains("without the model"));
}

#[test]
fn a_network_in_the_loop_is_used_where_it_pays_and_left_out_where_it_does_not() {
    let dir = folder(&[WIND]);
    std::fs::copy(testdata("models").join("predictor.onnx"), dir.path().join("net.onnx")).unwrap();
    let pack = |more: &[&str]| {
        let args = ["compress", WIND, "-o", "a.cae", "--rel", "3e-3", "--force"];
        json(dir.path(), &[&args[..], more].concat())
    };
    let without = pack(&[]);
    // It saves less than the 1618 bytes of the model: the file is as if it had not been given.
    let left_out = pack(&["--model", "net.onnx"]);
    assert_eq!(left_out["model_left_out"], true);
    assert_eq!(left_out["output_bytes"], without["output_bytes"]);
    // Kept elsewhere the model costs its digest.
    let used = pack(&["--model", "net.onnx", "--external-model"]);
    assert_eq!(used["arrays"]["navy_uwnd"]["plan"]["chosen"]["network"], 1, "{used}");
    assert!(used["output_bytes"].as_u64() < without["output_bytes"].as_u64());
    bad(dir.path(), &["verify", "a.cae"], 1);
    let models = dir.path().join("models");
    std::fs::create_dir(&models).unwrap();
    let digest = cae::model::digest(&std::fs::read(dir.path().join("net.onnx")).unwrap());
    let name: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    std::fs::rename(dir.path().join("net.onnx"), models.join(format!("{name}.onnx"))).unwrap();
    good(dir.path(), &["verify", "a.cae", "--model-dir", "models"]);
}

/// Values as bytes of a raw file.
fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The command must fail with `status`, and with `--json` say on stdout why; what it says.
fn bad_json(folder: &Path, args: &[&str], status: i32) -> String {
    let out = cae(folder, &[args, &["--json"]].concat());
    assert_eq!(out.status.code(), Some(status), "{args:?}: {}", text(&out.stderr));
    let said: Value = serde_json::from_str(&text(&out.stdout)).unwrap();
    assert!(!out.stderr.is_empty(), "{args:?}");
    said["error"].as_str().unwrap().to_owned()
}

#[test]
fn failures_without_a_report_are_objects_where_these_are_asked_for() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    good(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.1"]);
    for (args, status) in [
        (&["compress", SEA, "-o", "b.cae", "--rel=-1"][..], 2),
        (&["compress", "none_2x3.f32", "-o", "b.cae", "--rel", "0.1"], 1),
        (&["compress", SEA, "-o", "b.cae"], 2),
        (&["decompress", "a.cae", "--array", "z"], 2),
        (&["inspect", SEA], 1),
        (&["verify", "none.cae"], 1),
        (&["certify", "none.cae"], 1),
        (&["recover", "a.cae", "-o", "b.cae"], 2),
        (&["advise", "none_4.f32"], 1),
        (&["model", "extract", "a.cae"], 2),
        (&["frobnicate"], 2),
    ] {
        let why = bad_json(d, args, status);
        assert!(!why.is_empty() && !why.starts_with("error"), "{why}");
    }
    // A report says what is wrong itself, and stays the only object.
    let mut other = std::fs::read(d.join(SEA)).unwrap();
    other[..4].copy_from_slice(&500f32.to_le_bytes());
    std::fs::write(d.join("other_8x20x30.f32"), other).unwrap();
    let out = cae(d, &["verify", "a.cae", "--against", "other_8x20x30.f32", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&text(&out.stdout)).unwrap()["ok"], false);
    // Values have stdout for themselves.
    let out = cae(d, &["decompress", "none.cae", "-o", "-", "--json"]);
    assert!(out.stdout.is_empty() && out.status.code() == Some(1));
    assert!(good(d, &["--help"]).contains("Exit status: 0"));
}

#[test]
fn what_contradicts_a_npy_file_is_refused() {
    let dir = folder(&[]);
    let d = dir.path();
    std::fs::write(d.join("x.npy"), npy("False", "(2, 3)", &[1.0; 6])).unwrap();
    let pack = |more: &[&'static str]| [&["compress", "x.npy", "-o", "a.cae", "--lossless"], more].concat();
    assert!(bad(d, &pack(&["--shape", "3x2"]), 2).contains("x.npy: --shape is [3, 2], the file has [2, 3]"));
    assert!(bad(d, &pack(&["--dtype", "f64"]), 2).contains("x.npy: --dtype is f64, the file has f32"));
    good(d, &pack(&["--shape", "2x3", "--dtype", "f32"]));
    assert!(bad(d, &["verify", "a.cae", "--against", "x.npy", "--shape", "6"], 2).contains("--shape is [6]"));
}

#[test]
fn bounds_may_be_single_values_and_must_have_the_shape_of_the_values() {
    let dir = folder(&[]);
    let d = dir.path();
    let values: Vec<f32> = (0..600).map(|i| (i as f32 * 0.37).sin() * 50.0).collect();
    let bounds: Vec<f32> = (0..600).map(|i| if i < 300 { 0.5 } else { 1e-3 }).collect();
    std::fs::write(d.join("x_20x30.f32"), bytes(&values)).unwrap();
    std::fs::write(d.join("e_20x30.f32"), bytes(&bounds)).unwrap();
    std::fs::write(d.join("e.npy"), npy("False", "(20, 30)", &bounds)).unwrap();
    for given in ["e.npy", "e_20x30.f32"] {
        good(d, &["compress", "x_20x30.f32", "-o", "a.cae", "--bounds", given, "--frame", "10x30", "--force"]);
        good(d, &["decompress", "a.cae", "-o", "back.f32", "--force"]);
        let errors: Vec<f32> = f32s(d.join("back.f32")).iter().zip(&values).map(|(a, b)| (a - b).abs()).collect();
        assert!(errors.iter().zip(&bounds).all(|(e, bound)| e <= bound));
        assert!(errors.iter().any(|e| *e > 0.1), "{given} is not used");
        good(d, &["verify", "a.cae", "--against", "x_20x30.f32", "--bounds", given]);
    }
    std::fs::write(d.join("turned.npy"), npy("False", "(30, 20)", &bounds)).unwrap();
    for args in [
        &["compress", "x_20x30.f32", "-o", "b.cae", "--bounds", "turned.npy"][..],
        &["verify", "a.cae", "--against", "x_20x30.f32", "--bounds", "turned.npy"],
    ] {
        let message = bad(d, args, 2);
        assert!(message.contains("turned.npy: bounds of shape [30, 20], x_20x30.f32 has [20, 30]"), "{message}");
    }
}

#[test]
fn models_are_checked_in_either_order_and_taken_out_with_a_report() {
    let dir = folder(&[WIND]);
    let d = dir.path();
    let model = |name: &str| testdata(&format!("models/{name}.onnx")).to_str().unwrap().to_owned();
    let (encoder, decoder) = (model("sigmoid512-encoder"), model("sigmoid512-decoder"));
    assert_eq!(good(d, &["model", "check", &encoder, &decoder]), good(d, &["model", "check", &decoder, &encoder]));
    let report = json(d, &["model", "check", &decoder, &encoder]);
    assert_eq!((&report["encoder"]["file"], &report["decoder"]["file"]), (&encoder.into(), &decoder.as_str().into()));
    std::fs::write(d.join("no.onnx"), b"no model").unwrap();
    let out = cae(d, &["model", "check", "no.onnx", "--json"]);
    one_line(&out, 1, "no model");
    let report: Value = serde_json::from_str(&text(&out.stdout)).unwrap();
    assert_eq!((&report["will_do"], report["why"].is_string()), (&false.into(), true));

    good(d, &["compress", WIND, "-o", "a.cae", "--abs", "0.5", "--model", &autoencoder()]);
    let report = json(d, &["model", "extract", "a.cae", "-o", "out.onnx"]);
    let bytes = std::fs::read(d.join("out.onnx")).unwrap();
    assert_eq!(bytes, std::fs::read(&decoder).unwrap());
    let digest: String = cae::model::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!((&report["output"], &report["sha256"]), (&"out.onnx".into(), &digest.as_str().into()));
    assert_eq!(report["bytes"], bytes.len());
    bad(d, &["model", "extract", "a.cae", "-o", "out.onnx"], 2);
    bad(d, &["model", "extract", "a.cae", "-o", "a.cae", "--force"], 2);
}

#[test]
fn damaged_models_fail_verification_and_are_recovered_from_another_file() {
    let dir = folder(&[WIND]);
    let d = dir.path();
    good(d, &["compress", WIND, "-o", "a.cae", "--abs", "0.5", "--model", &autoencoder()]);
    let whole = std::fs::read(d.join("a.cae")).unwrap();
    let report = json(d, &["verify", "a.cae"]);
    assert_eq!((&report["bad_models"], report["digest"].is_string()), (&serde_json::json!([]), true));
    let mut damaged = whole.clone();
    damaged[16 + 100] ^= 1;
    std::fs::write(d.join("b.cae"), damaged).unwrap();
    let model_dir = d.join("models");
    std::fs::create_dir(&model_dir).unwrap();
    let verify = |more: &[&str]| {
        let out = cae(d, &[&["verify", "b.cae", "--json"], more].concat());
        assert_eq!(out.status.code(), Some(1));
        assert!(text(&out.stderr).ends_with("cae: b.cae: 1 model is damaged\n"), "{}", text(&out.stderr));
        let report: Value = serde_json::from_str(&text(&out.stdout)).unwrap();
        assert_eq!((&report["ok"], &report["bad_models"]), (&false.into(), &serde_json::json!([0])));
        report["digest"].clone()
    };
    // Of frames that need the model nothing is known; with a copy of it they are checked, and the file is damaged all the same.
    assert!(verify(&[]).is_null());
    let report = json(d, &["model", "extract", "a.cae"]);
    let name = report["output"].as_str().unwrap();
    std::fs::rename(d.join(name), model_dir.join(name)).unwrap();
    assert!(verify(&["--model-dir", "models"]).is_string());

    let report = json(d, &["recover", "b.cae", "-o", "out.cae", "--like", "a.cae"]);
    assert_eq!(report["how"], "1 whole model put for damaged ones; the directory is whole");
    assert_eq!(std::fs::read(d.join("out.cae")).unwrap(), whole);
    let mut damaged = whole.clone();
    damaged[9] ^= 1;
    std::fs::write(d.join("c.cae"), damaged).unwrap();
    let report = json(d, &["recover", "c.cae", "-o", "out.cae", "--force"]);
    assert_eq!(report["how"], "header made anew; the directory is whole");
    assert_eq!(std::fs::read(d.join("out.cae")).unwrap(), whole);
    // Both are damaged: what can be done is done, and said.
    let mut damaged = whole.clone();
    damaged[9] ^= 1;
    damaged[16 + 100] ^= 1;
    std::fs::write(d.join("e.cae"), damaged).unwrap();
    let recover = ["recover", "e.cae", "-o", "out.cae", "--force", "--json"];
    let out = cae(d, &recover);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("1 array is not checked for lack of a model"), "{}", text(&out.stderr));
    let report: Value = serde_json::from_str(&text(&out.stdout)).unwrap();
    assert_eq!((&report["unchecked"], &report["how"]), (&1.into(), &"header made anew; the directory is whole".into()));
    let report: Value = serde_json::from_str(&good(d, &[&recover[..], &["--like", "a.cae"]].concat())).unwrap();
    assert_eq!(report["how"], "header made anew; 1 whole model put for damaged ones; the directory is whole");
    assert_eq!(std::fs::read(d.join("out.cae")).unwrap(), whole);
}

#[test]
fn recovery_says_what_it_leaves_out() {
    let dir = folder(&[]);
    let d = dir.path();
    for name in ["x", "y"] {
        let values: Vec<f32> = (0..6000).map(|i| (i as f32 * 0.01).sin()).collect();
        std::fs::write(d.join(format!("{name}_60x100.f32")), bytes(&values)).unwrap();
    }
    good(d, &["compress", "x_60x100.f32", "y_60x100.f32", "-o", "a.cae", "--abs", "1e-3", "--frame", "20x100"]);
    let whole = std::fs::read(d.join("a.cae")).unwrap();
    std::fs::write(d.join("long.cae"), [&whole[..], &[7; 100]].concat()).unwrap();
    let report = json(d, &["recover", "long.cae", "-o", "out.cae"]);
    assert_eq!(report["how"], "100 bytes behind the end left out");
    let message = bad(d, &["recover", "x_60x100.f32", "-o", "none.cae"], 1);
    assert!(message.contains("--like") && !message.contains("`cae recover"), "{message}");
    assert_eq!(std::fs::read(d.join("out.cae")).unwrap(), whole);

    std::fs::write(d.join("cut.cae"), &whole[..whole.len() - 16]).unwrap();
    let recover = ["recover", "cut.cae", "-o", "out.cae", "--force", "--json"];
    let out = cae(d, &[&recover[..], &["--shape", "60x100", "--dtype", "f32", "--frame", "20x100"]].concat());
    one_line(&out, 1, "another frame follows");
    assert!(text(&out.stderr).contains("more arrays") && text(&out.stderr).contains("--like"), "{}", text(&out.stderr));
    let report: Value = serde_json::from_str(&text(&out.stdout)).unwrap();
    assert_eq!((&report["more"], &report["frames"], &report["lost"]), (&true.into(), &3.into(), &0.into()));
    // The other file knows of both arrays.
    let report: Value = serde_json::from_str(&good(d, &[&recover[..], &["--like", "a.cae"]].concat())).unwrap();
    assert_eq!((&report["more"], &report["frames"], &report["lost"]), (&false.into(), &6.into(), &0.into()));
}

#[test]
fn reports_of_decompression_are_complete_and_outputs_of_other_formats_refused() {
    let dir = folder(&[RELIEF]);
    let d = dir.path();
    good(d, &["compress", RELIEF, "-o", "a.cae", "--abs", "5"]);
    let report = json(d, &["decompress", "a.cae", "-o", "x.npy", "--region", "1:3,5:"]);
    let seconds = report["seconds"].clone();
    assert!(seconds.is_number());
    let expected = serde_json::json!({
        "array": "etopo_rose", "dtype": "f64", "region": "1:3,5:90", "shape": [2, 85], "output": "x.npy",
        "bytes": 2 * 85 * 8, "seconds": seconds, "bad_frames": [],
    });
    assert_eq!(report, expected);
    for output in ["x.txt", "x.cae", "x.csv", "x.nc"] {
        let message = bad(d, &["decompress", "a.cae", "-o", output], 2);
        assert!(message.contains(output) && message.contains(".npy"), "{message}");
    }
    for output in ["x.raw", "x.bin", "x.dat", "x.F64", "x"] {
        good(d, &["decompress", "a.cae", "-o", output]);
        assert_eq!(std::fs::metadata(d.join(output)).unwrap().len(), 45 * 90 * 8);
    }
}

#[test]
fn every_array_goes_to_a_folder() {
    let dir = folder(&[SST, SEA, RELIEF]);
    let d = dir.path();
    good(d, &["compress", SST, SEA, RELIEF, "-o", "a.cae", "--rel", "1e-3"]);
    let message = bad(d, &["decompress", "a.cae"], 2);
    assert!(message.contains("-o DIR/"), "{message}");
    let report = json(d, &["decompress", "a.cae", "-o", "made/all/"]);
    let all = ["coads_sst.npy", "etopo_rose.npy", "levitus_temp.npy"];
    assert_eq!(names(&d.join("made/all")), all);
    let arrays = report["arrays"].as_array().unwrap();
    assert_eq!(
        arrays.iter().map(|a| a["array"].as_str().unwrap()).collect::<Vec<_>>(),
        ["coads_sst", "levitus_temp", "etopo_rose"]
    );
    good(d, &["decompress", "a.cae", "-o", "one.npy", "--array", "etopo_rose"]);
    assert_eq!(std::fs::read(d.join("one.npy")).unwrap(), std::fs::read(d.join("made/all/etopo_rose.npy")).unwrap());
    // What is there is kept, and nothing is written beside it.
    std::fs::remove_file(d.join("made/all/coads_sst.npy")).unwrap();
    let message = bad(d, &["decompress", "a.cae", "-o", "made/all"], 2);
    assert!(message.contains("exists; --force"), "{message}");
    assert_eq!(names(&d.join("made/all")).len(), 2);
    assert_eq!(good(d, &["decompress", "a.cae", "-o", "made/all", "--force"]).lines().count(), 3);
    assert_eq!(names(&d.join("made/all")), all);
    std::fs::create_dir(d.join("some")).unwrap();
    let report = json(d, &["decompress", "a.cae", "-o", "some", "--array", "1"]);
    assert_eq!((names(&d.join("some")), report["arrays"].as_array().unwrap().len()), (vec![all[2].to_owned()], 1));
    // A region must be one of all arrays.
    bad(d, &["decompress", "a.cae", "-o", "other/", "--region", ":,:"], 2);
    assert!(!d.join("other").exists());
}

#[test]
fn names_in_a_file_lead_nowhere_else_and_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let write = |file: &str, names: &[&str]| {
        let mut writer = cae::Writer::create(d.join(file)).unwrap();
        for name in names {
            let values = ndarray::arr1(&[1.0f32, 2.0]).into_dyn();
            writer.add_array(name, &values.view(), &cae::ArrayOptions::default()).unwrap();
        }
        writer.commit().unwrap();
    };
    write("a.cae", &["../up", "/etc/x", ".hidden", ""]);
    good(d, &["decompress", "a.cae", "-o", "out/"]);
    assert_eq!(names(d), ["a.cae", "out"]);
    assert_eq!(names(&d.join("out")).len(), 4, "{:?}", names(&d.join("out")));
    write("b.cae", &["a/b", "a_b"]);
    let message = bad(d, &["decompress", "b.cae", "-o", "both/"], 2);
    assert!(message.contains("a_b.npy") && message.contains("--array"), "{message}");
    good(d, &["decompress", "b.cae", "-o", "both/", "--array", "a/b"]);
}

#[test]
fn names_stay_on_their_line_and_read_in_their_direction() {
    let dir = folder(&[WIND]);
    let d = dir.path();
    let name = "a\nb\tc\u{202e}d\u{2066}";
    good(d, &["compress", WIND, "-o", "a.cae", "--rel", "0.1", "--name", name]);
    for args in [&["inspect", "a.cae"][..], &["verify", "a.cae", "--against", WIND], &["certify", "a.cae"]] {
        let said = good(d, args);
        assert!(said.contains("a\\nb\\tc\\u202ed\\u2066"), "{said}");
    }
    let report = good(d, &["inspect", "a.cae", "--json"]);
    assert!(!report.contains(['\u{202e}', '\u{2066}']));
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["arrays"][0]["name"], name);
    let message = bad(d, &["decompress", "a.cae", "--array", "x\ny"], 2);
    assert!(message.contains("x\\ny"), "{message}");
}

#[test]
fn pipes_devices_and_folders_are_no_input() {
    let dir = folder(&[WIND]);
    let d = dir.path();
    let mut inputs = vec![("-", "save it to a file first"), (".", "a folder, not a file")];
    if cfg!(unix) {
        inputs.push(("/dev/null", "save it to a file first"));
    }
    for (input, expected) in inputs {
        for args in [
            &["compress", input, "-o", "a.cae", "--rel", "0.1", "--shape", "2", "--dtype", "f32"][..],
            &["inspect", input],
            &["verify", input],
            &["decompress", input],
            &["recover", input, "-o", "a.cae"],
            &["advise", input],
        ] {
            let message = bad(d, args, 2);
            assert!(message.contains(expected), "{message}");
        }
    }
}

#[test]
fn what_can_be_recovered_is_said_to_be() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    good(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.1"]);
    let whole = std::fs::read(d.join("a.cae")).unwrap();
    let damaged = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (name, bytes) in [
        ("signature.cae", damaged(1)),
        ("text_mode.cae", damaged(0)),
        ("version.cae", damaged(8)),
        ("header.cae", damaged(13)),
        ("directory.cae", damaged(whole.len() - 20)),
        ("trailer.cae", damaged(whole.len() - 1)),
        ("cut.cae", whole[..whole.len() - 30].to_vec()),
    ] {
        std::fs::write(d.join(name), bytes).unwrap();
        let message = bad(d, &["inspect", name], 1);
        assert!(message.contains(&format!("`cae recover {name} -o OUT`")), "{message}");
    }
    std::fs::write(d.join("frame.cae"), damaged(40)).unwrap();
    std::fs::write(d.join("empty.cae"), "").unwrap();
    for args in [&["decompress", "frame.cae"][..], &["inspect", SEA], &["inspect", "empty.cae"]] {
        let message = bad(d, args, 1);
        assert!(!message.contains("cae recover"), "{message}");
    }
}

#[test]
fn inspect_tells_names_of_dimensions_bounds_and_what_grew() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    good(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.01", "--fill", "-1e10", "--dims", "z,y,x"]);
    let said = good(d, &["inspect", "a.cae"]);
    for words in ["[8,20,30] (z,y,x), 1 frame of", "bound rel 0.01 (abs 0.2369", " times smaller"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Noise without a bound takes more bytes than it has.
    std::fs::write(d.join("noise_3.f32"), bytes(&[1.1, -7.3e8, 2.9e-4])).unwrap();
    good(d, &["compress", "noise_3.f32", "-o", "n.cae", "--lossless"]);
    assert!(good(d, &["inspect", "n.cae"]).contains(" times larger"));

    let whole = std::fs::read(d.join("a.cae")).unwrap();
    std::fs::write(d.join("cut.cae"), &whole[..whole.len() - 16]).unwrap();
    good(d, &["recover", "cut.cae", "-o", "r.cae", "--shape", "8x20x30", "--dtype", "f32"]);
    let said = good(d, &["inspect", "r.cae"]);
    assert!(said.contains("bound unknown"), "{said}");
    let said = good(d, &["verify", "r.cae", "--against", SEA]);
    assert!(said.contains("the bound is unknown"), "{said}");
}

#[test]
fn options_that_would_not_be_kept_are_refused() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    let pack = |more: &[&'static str]| [&["compress", SEA, "-o", "a.cae", "--rel", "0.1"], more].concat();
    for (more, words) in [
        (&["--dims", "x,y,x"][..], "two dimensions are named `x`"),
        (&["--dims", "z,,x"], "a name is empty"),
        (&["--attr", "units=K", "--attr", "units=C"], "given twice"),
        (&["--attr", "=K"], "a key is empty"),
        (&["--attr", "_FillValue=1", "--fill", "-1e10"], "`_FillValue` is what --fill sets"),
        (&["--attr", "errors=1", "--provenance"], "`errors` is what --provenance sets"),
        (&["--external-model"], "--external-model needs a --model"),
        (&["--external-model", "--model", "none"], "--external-model needs a --model"),
        (&["--fill", "1e300"], "--fill 1e300 is beyond the range"),
    ] {
        let message = bad(d, &pack(more), 2);
        assert!(message.contains(words), "{message}");
    }
    assert!(bad(d, &["advise", SEA, "--fill", "1e300"], 2).contains("beyond the range"));
    good(d, &pack(&["--attr", "_FillValue=1", "--attr", "errors=1"]));
}

#[test]
fn what_may_not_have_been_meant_is_noted() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    let notes = |args: &[&str]| {
        let out = cae(d, &[&["compress", "-o", "a.cae", "--force", "--json"], args].concat());
        assert!(out.status.success(), "{}", text(&out.stderr));
        assert!(serde_json::from_str::<Value>(&text(&out.stdout)).is_ok());
        text(&out.stderr)
    };
    let mut values: Vec<f32> = (0..100).map(|i| i as f32).collect();
    values[7] = -9999.0;
    std::fs::write(d.join("x_100.f32"), bytes(&values)).unwrap();
    assert_eq!(notes(&["x_100.f32", "--rel", "0.1"]), "", "one value may be as it is");
    values[9] = -9999.0;
    std::fs::write(d.join("x_100.f32"), bytes(&values)).unwrap();
    let said = notes(&["x_100.f32", "--rel", "0.1"]);
    assert!(
        said.starts_with("cae: note: x: the value -9999.0, far from all others") && said.contains("--fill -9999.0"),
        "{said}"
    );
    assert_eq!(notes(&["x_100.f32", "--rel", "0.1", "--fill", "-9999"]), "");
    assert_eq!(notes(&["x_100.f32", "--abs", "0.1"]), "");
    let said = notes(&["x_100.f32", "--abs", "0.1", "--fill", "-999"]);
    assert!(said.starts_with("cae: note: x: no value is -9.99e2, which --fill says"), "{said}");

    for t in [1, 2, 10] {
        std::fs::write(d.join(format!("s{t}_100.f32")), bytes(&values)).unwrap();
    }
    let stack = |steps: &[&str]| notes(&[&["--stack", "--abs", "0.1"], steps].concat());
    assert!(stack(&["s1_100.f32", "s10_100.f32", "s2_100.f32"]).contains("s10_100.f32 before s2_100.f32"));
    assert_eq!(stack(&["s1_100.f32", "s2_100.f32", "s10_100.f32"]), "");
}

#[test]
fn several_originals_are_compared_with_the_arrays_of_their_names() {
    let dir = folder(&[SST, SEA, RELIEF]);
    let d = dir.path();
    good(d, &["compress", SST, SEA, RELIEF, "-o", "a.cae", "--rel", "1e-3"]);
    let report = json(d, &["verify", "a.cae", "--against", SST, SEA, RELIEF]);
    let against = report["against"].as_array().unwrap();
    assert!(against.iter().all(|a| a["bound_met"] == true));
    let report = json(d, &["verify", "a.cae", "--against", RELIEF, SST]);
    let arrays: Vec<&Value> = report["against"].as_array().unwrap().iter().map(|a| &a["array"]).collect();
    assert_eq!(arrays, ["etopo_rose", "coads_sst"]);
    let said = good(d, &["verify", "a.cae", "--against", RELIEF, SST]);
    assert!(said.contains("etopo_rose: largest error") && said.contains("coads_sst: largest error"), "{said}");
    let mut other = std::fs::read(d.join(SEA)).unwrap();
    other[..4].copy_from_slice(&500f32.to_le_bytes());
    std::fs::write(d.join(SEA), other).unwrap();
    let out = cae(d, &["verify", "a.cae", "--against", SST, SEA]);
    one_line(&out, 1, "verify");
    assert!(text(&out.stderr).contains("the bound of `levitus_temp` is not met"), "{}", text(&out.stderr));
    std::fs::copy(d.join(SST), d.join("other_3x45x60.f32")).unwrap();
    assert!(
        bad(d, &["verify", "a.cae", "--against", "other_3x45x60.f32"], 2).contains("none of its 3 arrays is named")
    );
}

#[test]
fn arrays_of_several_files_are_gathered_as_they_are_stored() {
    let folder = folder(&[WIND, SST]);
    for (step, input) in [("step1", WIND), ("step2", SST)] {
        let out = format!("{step}.cae");
        good(folder.path(), &["compress", input, "-o", &out, "--rel", "1e-3", "--name", "t"]);
    }
    let same = bad(folder.path(), &["copy", "step1.cae", "step2.cae", "-o", "run.cae"], 2);
    assert!(same.contains("step2.cae: an array before is named `t`, too; --prefix tells them apart"), "{same}");
    let report = json(folder.path(), &["copy", "step1.cae", "step2.cae", "-o", "run.cae", "--prefix"]);
    assert_eq!(report["arrays"][1]["name"], "step2_t");
    assert_eq!(report["output_bytes"], folder.path().join("run.cae").metadata().unwrap().len());
    good(folder.path(), &["decompress", "run.cae", "-o", "run/"]);
    for step in ["step1", "step2"] {
        good(folder.path(), &["decompress", &format!("{step}.cae"), "-o", &format!("{step}.npy")]);
        let (of_run, alone) = (format!("run/{step}_t.npy"), format!("{step}.npy"));
        assert_eq!(
            std::fs::read(folder.path().join(of_run)).unwrap(),
            std::fs::read(folder.path().join(alone)).unwrap()
        );
    }
    let run = ["copy", "run.cae", "-o", "one.cae"];
    let several = bad(folder.path(), &[&run[..], &["--name", "wind"]].concat(), 2);
    assert!(several.contains("--name needs a single array, here are 2 arrays"), "{several}");
    let none = bad(folder.path(), &[&run[..], &["--array", "x"]].concat(), 2);
    assert!(none.contains("no array `x` in 1 file"), "{none}");
    good(folder.path(), &[&run[..], &["--array", "step1_t", "--name", "t"]].concat());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("one.cae"), read("step1.cae"));
    bad(folder.path(), &["copy", "one.cae", "-o", "one.cae", "--force"], 2);
    bad(folder.path(), &["copy", "step2.cae", "-o", "one.cae"], 2);
}

#[test]
fn regions_that_do_not_fit_are_named_with_their_dimension() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    for (more, words) in
        [(&["--dims", "z,y,x"][..], "of dimension `y` is not in 0:20"), (&[], "of dimension 1 is not in")]
    {
        good(d, &[&["compress", SEA, "-o", "a.cae", "--rel", "0.1", "--force"], more].concat());
        let message = bad(d, &["decompress", "a.cae", "-o", "x.npy", "--region", ":,0:21,:"], 2);
        assert!(message.contains("a.cae: array `levitus_temp`: range 0:21") && message.contains(words), "{message}");
    }
}

/// A link stays one: what it points to is replaced.
#[cfg(unix)]
#[test]
fn outputs_go_where_links_point() {
    let dir = folder(&[SEA]);
    let d = dir.path();
    std::fs::create_dir(d.join("disk")).unwrap();
    std::fs::write(d.join("disk/a.cae"), "mine").unwrap();
    std::os::unix::fs::symlink("disk/a.cae", d.join("a.cae")).unwrap();
    bad(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.1"], 2);
    good(d, &["compress", SEA, "-o", "a.cae", "--rel", "0.1", "--force"]);
    assert!(d.join("a.cae").is_symlink());
    good(d, &["verify", "disk/a.cae"]);
    assert_eq!(names(&d.join("disk")), ["a.cae"]);
    std::os::unix::fs::symlink("nowhere/b.cae", d.join("b.cae")).unwrap();
    assert!(
        bad(d, &["compress", SEA, "-o", "b.cae", "--rel", "0.1"], 1).contains("b.cae: a link to what is not there")
    );
}

/// Whether who started these tests had signals ignored, as nohup does: then they are ignored by what these start, too.
#[cfg(unix)]
fn ignores_signals() -> bool {
    const HUP_INT_TERM: u64 = 1 << 0 | 1 << 1 | 1 << 14;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.is_some_and(|m| u64::from_str_radix(m.trim(), 16).unwrap() & HUP_INT_TERM != 0)
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_no_file_that_is_not_complete() {
    if ignores_signals() {
        return;
    }
    let dir = folder(&[]);
    let d = dir.path();
    // Takes many seconds, of which none are waited for.
    let mut state = 1u32;
    let values: Vec<f32> = (0..4_000_000)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (i as f32 * 0.01).sin() + (state >> 16) as f32 * 1e-6
        })
        .collect();
    std::fs::write(d.join("x_2000x2000.f32"), bytes(&values)).unwrap();
    for signal in ["TERM", "INT", "HUP"] {
        let mut child = program()
            .args(["compress", "x_2000x2000.f32", "-o", "a.cae", "--rel", "1e-5", "--preset", "small"])
            .current_dir(d)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let is_written = || names(d).iter().any(|name| name.ends_with(".part"));
        while !is_written() {
            assert!(child.try_wait().unwrap().is_none(), "ended before it wrote");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        assert_eq!(names(d), ["x_2000x2000.f32"], "{signal}");
    }
}
