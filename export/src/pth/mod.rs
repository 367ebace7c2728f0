//! PyTorch's `.pth` files of weights, read without Python and without executing anything.
//!
//! Both forms are read: the zip archive of PyTorch 1.6 and later (`*/data.pkl`, `*/data/KEY`), and the older one, several
//! pickles and then the raw values. The pickles may hold what a state dict holds and nothing else, see `pickle`.

mod pickle;

use pickle::{StorageRef, TensorRef};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use zip::{CompressionMethod, ZipArchive};

/// Most bytes of one file of weights.
const MAX_BYTES: u64 = 8 << 30;
/// First value of the older form.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// A file that is not a state dict of weights.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be read as a PyTorch state dict: {reason}", path.display())]
pub struct PthError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// The tensors of a state dict, by name, on the CPU.
///
/// # Errors
/// [`PthError`] for anything but tensors of numbers under names.
pub fn read(path: &Path) -> Result<Vec<(String, Tensor)>, PthError> {
    let fail = |reason: String| PthError { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|e| fail(e.to_string()))?;
    let bytes = file.metadata().map_err(|e| fail(e.to_string()))?.len();
    if bytes > MAX_BYTES {
        return Err(fail(format!("it has {bytes} bytes, expected at most {MAX_BYTES}")));
    }
    let mut start = [0; 2];
    let mut reader = BufReader::new(file);
    reader.read_exact(&mut start).map_err(|_| fail("it is empty".into()))?;
    let read = if &start == b"PK" { read_zip(path) } else { read_legacy(path) };
    read.map_err(fail)
}

fn read_zip(path: &Path) -> Result<Vec<(String, Tensor)>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| e.to_string())?;
    let pickle = archive.file_names().find(|name| name.ends_with("/data.pkl")).map(str::to_owned);
    let pickle = pickle.ok_or("the archive holds no data.pkl")?;
    let root = pickle.trim_end_matches("data.pkl").to_owned();
    if let Ok(order) = entry(&mut archive, &format!("{root}byteorder"))
        && order != b"little"
    {
        return Err(format!("expected little-endian values, got {}", String::from_utf8_lossy(&order)));
    }
    let (tensors, _) = pickle::state_dict(&entry(&mut archive, &pickle)?)?;
    let mut storages = HashMap::new();
    for (_, tensor) in &tensors {
        let storage = &tensor.storage;
        if !storages.contains_key(&storage.key) {
            let bytes = entry(&mut archive, &format!("{root}data/{}", storage.key))?;
            storages.insert(storage.key.clone(), flat(storage, &bytes)?);
        }
    }
    join(tensors, &storages)
}

fn entry(archive: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Vec<u8>, String> {
    let mut entry = archive.by_name(name).map_err(|e| format!("{name}: {e}"))?;
    // PyTorch never compresses; a file that does could unpack to any size.
    if entry.compression() != CompressionMethod::Stored || entry.size() > MAX_BYTES {
        return Err(format!("{name}: expected an entry that is not compressed"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
    Ok(bytes)
}

/// Magic number, protocol, system information, state dict, list of storage keys; then for each key the number of its
/// values and the values.
fn read_legacy(path: &Path) -> Result<Vec<(String, Tensor)>, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let unknown = "it begins with neither a zip archive nor PyTorch's magic number";
    let (magic, used) = pickle::number(&bytes).map_err(|_| unknown)?;
    if magic != MAGIC {
        return Err(unknown.into());
    }
    let mut rest = bytes.get(used..).unwrap_or_default();
    for _ in ["protocol", "system information"] {
        let used = pickle::skip(rest)?;
        rest = rest.get(used..).unwrap_or_default();
    }
    let (tensors, used) = pickle::state_dict(rest)?;
    rest = rest.get(used..).unwrap_or_default();
    let (keys, used) = pickle::strings(rest)?;
    let mut values = Cursor::new(rest.get(used..).unwrap_or_default());
    let by_key: HashMap<&str, &StorageRef> =
        tensors.iter().map(|(_, tensor)| (tensor.storage.key.as_str(), &*tensor.storage)).collect();
    let mut storages = HashMap::new();
    for key in keys {
        let storage = by_key.get(key.as_str()).ok_or_else(|| format!("storage {key} belongs to no tensor"))?;
        let mut count = [0; 8];
        values.read_exact(&mut count).map_err(|_| "it ends before its values do")?;
        let count = u64::from_le_bytes(count);
        let size = count.checked_mul(size_of_kind(storage.kind)).filter(|size| *size <= bytes.len() as u64);
        let size = size.ok_or_else(|| format!("storage {key} claims {count} values"))?;
        let mut content = vec![0; size as usize];
        values.read_exact(&mut content).map_err(|_| "it ends before its values do")?;
        storages.insert(key, flat(storage, &content)?);
    }
    join(tensors, &storages)
}

fn size_of_kind(kind: Kind) -> u64 {
    kind.elt_size_in_bytes() as u64
}

/// All values of a storage in a row.
fn flat(storage: &StorageRef, bytes: &[u8]) -> Result<Tensor, String> {
    let count = bytes.len() as u64 / size_of_kind(storage.kind);
    if count < storage.count {
        return Err(format!("storage {} has {count} values, expected {}", storage.key, storage.count));
    }
    let whole = bytes.get(..(count * size_of_kind(storage.kind)) as usize).unwrap_or_default();
    Tensor::f_from_data_size(whole, &[count as i64], storage.kind).map_err(|e| e.to_string())
}

fn join(
    tensors: Vec<(String, TensorRef)>,
    storages: &HashMap<String, Tensor>,
) -> Result<Vec<(String, Tensor)>, String> {
    let cut = |(name, tensor): (String, TensorRef)| {
        let flat = storages.get(&tensor.storage.key).ok_or_else(|| format!("{name}: its values are missing"))?;
        let available = flat.size().first().copied().unwrap_or(0);
        let last = tensor.last().ok_or_else(|| format!("{name}: its shape and strides are not those of a tensor"))?;
        if last >= available {
            return Err(format!("{name}: reaches to value {last} of a storage of {available}"));
        }
        let cut = flat.f_as_strided(&tensor.size, &tensor.stride, tensor.offset).map_err(|e| e.to_string())?;
        Ok((name, cut.contiguous()))
    };
    tensors.into_iter().map(cut).collect()
}

#[cfg(test)]
mod tests;
