//! Layers that take each pixel by itself, one right behind the other: what only the next one reads is never stored.

use super::graph::{Graph, Id, Layer};
use super::layout::Layout;
use super::plan::{Method, Plan};
use super::step::Step;
use super::timer::Timer;
use crate::infer::kernels::{BLOCK, Buffer, Isa, Tap};
use std::cell::RefCell;

/// Most words of 4 bytes of one layer's pixels that are made before the next layer takes them: they stay in a first-level
/// cache.
const STRIP: usize = 6000;

/// Where a node stands in a chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    /// The node right before it.
    pub behind: Option<Id>,
    /// The last node of the chain, where it is not the last one itself: all are computed when that one's turn comes.
    pub end: Option<Id>,
    /// Whether its map is of use to others than the next node.
    pub stored: bool,
}

/// Finds chains, of which each stores at most one map besides the last.
pub(super) fn places(graph: &Graph, plan: &Plan) -> Vec<Place> {
    let mut places = vec![Place { stored: true, ..Place::default() }; graph.nodes.len()];
    let readers = |id: Id| (0..graph.nodes.len()).filter(move |reader| graph.nodes[*reader].inputs().contains(&id));
    let wanted = |id: Id| graph.outputs.contains(&id) || readers(id).nth(1).is_some();
    for id in (0..graph.nodes.len()).filter(|id| is_pointwise(graph, plan, *id)) {
        let inputs = graph.nodes[id].inputs();
        let fits = |before: &Id| {
            let chain = chain(&places, *before);
            let once = inputs.iter().filter(|input| chain.contains(input)).count() == 1;
            let exact = plan.stored[*before].is_none() && chain.iter().all(|id| !places[*id].stored || id == before);
            is_pointwise(graph, plan, *before)
                && readers(*before).next() == Some(id)
                && once
                && (exact || !wanted(*before))
        };
        let Some(before) = inputs.iter().copied().find(fits) else { continue };
        places[before].stored = wanted(before);
        for link in chain(&places, before) {
            places[link].end = Some(id);
        }
        places[id].behind = Some(before);
    }
    places
}

/// The nodes of a chain up to `last`, in order.
pub(super) fn chain(places: &[Place], last: Id) -> Vec<Id> {
    let mut chain: Vec<Id> = std::iter::successors(Some(last), |id| places[*id].behind).collect();
    chain.reverse();
    chain
}

fn is_pointwise(graph: &Graph, plan: &Plan, id: Id) -> bool {
    let Layer::Convolve { terms, pool: false, .. } = &graph.nodes[id].layer else { return false };
    let gathered = matches!(plan.methods[id], Some(Method::Direct | Method::Codes(_)));
    gathered && terms.iter().all(|term| term.convolution.is_pointwise())
}

/// A layer of a chain.
pub(super) struct Link<'a> {
    pub id: Id,
    pub step: &'a Step,
    /// Whole maps; `None` is what the link before it makes.
    pub inputs: Vec<Option<&'a [f32]>>,
    /// Whether its map is stored, which the last one's is anyhow.
    pub stored: bool,
}

/// Memory that a thread keeps from task to task.
#[derive(Default)]
struct Scratch {
    pixels: Buffer,
    taps: Vec<Tap>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Computes rows from `first` on into `out`, which holds them with their borders, as `stored` does those of the link that is
/// stored besides.
pub(super) fn run(isa: Isa, links: &[Link], first: usize, stored: &mut [f32], out: &mut [f32], timer: &Timer) {
    let [before @ .., last] = links else { return };
    let pixel = before.iter().map(|link| link.step.layout().words_of(1)).max().unwrap_or(1);
    let most = (STRIP / pixel.max(1)).max(BLOCK) / BLOCK * BLOCK;
    let Layout { shape, .. } = last.step.layout();
    SCRATCH.with_borrow_mut(|Scratch { pixels, taps }| {
        pixels.reserve(before.iter().map(|link| link.step.layout().words_of(most + BLOCK)).sum());
        for row in 0..out.len() / last.step.layout().row_words() {
            let mut column = 0;
            while column < shape.width {
                let left = shape.width - column;
                let strip = Strip { row, first, column, count: if left < most + BLOCK { left } else { most } };
                strip.run(isa, links, (pixels, stored, out), taps, timer);
                column += strip.count;
            }
        }
    });
}

/// Some pixels of a row.
#[derive(Clone, Copy)]
struct Strip {
    /// Row of the task.
    row: usize,
    /// Row of the map that the task starts with.
    first: usize,
    column: usize,
    count: usize,
}

/// Where the pixels lie that a link has made.
#[derive(Clone, Copy)]
enum Made {
    Nothing,
    Stored(usize),
    Scratch(usize),
}

impl Strip {
    fn run(
        &self,
        isa: Isa,
        links: &[Link],
        (pixels, stored, out): (&mut [f32], &mut [f32], &mut [f32]),
        taps: &mut Vec<Tap>,
        timer: &Timer,
    ) {
        let (mut made, mut used) = (Made::Nothing, 0);
        for (index, link) in links.iter().enumerate() {
            let layout = link.step.layout();
            let start = layout.words_at(self.row, self.column) + layout.words_of_border();
            let (done, free) = pixels.split_at_mut(used);
            timer.time(link.id, || {
                let mut compute = |near: &[f32], to: &mut [f32]| self.compute(isa, link, near, to, taps);
                match (made, index + 1 == links.len(), link.stored) {
                    (Made::Scratch(at), true, _) => compute(&done[at..], &mut out[start..]),
                    (Made::Stored(at), true, _) => compute(&stored[at..], &mut out[start..]),
                    (Made::Nothing, true, _) => compute(&[], &mut out[start..]),
                    (Made::Scratch(at), false, true) => compute(&done[at..], &mut stored[start..]),
                    (_, false, true) => compute(&[], &mut stored[start..]),
                    (Made::Scratch(at), false, false) => compute(&done[at..], free),
                    (Made::Stored(at), false, false) => compute(&stored[at..], free),
                    (Made::Nothing, false, false) => compute(&[], free),
                }
            });
            made = if link.stored { Made::Stored(start) } else { Made::Scratch(used) };
            if !link.stored {
                used += layout.words_of(self.count);
            }
        }
    }

    fn compute(&self, isa: Isa, link: &Link, near: &[f32], to: &mut [f32], taps: &mut Vec<Tap>) {
        let whole =
            |words: &'_ [f32], layout: &Layout| layout.words_at(self.first + self.row, self.column).min(words.len());
        let inputs = link.inputs.iter().zip(link.step.input_layouts());
        let inputs: Vec<&[f32]> =
            inputs.map(|(map, layout)| map.map_or(near, |words| &words[whole(words, layout)..])).collect();
        link.step.pixels(isa, &inputs, self.count, to, taps);
    }
}
