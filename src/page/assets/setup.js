"use strict";
// The engineer's view. Every change is asked of the box, which checks, notes and does it.

let setup = null, parts = [], queue = Promise.resolve();

function view(name) {
  $("line").hidden = name !== "line";
  $("setup").hidden = name !== "setup";
  $("show-line").setAttribute("aria-pressed", String(name === "line"));
  $("show-setup").setAttribute("aria-pressed", String(name === "setup"));
  if (name === "line") chart();
}

function say(text, wrong = false) {
  $("said").className = wrong ? "wrong" : "";
  $("said").textContent = text;
}

/** Does what may fail or find the session ended; says what went wrong. */
function attempt(work) {
  queue = queue.then(async () => {
    try {
      await work();
    } catch (error) {
      if (error.status === 401) { view("line"); logIn(); } else say(error.message, true);
    }
  });
  return queue;
}

/** Attempts `work` at each press of a button, one press at a time. */
function press(id, work) {
  $(id).addEventListener("click", async () => {
    $(id).disabled = true;
    await attempt(work);
    $(id).disabled = false;
    if (id === "apply") want(wanted());
  });
}

async function enter() {
  const session = await ask("/api/session").catch(() => ({}));
  if (session.name) {
    $("who").textContent = session.name;
    view("setup");
    await attempt(refresh);
  } else if (session.can_log_in) {
    logIn();
  } else {
    logIn("This box has no engineers: name a file in [page] engineers of box.toml.");
  }
}

function logIn(reason = "") {
  $("login-error").textContent = reason;
  $("password").value = "";
  if (!$("login").open) $("login").showModal();
}

async function refresh() {
  setup = await ask("/api/setup");
  const name = setup.in_use ? setup.in_use.name : "no recipe";
  document.querySelectorAll(".recipe-name").forEach((place) => { place.textContent = name; });
  recipes();
  await loadScores();
}

function recipes() {
  $("recipes").replaceChildren(...setup.recipes.map((recipe) => {
    const label = document.createElement("label"), radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "recipe";
    radio.value = recipe.number;
    const used = setup.in_use && setup.in_use.number === recipe.number;
    radio.checked = Boolean(used);
    radio.disabled = Boolean(recipe.error);
    label.append(radio, `${recipe.number} · ${recipe.name}${used ? " (in use)" : ""}${recipe.error ? ` – ${recipe.error}` : ""}`);
    return label;
  }));
}

async function loadScores() {
  parts = [];
  if (!setup.in_use) return;
  parts = (await ask("/api/scores")).parts;
  const threshold = setup.in_use.threshold;
  const [low, high] = drawHistogram($("histogram"), parts, threshold, threshold);
  $("slider").min = low;
  $("slider").max = high;
  want(threshold);
}

/** Shows what another threshold would have changed. */
function want(wanted, from) {
  if (!setup || !setup.in_use || !Number.isFinite(wanted)) { $("apply").disabled = true; return; }
  const threshold = setup.in_use.threshold;
  drawHistogram($("histogram"), parts, threshold, wanted);
  if (from !== "slider") $("slider").value = wanted;
  if (from !== "exact") $("exact").value = Number(wanted.toPrecision(5));
  $("slider").setAttribute("aria-valuetext", short(wanted));
  const toReject = parts.filter(([score, verdict]) => verdict === "accept" && score > wanted).length;
  const toAccept = parts.filter(([score, verdict]) => verdict !== "accept" && score <= wanted).length;
  const before = parts.filter(([, verdict]) => verdict !== "accept").length;
  const after = parts.filter(([score]) => score > wanted).length;
  $("tried").textContent = `What would have changed in the last ${parts.length} parts:`;
  $("to-reject").textContent = toReject;
  $("to-accept").textContent = toAccept;
  $("share").textContent = parts.length ? `${percent(before / parts.length)} → ${percent(after / parts.length)}` : "–";
  $("apply").disabled = wanted === threshold;
  $("histogram").setAttribute("aria-label", `Histogram of the scores of the last ${parts.length} parts; threshold ${short(threshold)}, new ${short(wanted)}`);
}

function wanted() {
  return Number($("exact").value);
}

const TABS = () => [...document.querySelectorAll("[role=tab]")];

function choose(tab, focus = true) {
  for (const other of TABS()) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  say("");
  if (focus) tab.focus();
  if (tab.id === "tab-threshold") want(wanted());
  tab.dispatchEvent(new Event("chosen"));
}

for (const tab of TABS()) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) choose(TABS()[(TABS().indexOf(tab) + step + TABS().length) % TABS().length]);
  });
}

$("show-line").addEventListener("click", () => view("line"));
$("show-setup").addEventListener("click", enter);
$("login-cancel").addEventListener("click", () => $("login").close());
$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("/api/login", { name: $("name").value, password: $("password").value });
    $("login").close();
    await enter();
  } catch (error) {
    logIn(error.message);
    $("password").focus();
  }
});
$("logout").addEventListener("click", async () => {
  await ask("/api/logout", {}).catch(() => {});
  view("line");
});
$("slider").addEventListener("input", () => want(Number($("slider").value), "slider"));
$("exact").addEventListener("input", () => want(wanted(), "exact"));
$("as-before").addEventListener("click", () => want(setup && setup.in_use ? setup.in_use.threshold : NaN));
press("apply", async () => {
  const value = wanted();
  say("The recipe is being loaded …");
  const told = await ask("/api/threshold", { recipe: setup.in_use.number, value });
  await refresh();
  say(`The threshold is now ${short(told.threshold)}.`);
});
press("use-recipe", async () => {
  const chosen = document.querySelector("input[name=recipe]:checked");
  if (!chosen) return;
  say("The recipe is being loaded …");
  await ask("/api/recipe", { recipe: Number(chosen.value) });
  await refresh();
  say(`Recipe ${chosen.value} is in use.`);
});
press("run-golden", async () => {
  $("golden-result").textContent = "Testing …";
  $("golden-samples").hidden = true;
  let told;
  try {
    told = await ask("/api/golden", { recipe: setup.in_use.number });
  } catch (error) {
    $("golden-result").textContent = "";
    throw error;
  }
  const right = told.samples.filter((sample) => sample.right).length;
  $("golden-result").textContent = `${told.passed ? "PASSED" : "FAILED"}: ${right} of ${told.samples.length} golden samples judged right`;
  $("golden-samples").hidden = false;
  $("golden-samples").tBodies[0].replaceChildren(...told.samples.map((sample) => {
    const row = document.createElement("tr");
    row.className = sample.right ? "" : "wrong";
    for (const text of [sample.picture, sample.expected, sample.got, sample.error || short(sample.score)]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
});
window.addEventListener("resize", () => { if (!$("setup").hidden) want(wanted()); });
