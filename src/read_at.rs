//! Files whose bytes are fetched range by range.

/// A file that is neither mapped nor in memory: in an object store, behind a server, inside another file.
///
/// Opening it takes three requests or fewer: for the header, for the last 64 KiB, and for the directory where it is longer than that.
/// Reading takes one for each frame that holds some of what is asked for, several threads side by side.
pub trait ReadAt: Send + Sync {
    /// Bytes of the file. Asked once.
    ///
    /// # Errors
    /// Whatever keeps the file from being reached.
    fn file_len(&self) -> std::io::Result<u64>;

    /// Fills `into` with the bytes of the file from `offset` on, all of which lie within it. Called by several threads at a time.
    ///
    /// # Errors
    /// Whatever keeps any of them from being read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()>;
}

/// A file that may be changed while it is open, which a map must not be.
#[cfg(unix)]
impl ReadAt for std::fs::File {
    fn file_len(&self) -> std::io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, into, offset)
    }
}
