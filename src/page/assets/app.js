"use strict";
// The operator's view: what the box says, shown. The box decides; this page computes no verdict.

const $ = (id) => document.getElementById(id);
const WORDS = {
  "ok": ["OK", "M50 4a46 46 0 1 0 .1 0z", "M28 52 44 68 74 34"],
  "ng": ["NG", "M32 5H68L95 32V68L68 95H32L5 68V32z", "M33 33 67 67M67 33 33 67"],
  "stopped": ["STOPPED", "M8 8H92V92H8z", "M38 32V68M62 32V68"],
  "camera-lost": ["CAMERA LOST", "M50 4 98 92H2z", "M50 38V62M50 77V77.5"],
  "not-ready": ["NOT READY", "M50 3 97 50 50 97 3 50z", "M50 28V52L64 62"],
  "ready": ["READY", "M50 4a46 46 0 1 0 .1 0z", "M40 32 66 50 40 68z"],
  "no-connection": ["NO CONNECTION", "M50 3 97 50 50 97 3 50z", "M36 36 64 64M64 36 36 64"],
};
/** Milliseconds without a word from the box after which nothing it said counts any more. */
const STALE = 6000;

let state = null, points = [], heard = 0, shownPart = null, heat = true, loading = false, announced = "";

function show(word, detail) {
  const [text, body, mark] = WORDS[word];
  $("verdict").dataset.word = word;
  $("word").textContent = text;
  $("detail").textContent = detail;
  $("shape-body").setAttribute("d", body);
  $("shape-mark").setAttribute("d", mark);
  document.title = `${text} – ${state ? state.station : "Inspection"}`;
  // Parts come too fast to be read out one by one: only changes of another kind are told.
  const kind = word === "ok" || word === "ng" || word === "ready" ? "The line runs" : text;
  if (kind !== announced) $("announce").textContent = announced = kind;
}

function detail(state) {
  const last = state.last;
  if (!last || !["ok", "ng"].includes(state.word)) return state.word === "ready" ? "Waiting for the first part" : "";
  if (last.error) return `Part ${last.part}: not inspected, rejected`;
  return `Part ${last.part}`;
}

function percent(share) {
  return share === null ? "–" : `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 0 : 1)} %`;
}

function update(next) {
  const first = state === null;
  state = next;
  heard = performance.now();
  show(state.word, detail(state));
  $("station").textContent = state.station;
  $("recipe").textContent = state.product ? `${state.product.number} · ${state.product.name}` : "no recipe";
  $("simulated").hidden = !state.simulated;
  $("fault").hidden = !state.fault;
  if (state.fault) {
    // An unchanged text must not be read out again.
    if ($("fault-title").textContent !== state.fault.title) $("fault-title").textContent = state.fault.title;
    if ($("fault-action").textContent !== state.fault.action) $("fault-action").textContent = state.fault.action;
    $("reset").hidden = !state.fault.reset;
  }
  const c = state.counters;
  for (const key of ["total", "ok", "ng", "error", "missed"]) $(key).textContent = c[key].toLocaleString("en");
  $("yield").textContent = percent(state.yield);
  $("per-minute").textContent = state.per_minute.toFixed(state.per_minute < 10 ? 1 : 0);
  $("in-a-row").textContent = state.in_a_row;
  $("row-box").classList.toggle("alarm", state.in_a_row >= 3);
  score(state.last);
  strip(state.rejects);
  if (state.points.length || first) {
    points = points.concat(state.points).slice(-20000);
    chart();
  }
  const last = state.last;
  if (last && last.picture && last.part !== shownPart) picture(last.part);
}

function score(last) {
  const known = last && last.score !== null && last.score !== undefined;
  const over = known && last.score > last.threshold;
  $("score-value").textContent = known ? short(last.score) : "–";
  $("score-sign").textContent = known ? (over ? "above" : "at most") : "";
  $("score-threshold").textContent = last && last.threshold ? `threshold ${short(last.threshold)}` : "";
  const ratio = known && last.threshold > 0 ? Math.max(0, Math.min(2, last.score / last.threshold)) : over ? 2 : 0;
  $("gauge").classList.toggle("over", Boolean(over));
  $("gauge").firstElementChild.style.width = `${50 * ratio}%`;
  $("gauge").setAttribute("aria-valuenow", ratio.toFixed(2));
  $("gauge").setAttribute("aria-valuetext", known ? `score ${short(last.score)}, threshold ${short(last.threshold)}` : "no score");
  $("drive").textContent = last && last.error ? last.error : over && last.driven_by ? `driven by: ${last.driven_by}` : "";
}

function chart() {
  if ($("line").hidden) return;
  const threshold = state && state.product ? state.product.threshold : 1;
  drawChart($("chart"), points, threshold);
  const bad = points.filter((point) => point.verdict !== "accept").length;
  $("chart").setAttribute("aria-label", `Scores of the shift: ${points.length} parts shown, ${bad} of them rejected, threshold ${short(threshold)}`);
}

function picture(part) {
  if (loading || $("line").hidden || document.hidden) return;
  loading = true;
  const next = new Image();
  next.onload = () => {
    loading = false;
    shownPart = part;
    $("live").src = next.src;
    $("live").alt = `Picture of the newest part${heat ? ", with heat map" : ""}`;
    $("live").hidden = false;
    $("no-picture").hidden = true;
  };
  next.onerror = () => { loading = false; };
  next.src = `/api/live/${heat ? "heat" : "plain"}?${part}`;
}

function setHeat(on) {
  heat = on;
  $("heat").setAttribute("aria-pressed", String(on));
  if (state && state.last) { shownPart = null; picture(state.last.part); }
}

function time(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

function words(fact) {
  return fact.verdict === "fault" ? "not inspected" : `score ${short(fact.score)}`;
}

function strip(rejects) {
  $("no-rejects").hidden = rejects.length > 0;
  const list = $("strip");
  const wanted = rejects.map((reject) => `${reject.part}-${reject.at}-${reject.picture}`);
  const have = [...list.children].map((item) => item.dataset.key);
  if (wanted.join() === have.join()) return;
  const old = new Map([...list.children].map((item) => [item.dataset.key, item]));
  list.replaceChildren(...rejects.map((reject, i) => old.get(wanted[i]) || reel(reject, wanted[i])));
}

function reel(reject, key) {
  const item = document.createElement("li");
  item.dataset.key = key;
  const button = document.createElement("button");
  button.className = reject.verdict === "fault" ? "fault" : "";
  button.setAttribute("aria-label", `Part ${reject.part}, ${words(reject)}, at ${time(reject.at)}`);
  let view;
  if (reject.picture) {
    view = document.createElement("img");
    view.alt = "";
    view.src = `/api/reject/${reject.part}/heat`;
  } else {
    view = document.createElement("div");
    view.className = "none";
    view.textContent = "no picture";
  }
  const line = document.createElement("span");
  line.textContent = `${reject.part} · ${reject.verdict === "fault" ? "error" : short(reject.score)}`;
  button.append(view, line);
  button.addEventListener("click", () => open(reject));
  item.append(button);
  return item;
}

function open(reject) {
  $("part-title").textContent = `Part ${reject.part}: ${reject.verdict === "fault" ? "not inspected" : "rejected"}`;
  const facts = [
    ["Time", time(reject.at)],
    ["Score", reject.score === undefined || reject.score === null ? "–" : short(reject.score)],
    ["Threshold", reject.threshold ? short(reject.threshold) : "–"],
    ["Driven by", reject.driven_by || "–"],
    ["Trigger to result", reject.ms ? `${reject.ms.toFixed(1)} ms` : "–"],
  ];
  if (reject.error) facts.push(["Reason", reject.error]);
  $("part-facts").replaceChildren(...facts.map(([name, value]) => {
    const box = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    box.append(dt, dd);
    return box;
  }));
  $("part-picture").hidden = $("part-heat").hidden = !reject.picture;
  const layer = () => {
    const on = $("part-heat").getAttribute("aria-pressed") === "true";
    $("part-picture").src = `/api/reject/${reject.part}/${on ? "heat" : "plain"}`;
    $("part-picture").alt = `Part ${reject.part}${on ? " with heat map" : ""}`;
  };
  $("part-heat").onclick = () => {
    $("part-heat").setAttribute("aria-pressed", String($("part-heat").getAttribute("aria-pressed") !== "true"));
    layer();
  };
  if (reject.picture) layer();
  $("part").showModal();
}

/** Asks the box to do something; gives its answer, or throws what it said. */
async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json", "x-mudenet": "1" }, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The box does not answer.");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const error = new Error(told.error || `The box answered ${answer.status}.`);
    error.status = answer.status;
    throw error;
  }
  return told;
}

async function listen() {
  // The chart first, so that no part is in it twice.
  points = (await ask("/api/chart").catch(() => ({ points: [] }))).points;
  const source = new EventSource("/api/events");
  source.addEventListener("state", (event) => update(JSON.parse(event.data)));
}

setInterval(() => {
  $("clock").textContent = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (performance.now() - heard > STALE) {
    show("no-connection", "The page hears nothing from the box");
    $("fault").hidden = true;
  }
}, 500);

$("heat").addEventListener("click", () => setHeat(!heat));
$("part-close").addEventListener("click", () => $("part").close());
$("reset").addEventListener("click", async () => {
  $("reset").disabled = true;
  await ask("/api/reset", {}).catch((error) => { $("fault-action").textContent = error.message; });
  $("reset").disabled = false;
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key.toLowerCase() === "h" && !typing && !event.ctrlKey && !event.metaKey && !$("line").hidden) setHeat(!heat);
});
window.addEventListener("resize", () => chart());
listen();
