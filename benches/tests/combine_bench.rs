//! The benchmark program of combines in its small mode: it runs and says what it should.

#[cfg(test)]
mod tests {
    use std::process::Command;

    #[test]
    fn every_spread_of_keys_at_every_budget_has_its_line() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_combine_bench"));
        let output = command.args(["60000", "2MiB", "64MiB"]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 15, "{text}");
        let labels =
            ["HashMap, no budget", "records, 2", "columns, 2", "records, 64", "columns, 64"];
        for (lines, keys) in lines.chunks(5).zip(["1", "1000", "10000000"]) {
            for (line, label) in lines.iter().zip(labels) {
                assert!(line.trim().starts_with(keys) && line.contains(label), "{line}");
                let figures: Vec<&str> = line.rsplit(' ').take(3).collect();
                assert_eq!(figures[..2], ["rows/s", "M"], "{line}");
                assert!(figures[2].parse::<f64>().unwrap() > 0.0, "{line}");
            }
        }
    }
}
