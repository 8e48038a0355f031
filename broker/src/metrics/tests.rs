use super::process::{Process, cpu, resident};
use super::*;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn every_series_is_there_before_its_first_event_with_help_and_type() {
    let text = Meters::new(&recorder()).render();
    for reason in CloseReason::ALL {
        let line = format!("towline_links_closed_total{{reason=\"{}\"}} 0", reason.as_str());
        assert!(text.contains(&line), "no {line} in {text}");
    }
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a line has a name");
        assert!(name.starts_with("towline_"), "{line}");
        // A histogram is several series.
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let is_histogram = |name: &&str| text.contains(&format!("# TYPE {name} histogram\n"));
        let (name, kind) = match of_histogram.filter(is_histogram) {
            Some(name) => (name, "histogram"),
            None if name.ends_with("_total") => (name, "counter"),
            None => (name, "gauge"),
        };
        assert!(text.contains(&format!("# HELP {name} ")), "no help for {name}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}");
    }
}

#[test]
fn a_family_counts_by_label_and_shares_nothing_with_another_recorder() {
    let (one, other) = (Meters::new(&recorder()), Meters::new(&recorder()));
    one.requests.of(Interaction::Channel).increment(3);
    one.links_open.of(LinkKind::Memory).increment(2.0);
    one.bytes_out.increment(u64::from(u32::MAX) + 1);
    let text = one.render();
    assert!(text.contains("towline_requests_total{interaction=\"request_channel\"} 3\n"), "{text}");
    assert!(text.contains("towline_links_open{kind=\"memory\"} 2\n"), "{text}");
    assert!(text.contains("towline_links_open{kind=\"app\"} 0\n"), "{text}");
    assert!(text.contains("towline_sent_bytes_total 4294967296\n"), "{text}");
    assert!(other.render().contains("towline_requests_total{interaction=\"request_channel\"} 0\n"));
}

#[test]
fn labels_are_at_their_index() {
    fn check<L: Label + PartialEq>() {
        for (nth, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.index(), nth, "{label:?}");
        }
    }
    check::<LinkKind>();
    check::<CloseReason>();
    check::<SetupRefusal>();
    check::<Interaction>();
    check::<RequestRefusal>();
}

#[test]
fn observers_are_asked_at_each_scrape() {
    let meters = Meters::new(&recorder());
    let budget = Arc::new(std::sync::atomic::AtomicU32::new(7));
    let seen = Arc::downgrade(&budget);
    meters.before_scrape(move |meters| {
        if let Some(budget) = seen.upgrade() {
            meters.budget_used.set(f64::from(budget.load(std::sync::atomic::Ordering::Relaxed)));
        }
    });
    assert!(meters.render().contains("towline_budget_used_bytes 7\n"));
    budget.store(9, std::sync::atomic::Ordering::Relaxed);
    assert!(meters.render().contains("towline_budget_used_bytes 9\n"));
}

#[test]
fn the_process_is_read_from_what_the_kernel_writes() {
    assert_eq!(resident("VmPeak:\t  999 kB\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
    let stat = "42 (a ) name) S 1 42 42 0 -1 4194560 1000 0 0 0 150 50 0 0 20 0 9 0 100 1000 200";
    assert_eq!(cpu(stat), Some(2.0));
    assert_eq!((resident(""), cpu("")), (None, None));
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let mut text = String::new();
    Process { uptime: Duration::from_millis(1500), ..Process::default() }.render(&mut text);
    assert!(text.contains("\ntowline_process_uptime_seconds 1.5\n"), "{text}");
    assert!(!text.contains("towline_process_open_fds"), "{text}");
}
