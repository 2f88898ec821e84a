//! A file that gets its name only when it is complete.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Names that are tried, at most.
const MOST: u32 = 1000;

/// A temporary sibling of the file to be; removed on drop unless committed.
#[derive(Debug)]
pub struct AtomicFile {
    out: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Creates the temporary file next to `path`; if that is a link, next to the file that it points to.
    ///
    /// # Errors
    /// Whatever the operating system says of the folder, or of a link that points nowhere; [`io::ErrorKind::InvalidInput`] if `path`
    /// names a folder, a device or a socket.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // Renaming over a link would replace it, and leave the file as it was.
        let nowhere = |e: io::Error| io::Error::new(e.kind(), format!("a link to what is not there: {e}"));
        let path = if path.is_symlink() { path.canonicalize().map_err(nowhere)? } else { path.to_owned() };
        // Renaming over a device would replace it: whoever writes to /dev/null as root would do without it afterwards.
        if path.metadata().is_ok_and(|m| !m.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
        // Another writer of this process may have taken a name, or one that was killed and had the same number.
        let mut n = 0u32;
        let (temporary, file) = loop {
            let mut sibling = std::ffi::OsString::from(".");
            sibling.push(name);
            sibling.push(format!(".{}-{n}.part", std::process::id()));
            let temporary = path.with_file_name(sibling);
            match File::options().read(true).write(true).create_new(true).open(&temporary) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && n < MOST => n = n.saturating_add(1),
                file => break (temporary, file?),
            }
        };
        Ok(AtomicFile { out: BufWriter::with_capacity(1 << 18, file), temporary, path, committed: false })
    }

    /// Where the bytes are until [`AtomicFile::commit`].
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// The name to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes to the device, then gives the file its name.
    ///
    /// # Errors
    /// Whatever the operating system says; the temporary file is removed then.
    pub fn commit(mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()?;
        std::fs::rename(&self.temporary, &self.path)?;
        self.committed = true;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.out.seek(to)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing useful can be done if even this fails.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_left_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.cae");
        let (mut first, second) = (AtomicFile::create(&path).unwrap(), AtomicFile::create(&path).unwrap());
        // A writer that was killed leaves its file.
        std::mem::forget(second);
        first.write_all(b"first").unwrap();
        first.commit().unwrap();
        let mut third = AtomicFile::create(&path).unwrap();
        third.write_all(b"third").unwrap();
        third.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"third");
        assert_eq!(folder.path().read_dir().unwrap().count(), 2);
    }
}
