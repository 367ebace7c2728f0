//! The HTML page.

use super::chart::{Bars, Line, curves, escape, histogram};
use super::gallery::{Card, Shelf};
use super::{Measured, Report, rows};
use mudenet_edge::metric::PRO_LIMIT;

const STYLE: &str = include_str!("page.css");

impl Report<'_> {
    /// The whole page; it loads nothing.
    pub(super) fn page(&self) -> String {
        let title = escape(&format!("Evaluation: {}", self.title));
        let parts = [
            self.headline(),
            self.figures(),
            self.charts(),
            self.confusion(),
            self.gallery(),
            self.latency(),
            self.provenance(),
        ];
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{}</main>\n\
             </body>\n</html>\n",
            parts.concat()
        )
    }

    fn headline(&self) -> String {
        let figures = &self.measured.evaluation.figures;
        let tile = |name: &str, value: Option<f64>| {
            let value = value.map_or("–".into(), |v| format!("{:.1}<small> %</small>", 100.0 * v));
            format!("<div class=\"tile\"><b>{value}</b><span>{name}</span></div>")
        };
        let spro = figures.spro.as_ref().and_then(|s| s.get("0.05")?.get("mean").copied());
        let mut tiles = tile("image AUROC", figures.image_auroc);
        tiles += &tile("pixel AUROC", figures.pixel_auroc);
        tiles += &tile("PRO, up to 30 % false positives", figures.pro);
        if spro.is_some() {
            tiles += &tile("sPRO, up to 5 % false positives", spro);
        }
        if let Some(decision) = &self.measured.decision {
            tiles += &tile("of good parts rejected at the threshold", decision.false_reject_rate);
            tiles += &tile("of bad parts found at the threshold", decision.detection_rate);
        }
        let notes: String = figures.notes.iter().map(|n| format!("<p class=\"note\">{}</p>\n", escape(n))).collect();
        format!("<div class=\"tiles\">{tiles}</div>\n{notes}")
    }

    fn figures(&self) -> String {
        let figures = &self.measured.evaluation.figures;
        let mut table = table(&rows(figures));
        if let Some(spro) = &figures.spro {
            let mut rows = vec![vec!["sPRO up to".to_owned()]];
            rows[0].extend(spro.values().next().into_iter().flat_map(|v| v.keys().cloned()));
            for (limit, values) in spro {
                let mut row = vec![limit.clone()];
                row.extend(values.values().map(|v| format!("{:.2}", 100.0 * v)));
                rows.push(row);
            }
            table += &self::table(&rows);
        }
        let text = "<p>Per cent. Each type of defect is measured with all good images.</p>";
        format!("<section>\n<h2>By type of defect</h2>\n{text}\n{table}</section>\n")
    }

    fn charts(&self) -> String {
        let Measured { set, evaluation, .. } = self.measured;
        let mut charts = String::new();
        let mut lines = vec![];
        if let Some(image) = &evaluation.image {
            lines.push(Line { name: "images".into(), class: "c0", points: &image.roc });
        }
        if evaluation.pixels.auroc.is_some() {
            lines.push(Line { name: "pixels".into(), class: "c1", points: &evaluation.pixels.roc_curve });
        }
        if !lines.is_empty() {
            charts += &figure(
                "ROC",
                "Share of defects found over the share of good taken for bad.",
                &curves(&lines, 1.0, "ROC"),
            );
        }
        if evaluation.pixels.pro.is_some() {
            let mut lines = vec![Line { name: "PRO".into(), class: "c0", points: &evaluation.pixels.pro_curve }];
            for (pixels, (kind, class)) in
                evaluation.pixels_per_type.iter().zip(set.kinds.iter().skip(1).zip(CLASSES.iter().cycle().skip(1)))
            {
                if pixels.spro.is_some() {
                    lines.push(Line { name: format!("sPRO {kind}"), class, points: &pixels.spro_curve });
                }
            }
            let text = "Mean share of each defective region that is found.";
            charts += &figure("PRO", text, &curves(&lines, PRO_LIMIT, "PRO"));
        }
        let of = |anomalous: bool| -> Vec<f64> {
            let scores = set.samples.iter().zip(&evaluation.scores);
            scores.filter(|(s, _)| (s.kind > 0) == anomalous).map(|(_, score)| f64::from(*score)).collect()
        };
        let bars = [
            Bars { name: "good", class: "good", values: of(false) },
            Bars { name: "bad", class: "bad", values: of(true) },
        ];
        let mark = self.threshold.map(|t| (f64::from(t), "threshold"));
        let text = "Images by score; those above the threshold are rejected.";
        charts += &figure("Scores", text, &histogram(&bars, "score", mark));
        format!("<section>\n<h2>Curves and scores</h2>\n<div class=\"charts\">{charts}</div>\n</section>\n")
    }

    fn confusion(&self) -> String {
        let Some(threshold) = self.threshold else { return String::new() };
        let Measured { set, evaluation, .. } = self.measured;
        let mut rows = vec![["", "accepted", "rejected", "right"].map(str::to_owned)];
        for (kind, name) in set.kinds.iter().enumerate() {
            let scores = set.samples.iter().zip(&evaluation.scores).filter(|(s, _)| s.kind == kind);
            let (mut accepted, mut rejected) = (0_usize, 0_usize);
            scores.for_each(|(_, score)| if *score > threshold { rejected += 1 } else { accepted += 1 });
            let right = if kind == 0 { accepted } else { rejected };
            let share = 100.0 * right as f64 / ((accepted + rejected) as f64).max(1.0);
            rows.push([name.clone(), accepted.to_string(), rejected.to_string(), format!("{share:.1} %")]);
        }
        let whose = self.whose;
        format!("<section>\n<h2>At the threshold {threshold:.4}, {whose}</h2>\n{}</section>\n", table(&rows))
    }

    fn gallery(&self) -> String {
        let shelf = |shelf: Shelf, title: &str| {
            let cards: String = self.cards.iter().filter(|c| c.shelf == shelf).map(card).collect();
            if cards.is_empty() { cards } else { format!("<h3>{title}</h3>\n<div class=\"cards\">{cards}</div>\n") }
        };
        let shelves = [
            shelf(Shelf::Overlooked, "Bad parts with the lowest scores"),
            shelf(Shelf::Suspected, "Good parts with the highest scores"),
            shelf(Shelf::Clear, "Bad parts with the highest scores"),
        ];
        if self.cards.is_empty() {
            return String::new();
        }
        let driven = if self.cards.iter().any(|card| card.driven.is_some()) {
            " After the score, what drove it: the branch, and how many pixels of the network's input its level sees."
        } else {
            ""
        };
        let text = format!(
            "<p>Left the ground truth (green), right what was found: colours are scores, the cyan line is where they \
             cross the threshold.{driven}</p>"
        );
        format!("<section>\n<h2>Worst and best images</h2>\n{text}\n{}</section>\n", shelves.concat())
    }

    fn latency(&self) -> String {
        let mut times: Vec<f64> =
            self.measured.seen.iter().filter_map(|seen| seen.elapsed).map(|t| t.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times.get(((times.len().max(1) - 1) as f64 * part).round() as usize).copied();
        let (Some(median), Some(p95), Some(p99), Some(max)) = (at(0.5), at(0.95), at(0.99), at(1.0)) else {
            return String::new();
        };
        let text = format!(
            "From the decoded picture to the verdict, {} at a time: median {median:.1} ms, 95th percentile {p95:.1} ms, \
             99th {p99:.1} ms, longest {max:.1} ms.",
            self.jobs
        );
        let bars = [Bars { name: "images", class: "c0", values: times.clone() }];
        let chart = figure("Milliseconds an image", &text, &histogram(&bars, "ms", None));
        format!("<section>\n<h2>Latency</h2>\n<div class=\"charts\">{chart}</div>\n</section>\n")
    }

    fn provenance(&self) -> String {
        let rows: String = self
            .provenance
            .iter()
            .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)))
            .collect();
        format!("<section>\n<h2>Provenance</h2>\n<dl>\n{rows}</dl>\n</section>\n")
    }
}

const CLASSES: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

fn figure(title: &str, text: &str, chart: &str) -> String {
    format!("<figure><figcaption><b>{title}</b> {}</figcaption>{chart}</figure>\n", escape(text))
}

fn table<R: AsRef<[String]>>(rows: &[R]) -> String {
    let mut html = String::new();
    for (i, row) in rows.iter().enumerate() {
        let cell = |(column, text): (usize, &String)| match (i, column) {
            (0, _) => format!("<th scope=\"col\">{}</th>", escape(text)),
            (_, 0) => format!("<th scope=\"row\">{}</th>", escape(text)),
            _ => format!("<td>{}</td>", escape(text)),
        };
        html += &format!("<tr>{}</tr>\n", row.as_ref().iter().enumerate().map(cell).collect::<String>());
    }
    format!("<div class=\"scroll\"><table>\n{html}</table></div>\n")
}

fn card(card: &Card) -> String {
    let verdict = if card.rejected { "rejected" } else { "accepted" };
    let right = if card.rejected == card.anomalous { "right" } else { "wrong" };
    let name = escape(&card.name);
    let driven = card.driven.as_ref().map_or(String::new(), |driven| format!(", {}", escape(driven)));
    format!(
        "<figure class=\"card\"><figcaption>{name} <span class=\"{right}\">{verdict}</span> score {:.4}{driven}</figcaption>\
         <div class=\"pair\"><img src=\"{}\" alt=\"ground truth of {name}\" loading=\"lazy\">\
         <img src=\"{}\" alt=\"scores of {name}\" loading=\"lazy\"></div></figure>\n",
        card.score, card.truth, card.found
    )
}
