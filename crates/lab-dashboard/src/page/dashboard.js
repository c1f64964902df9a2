// Dashboard page: fetches new data once a second and draws it. Data from services is only ever inserted as text or as SVG
// paths, never as markup.
"use strict";

const W = 1000, H = 160, MAX_POINTS = 3600;
const rate = (v) => (v >= 10 ? v.toFixed(0) : String(Math.round(v * 10) / 10)) + "/s";
// Axis labels are not rounded: half of an axis may be 12.5.
const exact = (show) => (show === rate ? (v) => `${Math.round(v * 100) / 100}/s` : show);
const percent = (v) => Math.round(v * 1000) / 10 + "%";
const millis = (v) => (v < 0.05 && v > 0 ? "<0.1" : v < 10 ? v.toFixed(1) : v.toFixed(0)) + "ms";
const count = (v) => String(Math.round(v * 10) / 10);
const code = (name) => (name === "499" ? "c0" : { 2: "c2", 3: "c3", 4: name === "401" ? "c4" : "c4b", 5: name === "502" ? "c5b" : "c5" }[name[0]] || "c0");
const line = (name, key, style) => ({ name, style, of: (p) => p[key] });

const edge = (name, key, style) => ({ name, style, of: (p) => (p.edge ? p.edge[key] : null) });

// What callers get comes first, then the panels of grafana/dashboards/auth-health.json.
const PANELS = [
  { title: "Responses to callers/s", about: "What callers get at the gateway, by code, whoever caused it. 499: the caller gave up waiting.", show: rate, codes: (p) => p.edge && p.edge.codes, lines: [] },
  { title: "Latency for callers", about: "Response time at the gateway over 30 s.", show: millis, lines: [edge("p50", "p50", "c2"), edge("p99", "p99", "c3")] },
  { title: "Requests/s", about: "Requests under /api/, regardless of the outcome.", show: rate, lines: [line("requests", "requests", "c3")] },
  { title: "Auth failures/s", about: "Requests whose key was not accepted.", show: rate, lines: [line("failures", "refused", "c4")] },
  { title: "Auth successes/s", about: "Requests whose key was accepted.", show: rate, lines: [line("successes", "accepted", "c2")] },
  { title: "Status codes", about: "Responses of the app under /api/, by code. Responses of the gateway itself (502, 504) are not included.", show: rate, codes: (p) => (p.requests === null ? null : p.codes), lines: [] },
  { title: "Auth failure ratio", about: "Share of requests whose key was not accepted, over 30 s.", show: percent, top: 1, lines: [line("ratio", "ratio", "c4")] },
  { title: "Latency", about: "Response time of requests under /api/, measured by the app over 30 s.", show: millis, lines: [line("p50", "p50", "c2"), line("p99", "p99", "c3")] },
  { title: "Redeploys", about: "Restarts of the app within the last minute.", show: count, lines: [line("redeploys", "redeploys", "c3")] },
];

// If more marks than this are in view, only those that change something are drawn, so that the curves stay visible.
const CROWD = 30;
const changes = (mark) => ["inject", "remedy", "firing", "resolved"].includes(mark.phase);
// Steps and ends of runs share one line style; each alert state has its own.
const alertState = (phase) => [phase, (mark) => mark.kind === "alert" && mark.phase === phase];
const MARKS = [["steps", (mark) => mark.kind !== "alert"], alertState("pending"), alertState("firing"), alertState("resolved")];

const state = { points: [], marks: [], version: 0, range: 60, still: null, failed: false, services: {}, now: null, alerts: null };
const el = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const svg = (name, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};
const clock = (t) => new Date(t).toLocaleTimeString([], { hour12: false });

function build(panel, index) {
  panel.now = el("span", { class: "now" }, "-");
  panel.legend = el("div", { class: "legend", "aria-hidden": "true" });
  panel.high = el("span"); panel.half = el("span");
  panel.numbers = el("div", { class: "numbers", "aria-hidden": "true" });
  panel.svg = svg("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img" });
  panel.gone = svg("path", { class: "gone" });
  panel.marks = MARKS.map(([style, has]) => ({ has, node: svg("path", { class: `mark ${style}` }) }));
  panel.svg.append(panel.gone, svg("path", { class: "grid", d: `M0 .5H${W}M0 ${H / 2}H${W}M0 ${H - .5}H${W}` }),
    ...panel.marks.map(({ node }) => node));
  panel.paths = new Map();
  panel.from = el("span"); panel.to = el("span");
  panel.table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": panel.title });
  panel.details = el("details", {}, el("summary", {}, "Show as table"), panel.table);
  panel.details.addEventListener("toggle", draw);
  const title = el("h3", { id: `panel-${index}` }, panel.title);
  document.getElementById("history").before(el("article", { "aria-labelledby": `panel-${index}` },
    el("div", { class: "head" }, title, panel.now), el("p", { class: "about" }, panel.about), panel.legend,
    el("div", { class: "plot" },
      el("div", { class: "y", "aria-hidden": "true" }, panel.high, panel.half, el("span", {}, "0")),
      el("div", { class: "area" }, panel.numbers, panel.svg),
      el("div", { class: "x", "aria-hidden": "true" }, panel.from, panel.to)),
    panel.details));
}

// Rounds up to 1, 2, 2.5 or 5 times a power of ten.
function nice(peak) {
  if (!(peak > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(peak));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= peak * 0.999) || peak;
}

// Data to draw: the latest, or that of the moment of the pause. Lists are replaced, never modified.
function drawnData() {
  return state.still || { points: state.points, marks: state.marks, to: state.points.length ? state.points[state.points.length - 1].t : Date.now() };
}

function view() {
  const { points, marks, to } = drawnData();
  const from = to - state.range * 1000;
  return { from, to, x: (t) => (t - from) / (state.range * 1000) * W, points: points.filter((p) => p.t >= from - 1500),
    marks: marks.map((mark, index) => ({ ...mark, number: index + 1 })).filter((mark) => mark.t >= from) };
}

// Milliseconds without a point after which a line ends: no line is drawn into time without data.
const GAP = 3500;

// If there are more points than pixel columns, draws the highest point of each column, so that no outage is averaged away.
function path(points, of, x, top) {
  let d = "", pen = false, column = -1, high = -1, before = 0;
  for (const p of points) {
    const value = of(p);
    if (p.t - before > GAP) { pen = false; column = -1; }
    before = p.t;
    if (value === null || value === undefined) { pen = false; column = -1; continue; }
    const at = x(p.t), place = Math.floor(at / 2), y = H - Math.min(value / top, 1) * (H - 2) - 1;
    if (place === column && value <= high) continue;
    [column, high] = [place, value];
    d += pen ? `L${at.toFixed(1)} ${y.toFixed(1)}` : `M${at.toFixed(1)} ${y.toFixed(1)}h.1`;
    pen = true;
  }
  return d;
}

function draw() {
  const now = view();
  for (const panel of PANELS) drawPanel(panel, now);
}

function drawPanel(panel, now) {
  const marks = now.marks;
  if (panel.codes) {
    const names = [...new Set(now.points.flatMap((p) => Object.keys(panel.codes(p) || {})))].sort();
    panel.lines = names.map((name) => ({ name, style: code(name), of: (p) => { const codes = panel.codes(p); return codes ? codes[name] || 0 : null; } }));
  }
  const values = (one) => now.points.map(one.of).filter((v) => v !== null && v !== undefined);
  const peak = Math.max(0, ...panel.lines.map((one) => Math.max(0, ...values(one))));
  const top = panel.top || nice(peak);
  const axis = exact(panel.show);
  panel.high.textContent = axis(top); panel.half.textContent = axis(top / 2);
  panel.from.textContent = clock(now.from); panel.to.textContent = clock(now.to);
  for (const [name, node] of panel.paths) if (!panel.lines.some((one) => one.name === name)) { node.remove(); panel.paths.delete(name); }
  const last = now.points[now.points.length - 1];
  const entries = panel.lines.map((one) => {
    if (!panel.paths.has(one.name)) { const node = svg("path", { class: one.style }); panel.paths.set(one.name, node); panel.svg.append(node); }
    panel.paths.get(one.name).setAttribute("d", path(now.points, one.of, now.x, top));
    const value = last ? one.of(last) : null;
    return { one, value: value === null || value === undefined ? "-" : panel.show(value), peak: panel.show(Math.max(0, ...values(one))) };
  });
  panel.now.textContent = panel.lines.length === 1 && !panel.codes ? entries[0].value : "";
  panel.legend.replaceChildren(...(panel.lines.length > 1 || panel.codes ? entries.map(({ one, value }) => el("span", {}, el("i", { class: one.style }), `${one.name} ${value}`)) : []));
  const label = entries.map(({ one, value, peak }) => `${one.name} now ${value}, at most ${peak}`).join("; ") || "no data";
  panel.svg.setAttribute("aria-label", `${panel.title}: ${label}. See the table below for the values.`);
  panel.gone.setAttribute("d", now.points.filter((p) => !p.up).map((p) => `M${now.x(p.t - 1000).toFixed(1)} 0h${(W / state.range).toFixed(2)}V${H}h-${(W / state.range).toFixed(2)}z`).join(""));
  const drawn = marks.length > CROWD ? marks.filter(changes) : marks;
  for (const { has, node } of panel.marks) node.setAttribute("d", drawn.filter(has).map((mark) => `M${now.x(mark.t).toFixed(1)} 0V${H}`).join(""));
  // If there is no room for all numbers, marks that change something take precedence.
  const taken = [];
  const numbered = marks.filter((mark) => mark.kind !== "end").sort((one, other) => changes(other) - changes(one));
  panel.numbers.replaceChildren(...numbered.flatMap((mark) => {
    const left = Math.min(now.x(mark.t) / W * 100, 96);
    if (taken.some((other) => Math.abs(other - left) < 5)) return [];
    taken.push(left);
    const alert = mark.kind === "alert";
    const node = el("span", { class: mark.phase, title: alert ? `${mark.name} ${mark.phase}` : mark.name }, `${mark.number}${alert ? "!" : ""}`);
    node.style.left = `${left}%`;
    return [node];
  }));
  if (panel.details.open) drawTable(panel, now);
}

function drawTable(panel, now) {
  const head = el("tr", {}, el("th", { scope: "col" }, "at"), ...panel.lines.map((one) => el("th", { scope: "col" }, one.name)));
  const rows = now.points.slice(-60).reverse().map((p) => el("tr", {}, el("th", { scope: "row" }, clock(p.t)),
    ...panel.lines.map((one) => { const value = one.of(p); return el("td", {}, value === null || value === undefined ? "-" : panel.show(value)); })));
  panel.table.replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
}

// Updates the status sentence only if it changed, so that screen readers announce changes only.
function showStatus() {
  const headline = state.now && state.now.headline;
  let [text, tone] = headline ? [headline.text, headline.level] : ["Waiting for the first sample.", ""];
  if (state.failed) [text, tone] = ["The lab does not answer. It is down, or this page is out of date.", "bad"];
  const node = document.getElementById("state");
  if (node.textContent !== text) node.textContent = text;
  node.className = tone;
  document.getElementById("services").replaceChildren(...Object.entries(state.services).map(([name, is]) =>
    el("li", is === "running" ? {} : { class: "bad" }, `${name} ${is}`)));
}

// Map of the request path: services, and between them the state of each hop. Rewritten only if it changed.
function drawMap() {
  const list = document.getElementById("path"), hops = state.failed || !state.now ? [] : state.now.hops;
  const text = JSON.stringify(hops);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  const node = (name) => el("li", { class: "node" }, name);
  list.replaceChildren(...hops.flatMap((hop, index) => [...(index ? [] : [node(hop.from)]),
    el("li", { class: `hop ${hop.level}` }, el("span", {}, hop.text)), node(hop.to)]));
}

// Rewrites the list of alerts only if it changed.
function listAlerts() {
  const list = document.querySelector("#alerts ul");
  const alerts = state.failed ? null : state.alerts;
  const text = JSON.stringify(alerts);
  if (list.dataset.shown === text) return;
  list.dataset.shown = text;
  if (!alerts || !alerts.length) { list.replaceChildren(el("li", { class: "dim" }, alerts ? "None." : "Unknown.")); return; }
  list.replaceChildren(...alerts.map((alert) => el("li", { class: alert.state }, el("b", {}, alert.state),
    ` ${alert.name} since ${clock(alert.t)}${alert.summary && alert.state !== "resolved" ? `: ${alert.summary}` : ""}`)));
}

const describe = {
  step: (mark) => `${mark.name} (${mark.scenario})`,
  end: (mark) => `end of run ${mark.run} (${mark.scenario})`,
  alert: (mark) => `alert ${mark.name} ${mark.phase}`,
};
// Scrolls to the newest mark unless the reader has scrolled up.
function listMarks() {
  const list = document.getElementById("marks"), scroll = list.parentElement;
  const follows = scroll.scrollTop + scroll.clientHeight >= scroll.scrollHeight - 4;
  list.replaceChildren(...state.marks.map((mark) => el("li", { class: mark.phase },
    el("time", {}, clock(mark.t)), ` ${describe[mark.kind](mark)}`)));
  if (follows) scroll.scrollTop = scroll.scrollHeight;
}

let fetching = false;
async function fetchData() {
  if (fetching) return;
  fetching = true;
  const last = state.points.length ? state.points[state.points.length - 1].n : 0;
  try {
    const response = await fetch(`data?after=${last}&marks=${state.version}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(String(response.status));
    const data = await response.json();
    if (data.since !== state.since) {
      // The host restarted and numbers its points from 1: keep the known points and append the new ones.
      const known = state.since !== undefined;
      state.since = data.since;
      if (known) { state.points.forEach((p) => { p.n = 0; }); state.version = 0; return; }
    }
    state.failed = false;
    state.services = data.services;
    state.now = data.now;
    state.alerts = data.alerts;
    state.points = state.points.concat(data.points).slice(-MAX_POINTS);
    if (data.marks) { state.version = data.marks.version; state.marks = data.marks.list; listMarks(); }
    document.getElementById("lab").textContent = data.lab;
    document.title = `lab ${data.lab}`;
  } catch {
    state.failed = true;
  } finally {
    fetching = false;
  }
  showStatus();
  drawMap();
  listAlerts();
  if (!state.still) draw();
}

async function run() {
  // A hidden page fetches nothing. It catches up when it becomes visible.
  if (!document.hidden) await fetchData();
  setTimeout(run, 1000);
}

PANELS.forEach(build);
listAlerts();
for (const input of document.querySelectorAll("input[name=range]")) input.addEventListener("change", () => { state.range = Number(input.value); draw(); });
document.getElementById("pause").addEventListener("click", (event) => {
  state.still = state.still ? null : drawnData();
  event.target.setAttribute("aria-pressed", String(Boolean(state.still)));
  event.target.textContent = state.still ? "Resume" : "Pause";
  draw();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) fetchData(); });
draw();
run();
