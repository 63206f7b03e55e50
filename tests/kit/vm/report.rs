//! What a machine's console said of each test binary.

use std::fmt;

use super::guest::MARK;

/// What is known of all of them.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order they began.
    pub ran: Vec<Ran>,
    /// Whether the machine came to the end of its script.
    pub done: bool,
}

/// What is known of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// What it is called.
    pub name: String,
    /// Its exit status; `None` if it did not end.
    pub status: Option<u32>,
    /// Tests that passed.
    pub passed: u64,
    /// What it said it skipped, and why.
    pub skipped: Vec<String>,
}

impl Report {
    /// Takes one line of the console.
    pub fn line(&mut self, line: &str) {
        if let Some(own) = line.strip_prefix(MARK) {
            let words: Vec<&str> = own.split_whitespace().collect();
            match words[..] {
                ["begin", name] => {
                    self.ran.push(Ran { name: name.to_owned(), ..Ran::default() });
                }
                ["end", name, status] => {
                    let ran = self.ran.iter_mut().rfind(|ran| ran.name == name);
                    if let Some(ran) = ran {
                        ran.status = status.parse().ok();
                    }
                }
                ["done"] => self.done = true,
                _ => {}
            }
            return;
        }
        let Some(ran) = self.ran.last_mut() else {
            return;
        };
        // The harness may have begun the line.
        if let Some((_, skipped)) = line.split_once("SKIPPED: ") {
            ran.skipped.push(skipped.to_owned());
        }
        if let Some(result) = line.strip_prefix("test result: ok. ") {
            // The last is its own; those before are of children that are tests themselves.
            ran.passed = result.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        }
    }

    /// Whether all of `names` ran to their end, passed a test and skipped none but for a reason that
    /// contains one of `absent`: what the machine is known to lack.
    pub fn good(&self, names: &[&str], absent: &[&str]) -> bool {
        let known = |why: &String| absent.iter().any(|absent| why.contains(absent));
        let good =
            |ran: &Ran| ran.status == Some(0) && ran.passed > 0 && ran.skipped.iter().all(known);
        let ran: Vec<&str> = self.ran.iter().map(|ran| ran.name.as_str()).collect();
        self.done && ran == names && self.ran.iter().all(good)
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, status, passed, skipped } = self;
        match status {
            Some(0) => write!(f, "{name}: {passed} passed")?,
            Some(status) => write!(f, "{name}: FAILED with {status}")?,
            None => write!(f, "{name}: DID NOT END")?,
        }
        skipped.iter().try_for_each(|why| write!(f, "\n    skipped {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "Linux\nbywash-vm: begin a\ntest x ... SKIPPED: x: no Java\n\
        test result: ok. 1 passed; 0 failed\n\
        test result: ok. 2 passed; 0 failed\n\nbywash-vm: end a 0\nbywash-vm: begin b\n\
        test result: ok. 1 passed; 0 failed\nbywash-vm: end b 0\nbywash-vm: done\n";

    fn report(console: &str) -> Report {
        let mut report = Report::default();
        console.lines().for_each(|line| report.line(line));
        report
    }

    #[test]
    fn all_that_was_asked_for_ended_and_passed() {
        assert!(report(CONSOLE).good(&["a", "b"], &["no Java"]), "{:?}", report(CONSOLE));
        assert_eq!(report(CONSOLE).ran[0].passed, 2, "without the child's");
        assert!(!report(CONSOLE).good(&["a", "b", "c"], &["no Java"]), "one did not run");
    }

    #[test]
    fn what_failed_hung_ran_nothing_skipped_or_was_cut_off_is_not_good() {
        let cases = [
            ("end b 0", "end b 101"),
            ("bywash-vm: end b 0\n", ""),
            ("ok. 1 passed", "ok. 0 passed"),
            ("x: no Java", "x: not root"),
            ("bywash-vm: done\n", ""),
        ];
        for (from, to) in cases {
            let changed = CONSOLE.replace(from, to);
            assert_ne!(changed, CONSOLE);
            assert!(!report(&changed).good(&["a", "b"], &["no Java"]), "{changed}");
        }
    }
}
