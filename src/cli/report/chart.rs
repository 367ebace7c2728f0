//! Charts as inline SVG; colours are the page's CSS variables.

use mudenet_edge::metric::Point;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// A line of a chart.
pub(super) struct Line<'a> {
    pub(super) name: String,
    /// CSS class that gives its colour.
    pub(super) class: &'static str,
    pub(super) points: &'a [Point],
}

/// One colour of a histogram.
pub(super) struct Bars<'a> {
    pub(super) name: &'a str,
    pub(super) class: &'static str,
    pub(super) values: Vec<f64>,
}

/// Curves over a false-positive rate of 0 to `limit`, the part that is integrated.
pub(super) fn curves(lines: &[Line<'_>], limit: f64, y_name: &str) -> String {
    let x = |v: f64| LEFT + v / limit * (WIDTH - LEFT - RIGHT);
    let y = |v: f64| HEIGHT - BOTTOM - v * (HEIGHT - TOP - BOTTOM);
    let mut body = String::new();
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        body += &grid_line(x(0.0), y(part), x(limit), y(part));
        body += &label(LEFT - 6.0, y(part) + 4.0, "end", &number(part));
        body += &label(x(part * limit), HEIGHT - BOTTOM + 16.0, "middle", &number(part * limit));
    }
    body += &label((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0, "middle", "false-positive rate");
    for line in lines {
        let mut path = String::new();
        let mut last = Point { x: 0.0, y: 0.0 };
        for point in line.points {
            let mut drawn = *point;
            if point.x > limit {
                drawn.y = last.y + (point.y - last.y) * (limit - last.x) / (point.x - last.x);
                drawn.x = limit;
            }
            let command = if path.is_empty() { 'M' } else { 'L' };
            path += &format!("{command}{:.1} {:.1}", x(drawn.x), y(drawn.y));
            last = *point;
            if point.x >= limit {
                break;
            }
        }
        body += &format!("<path class=\"line {}\" d=\"{path}\"/>", line.class);
    }
    svg(&body, y_name) + &legend(lines.iter().map(|l| (l.class, l.name.as_str())))
}

/// Bins of a histogram.
const BINS: usize = 30;

/// Share of the values that the axis of a histogram reaches over at least; larger ones may end up in its last bin.
const SHOWN: f64 = 0.95;
/// How far the axis reaches at most, where few values are larger: distances of the mark from the smallest value.
const REACH: f64 = 4.0;

/// Where the axis ends: a few values that are far out must not press all others into one bin.
fn end(values: &mut [f64], mark: Option<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (Some(min), Some(max)) = (values.first(), values.last()) else { return 0.0 };
    let most = values.get(((values.len() - 1) as f64 * SHOWN).ceil() as usize).unwrap_or(max);
    let far = mark.map_or(min + REACH * (most - min), |mark| min + REACH * (mark - min).abs());
    far.max(*most).min(*max)
}

/// Histograms over one axis, drawn over each other; `mark` is a line with its name. Values beyond the axis are in the last
/// bin, which then says so.
pub(super) fn histogram(bars: &[Bars<'_>], x_name: &str, mark: Option<(f64, &str)>) -> String {
    let values = || bars.iter().flat_map(|b| b.values.iter().copied()).chain(mark.map(|(at, _)| at));
    let (min, largest) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    if !min.is_finite() {
        return String::new();
    }
    let max = end(&mut values().collect::<Vec<f64>>(), mark.map(|(at, _)| at));
    let beyond = largest > max;
    let pad = if max > min { 0.02 * (max - min) } else { 0.5 };
    let (min, max) = (min - pad, max + pad);
    let bin = |v: f64| (((v - min) / (max - min) * BINS as f64) as usize).min(BINS - 1);
    let counted: Vec<(&str, [usize; BINS])> = bars
        .iter()
        .map(|bars| {
            let mut counts = [0; BINS];
            bars.values.iter().for_each(|v| counts[bin(*v)] += 1);
            (bars.class, counts)
        })
        .collect();
    let most = counted.iter().flat_map(|(_, counts)| counts).copied().max().unwrap_or(0).max(1) as f64;
    let x = |v: f64| LEFT + (v - min) / (max - min) * (WIDTH - LEFT - RIGHT);
    let y = |v: f64| HEIGHT - BOTTOM - v / most * (HEIGHT - TOP - BOTTOM);
    let mut body = String::new();
    let ticks = [0.0, (most / 2.0).floor(), most];
    for tick in ticks.iter().enumerate().filter(|(i, t)| *i == 0 || **t > ticks[i - 1]).map(|(_, t)| *t) {
        body += &grid_line(LEFT, y(tick), WIDTH - RIGHT, y(tick));
        body += &label(LEFT - 6.0, y(tick) + 4.0, "end", &number(tick));
    }
    for step in 0..=3 {
        let at = min + (max - min) * f64::from(step) / 3.0;
        let anchor = ["start", "middle", "middle", "end"][step as usize];
        let more = if beyond && step == 3 { format!("{} and more", number(at)) } else { number(at) };
        body += &label(x(at), HEIGHT - BOTTOM + 16.0, anchor, &more);
    }
    body += &label((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0, "middle", x_name);
    let width = (WIDTH - LEFT - RIGHT) / BINS as f64;
    for (class, counts) in &counted {
        for (i, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (left, top) = (LEFT + i as f64 * width, y(*count as f64));
            let height = HEIGHT - BOTTOM - top;
            body += &format!(
                "<rect class=\"bar {class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                width - 0.6
            );
        }
    }
    if let Some((at, name)) = mark {
        let x = x(at);
        let bottom = HEIGHT - BOTTOM;
        body += &format!("<line class=\"mark\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>");
        let (anchor, offset) = if x > WIDTH / 2.0 { ("end", -5.0) } else { ("start", 5.0) };
        let y = TOP + 10.0;
        let x = x + offset;
        body +=
            &format!("<text class=\"name\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escape(name));
    }
    svg(&body, &format!("histogram of {x_name}")) + &legend(bars.iter().map(|b| (b.class, b.name)))
}

fn svg(body: &str, title: &str) -> String {
    let title = escape(title);
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">{body}</svg>")
}

fn legend<'a>(entries: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let entry = |(class, name): (&str, &str)| format!("<li><i class=\"{class}\"></i>{}</li>", escape(name));
    format!("<ul class=\"legend\">{}</ul>", entries.map(entry).collect::<String>())
}

fn grid_line(x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!("<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>")
}

fn label(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(text))
}

/// Three significant digits.
fn number(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_values_far_out_leave_the_others_their_room() {
        let mut values: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        assert_eq!(end(&mut values.clone(), Some(1.0)), 0.99);
        values.push(1000.0);
        assert_eq!(end(&mut values.clone(), Some(1.0)), 4.0);
        // Where many are far out, they are shown.
        values.extend([500.0; 30]);
        assert_eq!(end(&mut values, Some(1.0)), 500.0);
        let drawn = |largest: f64| {
            let values = (0..100).map(|i| f64::from(i) / 100.0).chain([largest]).collect();
            histogram(&[Bars { name: "a", class: "c0", values }], "score", Some((1.0, "t")))
        };
        assert!(drawn(900.0).contains("and more") && !drawn(1.1).contains("and more"));
    }
}
