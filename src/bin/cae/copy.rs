//! `cae copy`.

use crate::args::Copy;
use crate::decompress::{failed, open_with};
use crate::failure::Failure;
use crate::figures::count;
use crate::{input, interrupt};
use cae::{Array, ReadOptions, Reader, Writer};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

/// An array, the file that it is in, and the name that it gets.
struct Chosen<'r> {
    path: &'r Path,
    reader: &'r Reader<'r>,
    array: Array<'r>,
    name: String,
}

pub fn run(args: &Copy) -> Result<(), Failure> {
    input::not_taken(&args.output, args.force)?;
    for file in &args.files {
        input::not_replaced(file, &args.output)?;
    }
    let open = |path| open_with(path, ReadOptions::default());
    let readers = args.files.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    let chosen = choose(args, &readers)?;
    let here = Failure::at(&args.output);
    let mut writer = Writer::new(interrupt::create(&args.output)?).map_err(&here)?;
    // Where one file has a model and another names it only, it is stored.
    for is_kept_elsewhere in [false, true] {
        for c in &chosen {
            let Some(index) = c.array.model() else { continue };
            if c.reader.models().nth(index).is_some_and(|m| (m.len == 0) == is_kept_elsewhere) {
                writer.copy_model(c.reader, index).map_err(|e| failed(c.path, &args.output, e))?;
            }
        }
    }
    for c in &chosen {
        writer.copy_array(&c.name, &c.array).map_err(|e| failed(c.path, &args.output, e))?;
    }
    input::not_taken(&args.output, args.force)?;
    let bytes = writer.commit().map_err(&here)?;
    if args.json {
        let arrays = chosen.iter().map(|c| {
            json!({"name": c.name, "file": c.path.display().to_string(), "array": c.array.name(), "bytes": c.array.stored_bytes()})
        });
        say!("{}", json!({"output_bytes": bytes, "arrays": arrays.collect::<Vec<_>>()}));
    } else {
        say!("{}: {bytes} bytes, {}", args.output.display(), count(chosen.len() as u64, "array"));
    }
    Ok(())
}

/// The arrays that are meant, in the order of the files, and their new names.
fn choose<'r>(args: &'r Copy, readers: &'r [Reader<'r>]) -> Result<Vec<Chosen<'r>>, Failure> {
    let mut missing: BTreeSet<&str> = args.array.iter().map(String::as_str).collect();
    let mut chosen = Vec::new();
    for (path, reader) in args.files.iter().zip(readers) {
        for array in reader.arrays().filter(|a| args.array.is_empty() || args.array.iter().any(|n| n == a.name())) {
            missing.remove(array.name());
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = match &args.name {
                Some(name) => name.clone(),
                None if args.prefix => format!("{stem}_{}", array.name()),
                None => array.name().to_owned(),
            };
            chosen.push(Chosen { path, reader, array, name });
        }
    }
    if let Some(name) = missing.first() {
        return Err(Failure::usage(format!("no array `{name}` in {}", count(readers.len() as u64, "file"))));
    }
    if args.name.is_some() && chosen.len() != 1 {
        let arrays = count(chosen.len() as u64, "array");
        return Err(Failure::usage(format!("--name needs a single array, here are {arrays}; --array picks one")));
    }
    let mut names = HashSet::new();
    match chosen.iter().find(|c| !names.insert(c.name.as_str())) {
        Some(c) => {
            let way = if args.prefix { "--array and --name copy one of them" } else { "--prefix tells them apart" };
            Err(Failure::usage(format!("{}: an array before is named `{}`, too; {way}", c.path.display(), c.name)))
        }
        None => Ok(chosen),
    }
}
