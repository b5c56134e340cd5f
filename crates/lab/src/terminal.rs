//! Terminals: a program runs in one, a test presses its keys and reads its screen.

use std::{
    io::Write,
    num::NonZeroU16,
    process::{ChildStdin, Command},
};

use vt100::Parser;

use crate::{
    PATIENCE,
    program::{Ended, Program},
    wait_for,
};

/// A terminal of 80 columns and 24 lines, with a program in it.
pub struct Terminal {
    program: Program,
    keys: ChildStdin,
    parser: Parser,
    /// The bytes of the program's output that are on the screen.
    shown: usize,
}

impl Terminal {
    /// Runs a program, which `at` finds the place for. `script` gives it the terminal.
    pub fn open(at: impl FnOnce(&str) -> Command, program: &str, arguments: &[&str]) -> Self {
        let line = format!("stty cols {COLUMNS} rows {LINES}; exec \"$0\" \"$@\"");
        let quoted = quoted(["sh", "-c", &line, program].iter().chain(arguments));
        let mut script = at("script");
        script.args(["-qec", &quoted, "/dev/null"]);
        script.env("TERM", "xterm-256color");
        let (program, keys) = Program::start_talking(script);
        Self {
            program,
            keys,
            parser: Parser::new(LINES, COLUMNS, 0),
            shown: 0,
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// The screen as a person sees it now: lines without the spaces at their ends.
    pub fn screen(&mut self) -> String {
        let output = self.program.bytes();
        self.parser.process(&output[self.shown..]);
        self.shown = output.len();
        let lines = self.parser.screen().rows(0, COLUMNS.get());
        let lines: Vec<_> = lines.map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }

    /// Waits until the screen is so, and returns it.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let patience = 3 * PATIENCE;
        wait_for(&format!("{what} in a terminal"), patience, || {
            assert_eq!(self.program.ended(), None, "it ended: {last}");
            last = self.screen();
            is_so(&last).then(|| last.clone())
        })
    }

    /// The same for words that are seen.
    #[track_caller]
    pub fn wait_for_words(&mut self, words: &str) -> String {
        self.wait_until(words, |screen| screen.contains(words))
    }

    /// Waits for the program to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> Ended {
        self.program.wait(PATIENCE)
    }
}

/// A command line for a shell.
fn quoted<'a>(words: impl Iterator<Item = &'a &'a str>) -> String {
    let words: Vec<String> = words
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    words.join(" ")
}

const COLUMNS: NonZeroU16 = NonZeroU16::new(80).expect("not zero");
const LINES: NonZeroU16 = NonZeroU16::new(24).expect("not zero");
