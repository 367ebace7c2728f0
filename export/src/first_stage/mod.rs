//! The backbone's first stage with fewer channels, as the memory sees it.
//!
//! What nearest neighbours need of an ImageNet network is in its first stage: stem and bottlenecks at a quarter of the
//! image's size. It is not learned from images of one product, so it says of a defect what the backbone says. Written as
//! convolutions with a ReLU each, it is a small part of the backbone.

mod regress;
mod thin;

use crate::checkpoint::{CheckpointError, file};
use std::collections::HashMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};
pub use thin::{CHANNELS, thin};

/// File of a run's folder that holds it.
pub const FIRST_STAGE: &str = "first_stage.safetensors";

/// A convolution and the ReLU behind it.
#[derive(Debug)]
pub struct Layer {
    /// (out, in, k, k).
    pub weight: Tensor,
    /// (out).
    pub bias: Tensor,
}

/// The bottleneck of a residual network: a quarter of the channels, a 3×3, all channels again.
#[derive(Debug)]
pub struct Bottleneck {
    /// 1×1.
    pub reduce: Layer,
    /// 3×3.
    pub middle: Layer,
    /// 1×1 over the maps that the sum of skip and block is made of, along the channels: the bottleneck's input and its
    /// middle; where skips have no ReLU, what the first bottleneck sees and the middles of all up to this one. There it may
    /// also be over its own middle alone, and is then added to what the bottleneck before gave before its ReLU.
    pub expand: Layer,
}

impl Bottleneck {
    /// Whether it adds to the sum of the one before it.
    pub(crate) fn adds(&self) -> bool {
        self.expand.inputs() == self.middle.outputs()
    }
}

/// Stem and bottlenecks; a norm is part of the convolution before it.
#[derive(Debug)]
pub struct FirstStage {
    /// 7×7, stride 2; behind it a maximum over 3×3, stride 2.
    pub stem: Layer,
    /// 1×1 behind the maximum, where the backbone norms and activates before it convolves (ResNet v2). Its skips are sums
    /// without a ReLU then.
    pub activation: Option<Layer>,
    /// The bottlenecks, in order.
    pub blocks: Vec<Bottleneck>,
}

/// What the bottlenecks have given so far.
struct Maps {
    x: Tensor,
    summands: Vec<Tensor>,
    /// What `x` was before its ReLU.
    sum: Option<Tensor>,
}

impl Maps {
    /// What `expand` sees.
    fn summands(&self, middle: &Tensor) -> Tensor {
        let all: Vec<&Tensor> = self.summands.iter().chain([middle]).collect();
        Tensor::cat(&all, 1)
    }

    /// What a bottleneck gives before its ReLU.
    fn output(&self, block: &Bottleneck, middle: &Tensor) -> Tensor {
        match &self.sum {
            Some(sum) if block.adds() => block.expand.linear(middle, 1) + sum,
            _ => block.expand.linear(&self.summands(middle), 1),
        }
    }
}

impl Layer {
    fn linear(&self, x: &Tensor, stride: i64) -> Tensor {
        let pad = (self.weight.size()[2] - 1) / 2;
        x.conv2d(&self.weight, Some(&self.bias), [stride; 2], [pad; 2], [1, 1], 1)
    }

    fn forward(&self, x: &Tensor, stride: i64) -> Tensor {
        self.linear(x, stride).relu()
    }

    /// Output channels.
    pub fn outputs(&self) -> i64 {
        self.weight.size()[0]
    }

    /// Input channels.
    pub fn inputs(&self) -> i64 {
        self.weight.size()[1]
    }
}

impl FirstStage {
    /// Channels of its features.
    pub fn channels(&self) -> i64 {
        self.blocks.last().map_or(0, |block| block.expand.outputs())
    }

    /// Standardised image (B, 3, H, W) → features (B, channels, H/4, W/4), none negative.
    pub fn forward(&self, image: &Tensor) -> Tensor {
        let mut maps = self.start(image);
        for block in &self.blocks {
            let middle = block.middle.forward(&block.reduce.forward(&maps.x, 1), 1);
            let sum = maps.output(block, &middle);
            self.next(&mut maps, middle, sum);
        }
        maps.x
    }

    /// What the first bottleneck sees.
    fn start(&self, image: &Tensor) -> Maps {
        let pooled = self.stem.forward(image, 2).max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        let x = self.activation.as_ref().map_or(pooled.shallow_clone(), |layer| layer.forward(&pooled, 1));
        Maps { summands: vec![x.shallow_clone()], x, sum: None }
    }

    /// Takes note of a bottleneck's middle, and its output before the ReLU.
    fn next(&self, maps: &mut Maps, middle: Tensor, sum: Tensor) {
        maps.x = sum.relu();
        if self.activation.is_some() {
            maps.summands.push(middle);
            maps.sum = Some(sum);
        } else {
            maps.summands = vec![maps.x.shallow_clone()];
        }
    }

    /// Reads it from a run's folder; none where the run has none.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file.
    pub fn read(folder: &Path, device: Device) -> Result<Option<Self>, CheckpointError> {
        let path = folder.join(FIRST_STAGE);
        if !path.exists() {
            return Ok(None);
        }
        let fail = |reason: &dyn std::fmt::Display| file(&path, "read", reason);
        let named = Tensor::read_safetensors(&path).map_err(|e| fail(&e))?;
        let mut tensors: HashMap<String, Tensor> = named.into_iter().collect();
        let mut layer = |name: &str, kernel: i64| -> Result<Layer, CheckpointError> {
            let mut take = |part: &str| {
                let name = format!("{name}.{part}");
                tensors.remove(&name).map(|t| t.to_device(device)).ok_or_else(|| fail(&format!("lacks {name}")))
            };
            let layer = Layer { weight: take("weight")?, bias: take("bias")? };
            let size = layer.weight.size();
            if size.len() != 4 || size[2..] != [kernel; 2] || layer.bias.size() != size[..1] {
                return Err(fail(&format!(
                    "{name} is {size:?}, expected (out, in, {kernel}, {kernel}) and a bias each"
                )));
            }
            Ok(layer)
        };
        let stem = layer("stem", 7)?;
        let activation = layer("activation", 1).ok();
        let mut blocks = Vec::new();
        while let Ok(reduce) = layer(&format!("blocks.{}.reduce", blocks.len()), 1) {
            let name = format!("blocks.{}", blocks.len());
            let (middle, expand) = (layer(&format!("{name}.middle"), 3)?, layer(&format!("{name}.expand"), 1)?);
            blocks.push(Bottleneck { reduce, middle, expand });
        }
        // What is left belongs to a layer that lacks something.
        if let Some(name) = tensors.keys().min() {
            return Err(fail(&format!("has {name}, which belongs to no whole layer")));
        }
        let stage = Self { stem, activation, blocks };
        stage.check().map_err(|reason| fail(&reason))?;
        Ok(Some(stage))
    }

    /// Writes it into a run's folder.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file.
    pub fn write(&self, folder: &Path) -> Result<(), CheckpointError> {
        let mut tensors = Vec::new();
        let mut put = |name: &str, layer: &Layer| {
            tensors.push((format!("{name}.weight"), layer.weight.to_device(Device::Cpu).contiguous()));
            tensors.push((format!("{name}.bias"), layer.bias.to_device(Device::Cpu).contiguous()));
        };
        put("stem", &self.stem);
        if let Some(layer) = &self.activation {
            put("activation", layer);
        }
        for (index, block) in self.blocks.iter().enumerate() {
            for (name, layer) in [("reduce", &block.reduce), ("middle", &block.middle), ("expand", &block.expand)] {
                put(&format!("blocks.{index}.{name}"), layer);
            }
        }
        let path = folder.join(FIRST_STAGE);
        let part = path.with_extension("part");
        let written = Tensor::write_safetensors(&tensors, &part).and_then(|()| Ok(std::fs::rename(&part, &path)?));
        written.map_err(|e| {
            // What is left of it is of no use.
            let _ = std::fs::remove_file(&part);
            file(&path, "written", &e)
        })
    }

    /// Layers that do not fit each other are an error.
    fn check(&self) -> Result<(), String> {
        let fits = |name: String, layer: &Layer, inputs: i64| {
            let got = layer.inputs();
            if got == inputs { Ok(()) } else { Err(format!("{name} has {got} input channels, expected {inputs}")) }
        };
        fits("stem".into(), &self.stem, 3)?;
        let mut x = self.stem.outputs();
        if let Some(layer) = &self.activation {
            fits("activation".into(), layer, x)?;
            x = layer.outputs();
        }
        let mut summed = x;
        for (index, block) in self.blocks.iter().enumerate() {
            let Bottleneck { reduce, middle, expand } = block;
            fits(format!("blocks.{index}.reduce"), reduce, x)?;
            fits(format!("blocks.{index}.middle"), middle, reduce.outputs())?;
            let before = x;
            (x, summed) = (expand.outputs(), if self.activation.is_some() { summed } else { x } + middle.outputs());
            if !(self.activation.is_some() && index > 0 && block.adds()) {
                fits(format!("blocks.{index}.expand"), expand, summed)?;
            } else if x != before {
                return Err(format!("blocks.{index}.expand has {x} output channels, expected the {before} it adds to"));
            }
        }
        if self.blocks.is_empty() { Err("holds no bottleneck".into()) } else { Ok(()) }
    }

    /// A copy on another device.
    #[must_use]
    pub fn to_device(&self, device: Device) -> Self {
        let to = |x: &Layer| Layer { weight: x.weight.to_device(device), bias: x.bias.to_device(device) };
        let block = |b: &Bottleneck| Bottleneck { reduce: to(&b.reduce), middle: to(&b.middle), expand: to(&b.expand) };
        Self {
            stem: to(&self.stem),
            activation: self.activation.as_ref().map(to),
            blocks: self.blocks.iter().map(block).collect(),
        }
    }
}

/// A convolution without bias (out, in, k, k) and the norm behind it as one layer.
pub(crate) fn folded(weight: &Tensor, (scale, shift): (Tensor, Tensor)) -> Layer {
    Layer { weight: weight * scale.view([-1, 1, 1, 1]), bias: shift }
}

/// Rows (cells, channels) of maps (B, channels, H, W).
fn rows(maps: &Tensor) -> Tensor {
    let channels = maps.size()[1];
    maps.permute([0, 2, 3, 1]).reshape([-1, channels]).to_kind(Kind::Float)
}

#[cfg(test)]
mod tests;
