//! Principal components of the backbone's features over images of good parts.

use tch::{Kind, Tensor};

/// The leading principal components of feature vectors, scaled so that a vector of `count` components has on average
/// the squared length `count`, as one of standardised channels has.
#[derive(Debug)]
pub struct Principal {
    mean: Tensor,
    basis: Tensor,
}

/// First and second moments of feature vectors, gathered image by image.
#[derive(Debug)]
pub(crate) struct Moments {
    count: f64,
    sum: Tensor,
    products: Tensor,
}

impl Moments {
    /// Of no vector yet, each of `features` values.
    pub(crate) fn new(features: i64, device: tch::Device) -> Self {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, device));
        Self { count: 0.0, sum: zeros(&[features]), products: zeros(&[features, features]) }
    }

    /// Takes in the vectors of every pixel of `features` (B, F, H, W).
    pub(crate) fn add(&mut self, features: &Tensor) {
        let rows = features.permute([0, 2, 3, 1]).reshape([-1, features.size()[1]]).to_kind(Kind::Float);
        self.count += rows.size()[0] as f64;
        self.sum += rows.sum_dim_intlist([0i64].as_slice(), false, Kind::Double);
        self.products += rows.tr().matmul(&rows).to_kind(Kind::Double);
    }

    /// The `count` components of largest variance; each points to where its largest weight is positive, so that the same
    /// vectors give the same components.
    ///
    /// # Errors
    /// Where libtorch finds no eigenvectors, as for features that are not finite.
    pub(crate) fn principal(&self, count: i64) -> Result<Principal, tch::TchError> {
        let mean = &self.sum / self.count.max(1.0);
        let covariance = &self.products / self.count.max(1.0) - mean.outer(&mean);
        let (values, vectors) = covariance.f_linalg_eigh("L")?;
        let features = covariance.size()[0];
        let leading = |x: &Tensor, dim| x.narrow(dim, features - count, count).flip([dim]);
        let (values, vectors) = (leading(&values, 0), leading(&vectors, 1));
        let largest = vectors.abs().argmax(0, true);
        let vectors = &vectors * vectors.gather(0, &largest, false).sign();
        let scale = (count as f64 / values.sum(Kind::Double).clamp_min(f64::MIN_POSITIVE)).sqrt();
        Ok(Principal {
            mean: mean.to_kind(Kind::Float),
            basis: (vectors * scale).tr().contiguous().to_kind(Kind::Float),
        })
    }
}

impl Principal {
    /// Components as they are given: the features' mean (F) and a row a component (C, F).
    pub fn new(mean: Tensor, basis: Tensor) -> Self {
        Self { mean, basis }
    }

    /// Weight (C, F, 1, 1) and bias (C) of the 1×1 convolution that projects all F features.
    pub fn convolution(&self) -> (Tensor, Tensor) {
        (self.basis.unsqueeze(-1).unsqueeze(-1), -self.basis.mv(&self.mean))
    }

    /// The share of one run of features in the components: (B, F', H, W), the features from `first` on → (B, C, H, W). The
    /// shares of all features add up to the components, so that maps of different sizes can be projected before they are
    /// brought to one size.
    pub fn project(&self, features: &Tensor, first: i64) -> Tensor {
        let count = features.size()[1];
        let centred = features - self.mean.narrow(0, first, count).view([1, -1, 1, 1]);
        centred.conv2d(&self.basis.narrow(1, first, count).unsqueeze(-1).unsqueeze(-1), None::<Tensor>, 1, 0, 1, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise;
    use tch::Device;

    /// Vectors along (3, 4) with deviation 5 and across with deviation 1, around (10, −2): the components are those
    /// directions, by construction.
    fn cloud() -> Tensor {
        let noise = noise(&[1, 2, 100, 100], 3);
        let (along, across) = (noise.narrow(1, 0, 1) * 5.0, noise.narrow(1, 1, 1));
        let first: Tensor = &along * 0.6 - &across * 0.8 + 10.0;
        let second: Tensor = &along * 0.8 + &across * 0.6 - 2.0;
        Tensor::cat(&[first, second], 1)
    }

    #[test]
    fn components_are_the_directions_of_largest_variance() {
        let cloud = cloud();
        let mut moments = Moments::new(2, Device::Cpu);
        moments.add(&cloud.narrow(2, 0, 50));
        moments.add(&cloud.narrow(2, 50, 50));
        let principal = moments.principal(1).unwrap();
        let direction = Vec::<f32>::try_from(principal.basis.view(-1)).unwrap();
        assert!((direction[0] / direction[1] - 0.75).abs() < 0.02, "{direction:?}");
        assert!(direction[1] > 0.0);
    }

    #[test]
    fn projections_are_centred_and_have_unit_energy_a_component() {
        let cloud = cloud();
        let mut moments = Moments::new(2, Device::Cpu);
        moments.add(&cloud);
        let principal = moments.principal(2).unwrap();
        let all = principal.project(&cloud, 0);
        assert!(all.mean(Kind::Float).double_value(&[]).abs() < 1e-3);
        let energy = all.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float).mean(Kind::Float);
        assert!((energy.double_value(&[]) - 2.0).abs() < 1e-3);
        let split = principal.project(&cloud.narrow(1, 0, 1), 0) + principal.project(&cloud.narrow(1, 1, 1), 1);
        assert!((all - split).abs().max().double_value(&[]) < 1e-5);
    }
}
