//! Layers drawn at random, and values at the edges of what floats hold.

use super::*;

/// Numbers of a reproducible sequence.
struct Draw(u32);

impl Draw {
    fn between(&mut self, low: usize, high: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        low + self.0 as usize % (high - low + 1)
    }
}

/// A convolution and its map, each axis drawn by itself; `None` where nothing would be left of the map.
fn drawn(draw: &mut Draw, transposed: bool) -> Option<(Shape, Convolution, Shape)> {
    let from = shape(draw.between(1, 37), draw.between(1, 13), draw.between(1, 17));
    let outputs = draw.between(1, 40);
    let mut axis = |size: usize| {
        let (kernel, stride) = (draw.between(1, 6), draw.between(1, 3));
        let pad = draw.between(0, kernel - 1);
        let length = if transposed {
            ((size - 1) * stride + kernel).checked_sub(2 * pad)?
        } else {
            (size + 2 * pad).checked_sub(kernel)? / stride + 1
        };
        (length > 0).then_some((kernel, stride, pad, length))
    };
    let (rows, columns) = (axis(from.height)?, axis(from.width)?);
    let seed = draw.between(1, 1 << 20) as u32;
    let area = rows.0 * columns.0;
    let scale = (3.0 / (from.channels * area) as f32).sqrt();
    let convolution = Convolution {
        weights: values(outputs * from.channels * area, seed).iter().map(|v| v * scale).collect(),
        bias: values(outputs, seed + 1),
        kernel: [rows.0, columns.0],
        stride: [rows.1, columns.1],
        pad: [rows.2, columns.2],
        transposed,
    };
    Some((from, convolution, shape(outputs, rows.3, columns.3)))
}

#[test]
fn random_layers_are_their_definition() {
    let mut draw = Draw(0x6d75_6465);
    let mut tried = 0;
    for round in 0..120 {
        let Some((from, convolution, to)) = drawn(&mut draw, round % 3 == 2) else { continue };
        let name = format!(
            "layer {round}: {from:?}, kernel {:?}, stride {:?}, pad {:?}",
            convolution.kernel, convolution.stride, convolution.pad
        );
        check(&name, &single(from, convolution, to));
        tried += 1;
    }
    assert!(tried > 60, "only {tried} layers");
}

/// What is not a number is not hidden by an activation: the part would pass.
#[test]
fn what_is_not_a_number_reaches_every_output_that_depends_on_it() {
    let mut draw = Draw(0x6e61_6e21);
    for round in 0..40 {
        let Some((from, mut convolution, to)) = drawn(&mut draw, round % 3 == 2) else { continue };
        let at = draw.between(0, from.len() - 1);
        let term = Term { input: 0, convolution: convolution.clone() };
        let layer = Layer::Convolve { terms: vec![term], residual: None, relu: true, pool: false, grid: None };
        let graph = Graph { nodes: vec![input(from), Node { layer, shape: to }], outputs: vec![1] };
        // One where an output depends on the value.
        convolution.weights.fill(1.0);
        convolution.bias.fill(0.0);
        let mut only = vec![0.0; from.len()];
        only[at] = 1.0;
        let depends = naive(&single(from, convolution, to), &[only]).swap_remove(1);
        for value in [f32::NAN, f32::INFINITY] {
            let mut picture = values(from.len(), 3);
            picture[at] = value;
            for isa in Isa::available() {
                let got = &run(isa, 2, &graph, std::slice::from_ref(&picture))[0];
                for (depends, got) in depends.iter().zip(got) {
                    // Infinity times a negative weight is replaced by 0, as it should be.
                    let shown = if value.is_nan() { got.is_nan() } else { !got.is_finite() || *got == 0.0 };
                    assert!(*depends == 0.0 || shown, "layer {round} on {}: {value} became {got}", isa.name());
                }
            }
        }
    }
}

/// Very large and very small values: sums stay finite where their definition's do, and nothing is lost but what f32 loses.
#[test]
fn values_of_any_size_keep_their_precision() {
    for scale in [1e-30f32, 1e-6, 1e6, 1e15] {
        for (kernel, stride) in [(3, 1), (5, 1), (4, 2), (1, 1)] {
            let pad = kernel / 2;
            let from = shape(20, 9, 11);
            let side = |size: usize| (size + 2 * pad - kernel) / stride + 1;
            let mut convolution = convolution(18, 20, kernel, stride, pad, 4);
            convolution.bias.iter_mut().for_each(|bias| *bias *= scale);
            let graph = single(from, convolution, shape(18, side(9), side(11)));
            let picture: Vec<f32> = values(from.len(), 8).iter().map(|v| v * scale).collect();
            let expected = naive(&graph, std::slice::from_ref(&picture)).swap_remove(1);
            let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for isa in Isa::available() {
                let got = &run(isa, 1, &graph, std::slice::from_ref(&picture))[0];
                let worst = expected.iter().zip(got).fold(0.0f64, |m, (e, g)| m.max((e - f64::from(*g)).abs()));
                assert!(
                    worst <= TOLERANCE * largest,
                    "{kernel}×{kernel} at {scale} on {}: {worst} of {largest}",
                    isa.name()
                );
            }
        }
    }
}
