//! Text of a dot-matrix ink-jet coder.

use super::geometry::{P, p};

/// Centres and radii of the dots of each character of `text`, its upper left dot at `at`, dots `pitch` apart. A
/// character is five dots wide and seven high; one that the coder lacks leaves a gap.
pub(super) fn dots(text: &str, at: P, pitch: f32) -> Vec<Vec<(P, f32)>> {
    let dot = |n: usize, row: usize, column: usize| (at + p((n * 6 + column) as f32, row as f32) * pitch, 0.56 * pitch);
    let print = |(n, character)| {
        let inked = |&(row, column): &(usize, usize)| glyph(character)[row] >> (4 - column) & 1 == 1;
        let places = (0..7).flat_map(|row| (0..5).map(move |column| (row, column)));
        places.filter(inked).map(|(row, column)| dot(n, row, column)).collect::<Vec<_>>()
    };
    text.chars().enumerate().map(print).filter(|dots| !dots.is_empty()).collect()
}

fn glyph(character: char) -> [u8; 7] {
    match character {
        '0' => [14, 17, 19, 21, 25, 17, 14],
        '1' => [4, 12, 4, 4, 4, 4, 14],
        '2' => [14, 17, 1, 6, 8, 16, 31],
        '4' => [2, 6, 10, 18, 31, 2, 2],
        '7' => [31, 1, 2, 4, 8, 8, 8],
        '8' => [14, 17, 17, 14, 17, 17, 14],
        '9' => [14, 17, 17, 15, 1, 17, 14],
        'L' => [16, 16, 16, 16, 16, 16, 31],
        'O' => [14, 17, 17, 17, 17, 17, 14],
        'T' => [31, 4, 4, 4, 4, 4, 4],
        'E' => [31, 16, 16, 30, 16, 16, 31],
        'X' => [17, 17, 10, 4, 10, 17, 17],
        'P' => [30, 17, 17, 30, 16, 16, 16],
        '.' => [0, 0, 0, 0, 0, 12, 12],
        _ => [0; 7],
    }
}
