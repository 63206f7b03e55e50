//! A wrong argument says what would be right.

use crate::kit::{misuse, succeed};

#[test]
fn sizes_counts_and_codecs() {
    let shuffle = ["shuffle", "x.parquet", "--by", "a", "--out", "o"];
    for (arguments, hint) in [
        (["--partitions", "4", "--memory", "64furlongs"], "64MiB, 2GB or 512k"),
        (["--partitions", "4", "--memory", "0"], "such as 64MiB"),
        (["--partitions", "0", "--memory", "1g"], "from 1 up"),
        (["--partitions", "-1", "--memory", "1g"], "--partitions"),
    ] {
        let error = misuse(&[&shuffle[..], &arguments[..]].concat());
        assert!(error.contains(hint), "{error}");
    }
    let error = misuse(&["demo", "--codec", "lzo"]);
    assert!(error.contains("none, lz4, zstd"), "{error}");
    assert!(misuse(&["demo", "--tasks", "0"]).contains("give 1 to"));
    assert!(misuse(&["demo", "--scale-factor", "-1"]).contains("such as 1 or 0.01"));
    assert!(misuse(&["shuffle"]).contains("--by"));
}

#[test]
fn help_names_the_commands_and_hides_the_demos_children() {
    let help = succeed(&["--help"]);
    for command in ["demo", "shuffle", "collect", "sort", "group"] {
        assert!(help.contains(command), "{help}");
    }
    assert!(!help.contains("demo-generate"), "{help}");
}

#[test]
fn what_commands_share_they_take_and_explain_alike() {
    for command in ["shuffle", "sort", "group"] {
        let help = succeed(&[command, "--help"]);
        for part in ["--memory <SIZE|auto>", "--reserve <SIZE>", "--explain", "--metrics <FILE>"] {
            assert!(help.contains(part), "{command}: {part}: {help}");
        }
        let is_file = command != "shuffle";
        assert_eq!(help.contains("The row group being written lies beside the budget"), is_file);
    }
}
