//! Comma-separated values (RFC 4180).

/// One line; fields with commas, quotes or line breaks are quoted.
pub(super) fn line<S: AsRef<str>>(fields: impl IntoIterator<Item = S>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|field| quoted(field.as_ref())).collect();
    fields.join(",") + "\n"
}

/// A field that may be missing.
pub(super) fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_would_break_a_line_are_quoted() {
        assert_eq!(
            line(["a", "b, c", "say \"hi\"", "two\nlines", ""]),
            "a,\"b, c\",\"say \"\"hi\"\"\",\"two\nlines\",\n"
        );
        assert_eq!((or_empty(Some(1.5)), or_empty(None::<f32>)), ("1.5".into(), String::new()));
    }
}
