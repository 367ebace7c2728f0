//! A graph of convolutions computed in (row, column, channel) order with everything fused that can be.

mod chain;
mod eight_bits;
mod graph;
mod layout;
mod phase;
mod plan;
mod pool;
mod rotate;
mod simplify;
mod step;
mod taps;
#[cfg(test)]
mod tests;
mod timer;
mod transfer;
mod tune;
mod weights;

use super::Operator;
use super::kernels::{Buffer, Grid, Isa, bytes_mut};
use chain::Link;
pub(super) use graph::{Convolution, Graph, Id, Layer, Node, Pick, Pooling, Shape, Term};
use layout::{Layout, Slots, layouts};
pub(super) use plan::Choice;
use plan::Plan;
use rayon::prelude::*;
use simplify::Simplified;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use step::Step;
use timer::Timer;
pub(super) use weights::Weights;

/// A [`Graph`] made ready to run.
#[derive(Debug)]
pub(super) struct Network {
    isa: Isa,
    nodes: Vec<Planned>,
    slots: Vec<Layout>,
    inputs: Vec<Id>,
    outputs: Vec<Id>,
    /// For each node the one of the given graph that it stands for.
    origin: Vec<Id>,
    timer: Timer,
}

#[derive(Debug)]
struct Planned {
    /// None for an input.
    step: Option<Step>,
    /// What an input is rounded to.
    grid: Option<Grid>,
    /// None where the map is never stored.
    slot: Option<usize>,
    layout: Layout,
    /// The nodes right before this one that are computed with it.
    chain: Vec<Id>,
    /// Whether it is computed with a later one.
    later: bool,
}

/// Memory for one run of a [`Network`], kept from frame to frame.
#[derive(Debug)]
pub(super) struct Workspace(Buffer);

type Maps<'a> = [RwLock<&'a mut [f32]>];

impl Network {
    /// Plans `graph`: each node as `choices`, which may be fewer, say, else as it is cheapest by estimate. Weights of the
    /// graph are let go as soon as they are packed.
    pub(super) fn new(isa: Isa, graph: Graph, choices: &[Option<Choice>]) -> Self {
        let Simplified { mut graph, origin, direct } = Simplified::new(graph, choices);
        let choices: Vec<Option<Choice>> = origin.iter().map(|id| choices.get(*id).copied().flatten()).collect();
        let plan = Plan::new(isa, &graph, &choices);
        let mut layouts = layouts(&graph, &plan);
        let places = chain::places(&graph, &plan);
        let slots = Slots::assign(&graph, &layouts, &places);
        let nodes: Vec<Planned> = (0..graph.nodes.len())
            .map(|id| {
                // A link sees of the one before it nothing but pixels.
                let before = places[id].behind.map(|before| (before, layouts[before].halo));
                before.iter().for_each(|(before, _)| layouts[*before].halo = 0);
                let step = Step::new(isa, &graph, &plan, &layouts, id, direct[id]);
                before.iter().for_each(|(before, halo)| layouts[*before].halo = *halo);
                graph.nodes[id].forget_weights();
                let mut chain = chain::chain(&places, id);
                chain.pop();
                let (grid, later) = (graph.nodes[id].grid(), places[id].end.is_some());
                Planned { step, grid, slot: slots.of[id], layout: layouts[id], chain, later }
            })
            .collect();
        let inputs = (0..nodes.len()).filter(|id| nodes[*id].step.is_none()).collect();
        let timer = Timer::new(nodes.len());
        Self { isa, nodes, slots: slots.layouts, inputs, outputs: graph.outputs, origin, timer }
    }

    /// What is computed, in the order of the graph's nodes, without the inputs; `names` has one entry a node that was given.
    pub(super) fn operators(&self, names: &[String]) -> Vec<Operator> {
        let named = self.nodes.iter().zip(self.origin.iter().map(|id| &names[*id]));
        named.filter_map(|(node, name)| Some(node.step.as_ref()?.operator(name))).collect()
    }

    /// Memory for [`Network::run`].
    pub(super) fn workspace(&self) -> Workspace {
        let mut memory = Buffer::zeroed(self.slots.iter().map(|slot| slot.words().next_multiple_of(16)).sum());
        let mut rest = &mut *memory;
        for slot in &self.slots {
            let (map, after) = rest.split_at_mut(slot.words().next_multiple_of(16));
            if let Some(grid) = slot.codes {
                bytes_mut(map).fill(grid.zero());
            }
            rest = after;
        }
        Workspace(memory)
    }

    /// Computes the outputs, (channel, row, column) order like the inputs, on the threads of the current rayon pool.
    ///
    /// The values do not depend on the number of threads.
    pub(super) fn run(&self, workspace: &mut Workspace, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) {
        let mut rest = &mut *workspace.0;
        let mut maps = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let (map, after) = rest.split_at_mut(slot.words().next_multiple_of(16));
            maps.push(RwLock::new(map));
            rest = after;
        }
        let mut finite = true;
        for (id, values) in self.inputs.iter().zip(inputs) {
            let node = &self.nodes[*id];
            if let Some(mut map) = self.write(&maps, *id) {
                finite &= node.layout.import(values, node.grid, &mut map);
            }
        }
        if !finite && self.nodes.iter().any(|node| node.layout.codes.is_some()) {
            // Codes would hide it, also those of a later map.
            outputs.iter_mut().for_each(|output| output.fill(f32::NAN));
            return;
        }
        // One layer after the other, its rows on all threads: few maps are alive at a time.
        (0..self.nodes.len()).for_each(|id| self.compute(id, &maps));
        for (id, values) in self.outputs.iter().zip(outputs) {
            match self.read(&maps, *id) {
                Some(map) => self.nodes[*id].layout.export(&map, values),
                // A mistake in the plan must not look like a good part.
                None => values.fill(f32::NAN),
            }
        }
    }

    /// Takes the time of every layer from now on, read from `clock`.
    pub(super) fn time_with(&self, clock: fn() -> Duration) {
        self.timer.start(clock);
    }

    /// The time that each of [`Network::operators`] took since the last call, of all threads together; nothing
    /// without [`Network::time_with`].
    pub(super) fn take_times(&self) -> Vec<Duration> {
        let computed = self.nodes.iter().map(|node| node.step.is_some());
        self.timer.take().into_iter().zip(computed).filter_map(|(time, computed)| computed.then_some(time)).collect()
    }

    fn compute(&self, id: Id, maps: &Maps) {
        let node = &self.nodes[id];
        let (Some(step), false) = (&node.step, node.later) else { return };
        let Some(mut out) = self.write(maps, id) else { return };
        let (rows, row) = node.rows(&mut out);
        let task = step.task_rows(rayon::current_num_threads());
        if !node.chain.is_empty() {
            return self.compute_chain(id, maps, rows, task);
        }
        let guards: Vec<_> = step.inputs.iter().filter_map(|input| self.read(maps, *input)).collect();
        let inputs: Vec<&[f32]> = guards.iter().map(|guard| &***guard).collect();
        rows.par_chunks_mut(task * row).with_max_len(1).enumerate().for_each(|(index, rows)| {
            self.timer.time(id, || step.run(self.isa, &inputs, index * task, rows));
        });
    }

    /// Computes the rows of node `id` and, with them, the nodes before it in its chain, `task` rows at a time.
    fn compute_chain(&self, id: Id, maps: &Maps, rows: &mut [f32], task: usize) {
        let node = &self.nodes[id];
        let ids: Vec<Id> = node.chain.iter().copied().chain([id]).collect();
        let steps: Vec<(Id, &Step)> = ids.iter().filter_map(|id| Some((*id, self.nodes[*id].step.as_ref()?))).collect();
        let outside = |id: &Id| if ids.contains(id) { None } else { Some(self.read(maps, *id)) };
        let guards: Vec<Vec<_>> = steps.iter().map(|(_, step)| step.inputs.iter().map(outside).collect()).collect();
        let links: Vec<Link> = steps
            .iter()
            .zip(&guards)
            .map(|((id, step), guards)| {
                let inputs = guards.iter().map(|guard| guard.as_ref().map(|map| map.as_deref().map_or(&[][..], |m| m)));
                Link { id: *id, step, inputs: inputs.collect(), stored: self.nodes[*id].slot.is_some() }
            })
            .collect();
        let row = node.layout.row_words();
        let tasks = rows.par_chunks_mut(task * row).with_max_len(1).enumerate();
        let run = |index: usize, stored: &mut [f32], rows: &mut [f32]| {
            chain::run(self.isa, &links, index * task, stored, rows, &self.timer);
        };
        let Some(other) = node.chain.iter().find(|id| self.nodes[**id].slot.is_some()) else {
            return tasks.for_each(|(index, rows)| run(index, &mut [], rows));
        };
        let Some(mut map) = self.write(maps, *other) else { return };
        let (stored, row) = self.nodes[*other].rows(&mut map);
        tasks.zip(stored.par_chunks_mut(task * row)).for_each(|((index, rows), stored)| run(index, stored, rows));
    }

    fn read<'a, 'b>(&self, maps: &'a Maps<'b>, id: Id) -> Option<RwLockReadGuard<'a, &'b mut [f32]>> {
        Some(maps[self.nodes[id].slot?].read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<'a, 'b>(&self, maps: &'a Maps<'b>, id: Id) -> Option<RwLockWriteGuard<'a, &'b mut [f32]>> {
        Some(maps[self.nodes[id].slot?].write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Planned {
    /// All rows of its map, without those above and below, and the words of one.
    fn rows<'a>(&self, map: &'a mut [f32]) -> (&'a mut [f32], usize) {
        let Layout { shape, halo, .. } = self.layout;
        let row = self.layout.row_words();
        (&mut map[halo * row..(halo + shape.height) * row], row)
    }
}
