//! Fuzzes the scenario loader with 100,000 damaged and malicious files: no panic, no hang, no memory above 200 MB.
//!
//!     cargo bench --bench fuzz_loader                 change with FUZZ_INPUTS=1000000 and FUZZ_SEED=7
//!
//! Exits 1 if a limit is missed, and prints the seed that generates the file.

#[path = "../tests/shared/mutate.rs"]
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lab_scenario::{LoadOptions, Source, load};

use mutate::Mutator;

/// CPU time limit per file.
const LIMIT: Duration = Duration::from_secs(1);
/// Time without progress after which a file counts as hanging.
const HANG_TIMEOUT: Duration = Duration::from_secs(20);
/// Memory limit of the whole process, in MB.
const MEMORY_LIMIT_MB: f64 = 200.0;

/// Result of one file.
struct Outcome {
    seed: u64,
    duration: Duration,
    bytes: usize,
    valid: bool,
    panicked: bool,
}

fn main() -> ExitCode {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (inputs, first) = (number("FUZZ_INPUTS", 100_000), number("FUZZ_SEED", 0));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    // Panics are counted with their seed; the panic hook prints the messages.
    let (next, (report, reports)) = (AtomicU64::new(first), mpsc::channel());
    let started = Instant::now();
    let (mut valid, mut bytes, mut panics, mut slow) = (0_u64, 0, Vec::new(), Vec::new());
    let mut longest = (Duration::ZERO, 0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (next, report) = (&next, report.clone());
            scope.spawn(move || worker(next, first + inputs, &report));
        }
        drop(report);
        loop {
            let outcome: Outcome = match reports.recv_timeout(HANG_TIMEOUT) {
                Ok(outcome) => outcome,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let near = next.load(Ordering::Relaxed);
                    eprintln!(
                        "no file has finished for {HANG_TIMEOUT:?}: one of the {threads} seeds before {near} hangs"
                    );
                    std::process::exit(1);
                }
            };
            valid += u64::from(outcome.valid);
            bytes += outcome.bytes;
            panics.extend(outcome.panicked.then_some(outcome.seed));
            slow.extend((outcome.duration > LIMIT).then_some(outcome.seed));
            longest = longest.max((outcome.duration, outcome.seed));
        }
    });
    let memory = peak_mb();
    println!("{inputs} files, {} MB, in {:.1?} on {threads} threads", bytes / 1_000_000, started.elapsed());
    println!("valid {valid}, rejected {}, panics {} {panics:?}", inputs - valid, panics.len());
    println!("longest {:.1?} (seed {}), limit {LIMIT:?}: {} above {slow:?}", longest.0, longest.1, slow.len());
    println!(
        "peak memory {}, limit {MEMORY_LIMIT_MB} MB",
        memory.map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.1} MB"))
    );
    let met = panics.is_empty() && slow.is_empty() && memory.is_none_or(|mb| mb <= MEMORY_LIMIT_MB);
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn worker(next: &AtomicU64, end: u64, report: &mpsc::Sender<Outcome>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let text = Mutator::new(seed).file();
        let bytes = text.len();
        let started = CpuTime::now();
        let found = catch_unwind(AssertUnwindSafe(|| read(text)));
        let outcome = Outcome {
            seed,
            duration: started.since(),
            bytes,
            valid: matches!(found, Ok(true)),
            panicked: found.is_err(),
        };
        if report.send(outcome).is_err() {
            return;
        }
    }
}

/// Loads a file and renders its diagnostics, like `lab scenario validate`.
fn read(text: String) -> bool {
    let source = Source::Text { name: "mutant.yaml".into(), text };
    load(&source, &LoadOptions::default()).map_err(|found| found.render(true)).is_ok()
}

/// CPU time of this thread, because wall time means little on a busy machine. Linux only: nanoseconds in the first field of
/// `schedstat`.
struct CpuTime {
    clock: Instant,
    processor: Option<Duration>,
}

impl CpuTime {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let processor = text.and_then(|text| text.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
        Self { clock: Instant::now(), processor }
    }

    fn since(&self) -> Duration {
        let now = Self::now();
        let processor = now.processor.zip(self.processor).map(|(now, then)| now.saturating_sub(then));
        processor.unwrap_or_else(|| self.clock.elapsed())
    }
}

/// Peak memory of this process in MB. Linux only.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kb| kb / 1024.0)
}
