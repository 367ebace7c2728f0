//! Connected components of a mask.

/// Components of the `true` pixels of a mask of `width` columns, 8-neighbourhood: a label for each pixel (0 outside, the
/// components from 1 in the order of their first pixel) and the area of each component in pixels.
pub fn components(mask: &[bool], width: usize) -> (Vec<u32>, Vec<u64>) {
    let mut labels = vec![0; mask.len()];
    let mut areas = Vec::new();
    let mut pending = Vec::new();
    for start in 0..mask.len() {
        if !mask[start] || labels[start] != 0 {
            continue;
        }
        let label = areas.len() as u32 + 1;
        let mut area = 0;
        labels[start] = label;
        pending.push(start);
        while let Some(pixel) = pending.pop() {
            area += 1;
            let (row, column) = (pixel / width, pixel % width);
            for y in row.saturating_sub(1)..=(row + 1).min(mask.len() / width - 1) {
                for x in column.saturating_sub(1)..=(column + 1).min(width - 1) {
                    let neighbour = y * width + x;
                    if mask[neighbour] && labels[neighbour] == 0 {
                        labels[neighbour] = label;
                        pending.push(neighbour);
                    }
                }
            }
        }
        areas.push(area);
    }
    (labels, areas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rows: &[&str]) -> (Vec<bool>, usize) {
        (rows.iter().flat_map(|r| r.bytes().map(|b| b == b'#')).collect(), rows[0].len())
    }

    // scipy 1.17.1:
    // m = np.array([[c == '#' for c in r] for r in ['#..#', '.#..', '...#', '#.##']])
    // l, n = scipy.ndimage.label(m, np.ones((3, 3))); print(l.ravel().tolist(), np.bincount(l.ravel())[1:].tolist())
    // [1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 3, 4, 0, 3, 3] [2, 1, 3, 1]
    #[test]
    fn diagonal_neighbours_are_connected_and_rows_do_not_wrap() {
        let (mask, width) = picture(&["#..#", ".#..", "...#", "#.##"]);
        let (labels, areas) = components(&mask, width);
        assert_eq!(labels, [1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 3, 4, 0, 3, 3]);
        assert_eq!(areas, [2, 1, 3, 1]);
    }

    #[test]
    fn no_pixel_no_component() {
        assert_eq!(components(&[false; 6], 3), (vec![0; 6], vec![]));
    }
}
