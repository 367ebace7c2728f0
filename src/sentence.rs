//! What a user reads of an error.

use std::error::Error;

/// An error and its causes in one line; a cause that the text before it already ends with is not told twice.
pub fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.ends_with(&text) {
            told = format!("{told}: {text}");
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("a.toml: cannot be read: {source}")]
    struct Told {
        source: std::io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the box cannot start")]
    struct Untold(#[source] Told);

    #[test]
    fn every_cause_is_told_once() {
        let told = || Told { source: std::io::Error::other("no such file") };
        assert_eq!(sentence(&told()), "a.toml: cannot be read: no such file");
        assert_eq!(sentence(&Untold(told())), "the box cannot start: a.toml: cannot be read: no such file");
    }
}
