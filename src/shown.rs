//! Words from files and command lines, as a screen may show them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Text in which no character moves a cursor, ends a line or turns letters around.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if probe::is_unseen(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The name of a file, as reports and comments show it: bytes that are no UTF-8 as `\xff`.
pub(crate) fn path(path: &Path) -> String {
    if path == Path::new("-") {
        return "standard input".to_owned();
    }
    let mut shown = String::new();
    for part in path.as_os_str().as_bytes().utf8_chunks() {
        shown += &text(part.valid());
        shown.extend(part.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}
