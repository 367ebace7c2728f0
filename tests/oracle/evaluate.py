"""Computes the figures of `mudenet-edge evaluate` a second time, from the maps of `mudenet-edge inspect` and the masks.

    python tests/oracle/evaluate.py target/release/mudenet-edge MODEL.onnx CATEGORY

CATEGORY is a folder in MVTec AD layout. Prints both and exits with 1 where they differ by more than 1e-6
(numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1, tifffile 2026.3.3, pillow).
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score


class Pixels:
    """Every pixel of every image, sorted once by falling score."""

    def __init__(self, maps, masks):
        weights, self.regions = [], []
        for mask in masks:
            labels, count = ndimage.label(mask, np.ones((3, 3)))
            areas = np.bincount(labels.ravel(), minlength=count + 1)
            weights.append(np.where(labels > 0, 1.0 / areas[labels], 0.0).ravel())
            self.regions.append(count)
        scores = np.concatenate([scored.ravel() for scored in maps])
        order = np.argsort(-scores)
        self.scores = scores[order]
        self.weights = np.concatenate(weights)[order]
        self.image = np.repeat(np.arange(len(maps), dtype=np.int32), [scored.size for scored in maps])[order]

    def figures(self, members, limit=0.3):
        """AUROC, and MVTec AD's area under PRO, of some images: every score a threshold, points of equal score merged."""
        chosen = np.zeros(len(self.regions), bool)
        chosen[members] = True
        keep = chosen[self.image]
        scores, weights = self.scores[keep], self.weights[keep]
        last = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])
        positives = np.cumsum(weights > 0)[last]
        negatives = last + 1 - positives
        x, y = np.r_[0, negatives / negatives[-1]], np.r_[0, positives / positives[-1]]
        auroc = np.trapezoid(y, x)
        y = np.r_[0, np.cumsum(weights)[last] / sum(self.regions[i] for i in members)]
        inside = x <= limit
        end = np.interp(limit, x, y)
        return {
            "pixel_auroc": auroc,
            "pro": np.trapezoid(np.r_[y[inside], end], np.r_[x[inside], limit]) / limit,
        }


def image_figures(scores, labels):
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return {
        "image_auroc": roc_auc_score(labels, scores),
        "image_ap": average_precision_score(labels, scores),
        "image_f1_max": f1.max(),
    }


def main(program, model, category):
    category = Path(category)
    asked = [program, "evaluate", "--model", model, "--dataset", str(category), "--layout", "mvtec", "--json"]
    theirs = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    with tempfile.TemporaryDirectory() as out:
        asked = [program, "inspect", "--model", model, "--json", "--out", out, str(category / "test")]
        lines = [json.loads(line) for line in subprocess.run(asked, capture_output=True).stdout.splitlines()]
        maps, masks, scores, labels, kinds = [], [], [], [], []
        for line in lines:
            path = Path(line["image"])
            kind = path.parent.name
            scored = tifffile.imread(Path(out) / "maps" / kind / f"{path.stem}.tiff")
            mask = category / "ground_truth" / kind / f"{path.stem}_mask.png"
            masks.append(np.zeros(scored.shape, bool) if kind == "good" else np.array(Image.open(mask).convert("L")) > 0)
            maps.append(scored)
            scores.append(line["score"])
            labels.append(kind != "good")
            kinds.append(kind)
    pixels, scores, labels = Pixels(maps, masks), np.array(scores), np.array(labels)
    worst = 0.0
    groups = [("all", theirs, list(range(len(maps))))]
    for kind, of_kind in theirs["per_type"].items():
        groups.append((kind, of_kind, [i for i, k in enumerate(kinds) if k in ("good", kind)]))
    for name, theirs, members in groups:
        ours = image_figures(scores[members], labels[members]) | pixels.figures(members)
        for key, value in ours.items():
            worst = max(worst, abs(value - theirs[key]))
            print(f"{name:20} {key:14} mudenet-edge {theirs[key]:.9f}  here {value:.9f}")
    print(f"largest difference {worst:.1e}")
    return int(worst > 1e-6)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
