//! Pages that Prometheus accepts and pages that it refuses, taken from its tests.

use super::format::{Dialect, Line};
use super::{Exposition, NotMetrics, Series};

const OPEN_METRICS: Option<&str> = Some("application/openmetrics-text; version=1.0.0");

fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let read = Exposition::parse(page, None).unwrap_or_else(|error| panic!("{page:?} {error}"));
    read.values.get(&Series::new(name, labels)).copied()
}

#[test]
fn pages_that_prometheus_accepts_are_read() {
    type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], f64);
    let cases: &[Case] = &[
        ("a:b:rate5m{a_b=\"c\"}\t1", "a:b:rate5m", &[("a_b", "c")], 1.0),
        ("\n\n  a 1.234\n", "a", &[], 1.234),
        ("a -3e3 103948", "a", &[], -3e3),
        ("a -1 -2", "a", &[], -1.0),
        ("a{} 3", "a", &[], 3.0),
        ("a 08 15", "a", &[], 8.0),
        ("a 1 \t\n", "a", &[], 1.0),
        ("a { b = \"1\" , c=\"2\" , }-Inf", "a", &[("b", "1"), ("c", "2")], f64::NEG_INFINITY),
        ("a{b=\"x\"\t,c   =   \"y\"\t\t} +Inf 54321", "a", &[("b", "x"), ("c", "y")], f64::INFINITY),
        ("a{b=\"base\\\"v\\\\al\\nue\"} .5", "a", &[("b", "base\"v\\al\nue")], 0.5),
        ("a{b=\"}{,=# EOF\"} 5.", "a", &[("b", "}{,=# EOF")], 5.0),
        ("_a{_b=\"\0\"} 1e+00", "_a", &[("_b", "\0")], 1.0),
        ("{\"my.metric\"} 42", "my.metric", &[], 42.0),
        ("{\"my.metric\",\"l.n\"=\"Bj\u{f6}rn\"} 1", "my.metric", &[("l.n", "Bj\u{f6}rn")], 1.0),
        ("{l=\"v\", \"m\\\"y\\n\\\\\"} 1", "m\"y\n\\", &[("l", "v")], 1.0),
        ("# HELP \"my.m\" text\n# TYPE \"my.m\" counter\n{\"my.m\"} 1", "my.m", &[], 1.0),
        ("# HELP a\n# HELP\n# HELP b \n#\n#TYPE a bla\n# TYPE\n# TYPE a\n# any\x01thing\na 1", "a", &[], 1.0),
        ("  #    TYPE    a Gauge\na 1", "a", &[], 1.0),
        ("# HELP a C:\\dir\na 1", "a", &[], 1.0),
        // The latest of several samples counts; a sample without a time is the latest.
        ("a 1 1000\na 3 3000\na 2 2000", "a", &[], 3.0),
        ("a 42\na 0.23 1234567890", "a", &[], 42.0),
        // In this format it is a comment.
        ("a 1\n# EOF\nb 2", "b", &[], 2.0),
    ];
    for (page, name, labels, expected) in cases {
        assert_eq!(value(page, name, labels), Some(*expected), "{page:?}");
    }
    assert!(value("a NaN", "a", &[]).is_some_and(f64::is_nan));
}

#[test]
fn pages_that_prometheus_refuses_are_refused_with_the_line() {
    let lines = [
        "bla",
        "a",
        "a b",
        "met-ric{} 1",
        "a{b=\"\\t\"} 1",
        "a{b=\"new\nline\"} 1",
        "a{@=\"b\"} 1",
        "a{b+=\"c\"} 1",
        "a{b=c} 1",
        "a{b='c'} 1",
        "a{b=",
        "a{b=\"c\"+} 1",
        "a{b=\"c\"} 1 2.5",
        "a{b=\"c\"} 1 2 3",
        "a{b=\"c\"} x",
        "@a{b=\"c\"} 1",
        "{b=\"c\"} 1",
        "{} 1",
        "{\"\"} 1",
        "{A}0",
        "a{,} 1",
        "a{b=\"c\",,d=\"e\"} 1",
        "a{\"b\"} 1",
        "{\"a\",\"b\"} 1",
        "{\"a\", \"b = \"c\"}",
        "a{=\"b\"} 0",
        "a{1b=\"c\"} 1",
        "1a 1",
        "a true",
        "a 1_2",
        "a 0x1p-3",
        "a 0x10",
        "a 0 1_2",
        "a +NaN",
        "a 1\u{a0}2",
        "a\u{a0}1",
        "a 1\r",
        "a\0{b=\"c\"} 1",
        "a 0 1\0",
        "a{b\0=\"c\"} 1",
        "a{b:c=\"d\"} 1",
        "\u{e9} 1",
        "a 1 9223372036854775808",
        "# TYPE #",
        "# HELP #",
        "# TYPE met-ric",
        "a 1 # {} 1",
    ];
    for line in lines {
        let error = Exposition::parse(&format!("first 1\n{line}\n"), None).expect_err(line);
        assert!(matches!(error, NotMetrics::Line { line: 2, .. }), "{line:?}: {error:?}");
    }
}

#[test]
fn rules_that_span_several_lines_are_checked() {
    let cases = [
        ("# TYPE a counter\na 1\na 2", 3, "a second sample of the same series of a"),
        ("a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1", 2, "a second sample"),
        ("a 1 7\na 2 7", 2, "a second sample"),
        ("a{b=\"1\",b=\"2\"} 1", 1, "a has the label b twice"),
        ("a{__name__=\"b\"} 1", 1, "__name__ is reserved"),
        ("# HELP a x\n# HELP a y", 2, "a second HELP line for a"),
        ("# TYPE a counter\n# TYPE a untyped", 2, "a second TYPE line for a"),
        ("a 1\n# TYPE a counter", 2, "the TYPE line for a follows its samples"),
        ("# TYPE a bla", 1, "\"bla\" is not a metric type"),
        ("# TYPE a unknown", 1, "\"unknown\" is not a metric type"),
        ("# TYPE a summary\na{quantile=\"bla\"} 1", 2, "quantile=\"bla\" of a is not a number"),
        ("# TYPE a histogram\na_bucket{le=\"bla\"} 1", 2, "le=\"bla\" of a_bucket is not a number"),
        ("# TYPE a histogram\na_bucket{le=\"1\"} -1", 2, "a bucket of a_bucket is below 0"),
        ("a 1e999", 1, "the value 1e999 is out of range"),
    ];
    for (page, at, expected) in cases {
        match Exposition::parse(page, None).expect_err(page) {
            NotMetrics::Rule { line, reason } => {
                assert!(line == at && reason.contains(expected), "{line}: {reason}");
            }
            other => panic!("{page}: {other:?}"),
        }
    }
}

#[test]
fn open_metrics_has_its_own_rules() {
    let page = "# TYPE jobs counter\n# UNIT jobs jobs\njobs_total{a=\"b # {\"} 5 1.5 # {trace=\"x\"} 1 1.5\njobs_created 1e9\n\
                # TYPE up unknown\nup 1\n# TYPE build info\nbuild_info 1\n# EOF\n";
    let read = Exposition::parse(page, OPEN_METRICS).expect("it is OpenMetrics");
    assert_eq!(read.values.get(&Series::new("jobs_total", &[("a", "b # {")])), Some(&5.0));
    assert_eq!(read.gauges.into_iter().collect::<Vec<_>>(), ["build_info", "jobs_created", "up"]);
    assert_eq!(Exposition::parse("a 1\n", OPEN_METRICS), Err(NotMetrics::NoEnd));
    let after = Exposition::parse("a 1\n# EOF\nb 2\n", OPEN_METRICS).expect_err("text after the end");
    assert_eq!(after, NotMetrics::Rule { line: 3, reason: "text after `# EOF`".to_owned() });
}

#[test]
fn a_counter_without_a_type_is_recognized_by_its_name() {
    let page = "app_requests_total 40\nh_bucket{le=\"1\"} 2\nh_sum 1\nh_count 2\ns3_bucket 1\ndepth_count 1\nup 1\n\
                # TYPE jobs_total gauge\njobs_total 1\n# TYPE any_total untyped\nany_total 1\n\
                # TYPE g gaugehistogram\ng_bucket{le=\"1\"} 1\ng_count 1\ng_sum 1\n";
    let read = Exposition::parse(page, None).expect("metrics");
    let gauges = ["depth_count", "g_bucket", "g_count", "g_sum", "jobs_total", "s3_bucket", "up"];
    assert_eq!(read.gauges.into_iter().collect::<Vec<_>>(), gauges);
}

proptest::proptest! {
    /// No line causes a panic, and blanks around a line do not change its meaning.
    #[test]
    fn any_line_is_read_or_refused(line in "[ -~\t\u{e9}]{0,40}", words in "(# )?(TYPE |HELP )?\"?[a:]{1,3}\"?(\\{[a=\",]{0,8}\\})? ?[0-9.e+NaN-]{0,5} ?[0-9]{0,3}") {
        for line in [line, words] {
            for dialect in [Dialect::Text, Dialect::OpenMetrics] {
                let read = dialect.line(&line);
                if let Ok(Line::Sample(sample)) = &read && !sample.value.is_nan() && dialect == Dialect::Text {
                    proptest::prop_assert_eq!(dialect.line(&format!(" {line}\t")), read);
                }
            }
        }
    }
}
