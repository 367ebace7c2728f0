"""Golden figures for src/metric: the official protocols, written threshold by threshold.

    python tests/oracle/metric.py        (numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1)
"""
import numpy as np
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

LIMITS = [0.01, 0.05, 0.1, 0.3, 1.0]


class Lcg:
    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n


def made_set(levels):
    """Images of 24 x 20 pixels: (kind, scores, defects as (mask, saturation)); overlapping rectangles, tied scores."""
    rng, images = Lcg(7), []
    for kind in [0, 1, 2, 0, 1, 2, 2]:
        defects = []
        for _ in range(0 if kind == 0 else 3):
            mask = np.zeros((24, 20), bool)
            top, left = rng.below(18), rng.below(14)
            mask[top:top + 2 + rng.below(5), left:left + 2 + rng.below(5)] = True
            area = int(mask.sum())
            saturation = max(1, int(0.6 * area)) if rng.below(2) else min(9, area)
            defects.append((mask, saturation))
        union = np.any([m for m, _ in defects], axis=0) if defects else np.zeros((24, 20), bool)
        scores = np.zeros((24, 20), np.float32)
        for y in range(24):
            for x in range(20):
                scores[y, x] = rng.below(levels) + (levels // 4 if union[y, x] else 0) - levels // 2
        images.append((kind, scores, defects, union))
    return images


def area_under(x, y, limit):
    """Trapezoid up to limit, y interpolated there, divided by it."""
    area = 0.0
    for x0, y0, x1, y1 in zip(x, y, x[1:], y[1:]):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        end_y = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (y0 + end_y) / 2 * (end - x0)
    return area / limit


def figures(images):
    thresholds = np.unique(np.concatenate([s.ravel() for _, s, _, _ in images]))[::-1]
    thresholds = list(thresholds) + [-np.inf]
    good = np.concatenate([s[~u] for _, s, _, u in images])
    bad = np.concatenate([s[u] for _, s, _, u in images])
    fpr = [float((good > t).mean()) for t in thresholds]
    regions = []
    for _, scores, _, union in images:
        labels, n = ndimage.label(union, np.ones((3, 3)))
        regions += [scores[labels == k + 1] for k in range(n)]
    pro = [float(np.mean([(r > t).mean() for r in regions])) for t in thresholds]
    defects = [(s[m], saturation) for _, s, d, _ in images for m, saturation in d]
    spro = [float(np.mean([min((d > t).sum() / a, 1.0) for d, a in defects])) for t in thresholds]
    auroc = roc_auc_score(np.r_[np.zeros(good.size), np.ones(bad.size)], np.r_[good, bad])
    return {"auroc": float(auroc), "pro": area_under(fpr, pro, 0.3),
            "spro": [area_under(fpr, spro, limit) for limit in LIMITS]}


def image_level():
    rng = Lcg(3)
    labels = [rng.below(3) == 0 for _ in range(60)]
    scores = [rng.below(25) + (5 if label else 0) for label in labels]
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return roc_auc_score(labels, scores), average_precision_score(labels, scores), f1.max()


if __name__ == "__main__":
    print("image level:", *map(repr, map(float, image_level())))
    for levels in (40, 1 << 20):
        images = made_set(levels)
        for name, kinds in (("all", {0, 1, 2}), ("kind 1", {0, 1}), ("kind 2", {0, 2})):
            print(levels, name, figures([i for i in images if i[0] in kinds]))
