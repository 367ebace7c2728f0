use super::*;

struct Lcg(u64);

impl Lcg {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

const HEIGHT: usize = 24;
const WIDTH: usize = 20;

struct Made {
    kind: usize,
    scores: Vec<f32>,
    defects: Vec<Defect>,
}

/// `made_set` of `tests/oracle/metric.py`.
fn made_set(levels: u64) -> Vec<Made> {
    let mut rng = Lcg(7);
    let mut image = |kind: usize| {
        let mut defects = vec![];
        for _ in 0..if kind == 0 { 0 } else { 3 } {
            let (top, left) = (rng.below(18) as usize, rng.below(14) as usize);
            let (rows, columns) = (2 + rng.below(5) as usize, 2 + rng.below(5) as usize);
            let inside = |i| (top..top + rows).contains(&(i / WIDTH)) && (left..left + columns).contains(&(i % WIDTH));
            let area = (rows * columns) as u64;
            let saturation = if rng.below(2) == 1 { ((0.6 * area as f64) as u64).max(1) } else { area.min(9) };
            defects.push(Defect { mask: (0..HEIGHT * WIDTH).map(inside).collect(), saturation });
        }
        let union = union(&defects, HEIGHT * WIDTH).unwrap();
        let score = |defective: &bool| {
            rng.below(levels) as f32 + if *defective { (levels / 4) as f32 } else { 0.0 } - (levels / 2) as f32
        };
        Made { kind, scores: union.iter().map(score).collect(), defects }
    };
    [0, 1, 2, 0, 1, 2, 2].map(&mut image).into()
}

const WHOLE: Sizes = Sizes { memory: usize::MAX, sample: 4096, part: 1 << 20 };
/// On disk, cut as finely as can be.
const CUT: Sizes = Sizes { memory: 0, sample: 8, part: 24 };

fn sweep(images: &[Made], sizes: Sizes) -> (PixelFigures, Vec<PixelFigures>) {
    let sweep = PixelSweep::with_sizes(3, sizes);
    for image in images {
        sweep.add(image.kind, &image.scores, WIDTH, Truth::Defects(&image.defects)).unwrap();
    }
    sweep.finish().unwrap()
}

/// AUROC, PRO and sPRO of all images, those of kinds 0 and 1, those of kinds 0 and 2.
type Golden = [(f64, f64, [f64; 5]); 3];

// python tests/oracle/metric.py (numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1)
const TIED: Golden = [
    (
        0.6948128617363344,
        0.3356456594693465,
        [0.36109510745313217, 0.3973365213903707, 0.4369331038141328, 0.5879818189035767, 0.8392080504942242],
    ),
    (
        0.6589419834457388,
        0.3156583275252803,
        [0.25925925925925924, 0.26945411179585, 0.2957300111270068, 0.41054370508948473, 0.7336894969003337],
    ),
    (
        0.7038629417427634,
        0.3455845118112219,
        [0.4291087286116526, 0.48351789557393754, 0.5329704678427474, 0.7026086617492882, 0.9078900977133071],
    ),
];
const DISTINCT: Golden = [
    (
        0.7271639871382636,
        0.45313326187924274,
        [0.5439919018697155, 0.5615338811480296, 0.5971537453852577, 0.7341232980032596, 0.8982684292009079],
    ),
    (
        0.7973540006131208,
        0.561660308377047,
        [0.5925925925925927, 0.5925925925925926, 0.5975401367032259, 0.6871456578180473, 0.8558158480368786],
    ),
    (
        0.7061505173332336,
        0.38391910949934577,
        [0.5084449816997413, 0.5354980244675016, 0.5944394076760352, 0.7630554902641145, 0.925478213178425],
    ),
];

#[test]
fn equals_the_official_protocol_written_threshold_by_threshold() {
    for (levels, golden) in [(40, TIED), (1 << 20, DISTINCT)] {
        for sizes in [CUT, WHOLE] {
            let (total, kinds) = sweep(&made_set(levels), sizes);
            for (figures, (auroc, pro, spro)) in [&total, &kinds[0], &kinds[1]].into_iter().zip(golden) {
                assert!((figures.auroc.unwrap() - auroc).abs() < 1e-12, "{levels}: {:?} {auroc}", figures.auroc);
                assert!((figures.pro.unwrap() - pro).abs() < 1e-12, "{levels}: {:?} {pro}", figures.pro);
                for (got, expected) in figures.spro.unwrap().iter().zip(spro) {
                    assert!((got - expected).abs() < 1e-12, "{levels}: {got} {expected}");
                }
            }
        }
    }
}

/// sPRO of kinds 0 and 1, of kinds 0 and 2 of `made_set(1 << 20)` by the evaluation code that MVTec publishes
/// (mvtec_loco_ad_evaluation), whose thresholds are refined until points are 0.001 apart:
///
/// ```python
/// np.random.seed(0)  # gt_maps, anomaly_maps, kinds: those of tests/oracle/metric.py, scores divided by 2**20
/// metrics = MetricsAggregator(gt_maps, anomaly_maps).run(curve_max_distance=0.001)  # 445 thresholds
/// group = metrics.reduce_to_images([m for m, k in zip(anomaly_maps, kinds) if k in (0, kind)])
/// [get_auc_for_max_fpr(group.get_fp_rates(), group.get_mean_spros(), l) for l in (0.01, 0.05, 0.1, 0.3, 1.0)]
/// ```
const PUBLISHED: [[f64; 5]; 2] = [
    [0.5925925925925927, 0.5925925925925927, 0.5975401367032268, 0.6871456578180469, 0.855815848036878],
    [0.5084449816997414, 0.5355260065142204, 0.5944533986993944, 0.7630601539385664, 0.9254796122807606],
];

#[test]
fn spro_is_within_the_step_of_the_published_code() {
    let (_, kinds) = sweep(&made_set(1 << 20), WHOLE);
    for (figures, published) in kinds.iter().zip(PUBLISHED) {
        for (got, expected) in figures.spro.unwrap().iter().zip(published) {
            assert!((got - expected).abs() < 1e-4, "{got} {expected}");
        }
    }
}

#[test]
fn only_the_order_of_scores_matters() {
    let mut images = made_set(300);
    let before = sweep(&images, WHOLE);
    for score in images.iter_mut().flat_map(|i| &mut i.scores) {
        *score = (*score / 100.0).exp();
    }
    assert_eq!(sweep(&images, WHOLE), before);
}

#[test]
fn a_perfect_map_gives_one() {
    let mut images = made_set(300);
    for image in &mut images {
        let union = union(&image.defects, HEIGHT * WIDTH).unwrap();
        image.scores = union.iter().map(|defective| if *defective { 0.5 } else { -0.5 }).collect();
    }
    let (total, kinds) = sweep(&images, WHOLE);
    for figures in kinds.iter().chain([&total]) {
        assert_eq!((figures.auroc, figures.pro, figures.spro), (Some(1.0), Some(1.0), Some([1.0; 5])));
    }
}

#[test]
fn swapped_classes_give_the_complement() {
    let images = made_set(60);
    let sweep = |swap: bool| {
        let sweep = PixelSweep::new(3);
        for image in &images {
            let mask: Vec<bool> =
                union(&image.defects, HEIGHT * WIDTH).unwrap().iter().map(|defective| *defective != swap).collect();
            sweep.add(image.kind, &image.scores, WIDTH, Truth::Mask(&mask)).unwrap();
        }
        sweep.finish().unwrap().0.auroc.unwrap()
    };
    assert!((sweep(false) + sweep(true) - 1.0).abs() < 1e-12);
}

#[test]
fn threads_may_add_in_any_order() {
    let images = made_set(50);
    let together = PixelSweep::with_sizes(3, Sizes { memory: 5_000, ..WHOLE });
    std::thread::scope(|scope| {
        for image in images.iter().rev() {
            let together = &together;
            scope.spawn(move || {
                together.add(image.kind, &image.scores, WIDTH, Truth::Defects(&image.defects)).unwrap();
            });
        }
    });
    let (expected, got) = (sweep(&images, WHOLE).0, together.finish().unwrap().0);
    assert!((expected.pro.unwrap() - got.pro.unwrap()).abs() < 1e-12);
    assert_eq!(expected.auroc, got.auroc);
}

#[test]
fn good_images_alone_have_no_figures() {
    let sweep = PixelSweep::new(2);
    sweep.add(0, &[0.5; 4], 2, Truth::Good).unwrap();
    let (total, kinds) = sweep.finish().unwrap();
    assert_eq!((total.auroc, total.pro, total.spro), (None, None, None));
    assert_eq!(kinds[0].auroc, None);
}

#[test]
fn refuses_what_cannot_be_scored() {
    let sweep = PixelSweep::new(2);
    assert!(matches!(sweep.add(0, &[f32::NAN; 4], 2, Truth::Good), Err(MetricError::NotFinite)));
    assert!(matches!(sweep.add(1, &[0.0; 4], 2, Truth::Mask(&[true])), Err(MetricError::Size { expected: 4, got: 1 })));
    assert!(matches!(sweep.add(2, &[0.0; 4], 2, Truth::Good), Err(MetricError::Kind { .. })));
}
