//! Figures of this process, under the names every Prometheus client uses. Read when scraped.

use std::fmt::Write;
use std::fs;

/// Kernel ticks per second in `/proc/self/stat`; 100 on every Linux build of the last decades.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

/// What `/proc/self` says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// User and system CPU time, seconds.
    pub cpu_seconds: f64,
    /// Resident memory, bytes.
    pub resident_bytes: f64,
    /// Virtual memory, bytes.
    pub virtual_bytes: f64,
    /// Open file descriptors.
    pub open_fds: f64,
    /// Largest number of file descriptors.
    pub max_fds: f64,
    /// Threads.
    pub threads: f64,
    /// Start of the process, Unix seconds.
    pub start_seconds: f64,
}

impl ProcessFigures {
    /// Reads them; `None` where there is no `/proc`.
    pub fn read() -> Option<ProcessFigures> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name may contain spaces and brackets: fields count from the last bracket.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let max_fds = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        Some(ProcessFigures {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            threads: field(20)?,
            start_seconds: boot.trim().parse::<f64>().ok()? + field(22)? / TICKS_PER_SECOND,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * PAGE_BYTES,
            open_fds: fs::read_dir("/proc/self/fd").ok()?.count() as f64,
            max_fds: max_fds.split_whitespace().next()?.parse().unwrap_or(f64::INFINITY),
        })
    }

    /// Appends them in Prometheus' text format. Not through the recorder: its counters hold whole
    /// numbers, and seconds are not.
    pub fn write(&self, out: &mut String) {
        let figures = [
            ("cpu_seconds_total", "counter", "User and system CPU time spent.", self.cpu_seconds),
            ("resident_memory_bytes", "gauge", "Resident memory size.", self.resident_bytes),
            ("virtual_memory_bytes", "gauge", "Virtual memory size.", self.virtual_bytes),
            ("open_fds", "gauge", "Number of open file descriptors.", self.open_fds),
            ("max_fds", "gauge", "Maximum number of open file descriptors.", self.max_fds),
            ("threads", "gauge", "Number of operating system threads.", self.threads),
            ("start_time_seconds", "gauge", "Start time, Unix seconds.", self.start_seconds),
        ];
        for (name, kind, help, value) in figures {
            let written = write!(
                out,
                "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}\n\n"
            );
            debug_assert!(written.is_ok());
        }
    }
}

/// Memory this process may use: its cgroup's ceiling, else the machine's memory.
pub fn memory_ceiling_bytes() -> u64 {
    let cgroup = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let ceilings =
        cgroup.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    });
    // Without either figure, what a small container has.
    ceilings.chain(machine).min().unwrap_or(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_a_past() {
        let figures = ProcessFigures::read().unwrap();
        assert!(figures.resident_bytes > 1e6 && figures.virtual_bytes >= figures.resident_bytes);
        assert!(figures.threads >= 1.0 && figures.open_fds >= 3.0);
        assert!(figures.max_fds >= figures.open_fds && figures.start_seconds > 1.6e9);
        assert!(memory_ceiling_bytes() > figures.resident_bytes as u64);
    }
}
