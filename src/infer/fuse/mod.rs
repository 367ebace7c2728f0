//! Replaces the convolutional part of a model by the engine; what the engine does not know stays with tract.

mod op;
mod pattern;

use super::engine::{Choice, Graph, Id, Layer, Network, Node, Term};
use super::kernels::{Isa, give_back_freed};
use super::tune::Choices;
pub(super) use op::Fused;
use pattern::{Kind, Pattern, images, is_convolution, layer};
#[cfg(any(test, feature = "cuda"))]
pub(super) use pattern::{linear, pool, relu_input};
pub(super) use pattern::{map_shape, rounded};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tract_onnx::tract_core::internal::*;

/// What became of a model.
#[derive(Debug, Default)]
pub(super) struct Fusion {
    /// What each of them computes.
    pub networks: Vec<Fused>,
    /// Convolutions that stay with tract: name and reason.
    pub left: Vec<String>,
}

/// How layers are to be computed that leave a choice.
#[derive(Debug)]
pub(super) enum Planning {
    /// As they are cheapest by estimate.
    Estimate,
    /// As these say.
    Known(Choices),
    /// As is fastest by this clock; what was found so far.
    Measure(fn() -> Duration, Choices),
}

impl Planning {
    /// For each node of `graph`, which has these names.
    fn choices(&mut self, isa: Isa, graph: &Graph, names: &[String]) -> Vec<Option<Choice>> {
        match self {
            Self::Estimate => vec![],
            Self::Known(known) => names.iter().map(|name| known.get(name).copied()).collect(),
            Self::Measure(clock, found) => {
                let choices = Network::tune(isa, graph, *clock);
                let named = names.iter().zip(&choices);
                found.extend(named.filter_map(|(name, choice)| Some((name.clone(), (*choice)?))));
                choices
            }
        }
    }
}

/// Replaces what can be replaced in a decluttered model.
pub(super) fn fuse(model: &mut TypedModel, isa: Isa, planning: &mut Planning) -> TractResult<Fusion> {
    let mut fusion = Fusion::default();
    while let Some(region) = Region::first(model)? {
        fusion.networks.push(region.replace(model, isa, planning)?);
    }
    for node in model.eval_order()?.into_iter().map(|id| model.node(id)).filter(|node| is_convolution(node)) {
        let reason = layer(model, node.id.into()).err().unwrap_or_else(|| "not reached".into());
        fusion.left.push(format!("{}: {reason}", node.name));
    }
    Ok(fusion)
}

/// Layers of a model with no operator that is unknown to the engine between them.
#[derive(Default)]
struct Region {
    layers: BTreeMap<OutletId, Pattern>,
    inputs: BTreeSet<OutletId>,
    outputs: BTreeSet<OutletId>,
}

impl Region {
    /// The layers before which only other operators come; none where the model has no layer.
    fn first(model: &TypedModel) -> TractResult<Option<Self>> {
        let mut region = Self::default();
        let mut depths = HashMap::new();
        let mut pending: Vec<(OutletId, bool)> =
            model.output_outlets()?.iter().map(|outlet| (*outlet, false)).collect();
        let mut seen = BTreeSet::new();
        while let Some((outlet, from_layer)) = pending.pop() {
            let first = depth(model, outlet, &mut depths) == 1 && layer(model, outlet).is_ok();
            if first && !from_layer {
                region.outputs.insert(outlet);
            }
            if !first && from_layer {
                region.inputs.insert(outlet);
            }
            if !seen.insert(outlet) {
                continue;
            }
            match layer(model, outlet) {
                Ok(pattern) => {
                    pending.extend(pattern.inputs().map(|input| (input, first)));
                    if first {
                        region.layers.insert(outlet, pattern);
                    }
                }
                Err(_) => pending.extend(model.node(outlet.node).inputs.iter().map(|input| (*input, false))),
            }
        }
        Ok((!region.layers.is_empty()).then_some(region))
    }

    fn replace(self, model: &mut TypedModel, isa: Isa, planning: &mut Planning) -> TractResult<Fused> {
        let mut graph = Graph::default();
        let mut names = Vec::new();
        let mut ids: HashMap<OutletId, Id> = HashMap::new();
        let mut given = Vec::new();
        for outlet in &self.inputs {
            let shape = map_shape(model, *outlet).map_err(TractError::msg)?;
            // What only rounds is done while the map is taken over.
            let exact = rounded(model, *outlet).filter(|(exact, _)| map_shape(model, *exact) == Ok(shape));
            given.push(exact.map_or(*outlet, |(exact, _)| exact));
            ids.insert(*outlet, graph.nodes.len());
            graph.nodes.push(Node { layer: Layer::Input { grid: exact.map(|(_, grid)| grid) }, shape });
            names.push(model.node(outlet.node).name.clone());
        }
        let order: HashMap<usize, usize> = model.eval_order()?.into_iter().enumerate().map(|(i, id)| (id, i)).collect();
        let mut layers: Vec<(OutletId, Pattern)> = self.layers.into_iter().collect();
        layers.sort_by_key(|(outlet, _)| (order.get(&outlet.node).copied(), outlet.slot));
        for (outlet, pattern) in layers {
            let id = |outlet: &OutletId| ids.get(outlet).copied().context("a layer before its input");
            let term = |(input, convolution)| Ok(Term { input: id(&input)?, convolution });
            let mut terms = pattern.terms.into_iter().map(term).collect::<TractResult<Vec<_>>>()?;
            let layer = match pattern.kind {
                Kind::Squares => Layer::Squares { terms },
                Kind::Pool { input, pooling } => {
                    Layer::Pool { input: id(&input)?, poolings: vec![pooling], grid: None }
                }
                Kind::Smallest => Layer::Smallest { term: terms.pop().context("a convolution")? },
                Kind::Convolve { residual, relu, pool, grid } => {
                    Layer::Convolve { terms, residual: residual.as_ref().map(id).transpose()?, relu, pool, grid }
                }
            };
            ids.insert(outlet, graph.nodes.len());
            graph.nodes.push(Node { layer, shape: pattern.shape });
            names.push(model.node(outlet.node).name.clone());
        }
        let outputs: Vec<OutletId> = self.outputs.into_iter().collect();
        graph.outputs = outputs.iter().filter_map(|outlet| ids.get(outlet).copied()).collect();
        let facts = outputs.iter().map(|outlet| Ok(model.outlet_fact(*outlet)?.without_value()));
        let choices = planning.choices(isa, &graph, &names);
        let operator = Fused::new(names, facts.collect::<TractResult<_>>()?, images(model));
        let mut patch = TypedModelPatch::new("fused convolutions");
        let taps = patch.taps(model, &given)?;
        let name = outputs.first().map(|outlet| model.node(outlet.node).name.clone()).unwrap_or_default();
        let wires = patch.wire_node(format!("{name}.fused"), operator.clone(), &taps)?;
        for (outlet, wire) in outputs.into_iter().zip(wires) {
            patch.shunt_outside(model, outlet, wire)?;
        }
        patch.apply(model)?;
        // The model lets go of the weights, so that only what is not packed yet is held twice.
        model.compact()?;
        give_back_freed();
        operator.plan(isa, graph, &choices);
        Ok(operator)
    }
}

/// Largest number of alternations between unknown operators and layers before and including `outlet`: odd for layers.
fn depth(model: &TypedModel, outlet: OutletId, known: &mut HashMap<OutletId, usize>) -> usize {
    if let Some(depth) = known.get(&outlet) {
        return *depth;
    }
    let found = layer(model, outlet);
    let (inputs, odd) = match &found {
        Ok(pattern) => (pattern.inputs().collect(), 1),
        Err(_) => (model.node(outlet.node).inputs.to_vec(), 0),
    };
    let deepest = inputs.into_iter().map(|input| depth(model, input, known)).max().unwrap_or(0);
    let depth = if deepest % 2 == odd { deepest } else { deepest + 1 };
    known.insert(outlet, depth);
    depth
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests;
