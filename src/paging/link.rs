//! The `Link` field (RFC 8288 section 3).

/// The target of the first link with the relation `next` in one field's value.
pub(super) fn next(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (_, from) = rest.split_once('<')?;
        let (target, after) = from.split_once('>')?;
        let (is_next, left) = relation(after);
        if is_next {
            return Some(target);
        }
        rest = left;
    }
}

/// Whether the parameters of a link say `next` of this page, and what follows them.
fn relation(mut text: &str) -> (bool, &str) {
    let mut relations = None;
    let mut elsewhere = false;
    loop {
        text = text.trim_start();
        let Some(parameter) = text.strip_prefix(';') else { break };
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let (name, after) = parameter.split_at(end);
        let (value, left) = match after.strip_prefix('=') {
            Some(after) => parameter_value(after.trim_start()),
            None => ("", after),
        };
        match name.trim().to_ascii_lowercase().as_str() {
            // Only the first one counts (section 3.3).
            "rel" => drop(relations.get_or_insert(value)),
            // Then the link is about something else (section 3.2).
            "anchor" => elsewhere = true,
            _ => {}
        }
        text = left;
    }
    let mut relations = relations.unwrap_or_default().split_ascii_whitespace();
    (!elsewhere && relations.any(|one| one.eq_ignore_ascii_case("next")), text)
}

/// A token or a quoted string, and what follows. No relation has an escape in it, so escapes stay.
fn parameter_value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim_end(), rest);
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    match end {
        Some(end) => (&quoted[..end], &quoted[end + 1..]),
        None => (quoted, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_next_one_is_found() {
        for (value, expected) in [
            (r#"<https://h/?page=2>; rel="next""#, Some("https://h/?page=2")),
            (r#"<a>; rel="prev", <b>; rel="next", <c>; rel="last""#, Some("b")),
            (r#"<a,b;c>;rel=next"#, Some("a,b;c")),
            (r#"<a> ; REL = "start Next" ; title="x""#, Some("a")),
            (r#"<a>; title="no; <x>; rel=\"next\", no"; rel="last", <b>; rel=next"#, Some("b")),
            (r#"<a>; rel="last"; rel="next""#, None),
            (r#"<a>; rel="next"; anchor="/other", <b>; rel="next""#, Some("b")),
            (r#"<a>; rel=nextish"#, None),
            (r#"<a>; title="open"#, None),
            ("<a>; rel", None),
            ("<a", None),
            ("", None),
            (";;,,=\"", None),
            ("<>; rel=next", Some("")),
        ] {
            assert_eq!(next(value), expected, "{value}");
        }
    }
}
