//! Which variant of each layer is fastest on this host, found by running them.

use super::graph::{Graph, Id, Layer};
use super::plan::Choice;
use super::{Isa, Network};
use std::time::Duration;

/// Time that all candidates together are run for, where one frame of each is not longer.
const TIME: Duration = Duration::from_secs(1);
/// Frames of each candidate that are timed, at least.
const FRAMES: usize = 3;

impl Network {
    /// The fastest variant of each node of `graph`, timed with `clock` on the threads of the current rayon pool for about a
    /// second; none where what [`Network::new`] chooses by itself is fastest. Where a layer has no choice, it means nothing.
    pub(in super::super) fn tune(isa: Isa, graph: &Graph, clock: fn() -> Duration) -> Vec<Option<Choice>> {
        let every = |choice: Option<Choice>| vec![choice; graph.nodes.len()];
        // Whole networks, one at a time: a layer's neighbours keep the caches as they are in use.
        let mut candidates: Vec<(Option<Choice>, Vec<String>)> = Vec::new();
        for choice in [None].into_iter().chain(Choice::ALL.map(Some)) {
            let methods = Self::new(isa, graph.clone(), &every(choice)).methods();
            if candidates.iter().all(|(_, known)| *known != methods) {
                candidates.push((choice, methods));
            }
        }
        let mut best: Vec<Option<Choice>> = every(None);
        if candidates.len() < 2 {
            return best;
        }
        let share = TIME / candidates.len() as u32;
        let mut shortest = vec![Duration::MAX; graph.nodes.len()];
        for (choice, _) in candidates {
            let network = Self::new(isa, graph.clone(), &every(choice));
            for (id, time) in network.layer_times(graph, share, clock).into_iter().enumerate() {
                if time < shortest[id] {
                    (shortest[id], best[id]) = (time, choice);
                }
            }
        }
        best
    }

    /// The shortest time of each node of the given graph over some frames.
    fn layer_times(&self, graph: &Graph, budget: Duration, clock: fn() -> Duration) -> Vec<Duration> {
        let size = |id: Id| graph.nodes[id].shape.channels * graph.nodes[id].shape.height * graph.nodes[id].shape.width;
        let given = (0..graph.nodes.len()).filter(|id| matches!(graph.nodes[*id].layer, Layer::Input { .. }));
        let inputs: Vec<Vec<f32>> = given.map(|id| noise(size(id))).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<Vec<f32>> = graph.outputs.iter().map(|id| vec![0.0; size(*id)]).collect();
        let mut outputs: Vec<&mut [f32]> = outputs.iter_mut().map(|output| &mut output[..]).collect();
        let mut workspace = self.workspace();
        // The first frame pays for memory that later ones find in place.
        self.run(&mut workspace, &inputs, &mut outputs);
        self.time_with(clock);
        let mut shortest = vec![Duration::MAX; graph.nodes.len()];
        let (start, mut frames) = (clock(), 0);
        while frames < FRAMES || clock().saturating_sub(start) < budget {
            self.run(&mut workspace, &inputs, &mut outputs);
            frames += 1;
            let mut times = vec![Duration::ZERO; graph.nodes.len()];
            for (time, origin) in self.timer.take().into_iter().zip(&self.origin) {
                times[*origin] += time;
            }
            shortest.iter_mut().zip(times).for_each(|(shortest, time)| *shortest = time.min(*shortest));
        }
        shortest
    }

    /// How each layer is computed.
    fn methods(&self) -> Vec<String> {
        let steps =
            self.nodes.iter().zip(&self.origin).filter_map(|(node, origin)| Some((node.step.as_ref()?, origin)));
        steps.map(|(step, origin)| format!("{origin} {}", step.operator("").method)).collect()
    }
}

/// Values as those of a standardised picture.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 0x6d75_6465u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 4.0 - 2.0
    };
    (0..count).map(|_| next()).collect()
}
