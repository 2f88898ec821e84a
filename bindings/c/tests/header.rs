//! The header in the tree is the one that the sources make.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_crate(root).with_config(config).generate().unwrap();
    let mut made = Vec::new();
    bindings.write(&mut made);
    let path = root.join("include/cae.h");
    if std::env::var_os("CAE_UPDATE_HEADER").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let stale = "include/cae.h is stale: CAE_UPDATE_HEADER=1 cargo test -p cae-c --test header writes it anew";
    assert!(kept == String::from_utf8(made).unwrap(), "{stale}");
}
