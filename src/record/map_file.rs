//! Anomaly maps as TIFF.

use super::file::{RecordError, write_file};
use crate::map::AnomalyMap;
use std::path::Path;
use tiff::encoder::{TiffEncoder, colortype};

/// Writes `map` as an uncompressed TIFF of one 32-bit float sample a pixel.
///
/// # Errors
/// [`RecordError`].
pub fn write_map(path: &Path, map: &AnomalyMap) -> Result<(), RecordError> {
    let size = |side: usize| u32::try_from(side).map_err(std::io::Error::other);
    write_file(path, |writer| {
        let (width, height) = (size(map.0.width)?, size(map.0.height)?);
        TiffEncoder::new(writer)
            .and_then(|mut encoder| encoder.write_image::<colortype::Gray32Float>(width, height, &map.0.values))
            .map_err(std::io::Error::other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Grid;
    use tiff::decoder::{Decoder, DecodingResult};

    #[test]
    fn every_bit_of_a_map_comes_back() {
        let values = vec![0.0, -1.5, 3.25e-12, f32::MAX, 0.1, 7.0];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.tiff");
        write_map(&path, &AnomalyMap(Grid { height: 2, width: 3, values: values.clone() })).unwrap();
        let mut decoder = Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap())).unwrap();
        assert_eq!(decoder.dimensions().unwrap(), (3, 2));
        assert_eq!(decoder.colortype().unwrap(), tiff::ColorType::Gray(32));
        let DecodingResult::F32(read) = decoder.read_image().unwrap() else { panic!("not 32-bit float") };
        assert_eq!(read, values);
    }
}
