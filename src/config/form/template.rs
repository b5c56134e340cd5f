//! Texts in whose place a tool was to put a value, and did not.

/// Whether a text is nothing but what tools that write configurations put values in place of:
/// `${SECRET}`, `$SECRET`, `$(cat secret)`, `{{ secret }}` or `%SECRET%`.
pub(in crate::config) fn is_template(text: &str) -> bool {
    TEMPLATES.into_iter().any(|marks| is_between(text, marks)) || is_bare_variable(text)
}

/// Whether a text is the name of a variable as shells write it without braces: `$SECRET`.
fn is_bare_variable(text: &str) -> bool {
    let is_of_name = |letter| matches!(letter, 'A'..='Z' | '0'..='9' | '_');
    let name = text.trim().strip_prefix('$');
    name.is_some_and(|name| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(is_of_name)
    })
}

/// Whether a text is a word in angle brackets, which guides write where people put values.
pub(in crate::config) fn is_blank(text: &str) -> bool {
    is_between(text, ("<", ">"))
}

fn is_between(text: &str, (open, close): (&str, &str)) -> bool {
    let inside = text
        .trim()
        .strip_prefix(open)
        .and_then(|rest| rest.strip_suffix(close));
    inside.is_some_and(|text| !text.is_empty() && !text.contains(['%', '<', '>', '"']))
}

/// Whether a text holds a template: passwords may hold its marks by chance, names may not.
pub(in crate::config) fn has_template(text: &str) -> bool {
    let holds = |(open, close)| {
        text.split_once(open)
            .is_some_and(|(_, rest)| rest.contains(close))
    };
    TEMPLATES[..3].iter().any(|&marks| holds(marks))
}

const TEMPLATES: [(&str, &str); 4] = [("${", "}"), ("$(", ")"), ("{{", "}}"), ("%", "%")];
pub(in crate::config) const TEMPLATE: &str = "is a template that nothing has filled in";
pub(in crate::config) const FILL_IN: &str = "nothing is put in its place here: write the value itself, or let the tool that writes this \
     file do so";
