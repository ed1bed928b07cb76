//! Reads the file that says what stands in for images.

use std::path::Path;

use engine_kubelet::image_map::ImageMap;

use crate::KubeletError;

/// The built-in image map, with the entries of a file before it where there is one.
///
/// # Errors
/// When the file cannot be read or is malformed.
pub fn image_map(path: Option<&Path>) -> Result<ImageMap, KubeletError> {
    let Some(path) = path else { return Ok(ImageMap::built_in()) };
    let text =
        std::fs::read_to_string(path).map_err(|error| KubeletError::file("read image map", path, error))?;
    ImageMap::parse(&text).map_err(|why| KubeletError::ImageMap { path: path.to_owned(), why })
}
