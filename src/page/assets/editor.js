"use strict";
// Region and mask, drawn on the newest picture. Sizes are pixels of the camera's picture.

const editor = { size: null, picture: null, region: null, mask: null, tool: "region", drag: null };
/** Longest side of a mask: finer than any map. */
const MASK_SIDE = 1024;

function maskSize([, , width, height]) {
  const scale = Math.min(1, MASK_SIDE / Math.max(width, height));
  return [Math.max(16, Math.round(width * scale)), Math.max(16, Math.round(height * scale))];
}

/** A black mask of the region, with `old` stretched into it. */
function freshMask(region, old) {
  const mask = document.createElement("canvas");
  [mask.width, mask.height] = maskSize(region);
  const pen = mask.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, mask.width, mask.height);
  if (old) { pen.imageSmoothingEnabled = false; pen.drawImage(old, 0, 0, mask.width, mask.height); }
  return mask;
}

function loadImage(source) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => failed(new Error("The picture cannot be shown."));
    image.src = source;
  });
}

async function openEditor() {
  editor.size = await ask("/api/frame");
  editor.picture = await loadImage(`/api/frame.jpg?${Date.now()}`);
  const { width, height } = editor.size;
  const inUse = setup.in_use || {};
  editor.region = inUse.region || [0, 0, width, height];
  const recipe = setup.recipes.find((one) => one.number === inUse.number);
  const old = recipe && recipe.masked ? await loadImage(`/api/mask?recipe=${recipe.number}&${Date.now()}`) : null;
  editor.mask = freshMask(editor.region, old);
  showRegion();
}

/** Where a pixel of the picture is on the canvas. */
function scale() {
  return $("drawing").clientWidth / editor.size.width;
}

function drawEditor() {
  const canvas = $("drawing");
  if (!editor.picture || !canvas.clientWidth) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.style.setProperty("--aspect", editor.size.width / editor.size.height);
  canvas.style.aspectRatio = `${editor.size.width} / ${editor.size.height}`;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientWidth * ratio * editor.size.height / editor.size.width);
  const pen = canvas.getContext("2d"), s = scale() * ratio;
  pen.drawImage(editor.picture, 0, 0, canvas.width, canvas.height);
  const [left, top, width, height] = editor.region.map((side) => side * s);
  pen.fillStyle = "#000a";
  pen.fillRect(0, 0, canvas.width, top);
  pen.fillRect(0, top + height, canvas.width, canvas.height);
  pen.fillRect(0, top, left, height);
  pen.fillRect(left + width, top, canvas.width, height);
  const tint = document.createElement("canvas");
  tint.width = editor.mask.width;
  tint.height = editor.mask.height;
  const ink = tint.getContext("2d");
  const pixels = editor.mask.getContext("2d").getImageData(0, 0, tint.width, tint.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const blind = pixels.data[i] >= 128;
    pixels.data.set(blind ? [245, 158, 11, 165] : [0, 0, 0, 0], i);
  }
  ink.putImageData(pixels, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(tint, left, top, width, height);
  pen.strokeStyle = "#00e5ff";
  pen.lineWidth = 2 * ratio;
  pen.strokeRect(left, top, width, height);
  if (editor.drag && editor.tool !== "region") {
    const [x, y, w, h] = editor.drag.box.map((side) => side * s);
    pen.setLineDash([6 * ratio, 4 * ratio]);
    pen.strokeStyle = "#fff";
    pen.strokeRect(x, y, w, h);
    pen.setLineDash([]);
  }
}

/** Puts the region into the fields and onto the picture. */
function showRegion() {
  ["left", "top", "width", "height"].forEach((side, i) => { $(`region-${side}`).value = editor.region[i]; });
  const blind = blindShare();
  $("blind").textContent = blind ? `${(100 * blind).toFixed(1)} % of the region is ignored.` : "Nothing in the region is ignored.";
  $("drawing").setAttribute("aria-label", `Newest picture with the region at ${editor.region.slice(0, 2).join(", ")} of size ${editor.region.slice(2).join(" by ")}. ${$("blind").textContent}`);
  drawEditor();
}

function blindShare() {
  const { data } = editor.mask.getContext("2d").getImageData(0, 0, editor.mask.width, editor.mask.height);
  let blind = 0;
  for (let i = 0; i < data.length; i += 4) blind += data[i] >= 128;
  return blind / (data.length / 4);
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(high, Math.round(value)));
}

/** The region within the picture, at least 16 pixels a side; the mask goes with it. */
function setRegion([left, top, width, height]) {
  const size = editor.size;
  const x = clamp(left, 0, size.width - 16), y = clamp(top, 0, size.height - 16);
  const next = [x, y, clamp(width, 16, size.width - x), clamp(height, 16, size.height - y)];
  if (!next.every(Number.isFinite)) return;
  const old = editor.region, mask = freshMask(next, null), s = mask.width / next[2];
  const pen = mask.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(editor.mask, (old[0] - next[0]) * s, (old[1] - next[1]) * s, old[2] * s, old[3] * s);
  [editor.region, editor.mask] = [next, mask];
  showRegion();
}

/** Ignores a rectangle of the picture, or looks at it again. */
function paint([left, top, width, height], blind) {
  const [x, y, w] = editor.region, s = editor.mask.width / w;
  const pen = editor.mask.getContext("2d");
  pen.fillStyle = blind ? "#fff" : "#000";
  pen.fillRect(Math.round((left - x) * s), Math.round((top - y) * s), Math.max(1, Math.round(width * s)), Math.max(1, Math.round(height * s)));
  showRegion();
}

function place(event) {
  const box = $("drawing").getBoundingClientRect();
  return [(event.clientX - box.left) / scale(), (event.clientY - box.top) / scale()];
}

$("drawing").addEventListener("pointerdown", (event) => {
  if (!editor.picture) return;
  $("drawing").setPointerCapture(event.pointerId);
  editor.drag = { from: place(event), box: [0, 0, 0, 0] };
});
$("drawing").addEventListener("pointermove", (event) => {
  if (!editor.drag) return;
  const [x0, y0] = editor.drag.from, [x1, y1] = place(event);
  editor.drag.box = [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
  drawEditor();
});
$("drawing").addEventListener("pointerup", () => {
  if (!editor.drag) return;
  const box = editor.drag.box;
  editor.drag = null;
  if (box[2] < 3 || box[3] < 3) return drawEditor();
  if (editor.tool === "region") setRegion(box);
  else paint(box, editor.tool === "ignore");
});
for (const tool of document.querySelectorAll("input[name=tool]")) {
  tool.addEventListener("change", () => { editor.tool = tool.value; });
}
for (const side of ["left", "top", "width", "height"]) {
  $(`region-${side}`).addEventListener("change", () => {
    setRegion(["left", "top", "width", "height"].map((name) => Number($(`region-${name}`).value)));
  });
}
$("paint-fields").addEventListener("click", () => {
  const box = ["left", "top", "width", "height"].map((name) => Number($(`box-${name}`).value));
  if (box.every(Number.isFinite) && box[2] > 0 && box[3] > 0) paint(box, editor.tool !== "look");
});
$("whole").addEventListener("click", () => setRegion([0, 0, editor.size.width, editor.size.height]));
$("no-mask").addEventListener("click", () => { editor.mask = freshMask(editor.region, null); showRegion(); });
press("new-picture", async () => {
  editor.picture = await loadImage(`/api/frame.jpg?${Date.now()}`);
  drawEditor();
});
press("save-region", async () => {
  const { width, height } = editor.size;
  const whole = editor.region.join() === [0, 0, width, height].join();
  const mask = blindShare() ? editor.mask.toDataURL("image/png").split(",")[1] : null;
  say("The recipe is being loaded …");
  await ask("/api/region", { recipe: setup.in_use.number, region: whole ? null : editor.region, mask });
  await refresh();
  say("Region and mask are in use. Scores of before do not compare: look at the threshold anew.");
});
$("tab-region").addEventListener("chosen", () => attempt(openEditor));
window.addEventListener("resize", () => { if (!$("panel-region").hidden) drawEditor(); });

// Calibration: a threshold from what the box saw, to be looked at before it is used.
press("calibrate", async () => {
  const method = $("method").value;
  const told = await ask("/api/calibrate", {
    method, false_reject: Number($("false-reject").value) / 100, confidence: Number($("confidence").value) / 100, parts: Number($("calibration-parts").value),
  });
  const found = told.threshold, promise = found.calibration;
  const lines = [`Threshold ${short(found.value)} from ${told.parts} accepted parts.`];
  if (method === "tolerance") lines.push(`With ${$("confidence").value} % confidence, at most ${$("false-reject").value} % of good parts are rejected.`);
  else lines.push("An estimate: it promises nothing.");
  if (promise && promise.interval) lines.push(`Between ${promise.interval.map(short).join(" and ")} with ${$("confidence").value} % confidence.`);
  $("calibrated").textContent = lines.join(" ");
  $("try-calibrated").hidden = false;
  $("try-calibrated").onclick = () => {
    choose($("tab-threshold"));
    want(found.value);
  };
});

// The logs.
function cells(table, rows) {
  table.tBodies[0].replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    for (const text of row) line.insertCell().textContent = text;
    return line;
  }));
}
$("tab-log").addEventListener("chosen", () => attempt(async () => {
  const told = await ask("/api/log");
  const when = (at) => new Date(at).toLocaleString([], { hourCycle: "h23" });
  const value = (what) => what === null ? "–" : typeof what === "string" ? what : JSON.stringify(what);
  $("chain").textContent = told.audit.holds ? (told.audit.head ? `The chain holds. Newest hash ${told.audit.head}` : "No change so far.") : told.audit.error;
  $("chain").className = told.audit.holds ? "note" : "broken";
  cells($("changes-log"), told.audit.changes.map((entry) => [when(entry.time), entry.who, entry.what, value(entry.from), value(entry.to)]));
  cells($("notices"), told.notices.map(([at, text]) => [when(at), text]));
}));
