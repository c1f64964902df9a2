// Keeps a page of a room up to date, sends its forms without a reload, and lets its clocks tick.
"use strict";
const note = document.getElementById("connection");
const lost = "Connection lost, trying again.";
const clocks = new WeakMap();

// Changes a node into another one. Nodes that stay keep their focus, selection and scroll position, and can be clicked.
function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) return old.data === fresh.data || (old.data = fresh.data);
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const nodes = [...fresh.childNodes];
  for (const node of [...old.childNodes].slice(nodes.length)) node.remove();
  nodes.forEach((node, index) => (old.childNodes[index] ? morph(old.childNodes[index], node) : old.append(node)));
}

function swap(element, fresh) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const id = focused?.id;
  const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  morphChildren(element, fresh);
  // A row that has moved takes the focus with it.
  if (id && focused.id !== id) document.getElementById(id)?.focus({ preventScroll: true });
  if ("follow" in element.dataset && isAtEnd) element.scrollTop = element.scrollHeight;
  tick();
}

function tick() {
  for (const element of document.querySelectorAll("[data-clock]")) {
    const { clock, runs, down } = element.dataset;
    if (clocks.get(element)?.clock !== clock) clocks.set(element, { clock, since: performance.now() });
    const passed = runs === undefined ? 0 : performance.now() - clocks.get(element).since;
    const seconds = Math.max(0, Math.floor((Number(clock) + (down === undefined ? passed : -passed)) / 1000));
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    const two = (number) => String(number).padStart(2, "0");
    const text = `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(seconds % 60)}`;
    if (element.textContent !== text) element.textContent = text;
  }
}

function listen(route) {
  const events = new EventSource(route);
  events.onopen = () => { note.textContent = ""; };
  events.onerror = async () => {
    note.textContent = lost;
    // The browser tries again by itself, unless the answer was no stream: then the cookie may not be valid any more.
    if (events.readyState !== EventSource.CLOSED) return;
    const page = await fetch(location).catch(() => null);
    if (page && (page.redirected || page.status === 401)) return location.reload();
    setTimeout(listen, 3000, route);
  };
  events.addEventListener("closed", () => events.close());
  for (const element of document.querySelectorAll("[id]")) {
    events.addEventListener(element.id, (event) => {
      const fresh = document.createElement("template");
      fresh.innerHTML = event.data;
      swap(element, fresh.content);
    });
  }
}

async function refresh() {
  try {
    const page = new DOMParser().parseFromString(await (await fetch(location)).text(), "text/html");
    for (const part of page.querySelectorAll("[data-fragment]")) swap(document.getElementById(part.id), part);
    note.textContent = "";
  } catch { note.textContent = lost; }
}

async function send(form, button, isConfirmed) {
  const fields = new URLSearchParams(new FormData(form, button));
  if (isConfirmed) fields.set("confirm", "yes");
  const answer = form.querySelector("output");
  form.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" }, body: fields });
    const result = await response.json();
    if (result.confirm && !isConfirmed && confirm(`${result.error}\n\nDo it anyway?`)) return await send(form, button, true);
    answer.className = result.ok ? "answer good" : "answer bad";
    answer.textContent = result.ok ? result.message ?? "" : result.error;
    // What was done is soon visible in the page itself.
    if (result.ok) setTimeout(() => { answer.textContent = ""; }, 8000);
    const inputs = result.ok && "clear" in form.dataset ? form.querySelectorAll("input:not([type]), input[type=number]") : [];
    for (const input of inputs) input.value = input.defaultValue;
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
  if (form.line) place = lines.push(form.line.value);
  send(form, event.submitter, Boolean(form.dataset.ask));
});

// The console's earlier lines, with the arrow keys.
const lines = [...document.querySelectorAll("#console .line")].map((line) => line.lastChild.data);
let place = lines.length;
document.getElementById("line")?.addEventListener("keydown", (event) => {
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
