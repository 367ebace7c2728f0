"""Prints the golden values of tests/golden_map.rs.

Made with numpy 2.4.6 and scipy 1.17.1; needs no file of this project.
"""
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

LEVELS, CELLS, PIXELS, MARGIN, SIGMA, EPSILON = 3, 16, 64, 1, 2.0, 1e-8


def scores(branch):
    """Made-up level scores: every value has a closed form that Rust can repeat."""
    level, y, x = np.meshgrid(np.arange(LEVELS), np.arange(CELLS), np.arange(CELLS), indexing="ij")
    k = level * 7 + y * 3 + x * 5 + branch * 11
    return ((k * k) % 97 / 16.0).astype(np.float32)


WEIGHTS = [0.5, 2.0, 1.5]


def memory():
    """One map of half as many cells a side, at the size of the others."""
    return resize(scores(2)[0, : CELLS // 2, : CELLS // 2].astype(np.float64), CELLS)


def resize(cells, size):
    at = (np.arange(size) + 0.5) * len(cells) / size - 0.5
    y, x = np.meshgrid(at, at, indexing="ij")
    return map_coordinates(cells, [y, x], order=1, mode="nearest")


def fused(clamp, weights=(1.0, 1.0, 0.0)):
    total = weights[2] * (memory() - 0.5) / (4.5 - 0.5 + EPSILON)
    for branch, ranges in enumerate([[(0.25, 4.0), (0.0, 5.5), (1.0, 6.0)], [(0.5, 3.0), (0.125, 6.0), (0.0, 2.0)]]):
        for level, (low, high) in enumerate(ranges):
            s = (scores(branch)[level].astype(np.float64) - low) / (high - low + EPSILON)
            total = total + weights[branch] * (np.clip(s, 0, 1) if clamp else s) / LEVELS
    inner = total[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.pad(inner, MARGIN, mode="edge")


def smooth(cells):
    return gaussian_filter(resize(cells, PIXELS), SIGMA, mode="mirror", truncate=4.0)


for title, cells in [
    ("paper", fused(False)),
    ("clamped", fused(True)),
    ("with memory and weights", fused(False, WEIGHTS)),
]:
    result = smooth(cells)
    row, column = np.unravel_index(result.argmax(), result.shape)
    print(f"{title}: maximum {result.max():.7f} at ({row}, {column}), mean {result.mean():.7f}")
    for y, x in [(0, 0), (0, 63), (63, 0), (31, 32), (17, 5), (50, 61)]:
        print(f"    ({y}, {x}, {result[y, x]:.7f}),")
