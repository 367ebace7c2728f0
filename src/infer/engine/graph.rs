//! What the engine computes: maps of (channels, height, width) and the layers between them.

use super::weights::Weights;
use crate::infer::kernels::Grid;

/// Index of a node in its [`Graph`].
pub(in super::super) type Id = usize;

/// The size of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Shape {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Shape {
    /// Number of values.
    #[cfg(test)]
    pub(in super::super) fn len(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// A linear operator on maps.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Convolution {
    /// (output, input, row, column) order, also where transposed.
    pub weights: Weights,
    /// One value an output channel.
    pub bias: Vec<f32>,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Rows above and columns left of the map that count as zeros; where transposed, outputs cut off there.
    pub pad: [usize; 2],
    /// The operator's transpose: a stride spreads the inputs instead of thinning the outputs.
    pub transposed: bool,
}

impl Convolution {
    /// Whether each pixel becomes one by itself.
    pub(in super::super) fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.pad, self.transposed) == ([1, 1], [1, 1], [0, 0], false)
    }

    /// Multiplications that give `outputs` rows and columns from the map of `input`.
    pub(in super::super) fn multiplications(&self, outputs: [usize; 2], input: &Node) -> u64 {
        let [rows, columns] = if self.transposed { [input.shape.height, input.shape.width] } else { outputs };
        (self.weights.len() * rows * columns) as u64
    }
}

/// A convolution of one node's map.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Term {
    pub input: Id,
    pub convolution: Convolution,
}

/// What becomes of the pixels under a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Pick {
    Largest,
    Mean,
}

/// A window that slides over a map; what lies beyond the border is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Pooling {
    pub pick: Pick,
    /// Rows and columns of the window.
    pub window: [usize; 2],
    pub stride: [usize; 2],
    /// Rows above and columns left of the map that the first window covers.
    pub pad: [usize; 2],
    /// Rows and columns of the map.
    pub of: [usize; 2],
}

/// How a node's map comes about.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Layer {
    /// Given from outside, perhaps rounded.
    Input { grid: Option<Grid> },
    /// `activation(Σ of terms + residual)`, then perhaps averaged over 2 × 2 pixels, then perhaps rounded; no terms where
    /// another map is only activated.
    Convolve { terms: Vec<Term>, residual: Option<Id>, relu: bool, pool: bool, grid: Option<Grid> },
    /// The mean over terms, all of one map, of `activation(term)`.
    Mean { terms: Vec<Term>, relu: bool },
    /// Σ over channels of (Σ of terms)²: one channel.
    Squares { terms: Vec<Term> },
    /// The smallest over channels of the convolution: one channel.
    Smallest { term: Term },
    /// Each channel pooled, by one window after the other; of what is rounded to a grid, the largest lies on it, too.
    Pool { input: Id, poolings: Vec<Pooling>, grid: Option<Grid> },
    /// 2 × 2 pixels side by side as one, with C channels each: channel (2a + b)·C + c is c of the pixel in row a and column
    /// b of them.
    Unshuffle { input: Id },
}

/// A layer and the shape of its map.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Node {
    pub layer: Layer,
    pub shape: Shape,
}

/// Layers in an order in which they can be computed.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Graph {
    pub nodes: Vec<Node>,
    /// Nodes whose maps are wanted.
    pub outputs: Vec<Id>,
}

impl Node {
    /// The nodes that this one is computed from, with repetitions.
    pub(in super::super) fn inputs(&self) -> Vec<Id> {
        match &self.layer {
            Layer::Input { .. } => vec![],
            Layer::Convolve { terms, residual, .. } => terms.iter().map(|term| term.input).chain(*residual).collect(),
            Layer::Squares { terms } | Layer::Mean { terms, .. } => terms.iter().map(|term| term.input).collect(),
            Layer::Smallest { term } => vec![term.input],
            Layer::Pool { input, .. } | Layer::Unshuffle { input, .. } => vec![*input],
        }
    }

    /// The convolutions that this node is the sum of.
    pub(in super::super) fn terms(&self) -> &[Term] {
        match &self.layer {
            Layer::Input { .. } | Layer::Pool { .. } | Layer::Unshuffle { .. } => &[],
            Layer::Smallest { term } => std::slice::from_ref(term),
            Layer::Convolve { terms, .. } | Layer::Squares { terms } | Layer::Mean { terms, .. } => terms,
        }
    }

    /// What its values are rounded to.
    pub(in super::super) fn grid(&self) -> Option<Grid> {
        match self.layer {
            Layer::Input { grid } | Layer::Convolve { grid, .. } | Layer::Pool { grid, .. } => grid,
            _ => None,
        }
    }

    /// Multiplications by the definition of its convolutions; `graph` is the node's.
    pub(in super::super) fn multiplications(&self, graph: &Graph) -> u64 {
        let count = |term: &Term| term.convolution.multiplications(self.convolved(), &graph.nodes[term.input]);
        self.terms().iter().map(count).sum()
    }

    /// Lets go of the weights, whose number is lost, too.
    pub(in super::super) fn forget_weights(&mut self) {
        let terms = match &mut self.layer {
            Layer::Input { .. } | Layer::Pool { .. } | Layer::Unshuffle { .. } => return,
            Layer::Smallest { term } => std::slice::from_mut(term),
            Layer::Convolve { terms, .. } | Layer::Squares { terms } | Layer::Mean { terms, .. } => terms,
        };
        terms.iter_mut().for_each(|term| term.convolution.weights = Weights::Own(vec![]));
    }

    /// Renames the nodes that this one is computed from.
    pub(in super::super) fn read_from(&mut self, renamed: impl Fn(Id) -> Id) {
        match &mut self.layer {
            Layer::Input { .. } => {}
            Layer::Convolve { terms, residual, .. } => {
                terms.iter_mut().for_each(|term| term.input = renamed(term.input));
                residual.iter_mut().for_each(|id| *id = renamed(*id));
            }
            Layer::Squares { terms } | Layer::Mean { terms, .. } => {
                terms.iter_mut().for_each(|term| term.input = renamed(term.input));
            }
            Layer::Smallest { term } => term.input = renamed(term.input),
            Layer::Pool { input, .. } | Layer::Unshuffle { input, .. } => *input = renamed(*input),
        }
    }

    /// The map that is added before the activation.
    pub(in super::super) fn residual(&self) -> Option<Id> {
        if let Layer::Convolve { residual, .. } = self.layer { residual } else { None }
    }

    /// Rows and columns that the convolutions give: twice the map's before pooling.
    pub(in super::super) fn convolved(&self) -> [usize; 2] {
        let factor = if matches!(self.layer, Layer::Convolve { pool: true, .. }) { 2 } else { 1 };
        [factor * self.shape.height, factor * self.shape.width]
    }
}
