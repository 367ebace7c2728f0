//! Every layer on every instruction set and number of threads against a direct sum in f64.

mod eight_bits;

use super::*;

/// Largest error relative to the map's largest value.
const TOLERANCE: f64 = 2e-5;

/// The graph's maps by definition, (channel, row, column) order.
fn naive(graph: &Graph, inputs: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let mut maps: Vec<Vec<f64>> = Vec::new();
    let mut given = inputs.iter();
    for node in &graph.nodes {
        let [height, width] = node.convolved();
        let sum = |terms: &[Term], maps: &[Vec<f64>]| {
            let outputs = terms.first().map_or(node.shape.channels, |term| term.convolution.bias.len());
            let mut sum = vec![0.0; outputs * height * width];
            for Term { input, convolution } in terms {
                add_convolution(&mut sum, [height, width], convolution, graph.nodes[*input].shape, &maps[*input]);
            }
            sum
        };
        let map = match &node.layer {
            Layer::Input { .. } => given.next().expect("an input").iter().map(|v| f64::from(*v)).collect(),
            Layer::Convolve { residual, relu, pool, .. } => {
                let mut map = sum(node.terms(), &maps);
                if let Some(residual) = residual {
                    map.iter_mut().zip(&maps[*residual]).for_each(|(a, b)| *a += b);
                }
                if *relu {
                    map.iter_mut().for_each(|v| *v = v.max(0.0));
                }
                if *pool { averaged(&map, height, width) } else { map }
            }
            Layer::Squares { terms } => {
                let map = sum(terms, &maps);
                let area = height * width;
                (0..area).map(|i| map[i..].iter().step_by(area).map(|v| v * v).sum()).collect()
            }
            Layer::Smallest { .. } => {
                let map = sum(node.terms(), &maps);
                let area = height * width;
                let least = |i: usize| map[i..].iter().step_by(area).fold(f64::INFINITY, |m, v| m.min(*v));
                (0..area).map(least).collect()
            }
            Layer::Pool { input, poolings, .. } => {
                let channels = node.shape.channels;
                let sizes = poolings.iter().map(|pooling| shape(channels, pooling.of[0], pooling.of[1]));
                let sizes: Vec<Shape> = sizes.chain([node.shape]).collect();
                let steps = poolings.iter().zip(sizes.windows(2));
                steps.fold(maps[*input].clone(), |map, (pooling, size)| pooled(pooling, size[0], size[1], &map))
            }
            Layer::Mean { terms, relu } => {
                let all = terms.iter().map(|term| sum(std::slice::from_ref(term), &maps));
                let all: Vec<Vec<f64>> =
                    all.map(|map| map.iter().map(|v| if *relu { v.max(0.0) } else { *v }).collect()).collect();
                (0..node.shape.len()).map(|i| all.iter().map(|map| map[i]).sum::<f64>() / all.len() as f64).collect()
            }
            Layer::Unshuffle { input } => unshuffled(graph.nodes[*input].shape, node.shape, &maps[*input]),
        };
        assert_eq!(map.len(), node.shape.len());
        maps.push(map);
    }
    maps
}

fn add_convolution(sum: &mut [f64], [height, width]: [usize; 2], c: &Convolution, from: Shape, input: &[f64]) {
    let [kernel_height, kernel_width] = c.kernel;
    // Where along one axis kernel element k joins output o and input i.
    let joins = |axis: usize, o: usize, i: usize, k: usize| match c.transposed {
        false => o * c.stride[axis] + k == i + c.pad[axis],
        true => i * c.stride[axis] + k == o + c.pad[axis],
    };
    let pairs = |axis: usize, o: usize, inputs: usize, kernel: usize| -> Vec<(usize, usize)> {
        let all = (0..inputs).flat_map(|i| (0..kernel).map(move |k| (i, k)));
        all.filter(|(i, k)| joins(axis, o, *i, *k)).collect()
    };
    for (output, bias) in c.bias.iter().enumerate() {
        for y in 0..height {
            let rows = pairs(0, y, from.height, kernel_height);
            for x in 0..width {
                let columns = pairs(1, x, from.width, kernel_width);
                let mut value = f64::from(*bias);
                for channel in 0..from.channels {
                    for (iy, ky) in &rows {
                        for (ix, kx) in &columns {
                            let weight = ((output * from.channels + channel) * kernel_height + ky) * kernel_width + kx;
                            let at = (channel * from.height + iy) * from.width + ix;
                            value += f64::from(c.weights[weight]) * input[at];
                        }
                    }
                }
                sum[(output * height + y) * width + x] += value;
            }
        }
    }
}

fn averaged(map: &[f64], height: usize, width: usize) -> Vec<f64> {
    let mut means = Vec::new();
    for plane in map.chunks_exact(height * width) {
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let at = y * width + x;
                means.push((plane[at] + plane[at + 1] + plane[at + width] + plane[at + width + 1]) / 4.0);
            }
        }
    }
    means
}

fn pooled(pooling: &Pooling, from: Shape, to: Shape, map: &[f64]) -> Vec<f64> {
    let mut all = Vec::new();
    for (channel, y, x) in positions(to) {
        let inside = |axis: usize, at: usize, size: usize| {
            let first = (at * pooling.stride[axis]) as isize - pooling.pad[axis] as isize;
            (first..first + pooling.window[axis] as isize).filter(move |i| (0..size as isize).contains(i))
        };
        let rows = inside(0, y, from.height);
        let at = |iy: isize, ix: isize| (channel * from.height + iy as usize) * from.width + ix as usize;
        let window: Vec<f64> = rows.flat_map(|iy| inside(1, x, from.width).map(move |ix| map[at(iy, ix)])).collect();
        all.push(match pooling.pick {
            Pick::Largest => window.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Pick::Mean => window.iter().sum::<f64>() / window.len() as f64,
        });
    }
    all
}

fn unshuffled(from: Shape, to: Shape, map: &[f64]) -> Vec<f64> {
    let value = |(channel, y, x): (usize, usize, usize)| {
        let (pixel, channel) = (channel / from.channels, channel % from.channels);
        map[(channel * from.height + 2 * y + pixel / 2) * from.width + 2 * x + pixel % 2]
    };
    positions(to).map(value).collect()
}

/// Every (channel, row, column) of a map, in order.
fn positions(shape: Shape) -> impl Iterator<Item = (usize, usize, usize)> {
    let Shape { channels, height, width } = shape;
    (0..channels * height * width).map(move |i| (i / (height * width), i / width % height, i % width))
}

/// A reproducible sequence of values in −1 … 1.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn shape(channels: usize, height: usize, width: usize) -> Shape {
    Shape { channels, height, width }
}

fn convolution(outputs: usize, inputs: usize, kernel: usize, stride: usize, pad: usize, seed: u32) -> Convolution {
    let scale = (3.0 / (inputs * kernel * kernel) as f32).sqrt();
    Convolution {
        weights: values(outputs * inputs * kernel * kernel, seed).iter().map(|v| v * scale).collect(),
        bias: values(outputs, seed + 1),
        kernel: [kernel; 2],
        stride: [stride; 2],
        pad: [pad; 2],
        transposed: false,
    }
}

fn transposed(outputs: usize, inputs: usize, kernel: usize, stride: usize, pad: usize, seed: u32) -> Convolution {
    Convolution { transposed: true, ..convolution(outputs, inputs, kernel, stride, pad, seed) }
}

fn convolve(input: Id, convolution: Convolution, shape: Shape) -> Node {
    let terms = vec![Term { input, convolution }];
    Node { layer: Layer::Convolve { terms, residual: None, relu: false, pool: false, grid: None }, shape }
}

fn input(shape: Shape) -> Node {
    Node { layer: Layer::Input { grid: None }, shape }
}

fn run(isa: Isa, threads: usize, graph: &Graph, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let network = Network::new(isa, graph.clone(), &[]);
    let mut workspace = network.workspace();
    let mut outputs: Vec<Vec<f32>> = graph.outputs.iter().map(|id| vec![0.0; graph.nodes[*id].shape.len()]).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    // The second frame must not see anything of the first.
    for frame in [inputs.iter().map(|i| vec![7.0; i.len()]).collect::<Vec<_>>(), vec![]] {
        let frame: Vec<&[f32]> = if frame.is_empty() { inputs.clone() } else { frame.iter().map(|f| &f[..]).collect() };
        let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(|output| &mut output[..]).collect();
        pool.install(|| network.run(&mut workspace, &frame, &mut slices));
    }
    outputs
}

/// All instruction sets against the naive sum, and the same bytes for 1 to 4 threads.
fn check(name: &str, graph: &Graph) {
    let sizes =
        graph.nodes.iter().filter(|node| matches!(node.layer, Layer::Input { .. })).map(|node| node.shape.len());
    let inputs: Vec<Vec<f32>> = sizes.enumerate().map(|(i, size)| values(size, 77 + i as u32)).collect();
    let expected = naive(graph, &inputs);
    for isa in Isa::available() {
        let got = run(isa, 1, graph, &inputs);
        for (id, got) in graph.outputs.iter().zip(&got) {
            let largest = expected[*id].iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let errors = expected[*id].iter().zip(got).map(|(e, g)| (e - f64::from(*g)).abs());
            let worst = errors.fold(0.0, |m: f64, e| if e.is_nan() { f64::INFINITY } else { m.max(e) });
            assert!(worst <= TOLERANCE * largest, "{name} on {}: {worst} of {largest}", isa.name());
        }
        for threads in 2..=4 {
            assert!(run(isa, threads, graph, &inputs) == got, "{name} on {}, {threads} threads", isa.name());
        }
    }
}

fn single(from: Shape, convolution: Convolution, to: Shape) -> Graph {
    Graph { nodes: vec![input(from), convolve(0, convolution, to)], outputs: vec![1] }
}

#[test]
fn trunk_convolutions_of_all_widths() {
    for kernel in [3, 5] {
        for (inputs, outputs) in [(16, 16), (32, 32), (64, 64), (128, 96), (8, 24), (19, 80), (33, 5)] {
            for (height, width) in [(16, 16), (9, 31)] {
                let c = convolution(outputs, inputs, kernel, 1, kernel / 2, 5);
                let graph = single(shape(inputs, height, width), c, shape(outputs, height, width));
                check(&format!("{kernel}×{kernel}, {inputs} to {outputs}, {height}×{width}"), &graph);
            }
        }
    }
}

#[test]
fn convolutions_without_a_transform() {
    let stem = single(shape(3, 20, 14), convolution(24, 3, 7, 1, 3, 1), shape(24, 20, 14));
    check("stem", &stem);
    let strided = single(shape(3, 16, 24), convolution(8, 3, 3, 2, 1, 2), shape(8, 8, 12));
    check("strided from the picture", &strided);
    let strided = single(shape(20, 16, 10), convolution(64, 20, 3, 2, 1, 3), shape(64, 8, 5));
    check("strided", &strided);
    let head =
        single(shape(48, 8, 6), Convolution { kernel: [8, 6], ..convolution(32, 48, 8, 1, 0, 4) }, shape(32, 1, 1));
    let mut head = head;
    let Layer::Convolve { terms, .. } = &mut head.nodes[1].layer else { panic!("a convolution") };
    let head_of = &mut terms[0].convolution;
    head_of.weights = head_of.weights.iter().take(32 * 48 * 48).copied().collect();
    check("encoder head", &head);
    check("tiny map", &single(shape(16, 2, 3), convolution(16, 16, 3, 1, 1, 5), shape(16, 2, 3)));
    check("projection", &single(shape(40, 7, 13), convolution(70, 40, 1, 1, 0, 6), shape(70, 7, 13)));
    check("no padding", &single(shape(16, 14, 14), convolution(16, 16, 5, 1, 0, 7), shape(16, 10, 10)));
}

#[test]
fn transposed_convolutions() {
    let double = |size: usize| {
        single(shape(32, size, size + 1), transposed(40, 32, 3, 2, 1, 1), shape(40, 2 * size, 2 * size + 2))
    };
    check("by 2", &double(7));
    check("by 2 from one pixel", &double(1));
    check("latent", &single(shape(32, 1, 1), transposed(24, 32, 4, 4, 0, 2), shape(24, 4, 4)));
    check("by 3, overlapping", &single(shape(9, 5, 4), transposed(10, 9, 5, 3, 1, 3), shape(10, 15, 12)));
    check("cut off", &single(shape(9, 2, 2), transposed(10, 9, 4, 4, 3, 4), shape(10, 2, 2)));
}

#[test]
fn residual_blocks_and_pooling() {
    for width in [16, 24, 64] {
        let map = shape(width, 12, 20);
        let term = |input, k, seed| Term { input, convolution: convolution(width, width, k, 1, k / 2, seed) };
        let stem = Term { input: 0, convolution: convolution(width, 3, 7, 1, 3, 9) };
        let node = |term, residual, pool| Node {
            layer: Layer::Convolve { terms: vec![term], residual, relu: true, pool, grid: None },
            shape: map,
        };
        let nodes = vec![
            input(shape(3, 24, 40)),
            node(stem, None, true),
            node(term(1, 3, 10), None, false),
            node(term(2, 3, 12), Some(1), false),
            node(term(3, 5, 14), None, false),
            node(term(4, 5, 16), Some(3), false),
            node(term(5, 1, 18), Some(3), false),
        ];
        check(&format!("trunk of width {width}"), &Graph { nodes, outputs: vec![1, 3, 5, 6] });
    }
}

#[test]
fn pools_leave_out_what_is_beyond_the_border() {
    for pick in [Pick::Largest, Pick::Mean] {
        for (window, stride, pad, from, to) in [
            ([3, 3], [2, 2], [1, 1], shape(64, 16, 20), shape(64, 8, 10)),
            ([3, 3], [2, 2], [1, 1], shape(19, 9, 7), shape(19, 5, 4)),
            ([3, 3], [1, 1], [1, 1], shape(40, 11, 6), shape(40, 11, 6)),
            ([2, 2], [2, 2], [0, 0], shape(48, 8, 8), shape(48, 4, 4)),
            ([2, 4], [1, 3], [0, 2], shape(5, 6, 10), shape(5, 5, 4)),
        ] {
            let pooling = Pooling { pick, window, stride, pad, of: [from.height, from.width] };
            let nodes = vec![
                input(from),
                convolve(0, convolution(from.channels, from.channels, 1, 1, 0, 3), from),
                Node { layer: Layer::Pool { input: 1, poolings: vec![pooling], grid: None }, shape: to },
                convolve(2, convolution(24, to.channels, 3, 1, 1, 4), shape(24, to.height, to.width)),
            ];
            check(&format!("{pooling:?} of {from:?}"), &Graph { nodes, outputs: vec![2, 3] });
        }
    }
}

#[test]
fn sums_of_squared_differences() {
    for (width, channels) in [(16, 32), (24, 48), (64, 128)] {
        let (small, map) = (shape(channels, 5, 9), shape(width, 10, 18));
        let terms = |terms| Node { layer: Layer::Squares { terms }, shape: shape(1, 10, 18) };
        let project = |input, seed| Term { input, convolution: convolution(channels, width, 1, 1, 0, seed) };
        let decode = Term { input: 2, convolution: transposed(channels, channels, 3, 2, 1, 3) };
        let nodes = vec![
            input(map),
            input(map),
            input(small),
            terms(vec![project(0, 1), project(1, 2)]),
            terms(vec![decode, project(1, 5)]),
        ];
        check(&format!("scores of {channels} channels"), &Graph { nodes, outputs: vec![3, 4] });
    }
}

#[test]
fn smallest_of_many_channels() {
    for (channels, depth, (height, width)) in
        [(2000, 128, (4, 32)), (77, 24, (3, 5)), (1, 16, (7, 6)), (33, 40, (1, 13))]
    {
        for above in [0.0, 3.0] {
            let mut term = Term { input: 0, convolution: convolution(channels, depth, 1, 1, 0, 4) };
            // Where all are positive, what fills the last vector would be the smallest.
            term.convolution.bias.iter_mut().for_each(|bias| *bias = bias.abs() + above);
            let node = Node { layer: Layer::Smallest { term }, shape: shape(1, height, width) };
            let graph = Graph { nodes: vec![input(shape(depth, height, width)), node], outputs: vec![1] };
            check(&format!("smallest of {channels}, {height}×{width}, above {above}"), &graph);
        }
    }
}

mod chain;
mod random;
mod simplify;
mod sub_pixel;
mod tune;
mod words;
