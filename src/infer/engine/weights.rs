//! The values of a convolution, which a model may hold already.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Values that are owned, or shared with whoever made them until they are changed.
#[derive(Clone)]
pub(in super::super) enum Weights {
    Own(Vec<f32>),
    Shared(Arc<dyn AsRef<[f32]> + Send + Sync>),
}

impl Deref for Weights {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Own(values) => values,
            Self::Shared(values) => (**values).as_ref(),
        }
    }
}

impl DerefMut for Weights {
    fn deref_mut(&mut self) -> &mut [f32] {
        if let Self::Shared(values) = self {
            *self = Self::Own((**values).as_ref().to_vec());
        }
        match self {
            Self::Own(values) => values,
            Self::Shared(_) => &mut [],
        }
    }
}

impl From<Vec<f32>> for Weights {
    fn from(values: Vec<f32>) -> Self {
        Self::Own(values)
    }
}

impl FromIterator<f32> for Weights {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        Self::Own(values.into_iter().collect())
    }
}

impl PartialEq for Weights {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Weights({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_copied_where_it_changes() {
        let values: Arc<Vec<f32>> = Arc::new(vec![1.0, 2.0]);
        let shared = Weights::Shared(values.clone());
        let mut changed = shared.clone();
        assert_eq!(changed.as_ptr(), values.as_ptr());
        changed[1] = 5.0;
        assert_eq!((&changed[..], &shared[..]), (&[1.0, 5.0][..], &[1.0, 2.0][..]));
        assert_eq!(shared, Weights::from(vec![1.0, 2.0]));
        drop((shared, changed));
        assert_eq!(Arc::strong_count(&values), 1);
    }
}
