//! What the system says about this process: the metrics that all programs have.

use std::fmt::Write;
use std::fs;

/// The system counts the time of processes in hundredths of a second, on every kind of machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the metrics of this process, as OpenMetrics. What the system does not tell (elsewhere than on
/// Linux) is left out.
pub(super) fn encode(out: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| field(&status, name).map(|kib| kib * 1024.0);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let stat = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // The first field here is the third one of the manual.
    let stat = |number: usize| stat.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
    let cpu = stat(14).zip(stat(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND);
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|text| field(&text, "btime"));
    let started = booted.zip(stat(22)).map(|(booted, ticks)| booted + ticks / TICKS_PER_SECOND);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    for (name, kind, help, value) in [
        ("process_cpu_seconds", "counter", "Time that the process has used a core", cpu),
        ("process_open_fds", "gauge", "Open file descriptors", open_files()),
        (
            "process_max_fds",
            "gauge",
            "Most open file descriptors",
            field(&limits, "Max open files"),
        ),
        ("process_resident_memory_bytes", "gauge", "Memory in use", kib("VmRSS:")),
        ("process_virtual_memory_bytes", "gauge", "Address space in use", kib("VmSize:")),
        ("process_start_time_seconds", "gauge", "Start of the process since 1970", started),
    ] {
        let Some(value) = value else { continue };
        let ending = if kind == "counter" { "_total" } else { "" };
        // Writing to a string does not fail.
        let _ =
            writeln!(out, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name}{ending} {value}");
    }
}

/// The first number in the line that begins with a name.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Newer systems tell the number as the size of the directory.
fn open_files() -> Option<f64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    match size {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64),
        size => Some(size as f64),
    }
}
