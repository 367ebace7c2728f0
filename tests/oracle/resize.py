"""Prints the golden values of tests/preprocess.rs: Pillow's BILINEAR, which widens its triangle when shrinking.

Made with numpy 2.4.6 and pillow 13.0.0.
"""
import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def picture(height, width):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((x * x * 3 + y * 7 + x * y + c * 50) % 256).astype(np.uint8)


for height, width in [(150, 200), (40, 30)]:
    resized = np.asarray(Image.fromarray(picture(height, width)).resize((64, 64), Image.Resampling.BILINEAR))
    values = (resized / 255.0 - MEAN) / STD
    print(f"{height} x {width}")
    for c, y, x in [(0, 0, 0), (1, 63, 63), (2, 10, 50), (0, 33, 7), (1, 31, 32)]:
        print(f"    ({c}, {y}, {x}, {values[y, x, c]:.6f}),")
