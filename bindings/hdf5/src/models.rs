//! Networks by digest, from the folders that `CAE_MODEL_PATH` names, and decoders from open files too.

use cae::Limits;
use cae::model::{self, Decoder, Encoder};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The variable that names the folders, separated as in `PATH`.
const FOLDERS: &str = "CAE_MODEL_PATH";

type Digest = [u8; 32];

/// A loaded model.
pub struct Model {
    decoder: Box<dyn Decoder>,
    encoder: Option<Box<dyn Encoder>>,
}

impl Model {
    pub fn decoder(&self) -> &dyn Decoder {
        self.decoder.as_ref()
    }

    pub fn encoder(&self) -> Option<&dyn Encoder> {
        self.encoder.as_deref()
    }
}

/// Models by digest, and whether the encoder is there too.
type Loaded = HashMap<(Digest, bool), Arc<Model>>;

/// Models that stay loaded, at most.
const KEPT: usize = 16;

/// Loading takes long and a dataset has many chunks, so models stay loaded.
static LOADED: LazyLock<Mutex<Loaded>> = LazyLock::new(Mutex::default);

/// Where else a decoder may be: its bytes by its name, if they are there.
pub type Elsewhere<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// The decoder named by `digest`.
pub fn for_reading(digest: &Digest, elsewhere: Elsewhere) -> Result<Arc<Model>, String> {
    loaded(digest, false, elsewhere)
}

/// The decoder named by `digest`, and the encoder beside it if it has one.
pub fn for_writing(digest: &Digest, elsewhere: Elsewhere) -> Result<Arc<Model>, String> {
    loaded(digest, true, elsewhere)
}

fn loaded(digest: &Digest, with_encoder: bool, elsewhere: Elsewhere) -> Result<Arc<Model>, String> {
    let all = || LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = all().get(&(*digest, with_encoder)) {
        return Ok(Arc::clone(model));
    }
    // Not locked meanwhile: HDF5 may call this plugin again to read the file that holds the model.
    let model = Arc::new(load(digest, with_encoder, elsewhere)?);
    let mut all = all();
    // Whoever reads the files of many strangers is not to keep the networks of all.
    if all.len() >= KEPT {
        all.clear();
    }
    Ok(Arc::clone(all.entry((*digest, with_encoder)).or_insert(model)))
}

fn load(digest: &Digest, with_encoder: bool, elsewhere: Elsewhere) -> Result<Model, String> {
    let name: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    let bytes = find(&format!("{name}.onnx")).or_else(|missing| elsewhere(&name).ok_or(missing))?;
    if model::digest(&bytes) != *digest {
        return Err(format!("the model named {name} does not have that digest"));
    }
    let limits = Limits::default();
    let decoder = model::load_decoder(&bytes, &limits).map_err(|e| e.to_string())?;
    // A network in the loop has no encoder.
    let encoder = if with_encoder && !decoder.is_predictor() {
        let bytes = find(&format!("{name}.encoder.onnx"))?;
        Some(model::load_encoder(&bytes, &limits).map_err(|e| e.to_string())?)
    } else {
        None
    };
    Ok(Model { decoder, encoder })
}

fn find(name: &str) -> Result<Vec<u8>, String> {
    let folders = std::env::var_os(FOLDERS).unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).filter(|f| !f.as_os_str().is_empty()).collect();
    for folder in &folders {
        let path = folder.join(name);
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > Limits::default().model_bytes => {
                return Err(format!("{} has {} bytes, more than a model may have", path.display(), meta.len()));
            }
            Ok(_) => return std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("{}: {e}", path.display())),
        }
    }
    match folders.is_empty() {
        true => Err(format!("model {name} is needed; name its folder in {FOLDERS}")),
        false => Err(format!("model {name} is needed and in no folder of {FOLDERS}")),
    }
}
