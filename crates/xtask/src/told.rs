//! The messages of failed tests, out of all that a test program wrote.
//!
//! The output of the whole run has tens of thousands of lines, and who reads it, person or service, often sees its end
//! only. So the end says once more what failed.

/// The lines of a test's message that are kept: a panic and what it shows, without most of a backtrace.
const LINES_OF_A_TEST: usize = 30;

/// The lines before cargo's own word that are kept where a program ended without a word on its tests: by a signal.
const LINES_BEFORE: usize = 40;

/// The messages of failed tests, and what cargo says of the programs that had them.
pub(crate) fn failures(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let mut kept = Vec::new();
    let mut of_a_test = 0;
    let mut named = false;
    for (at, &line) in lines.iter().enumerate() {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            (of_a_test, named) = (LINES_OF_A_TEST, true);
        } else if line.starts_with("failures:") || line.starts_with("test result:") {
            of_a_test = 0;
        } else if line.starts_with("error: test failed")
            || line.starts_with("error: doctest failed")
        {
            if !named {
                kept.extend_from_slice(&lines[at.saturating_sub(LINES_BEFORE)..at]);
            }
            let is_explained = lines.get(at + 2).is_some_and(|next| *next == "Caused by:");
            // The program, and the signal that ended it.
            (of_a_test, named) = (if is_explained { 4 } else { 1 }, false);
        }
        if of_a_test > 0 {
            kept.push(line);
            of_a_test -= 1;
        }
    }
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_of_failed_tests_are_repeated_and_nothing_of_the_others() {
        let output = "\
running 2 tests
test good ... ok
test bad ... FAILED

failures:

---- bad stdout ----
thread 'bad' panicked at tests/a.rs:1:2:
two is not three

failures:
    bad

test result: FAILED. 1 passed; 1 failed
error: test failed, to rerun pass `--test a`
     Running tests/b.rs (target/debug/deps/b)

running 1 test
";
        let expected = "\
---- bad stdout ----
thread 'bad' panicked at tests/a.rs:1:2:
two is not three

error: test failed, to rerun pass `--test a`";
        assert_eq!(failures(output), expected);
    }

    #[test]
    fn of_a_program_that_a_signal_ended_the_last_lines_are_repeated() {
        let mut output = "test number ... ok\n".repeat(100);
        output.push_str("fatal runtime error: stack overflow\n");
        output.push_str("error: test failed, to rerun pass `--test a`\n\nCaused by:\n  process didn't exit successfully: `a` (signal: 6)\n");
        let told = failures(&output);
        let ending = "fatal runtime error: stack overflow\nerror: test failed, to rerun pass `--test a`\n\nCaused by:\n  \
                      process didn't exit successfully: `a` (signal: 6)";
        assert!(told.ends_with(ending), "{told}");
        assert_eq!(told.lines().count(), LINES_BEFORE + 4);
    }

    #[test]
    fn of_a_long_message_the_first_lines_are_repeated() {
        let frames = "  12: a frame of a backtrace\n".repeat(500);
        let told = failures(&format!("---- bad stdout ----\n{frames}"));
        assert_eq!(told.lines().count(), LINES_OF_A_TEST);
    }
}
