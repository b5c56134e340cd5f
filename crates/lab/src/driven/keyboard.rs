//! The keyboard of a browser. What it does goes the way of a real one: to whatever has the focus, and through the
//! browser's own handling of keys. Only Chromium has it.

use serde_json::json;

use super::Driven;

impl Driven {
    /// Presses a key by its name in the DOM (`Tab`, `Enter`, `ArrowDown`), with Shift if the name begins with
    /// `Shift+`, and lets it go.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let (key, modifiers) = match key.strip_prefix("Shift+") {
            Some(key) => (key, SHIFT),
            None => (key, 0),
        };
        let known = KEYS.iter().find(|(name, ..)| *name == key);
        let (_, code, text) = *known.unwrap_or_else(|| panic!("no key {key}"));
        self.strike(key, code, text, modifiers);
    }

    /// Types a text, letter by letter.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        for letter in text.chars() {
            let letter = letter.to_string();
            self.strike(&letter, 0, &letter, 0);
        }
    }

    #[track_caller]
    fn strike(&mut self, key: &str, code: u32, text: &str, modifiers: u32) {
        // A key that writes nothing has no text.
        let down = if text.is_empty() {
            "rawKeyDown"
        } else {
            "keyDown"
        };
        for kind in [down, "keyUp"] {
            let mut event = json!({
                "type": kind, "key": key, "modifiers": modifiers, "windowsVirtualKeyCode": code,
            });
            if kind == "keyDown" {
                event["text"] = json!(text);
            }
            self.wire.ask("Input.dispatchKeyEvent", event);
        }
    }
}

/// The modifier in the DevTools protocol.
const SHIFT: u32 = 8;
/// Keys: the name, the virtual key code, and what the key writes.
const KEYS: [(&str, u32, &str); 11] = [
    ("Tab", 9, ""),
    ("Enter", 13, "\r"),
    (" ", 32, " "),
    ("Backspace", 8, ""),
    ("Escape", 27, ""),
    ("End", 35, ""),
    ("Home", 36, ""),
    ("ArrowLeft", 37, ""),
    ("ArrowUp", 38, ""),
    ("ArrowRight", 39, ""),
    ("ArrowDown", 40, ""),
];
