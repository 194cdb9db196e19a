//! The renter's own program: a Mandelbrot picture in OpenCL, in integers, so that any device gives the same picture.

use std::{io::BufWriter, path::Path};

use super::DevnetError;
use crate::sandbox::{KernelArg, KernelJob};

pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 240;
const MAX_ITERATIONS: u32 = 200;
/// Fraction bits of the fixed-point numbers.
const FRACTION_BITS: u32 = 28;

/// The kernel that is sent to the provider. `view` holds left edge, top edge and step as fixed-point numbers.
pub const SOURCE: &str = r"
__kernel void mandelbrot(__global const long *view, __global uint *picture, uint max_iterations)
{
    const size_t column = get_global_id(0), row = get_global_id(1);
    const long cx = view[0] + (long)column * view[2];
    const long cy = view[1] + (long)row * view[2];
    long x = 0, y = 0;
    uint n = 0;
    for (; n < max_iterations; ++n) {
        const long xx = (x * x) >> 28, yy = (y * y) >> 28;
        if (xx + yy > (4L << 28))
            break;
        y = ((x * y) >> 27) + cy;
        x = xx - yy + cx;
    }
    picture[row * get_global_size(0) + column] = n;
}
";

fn view() -> [i64; 3] {
    let fixed = |value: f64| (value * f64::from(1u32 << FRACTION_BITS)) as i64;
    [fixed(-2.2), fixed(-1.2), fixed(0.01)]
}

/// Content of the input file.
pub fn input() -> Vec<u8> {
    view().iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The job that computes the picture from `input`.
pub fn job(input: Vec<u8>) -> KernelJob {
    KernelJob {
        source: SOURCE.into(),
        kernel_name: "mandelbrot".into(),
        global_size: [WIDTH.into(), HEIGHT.into(), 1],
        local_size: None,
        args: vec![KernelArg::Input(input), KernelArg::Output(u64::from(WIDTH) * u64::from(HEIGHT) * 4), KernelArg::U32(MAX_ITERATIONS)],
        build_options: Vec::new(),
    }
}

/// The same picture computed here.
pub fn expected() -> Vec<u8> {
    let [left, top, step] = view();
    let mut picture = Vec::with_capacity((WIDTH * HEIGHT * 4) as usize);
    for row in 0..i64::from(HEIGHT) {
        for column in 0..i64::from(WIDTH) {
            let iterations = escape(left + column * step, top + row * step);
            picture.extend_from_slice(&iterations.to_le_bytes());
        }
    }
    picture
}

fn escape(cx: i64, cy: i64) -> u32 {
    let (mut x, mut y) = (0i64, 0i64);
    for iterations in 0..MAX_ITERATIONS {
        let (xx, yy) = ((x * x) >> FRACTION_BITS, (y * y) >> FRACTION_BITS);
        if xx + yy > 4 << FRACTION_BITS {
            return iterations;
        }
        y = ((x * y) >> (FRACTION_BITS - 1)) + cy;
        x = xx - yy + cx;
    }
    MAX_ITERATIONS
}

/// Writes iteration counts as a grey picture.
pub fn write_png(path: &Path, picture: &[u8]) -> Result<(), DevnetError> {
    let failed = |reason: String| DevnetError::Setup { what: path.display().to_string(), reason };
    let file = std::fs::File::create(path).map_err(|error| DevnetError::file(path, &error))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let grey: Vec<u8> = picture.chunks_exact(4).map(|word| shade(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))).collect();
    let mut writer = encoder.write_header().map_err(|error| failed(error.to_string()))?;
    writer.write_image_data(&grey).map_err(|error| failed(error.to_string()))
}

fn shade(iterations: u32) -> u8 {
    if iterations >= MAX_ITERATIONS { 0 } else { u8::try_from(255 - (iterations * 5).min(230)).unwrap_or(25) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_shows_the_set_and_its_outside() {
        let picture = expected();
        assert_eq!(picture.len(), (WIDTH * HEIGHT * 4) as usize);
        let inside = picture.chunks_exact(4).filter(|word| word[0] == MAX_ITERATIONS as u8).count();
        assert!((5_000..40_000).contains(&inside), "{inside}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        write_png(&path, &picture).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 1_000);
    }
}
