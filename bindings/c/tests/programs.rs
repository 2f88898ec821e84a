//! C programs, compiled with an installed copy of the library as a user would, and run: plainly, under AddressSanitizer and under valgrind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Installs the library that this test was built with.
fn installed() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let prefix = folder.path().join("prefix");
    let built = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let mut make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR"));
    make.arg("install").arg(format!("PREFIX={}", prefix.display())).arg(format!("BUILT={}", built.display()));
    run(&mut make);
    (folder, prefix)
}

fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert!(out.status.success(), "{command:?}\n{}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

fn flags(prefix: &Path, extra: &[&str]) -> Vec<String> {
    let mut pkg_config = Command::new("pkg-config");
    pkg_config.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(["--cflags", "--libs"]).args(extra).arg("cae");
    run(&mut pkg_config).split_whitespace().map(str::to_owned).collect()
}

const STRICT: [&str; 6] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g"];

/// Compiles `source` and runs it with `arguments` in all three ways; what it printed.
fn all_ways(prefix: &Path, source: &Path, arguments: &[&Path]) -> String {
    let folder = source.parent().unwrap();
    let in_tree = folder.starts_with(env!("CARGO_MANIFEST_DIR"));
    let at = if in_tree { prefix.parent().unwrap() } else { folder };
    let name = source.file_stem().unwrap().to_str().unwrap();
    let (plain, checked) = (at.join(name), at.join(format!("{name}-asan")));
    let mut cc = Command::new("gcc");
    cc.args(STRICT).arg(source).arg("-o").arg(&plain).args(flags(prefix, &[])).args(["-lm", "-lpthread"]);
    run(cc.arg(format!("-Wl,-rpath,{}", prefix.join("lib").display())));
    let output = run(Command::new(&plain).args(arguments).current_dir(at));
    // Linked whole, so that the sanitizer's allocator serves the library too.
    let mut cc = Command::new("gcc");
    cc.args(STRICT).arg("-fsanitize=address,undefined").arg(source).arg("-o").arg(&checked);
    cc.arg(format!("-I{}", prefix.join("include").display())).arg(prefix.join("lib/libcae.a"));
    let system = flags(prefix, &["--static"]);
    run(cc.args(system.iter().filter(|f| *f != "-lcae" && f.starts_with("-l"))));
    run(Command::new(&checked).args(arguments).current_dir(at));
    // What Rust keeps for the main thread is held by a pointer into its middle, which valgrind calls possibly lost.
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect"]);
    valgrind.arg("--errors-for-leak-kinds=definite,indirect");
    run(valgrind.arg(&plain).args(arguments).current_dir(at));
    output
}

#[test]
fn wrong_use_ends_in_a_status() {
    let (_folder, prefix) = installed();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/misuse.c");
    let scratch = TempDir::new().unwrap();
    assert_eq!(all_ways(&prefix, &source, &[scratch.path()]), "all as it should be\n");
    let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["a.cae"], "nothing half written stays");
}

#[test]
fn networks_serve_files_and_frames() {
    let (_folder, prefix) = installed();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let models = root.join("../../testdata/models");
    let scratch = TempDir::new().unwrap();
    let arguments = [scratch.path(), &models.join("exact512-decoder.onnx"), &models.join("exact512-encoder.onnx")];
    assert_eq!(all_ways(&prefix, &root.join("tests/model.c"), &arguments), "the network predicted\n");
}

#[test]
fn the_examples_of_the_documentation_run() {
    let (folder, prefix) = installed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/c.md");
    let page = std::fs::read_to_string(page).unwrap();
    let programs: Vec<&str> = page.split("```c\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(programs.len(), 2);
    for (i, program) in programs.iter().enumerate() {
        let source = folder.path().join(format!("example{i}.c"));
        std::fs::write(&source, program).unwrap();
        assert!(all_ways(&prefix, &source, &[]).contains("bytes"));
    }
}

#[test]
fn the_header_is_cpp_too() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/cae.h");
    run(Command::new("g++").args(["-x", "c++", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]).arg(header));
}
