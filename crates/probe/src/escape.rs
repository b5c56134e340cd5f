//! Texts of others made safe for a terminal: realms, reasons, names in certificates.

/// A sentence without characters that control a terminal or change the direction of text, and of
/// bounded length.
pub fn escaped(sentence: &str) -> String {
    let mut text = String::new();
    // Coturn ends its reasons with zeros.
    let sentence = sentence.trim_end_matches('\0');
    for letter in sentence.chars().take(LONGEST) {
        if is_unseen(letter) {
            text.extend(letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text
}

/// Whether a screen should not be sent this character as it is: control characters, and characters that
/// change how others are shown. Unicode's Cc, and of Cf and Z those that have no shape or change the line
/// or the direction.
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(letter, '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters of a sentence, before they are escaped.
const LONGEST: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_cannot_command_a_terminal_nor_turn_letters_around() {
        let said = escaped("a\u{1b}[2Jb\u{202e}c\r\nd\u{200b}e");
        assert_eq!(said, "a\\u{1b}[2Jb\\u{202e}c\\r\\nd\\u{200b}e");
        assert_eq!(
            escaped("Ω is plain, \"so\" is this"),
            "Ω is plain, \"so\" is this"
        );
    }

    #[test]
    fn a_sentence_has_an_end() {
        assert!(escaped(&"\u{202e}".repeat(100_000)).len() <= LONGEST * 8);
    }
}
