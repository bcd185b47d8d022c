//! Tables and ratios for people, and for the programs that look for the word `ratio`.

use std::fmt::Write;

use crate::knee::Step;
use crate::sip::{Figures, Series};
use crate::tally::{self, Tally};

/// One line while the run goes on.
pub fn print_step(what: &str, step: &Step) {
    let tally = &step.tally;
    println!(
        "{what}: offered {:.0}/s, done {:.0}/s ({:.1} %), cpu {:.4} s per 1,000, core {:.0} % busy, \
         p50 {:.2} ms, p99 {:.2} ms{}",
        step.rate,
        tally.per_second(),
        tally.goodput() * 100.0,
        step.cpu_per_thousand(),
        step.busy * 100.0,
        millis(tally, 50.0),
        millis(tally, 99.0),
        troubles(tally),
    );
}

/// What went wrong, if anything did; begins with a separator.
pub fn troubles(tally: &Tally) -> String {
    let mut text = String::new();
    let counts = [
        ("retransmitted", tally.retransmitted),
        ("repeated by the server", tally.repeated),
        ("without an answer", tally.lost),
        ("messages wrong", tally.wrong),
    ];
    for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let _ = write!(text, ", {count} {what}");
    }
    for (status, count) in &tally.refused {
        let _ = write!(text, ", {count} times {status}");
    }
    if let Some(first) = &tally.wrong_first {
        let _ = write!(text, "; the first wrong one: {first:?}");
    }
    text
}

fn millis(tally: &Tally, percent: f64) -> f64 {
    tally.quantile(percent).as_secs_f64() * 1_000.0
}

/// The middle one of what `figure` gives for each step.
fn median(steps: &[Step], figure: impl Fn(&Step) -> f64) -> Option<f64> {
    tally::median(steps.iter().map(figure).collect())
}

/// One table for calls, one for registrations, one for memory.
pub fn tables(figures: &[Figures]) -> String {
    let mut text = String::new();
    for (title, pick) in [("calls", calls as fn(&Figures) -> &Series), ("registrations", registers)]
    {
        let _ = writeln!(
            text,
            "\n{title:<14}{:>11}{:>11}{:>14}{:>16}{:>10}{:>10}{:>9}{:>8}",
            "knee/s",
            "closed/s",
            "same load/s",
            "cpu s per 1,000",
            "p50 ms",
            "p99 ms",
            "retrans",
            "failed"
        );
        for of in figures {
            let series = pick(of);
            let sum = |count: fn(&Tally) -> u64| {
                series.same.iter().map(|step| count(&step.tally)).sum::<u64>()
            };
            let middle =
                |figure: &dyn Fn(&Step) -> f64| median(&series.same, figure).unwrap_or(0.0);
            let _ = writeln!(
                text,
                "{:<14}{:>11.0}{:>11.0}{:>14.0}{:>16.4}{:>10.2}{:>10.2}{:>9}{:>8}",
                of.name,
                series.knee.as_ref().map_or(0.0, |step| step.rate),
                median(&series.closed, |step| step.tally.per_second()).unwrap_or(0.0),
                middle(&|step| step.rate),
                middle(&Step::cpu_per_thousand),
                middle(&|step| millis(&step.tally, 50.0)),
                middle(&|step| millis(&step.tally, 99.0)),
                sum(|tally| tally.retransmitted + tally.repeated),
                sum(Tally::failed),
            );
        }
    }
    let _ =
        writeln!(text, "\n{:<14}{:>26}{:>16}", "memory", "MB per 100,000 bindings", "MB when idle");
    for of in figures {
        let idle = of.idle_memory as f64 / 1e6;
        let _ = writeln!(text, "{:<14}{:>26.1}{idle:>16.1}", of.name, of.bindings_memory / 1e6);
        if let Some((bindings, octets)) = of.crowd_memory {
            let among = format!("among {bindings}");
            let _ = writeln!(text, "  {among:<12}{:>26.1}", octets / 1e6);
        }
    }
    let _ = writeln!(
        text,
        "\n{:<14}{:>10}{:>12}{:>12}{:>14}",
        "beyond", "times", "offered/s", "done/s", "of its knee"
    );
    for of in figures {
        let knee = of.calls.knee.as_ref().map_or(0.0, |step| step.rate);
        for (times, step) in &of.beyond {
            let done = step.tally.per_second();
            let share = done / knee.max(1.0) * 100.0;
            let _ = writeln!(
                text,
                "{:<14}{times:>10.0}{:>12.0}{done:>12.0}{share:>12.0} %",
                of.name, step.rate
            );
        }
    }
    text
}

fn calls(figures: &Figures) -> &Series {
    &figures.calls
}

fn registers(figures: &Figures) -> &Series {
    &figures.registers
}

/// Ours divided by the peer's. Nothing when only one server ran.
pub fn ratios(figures: &[Figures]) -> String {
    let [peer, ours] = figures else { return String::new() };
    let mut text = String::new();
    let mut row = |what: &str, ours: Option<f64>, of_peer: Option<f64>, good: &str| {
        let (Some(own), Some(other)) = (ours, of_peer.filter(|other| *other > 0.0)) else {
            let _ = writeln!(text, "{what}: no ratio to {}, a figure is missing", peer.name);
            return;
        };
        let _ = writeln!(
            text,
            "{what}: ratio {:.2} to {} ({own:.4} / {other:.4}; {good} is better)",
            own / other,
            peer.name
        );
    };
    for (title, pick) in [("call", calls as fn(&Figures) -> &Series), ("registration", registers)] {
        let same = |of: &Figures, figure: &dyn Fn(&Step) -> f64| median(&pick(of).same, figure);
        let cpu = |of: &Figures| same(of, &Step::cpu_per_thousand);
        row(&format!("cpu per {title}"), cpu(ours), cpu(peer), "lower");
        let full = |of: &Figures| median(&pick(of).closed, Step::cpu_per_thousand);
        row(&format!("cpu per {title}, saturated"), full(ours), full(peer), "lower");
        let knee = |of: &Figures| pick(of).knee.as_ref().map(|step| step.rate);
        row(&format!("{title}s a second at the knee"), knee(ours), knee(peer), "higher");
        for percent in [50.0, 99.0] {
            let time = |of: &Figures| same(of, &|step| millis(&step.tally, percent));
            row(&format!("{title} p{percent} in ms"), time(ours), time(peer), "lower");
        }
    }
    let memory = |of: &Figures| Some(of.bindings_memory);
    row("resident octets per 100,000 bindings", memory(ours), memory(peer), "lower");
    let crowd = |of: &Figures| of.crowd_memory.map(|(_, octets)| octets);
    if let Some((bindings, _)) = ours.crowd_memory {
        let what = format!("resident octets per 100,000 of {bindings} bindings");
        row(&what, crowd(ours), crowd(peer), "lower");
    }
    for (place, (times, _)) in ours.beyond.iter().enumerate() {
        let share = |of: &Figures| {
            let done = of.beyond.get(place)?.1.tally.per_second();
            Some(done / of.calls.knee.as_ref()?.rate)
        };
        let what = format!("share of the knee's calls at {times:.0} times the knee");
        row(&what, share(ours), share(peer), "higher");
    }
    if let Some(two) = median(&ours.two_shards, Step::cpu_per_thousand)
        && let Some(one) = median(&ours.calls.same, Step::cpu_per_thousand)
    {
        let ratio = two / one.max(1e-9);
        let _ = writeln!(
            text,
            "cpu per call with two shards: ratio {ratio:.2} to {} with one ({two:.4} / {one:.4}; lower is better)",
            ours.name
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn figures(name: &'static str, cpu: u64) -> Figures {
        let tally =
            Tally { offered: 1_000, completed: 1_000, setup: vec![500; 10], ..Tally::default() };
        let step = Step { rate: 10.0, tally, cpu: Duration::from_millis(cpu), busy: 0.1 };
        let series = || Series {
            knee: Some(step.clone()),
            closed: vec![step.clone()],
            same: vec![step.clone()],
        };
        Figures {
            name,
            calls: series(),
            registers: series(),
            bindings_memory: 5e7,
            idle_memory: 1,
            crowd_memory: Some((500_000, 4e7)),
            beyond: vec![(2.0, step.clone())],
            two_shards: vec![step],
        }
    }

    #[test]
    fn each_ratio_names_the_peer_and_a_figure() {
        let both = [figures("kamailio", 120), figures("carillon", 60)];
        let text = ratios(&both);
        assert!(text.contains("cpu per call: ratio 0.50 to kamailio (0.0600 / 0.1200;"), "{text}");
        assert!(
            text.lines().all(|row| row.contains("ratio")
                && (row.contains("kamailio") || row.contains("to carillon with one"))),
            "{text}"
        );
        assert!(text.contains("with two shards: ratio 1.00 to carillon with one"), "{text}");
        assert_eq!(ratios(&both[..1]), "");
        assert!(
            tables(&both).lines().any(|row| row.starts_with("carillon") && row.contains("0.0600"))
        );
    }
}
