//! Files that once made a reader panic, hang or give wrong values. What each is, stands in testdata/README.md.

use crate::open::{cae_files, in_time, read_all, small};

#[test]
fn no_regression_file_panics_or_takes_long() {
    for folder in ["regressions", "invalid"] {
        for (name, bytes) in cae_files(folder) {
            let _ = in_time(&name, move || read_all(&bytes, small()).is_ok());
        }
    }
}
