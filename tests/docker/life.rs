//! A lab's life: up, again up, rotated, down.

use std::time::Instant;

use lab::engine::{APP, Engine, KEY_VARIABLE, ServiceChange};
use libtest_mimic::Trial;

use crate::support::{Bench, Stages, request, silent};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("figures", figures)]
}

async fn figures() {
    let bench = Bench::new("figures");
    for round in 0..3 {
        let stages = Stages::default();
        let start = Instant::now();
        let sink = stages.sink();
        let timed: lab::engine::ProgressFn = std::sync::Arc::new(move |progress| {
            eprintln!("  {:>6.3} {} {}", start.elapsed().as_secs_f64(), progress.service, progress.stage);
            sink(progress);
        });
        let up = bench.engine.up(&request(), timed).await.unwrap();
        eprintln!("{round} up {:.3}", start.elapsed().as_secs_f64());
        let start = Instant::now();
        bench.engine.up(&request(), silent()).await.unwrap();
        eprintln!("{round} up again {:.3}", start.elapsed().as_secs_f64());
        let start = Instant::now();
        let ensured = bench.engine.ensure(APP, &ServiceChange::env(KEY_VARIABLE, "apikey-v2")).await.unwrap();
        eprintln!("{round} rotate {:.3} {}", start.elapsed().as_secs_f64(), ensured.retired.len());
        let start = Instant::now();
        bench.engine.describe().await.unwrap();
        eprintln!("{round} describe {:.3}", start.elapsed().as_secs_f64());
        eprintln!("{:?}", up.endpoints);
        let start = Instant::now();
        bench.engine.down().await.unwrap();
        eprintln!("{round} down {:.3}", start.elapsed().as_secs_f64());
    }
    bench.finish().await;
}
