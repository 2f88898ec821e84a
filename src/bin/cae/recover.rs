//! `cae recover`.

use crate::args::Recover;
use crate::decompress::{failed, open};
use crate::failure::Failure;
use crate::figures::{count, count_are, frames_are};
use crate::{input, interrupt};
use cae::{DataType, Error, Found, Known, Limits};
use serde_json::{Map, json};
use std::io::Write;

pub fn run(args: &Recover) -> Result<(), Failure> {
    let here = Failure::at(&args.file);
    input::not_replaced(&args.file, &args.output)?;
    input::must_be_a_file(&args.file)?;
    input::not_taken(&args.output, args.force)?;
    let limits = if args.reading.no_limits { Limits::none() } else { Limits::default() };
    let sibling = args.like.as_ref().map(|path| open(path, &args.reading)).transpose()?;
    let known = match (&sibling, &args.raw.shape, args.raw.dtype) {
        (Some(sibling), None, None) => Known::Like(sibling),
        (None, Some(shape), Some(dtype)) => Known::Array {
            name: args.name.as_deref().unwrap_or("recovered"),
            data_type: DataType::from(dtype),
            shape: &shape.0,
            frame_shape: args.frame.as_ref().map(|f| f.0.as_slice()),
        },
        (None, None, None) => Known::Nothing,
        _ => return Err(Failure::usage("either --like, or both --shape and --dtype, or none of them")),
    };
    // Past this, what the operating system complains of is the output.
    std::fs::File::open(&args.file).map_err(Failure::io(&args.file))?;
    let mut out = interrupt::create(&args.output)?;
    let done = cae::recover_file(&args.file, &known, &limits, &mut out).map_err(|e| match e {
        // Who did not say what is known may do so; there is nothing else to advise.
        Error::Format { .. } if matches!(known, Known::Nothing) => {
            let (file, hint) =
                (args.file.display(), "--like a file written in the same way, or --shape and --dtype, may help");
            Failure::bad(format!("{file}: {e}; {hint}"))
        }
        Error::Format { .. } => Failure::bad(format!("{}: {e}", args.file.display())),
        e => failed(&args.file, &args.output, e),
    })?;
    out.flush().map_err(Failure::io(&args.output))?;
    let reader = open(out.temporary(), &args.reading)?;
    let (mut all, mut lost, mut unchecked, mut arrays) = (0u64, 0u64, 0u64, Map::new());
    let mut lines = Vec::new();
    for array in reader.arrays() {
        // Without its model nothing is known of its frames.
        if let Some(why) = array.model().and_then(|m| reader.model_bytes(m).err()) {
            unchecked = unchecked.saturating_add(1);
            lines.push(format!("{}: not checked: {why}", array.name()));
            arrays.insert(array.name().to_owned(), json!({"frames": array.frame_count(), "lost": null}));
            continue;
        }
        let (bad, _) = array.verify().map_err(&here)?;
        let (frames, bad) = (array.frame_count(), bad.len() as u64);
        (all, lost) = (all.saturating_add(frames), lost.saturating_add(bad));
        let whole = frames_are(frames.saturating_sub(bad), frames);
        lines.push(format!("{}: {whole} whole", array.name()));
        arrays.insert(array.name().to_owned(), json!({"frames": frames, "lost": bad}));
    }
    drop(reader);
    input::not_taken(&args.output, args.force)?;
    out.commit().map_err(Failure::io(&args.output))?;
    let mut how = Vec::new();
    if done.header {
        how.push("header made anew".to_owned());
    }
    if done.models > 0 {
        how.push(format!("{} put for damaged ones", count(done.models as u64, "whole model")));
    }
    how.push(match done.directory {
        Found::Whole => "the directory is whole".to_owned(),
        Found::Followed(bytes) => format!("{} behind the end left out", count(bytes, "byte")),
        Found::Bit(byte, bit) => {
            format!("bit {bit} of byte {byte} turned back, with which the directory has its checksum")
        }
        Found::Unchecked => {
            "directory taken as it is, without its checksum: names, attributes and bounds may not be what they were"
                .into()
        }
        _ if args.like.is_some() => "directory made anew, like that of the other file".into(),
        _ => "directory made anew; of the bound nothing is known, and the file says the largest number".into(),
    });
    let how = how.join("; ");
    let more = matches!(done.directory, Found::Frames { more: true, .. });
    if args.json {
        say!(
            "{}",
            json!({"how": how, "frames": all, "lost": lost, "unchecked": unchecked, "more": more, "arrays": arrays})
        );
    } else {
        say!("{}: {how}", args.output.display());
        lines.iter().for_each(|line| say!("{line}"));
    }
    if more {
        return Err(Failure::bad(format!(
            "{}: another frame follows, of which nothing is known: the file may have held more arrays, which --like a file written in \
             the same way finds",
            args.file.display()
        )));
    }
    if unchecked > 0 {
        let arrays = count_are(unchecked, "array");
        return Err(Failure::bad(format!("{}: {arrays} not checked for lack of a model", args.file.display())));
    }
    if lost == 0 {
        return Ok(());
    }
    Err(Failure::bad(format!(
        "{}: {} lost; decompress --salvage reads the others",
        args.file.display(),
        frames_are(lost, all)
    )))
}
