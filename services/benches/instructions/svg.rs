//! Two curves over the number of live calls, drawn as SVG: time on the left axis, memory on the right.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const TIME: &str = "#1f6fb2";
const MEMORY: &str = "#b25a1f";

/// The picture of `(live calls, microseconds, octets)`. Both axes begin at zero, or small differences would look large.
pub fn page(points: &[(f64, f64, f64)]) -> String {
    let most = |pick: fn(&(f64, f64, f64)) -> f64| {
        round_up(points.iter().map(pick).fold(1.0, f64::max) * 1.1)
    };
    let (times, octets) = (most(|point| point.1), most(|point| point.2));
    let (first, last) = (points.first().map_or(1.0, |p| p.0), points.last().map_or(10.0, |p| p.0));
    // By powers of ten: the numbers of calls grow so.
    let x = |live: f64| {
        let share = (live / first).ln() / (last / first).ln().max(1e-9);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    };
    let y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let at = y(share);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>",
            WIDTH - RIGHT
        );
        text(&mut out, (LEFT - 8.0, at + 4.0), "end", TIME, &format!("{:.0}", times * share));
        let right = (WIDTH - RIGHT + 8.0, at + 4.0);
        text(&mut out, right, "start", MEMORY, &format!("{:.0}", octets * share));
    }
    for (live, _, _) in points {
        text(&mut out, (x(*live), HEIGHT - BOTTOM + 18.0), "middle", "#333", &format!("{live:.0}"));
    }
    curve(&mut out, TIME, points.iter().map(|(live, time, _)| (x(*live), y(time / times))));
    curve(&mut out, MEMORY, points.iter().map(|(live, _, kept)| (x(*live), y(kept / octets))));
    text(&mut out, (LEFT, 22.0), "start", TIME, "microseconds of the shard for one call more");
    text(&mut out, (WIDTH - RIGHT, 22.0), "end", MEMORY, "octets of each live call");
    text(&mut out, (WIDTH / 2.0, HEIGHT - 12.0), "middle", "#333", "live calls");
    out.push_str("</svg>\n");
    out
}

fn curve(out: &mut String, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
    let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        out,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
        points.join(" ")
    );
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, colour: &str, words: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{words}</text>"
    );
}

/// The next of 1, 2, 4, 5 and 10 times a power of ten: marks at its quarters can be read.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value)
        .unwrap_or(value)
}
