// Keeps a page of a room up to date, sends its forms without a reload, and lets its clocks tick.
"use strict";
const note = document.getElementById("connection");
const clocks = new WeakMap();

function swap(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  const focus = element.contains(document.activeElement) && document.activeElement.id;
  const open = [...element.querySelectorAll("details[open]")].map((details) => details.id);
  const follows = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  const inner = element.querySelector(".scroll");
  const left = inner ? inner.scrollLeft : 0;
  element.innerHTML = html;
  for (const details of open) document.getElementById(details)?.setAttribute("open", "");
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  if (left) element.querySelector(".scroll").scrollLeft = left;
  if ("follow" in element.dataset && follows) element.scrollTop = element.scrollHeight;
  tick();
}

function tick() {
  for (const element of document.querySelectorAll("[data-clock]")) {
    if (!clocks.has(element)) clocks.set(element, performance.now());
    const { clock, runs, down } = element.dataset;
    const passed = runs === undefined ? 0 : performance.now() - clocks.get(element);
    const seconds = Math.max(0, Math.floor((Number(clock) + (down === undefined ? passed : -passed)) / 1000));
    const two = (number) => String(Math.floor(number)).padStart(2, "0");
    const [hours, minutes] = [Math.floor(seconds / 3600), (seconds / 60) % 60];
    const text = `${hours ? `${hours}:${two(minutes)}` : Math.floor(minutes)}:${two(seconds % 60)}`;
    if (element.textContent !== text) element.textContent = text;
  }
}

function listen(route) {
  const events = new EventSource(route);
  events.onopen = () => { note.textContent = ""; };
  events.onerror = () => {
    note.textContent = "Connection lost, trying again.";
    // The browser gives up after an answer that is no stream.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000, route);
  };
  for (const element of document.querySelectorAll("[id]")) {
    events.addEventListener(element.id, (event) => swap(element.id, event.data));
  }
}

async function refresh() {
  try {
    const page = new DOMParser().parseFromString(await (await fetch(location)).text(), "text/html");
    for (const part of page.querySelectorAll("[data-fragment]")) {
      if (document.getElementById(part.id)?.innerHTML !== part.innerHTML) swap(part.id, part.innerHTML);
    }
    note.textContent = "";
  } catch { note.textContent = "Connection lost, trying again."; }
}

async function send(form, button, confirmed) {
  const fields = new URLSearchParams(new FormData(form, button));
  if (confirmed) fields.set("confirm", "yes");
  const answer = form.querySelector("output");
  form.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" }, body: fields });
    const result = await response.json();
    if (result.confirm && confirm(`${result.error}\n\nDo it anyway?`)) return await send(form, button, true);
    answer.className = result.ok ? "answer good" : "answer bad";
    answer.textContent = result.ok ? result.message ?? "" : result.error;
    if (result.ok && "clear" in form.dataset) for (const input of form.querySelectorAll("input:not([type]),input[type=number]")) input.value = input.defaultValue;
  } catch {
    answer.className = "answer bad";
    answer.textContent = "The room does not answer. Try again.";
  } finally { form.removeAttribute("aria-busy"); }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if ("plain" in form.dataset) return;
  event.preventDefault();
  if (form.hasAttribute("aria-busy") || (form.dataset.ask && !confirm(form.dataset.ask))) return;
  if (form.line) lines.push(form.line.value);
  place = lines.length;
  send(form, event.submitter, Boolean(form.dataset.ask));
});

// The console's earlier lines, with the arrow keys.
const lines = [...document.querySelectorAll("#console .line")].map((line) => line.textContent.replace(/^\$ /, ""));
let place = lines.length;
document.querySelector("[data-history]")?.addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  place = Math.min(lines.length, Math.max(0, place + step));
  event.target.value = lines[place] ?? "";
});

for (const element of document.querySelectorAll("[data-follow]")) element.scrollTop = element.scrollHeight;
const { events, refresh: seconds } = document.body.dataset;
if (events) listen(events);
if (seconds) setInterval(refresh, Number(seconds) * 1000);
setInterval(tick, 500);
tick();
