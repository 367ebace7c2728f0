//! An ONNX graph of this project run by libtorch, open to a look at every tensor.

use super::QuantizeError;
use super::rewrite::floats;
use mudenet_edge::bundle::{LOGICAL, MEMORY, STRUCTURAL, pb};
use pb::tensor_proto::DataType;
use std::collections::{BTreeSet, HashMap, HashSet};
use tch::{Kind, Tensor};

/// A graph made ready to run, nodes in an order in which they can be computed.
#[derive(Debug)]
pub struct Program {
    /// Its nodes; only what the wanted outputs need.
    pub nodes: Vec<Node>,
    /// f32 initializers by name: weights, biases, and what maps are added to or multiplied with.
    pub constants: HashMap<String, Tensor>,
    outputs: Vec<String>,
}

/// A node with one result.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Tensors read, without weights and bias.
    pub inputs: Vec<String>,
    /// The tensor that it gives, which is also its name.
    pub output: String,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Op {
    /// A convolution.
    Conv(Convolution),
    /// max(x, 0).
    Relu,
    /// The mean of squares of pixels, those beyond the border left out.
    Average {
        /// Pixels a side.
        side: i64,
        /// Along both axes.
        stride: i64,
        /// On each side of the map.
        padding: i64,
    },
    /// The largest of squares of pixels, those beyond the border left out.
    Largest {
        /// Pixels a side.
        side: i64,
        /// Along both axes.
        stride: i64,
        /// On each side of the map.
        padding: i64,
    },
    /// a + b.
    Add,
    /// a − b.
    Sub,
    /// a · b.
    Mul,
    /// Sum over the channels, which stay as a dimension of one.
    SumChannels,
    /// Smallest of the channels, which stay as a dimension of one.
    Smallest,
    /// Channels one after another.
    Concat,
}

/// A convolution's weights and how the kernel moves.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Initializer: (out, in, k, k), or (in, out, k, k) where transposed.
    pub weight: String,
    /// Initializer: (out).
    pub bias: String,
    /// Whether it is ONNX's ConvTranspose.
    pub transposed: bool,
    /// Along both axes.
    pub stride: i64,
    /// On each side.
    pub padding: i64,
    /// Transposed only.
    pub output_padding: i64,
}

impl Convolution {
    /// The dimension of the weights that counts output channels.
    pub fn output_axis(&self) -> usize {
        usize::from(self.transposed)
    }

    /// (B, in, H, W) → (B, out, H', W') with other weights.
    pub fn apply(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        if self.transposed {
            x.conv_transpose2d(weight, bias, stride, padding, [self.output_padding; 2], 1, [1, 1])
        } else {
            x.conv2d(weight, bias, stride, padding, [1, 1], 1)
        }
    }
}

impl Program {
    /// The part of `model` that gives `outputs`.
    ///
    /// # Errors
    /// [`QuantizeError::Graph`], naming an operator or initializer that this program does not know.
    pub fn new(model: &pb::ModelProto, outputs: &[&str]) -> Result<Self, QuantizeError> {
        let graph = model.graph.as_ref().ok_or_else(|| QuantizeError::Graph("there is no graph".into()))?;
        let initializers: HashMap<&str, &pb::TensorProto> =
            graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
        let mut wanted: HashSet<&str> = outputs.iter().copied().collect();
        let mut program =
            Self { nodes: vec![], constants: HashMap::new(), outputs: outputs.iter().map(|s| (*s).into()).collect() };
        for node in graph.node.iter().rev() {
            if !node.output.iter().any(|output| wanted.contains(output.as_str())) {
                continue;
            }
            wanted.extend(node.input.iter().map(String::as_str));
            program.nodes.push(Node::read(node, &initializers)?);
        }
        program.nodes.reverse();
        let weights = program.convolutions().flat_map(|(_, conv)| [conv.weight.clone(), conv.bias.clone()]);
        let read = program.nodes.iter().flat_map(|node| &node.inputs);
        let beside = read.filter(|name| initializers.contains_key(name.as_str())).cloned();
        for name in weights.chain(beside).collect::<Vec<_>>() {
            let tensor = initializers.get(name.as_str()).filter(|t| t.data_type == DataType::Float as i32);
            let tensor = tensor.ok_or_else(|| QuantizeError::Graph(format!("weight {name}: expected f32 numbers")))?;
            let (values, dims) = (floats(tensor), &tensor.dims);
            if dims.iter().product::<i64>() != values.len() as i64 {
                return Err(QuantizeError::Graph(format!("weight {name}: {} values for {dims:?}", values.len())));
            }
            program.constants.insert(name, Tensor::from_slice(&values).view(dims.as_slice()));
        }
        Ok(program)
    }

    /// The outputs of `model` that scores are made of: `structural`, `logical` and, where there is one, `memory`.
    pub fn scores(model: &pb::ModelProto) -> Vec<&'static str> {
        let named = |name: &str| model.graph.iter().flat_map(|graph| &graph.output).any(|output| output.name == name);
        [STRUCTURAL, LOGICAL].into_iter().chain(named(MEMORY).then_some(MEMORY)).collect()
    }

    /// Whether `node` holds remembered vectors v as −2 v and |v|²: the smallest of its outputs is what is looked for.
    pub fn remembers(&self, node: &Node) -> bool {
        self.nodes.iter().any(|reader| matches!(reader.op, Op::Smallest) && reader.inputs.contains(&node.output))
    }

    /// The convolutions in the order of the nodes: the tensor that each gives, and itself.
    pub fn convolutions(&self) -> impl Iterator<Item = (&Node, &Convolution)> {
        self.nodes.iter().filter_map(|node| if let Op::Conv(conv) = &node.op { Some((node, conv)) } else { None })
    }

    /// A convolution's weights and their shape.
    ///
    /// # Errors
    /// [`QuantizeError::Graph`] where they do not have four dimensions.
    pub fn weights(&self, conv: &Convolution) -> Result<(Vec<f32>, [i64; 4]), QuantizeError> {
        let found = self.constants.get(&conv.weight).and_then(|weight| {
            let shape = <[i64; 4]>::try_from(weight.size()).ok()?;
            Some((Vec::<f32>::try_from(weight.contiguous().view(-1)).ok()?, shape))
        });
        found.ok_or_else(|| QuantizeError::Graph(format!("weight {}: expected four dimensions", conv.weight)))
    }

    /// The tensors that convolutions read.
    pub fn convolved(&self) -> BTreeSet<String> {
        self.convolutions().flat_map(|(node, _)| node.inputs.iter().cloned()).collect()
    }

    /// For each node the tensors that no later node reads.
    pub fn last_uses(&self) -> Vec<Vec<String>> {
        let mut seen: HashSet<&str> = self.outputs.iter().map(String::as_str).collect();
        let mut last: Vec<Vec<String>> = self
            .nodes
            .iter()
            .rev()
            .map(|node| node.inputs.iter().filter(|input| seen.insert(input)).cloned().collect())
            .collect();
        last.reverse();
        last
    }

    /// One node of known inputs; `None` where an input is missing.
    pub fn step(&self, node: &Node, values: &HashMap<String, Tensor>) -> Option<Tensor> {
        node.compute(|name| values.get(name), |name| self.constants.get(name))
    }

    /// The outputs where some tensors or initializers differ from a run whose tensors are all in `known`.
    pub fn rerun(&self, known: &HashMap<String, Tensor>, changed: HashMap<String, Tensor>) -> Vec<Tensor> {
        let mut values = changed;
        for node in &self.nodes {
            let weights = match &node.op {
                Op::Conv(conv) => [Some(&conv.weight), Some(&conv.bias)],
                _ => [None, None],
            };
            let weights: Vec<&String> = weights.into_iter().flatten().collect();
            let differs = node.inputs.iter().chain(weights.iter().copied()).any(|name| values.contains_key(name));
            if values.contains_key(&node.output) || !differs {
                continue;
            }
            let value = {
                let value = |name: &String| values.get(name).or_else(|| known.get(name));
                let constant = |name: &String| values.get(name).or_else(|| self.constants.get(name));
                node.compute(value, constant)
            };
            values.extend(value.map(|value| (node.output.clone(), value)));
        }
        let output = |name: &String| values.get(name).or_else(|| known.get(name)).map(Tensor::shallow_clone);
        self.outputs.iter().filter_map(output).collect()
    }

    /// The outputs for `image`, `change` seeing every tensor by name (the image first) and giving what its readers get.
    pub fn run(&self, image: &Tensor, mut change: impl FnMut(&str, Tensor) -> Tensor) -> Vec<Tensor> {
        let name = mudenet_edge::bundle::INPUT;
        let mut values = HashMap::from([(name.to_owned(), change(name, image.shallow_clone()))]);
        for (node, unused) in self.nodes.iter().zip(self.last_uses()) {
            if let Some(value) = self.step(node, &values) {
                values.insert(node.output.clone(), change(&node.output, value));
            }
            unused.iter().for_each(|name| drop(values.remove(name)));
        }
        self.outputs.iter().filter_map(|name| values.remove(name)).collect()
    }
}

impl Node {
    fn compute<'a>(
        &self,
        value: impl Fn(&String) -> Option<&'a Tensor>,
        constant: impl Fn(&String) -> Option<&'a Tensor>,
    ) -> Option<Tensor> {
        let input = |index: usize| self.inputs.get(index).and_then(|name| value(name).or_else(|| constant(name)));
        Some(match &self.op {
            Op::Conv(conv) => conv.apply(input(0)?, constant(&conv.weight)?, constant(&conv.bias)),
            Op::Relu => input(0)?.relu(),
            Op::Average { side, stride, padding } => {
                input(0)?.avg_pool2d([*side; 2], [*stride; 2], [*padding; 2], false, false, None::<i64>)
            }
            Op::Largest { side, stride, padding } => {
                input(0)?.max_pool2d([*side; 2], [*stride; 2], [*padding; 2], [1, 1], false)
            }
            Op::Add => input(0)? + input(1)?,
            Op::Sub => input(0)? - input(1)?,
            Op::Mul => input(0)? * input(1)?,
            Op::SumChannels => input(0)?.sum_dim_intlist([1i64].as_slice(), true, Kind::Float),
            Op::Smallest => input(0)?.amin([1i64].as_slice(), true),
            Op::Concat => Tensor::cat(&(0..self.inputs.len()).map(input).collect::<Option<Vec<_>>>()?, 1),
        })
    }

    fn read(node: &pb::NodeProto, initializers: &HashMap<&str, &pb::TensorProto>) -> Result<Self, QuantizeError> {
        let (op, name) = (node.op_type.as_str(), node.name.as_str());
        let unknown = |what: &str| {
            QuantizeError::Graph(format!("node {name}: {op}{what} is not an operator that can be quantized here"))
        };
        let ints = |key: &str| node.attribute.iter().find(|a| a.name == key).map(|a| a.ints.as_slice());
        let even = |key: &str, default: i64| match ints(key) {
            None => Ok(default),
            Some([first, rest @ ..]) if rest.iter().all(|n| n == first) => Ok(*first),
            Some(other) => Err(unknown(&format!(" with {key} {other:?}"))),
        };
        let int = |key: &str| node.attribute.iter().find(|a| a.name == key).map(|a| a.i);
        let [output] = node.output.as_slice() else { return Err(unknown(" with several results")) };
        let mut inputs = node.input.clone();
        let op = match op {
            "Conv" | "ConvTranspose" => {
                if inputs.len() != 3 || int("group").unwrap_or(1) != 1 || even("dilations", 1)? != 1 {
                    return Err(unknown(" in groups, with dilation or without bias"));
                }
                let (bias, weight) = (inputs.pop().unwrap_or_default(), inputs.pop().unwrap_or_default());
                Op::Conv(Convolution {
                    weight,
                    bias,
                    transposed: op == "ConvTranspose",
                    stride: even("strides", 1)?,
                    padding: even("pads", 0)?,
                    output_padding: even("output_padding", 0)?,
                })
            }
            "Relu" => Op::Relu,
            "MaxPool" if int("ceil_mode").unwrap_or(0) == 0 && even("dilations", 1)? == 1 => {
                Op::Largest { side: even("kernel_shape", 0)?, stride: even("strides", 1)?, padding: even("pads", 0)? }
            }
            "AveragePool" if int("count_include_pad").unwrap_or(0) == 0 => {
                Op::Average { side: even("kernel_shape", 0)?, stride: even("strides", 1)?, padding: even("pads", 0)? }
            }
            "ReduceMin" if ints("axes") == Some([1].as_slice()) && int("keepdims") != Some(0) => Op::Smallest,
            "Add" => Op::Add,
            "Sub" => Op::Sub,
            "Mul" => Op::Mul,
            "ReduceSum" => {
                let axes = inputs.pop().and_then(|axes| initializers.get(axes.as_str()).copied());
                let first = axes.is_some_and(|axes| axes.raw_data == 1i64.to_le_bytes());
                if !first || int("keepdims") == Some(0) {
                    return Err(unknown(" over other axes than the channels"));
                }
                Op::SumChannels
            }
            "Concat" if int("axis") == Some(1) => Op::Concat,
            _ => return Err(unknown("")),
        };
        Ok(Self { op, inputs, output: output.clone() })
    }
}
