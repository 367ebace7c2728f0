"use strict";
// Canvas charts: scores over the shift, and their histogram.

const INK = { text: "#a3b1c6", grid: "#273246", ok: "#34d07a", ng: "#ff5a68", fault: "#a78bfa", threshold: "#ffffff", now: "#38bdf8" };

/** The canvas, sized to its place, and its size in CSS pixels. */
function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  return { pen, width, height };
}

/** A number with as many digits as count. */
function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 0.001 || size >= 1e6) return value.toExponential(2);
  return value.toFixed(size < 10 ? 3 : size < 100 ? 2 : size < 1000 ? 1 : 0);
}

function quantile(sorted, q) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : 0;
}

/** Scores over time; what lies above the chart is drawn at its upper end. */
function drawChart(canvas, points, threshold) {
  const { pen, width, height } = prepare(canvas);
  const left = 46, bottom = height - 18, top = 6;
  const scores = points.map((point) => point.score).filter((score) => score !== null).sort((a, b) => a - b);
  const low = Math.min(0, quantile(scores, 0));
  const high = Math.max(threshold * 2, Math.min(quantile(scores, 0.9) * 1.2, threshold * 4), low + 1e-9);
  const from = points.length ? points[0].at : 0, to = points.length ? points[points.length - 1].at : 1;
  const x = (at) => left + 4 + (width - left - 8) * (to > from ? (at - from) / (to - from) : 1);
  const y = (score) => bottom - (bottom - top) * Math.max(0, Math.min(1, (score - low) / (high - low)));
  pen.fillStyle = "#4a162055";
  pen.fillRect(left, top, width - left, Math.max(0, y(threshold) - top));
  pen.fillStyle = INK.text;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const value of y(low) - y(threshold) > 14 ? [low, threshold, high] : [threshold, high]) pen.fillText(short(value), left - 6, Math.max(8, y(value)));
  pen.strokeStyle = INK.threshold;
  pen.setLineDash([6, 4]);
  pen.beginPath();
  pen.moveTo(left, y(threshold));
  pen.lineTo(width, y(threshold));
  pen.stroke();
  pen.setLineDash([]);
  for (const point of points) {
    const bad = point.verdict !== "accept";
    pen.fillStyle = point.score === null ? INK.fault : bad ? INK.ng : INK.ok;
    const size = bad ? 5 : 3;
    const at = [x(point.at), point.score === null ? top + 3 : y(point.score)];
    if (bad) pen.fillRect(at[0] - size / 2, at[1] - size / 2, size, size);
    else { pen.beginPath(); pen.arc(at[0], at[1], size / 2, 0, 7); pen.fill(); }
  }
  pen.fillStyle = INK.text;
  pen.textBaseline = "alphabetic";
  const time = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (points.length > 1) {
    pen.textAlign = "left";
    pen.fillText(time(from), left, height - 4);
    pen.textAlign = "right";
    pen.fillText(time(to), width - 2, height - 4);
  }
}

/** The histogram of `parts` ([score, verdict]) with the threshold in use and the new one; gives the range of scores shown. */
function drawHistogram(canvas, parts, threshold, wanted) {
  const { pen, width, height } = prepare(canvas);
  const sorted = parts.map((part) => part[0]).sort((a, b) => a - b);
  const low = Math.min(0, quantile(sorted, 0), threshold), last = quantile(sorted, 1);
  const high = Math.max(threshold * 2, Math.min(last * 1.02, threshold * 6), quantile(sorted, 0.5) * 1.5, low + 1e-9);
  const bins = Math.max(20, Math.min(90, Math.floor(width / 12)));
  const counts = Array.from({ length: bins }, () => [0, 0]);
  for (const [score, verdict] of parts) {
    const bin = Math.max(0, Math.min(bins - 1, Math.floor(bins * (score - low) / (high - low))));
    counts[bin][verdict === "accept" ? 0 : 1] += 1;
  }
  const most = Math.max(1, ...counts.map(([a, b]) => a + b));
  const bottom = height - 20, top = 22;
  const x = (score) => width * Math.max(0, Math.min(1, (score - low) / (high - low)));
  // The square root keeps a single part visible beside hundreds.
  const tall = (count) => (bottom - top) * Math.sqrt(count / most);
  pen.fillStyle = "#4a162066";
  pen.fillRect(x(wanted), top, width - x(wanted), bottom - top);
  counts.forEach(([good, bad], bin) => {
    const w = width / bins;
    const whole = tall(good + bad), part = good + bad ? whole * good / (good + bad) : 0;
    pen.fillStyle = INK.ok;
    pen.fillRect(bin * w + 1, bottom - part, w - 2, part);
    pen.fillStyle = INK.ng;
    pen.fillRect(bin * w + 1, bottom - whole, w - 2, whole - part);
  });
  const mark = (score, colour, name, row) => {
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(x(score), top - 4);
    pen.lineTo(x(score), bottom);
    pen.stroke();
    pen.textAlign = x(score) > width - 120 ? "right" : "left";
    pen.fillText(`${name} ${short(score)}`, x(score) + (x(score) > width - 120 ? -4 : 4), row);
  };
  mark(threshold, INK.threshold, "now", 12);
  if (wanted !== threshold) mark(wanted, INK.now, "new", 24);
  pen.fillStyle = INK.text;
  pen.textAlign = "left";
  pen.fillText(short(low), 2, height - 5);
  pen.textAlign = "right";
  pen.fillText(last > high ? `${short(high)} and more` : short(high), width - 2, height - 5);
  return [low, high];
}
