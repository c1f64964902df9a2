//! Time series of `lab traffic --csv`, one row per second.

use std::io::{self, Write};

use lab_traffic::Interval;

/// Writer of the rows.
#[derive(Debug)]
pub struct Csv<W> {
    out: W,
}

impl<W: Write> Csv<W> {
    /// Writes the header row.
    pub fn new(mut out: W) -> io::Result<Self> {
        writeln!(out, "start,length,sent,unsent,1xx,2xx,3xx,4xx,5xx,errors,p50_ms,p90_ms,p99_ms,max_ms")?;
        out.flush()?;
        Ok(Self { out })
    }

    /// Writes a row. The latencies of an interval without responses are empty.
    pub fn row(&mut self, interval: &Interval) -> io::Result<()> {
        let class = |class: u16| -> u64 {
            interval.codes.iter().filter(|(code, _)| **code / 100 == class).map(|(_, count)| count).sum()
        };
        let classes: Vec<String> = (1..=5).map(|number| class(number).to_string()).collect();
        let latency = &interval.latency;
        let at = |share| lab_traffic::quantile(latency, share);
        let millis = |micros: u64| {
            if latency.is_empty() { String::new() } else { format!("{}.{:03}", micros / 1000, micros % 1000) }
        };
        writeln!(
            self.out,
            "{:.3},{:.3},{},{},{},{},{},{},{},{}",
            interval.start.as_secs_f64(),
            interval.length.as_secs_f64(),
            interval.sent,
            interval.unsent,
            classes.join(","),
            interval.errors.values().sum::<u64>(),
            millis(at(0.5)),
            millis(at(0.9)),
            millis(at(0.99)),
            millis(latency.max()),
        )?;
        self.out.flush()
    }
}
