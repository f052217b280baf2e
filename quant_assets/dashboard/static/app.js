// The page: its state, which is its address, and who is told when it changes.
import { Detail } from "./detail.js";
import { countAges, listen } from "./live.js";
import { Table, chosenRows, orderedRows } from "./table.js";

const FILTERS = ["q", "action", "strategy", "exchange", "status", "min_score"];
const NAMES = [...FILTERS, "sort", "dir", "window", "open"];
const LISTS = new Set(["action", "strategy", "exchange", "status"]);
const form = document.getElementById("filters");
const help = document.getElementById("help");
const find = (selector) => document.querySelector(selector);

let state = read();
let rows = [];
let known = "";
let total = find("[data-figure=signals]")?.textContent ?? "";

const table = new Table(find("[data-scroller]"), (id) => address({ ...state, open: id }), (id) => change({ open: id }));
const detail = new Detail(find("[data-detail]"), (id) => change({ open: id }, id === "" ? "push" : "replace"));
const recount = countAges();

function read() {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, LISTS.has(name) ? given.getAll(name).filter(Boolean).join(",") : given.get(name) ?? ""]));
}

function address(of) {
  const given = new URLSearchParams();
  for (const name of NAMES) if (of[name] !== "" && (name !== "dir" || of.sort)) given.set(name, of[name]);
  const text = given.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
  return text ? `/?${text}` : "/";
}

// Change the state: `push` makes a step to go back to, `replace` none.
function change(changes, how = "push") {
  const before = state;
  state = { ...state, ...changes };
  const target = address(state);
  if (target !== address(before)) history[`${how}State`](null, "", target);
  show(before);
}

function show(before, hold = false) {
  const narrower = (name) => state[name] !== before[name];
  if ([...FILTERS, "sort", "dir"].some(narrower)) list(hold);
  if (narrower("open")) openOrClose(before.open);
}

function list(hold = false) {
  const found = orderedRows(chosenRows(rows, state), state.sort, state.dir);
  table.show(found, hold);
  find("[data-count]").textContent = `${found.length.toLocaleString("en")} of ${total}`;
  find("[data-nothing]").hidden = found.length > 0;
  form.classList.toggle("narrowed", FILTERS.some((name) => state[name] !== ""));
  for (const head of document.querySelectorAll("[data-sort]")) {
    const isSorted = head.dataset.sort === state.sort;
    if (isSorted) head.setAttribute("aria-sort", state.dir === "desc" ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
    head.firstElementChild.href = address({ ...state, ...nextSort(head) });
  }
}

function nextSort(head) {
  const { sort, first } = head.dataset;
  if (state.sort !== sort) return { sort, dir: first };
  if (state.dir === first) return { sort, dir: first === "desc" ? "asc" : "desc" };
  return { sort: "", dir: "" };
}

function openOrClose(before) {
  if (state.open === "") {
    detail.close();
    if (table.index < 0) table.mark(before);
    table.draw();
    (table.link(table.selected) ?? find("[data-scroller]")).focus({ preventScroll: true });
  } else {
    table.mark(state.open, true);
    detail.open(opened(), state.window, before === "");
  }
}

// Put the state into the controls, after going back or following an address.
function controls() {
  for (const name of ["q", "strategy", "exchange", "status", "min_score"]) {
    const control = form.elements[name];
    if (document.activeElement === control) continue;
    const option = [...(control.options ?? [])].find((one) => one.value.toLowerCase() === state[name].toLowerCase());
    control.value = option ? option.value : state[name];
  }
  const actions = state.action.split(",");
  for (const box of form.querySelectorAll("[name=action]")) box.checked = actions.includes(box.value);
}

async function load(first) {
  const given = state.window ? `?window=${encodeURIComponent(state.window)}` : "";
  const answer = await fetch(`/rows${given}`);
  const told = await answer.json();
  if (!answer.ok) return trouble(told.error?.message);
  trouble("");
  const isNew = !first && known !== told.etag;
  known = told.etag;
  rows = told.rows;
  total = told.summary.texts.signals;
  summarize(told.summary);
  list(!first);
  if (isNew) {
    say(`New feed: ${told.summary.texts.signals} signals, window to ${told.summary.as_of.slice(11, 16)} UTC`);
    if (state.open) detail.open(opened(), state.window, false, true);
  }
}

function summarize(summary) {
  document.title = summary.title;
  for (const node of document.querySelectorAll("[data-figure]")) node.textContent = summary.texts[node.dataset.figure];
  const time = find("[data-since]");
  time.dataset.since = summary.last_updated;
  time.dateTime = `${summary.updated}Z`;
  time.title = `${summary.updated} UTC`;
  find("[data-as-of]").textContent = summary.as_of.replace("T", " ").replace(":00Z", " UTC");
  find("[data-stale-after]").dataset.asOfMs = summary.as_of_ms;
  find("[data-simulated]").hidden = !summary.simulated;
  summary.shares.forEach(([kind, left, width]) => {
    const piece = find(`.s-${kind}`);
    piece?.setAttribute("x", left);
    piece?.setAttribute("width", width);
  });
  for (const [name, values] of [["strategy", summary.strategies], ["exchange", summary.exchanges]]) {
    const select = form.elements[name];
    if (values.join("\n") === [...select.options].slice(1).map((option) => option.value).join("\n")) continue;
    select.replaceChildren(select.options[0], ...values.map((value) => new Option(value, value)));
  }
  controls();
  recount();
}

function opened() { return rows.find((row) => row.id === state.open); }

function say(text) { find("[data-said]").textContent = text; }

function trouble(text) {
  const banner = find("[data-trouble]");
  banner.hidden = !text;
  banner.textContent = text ? `${text}. What is shown is the last feed that was sound.` : "";
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", (event) => {
  const { name, value } = event.target;
  if (name === "window") return;
  if (name === "action") {
    change({ action: [...form.querySelectorAll("[name=action]:checked")].map((box) => box.value).join(",") });
  } else if (name === "q") {
    change({ q: value }, "replace");
  } else if (name === "min_score") {
    change({ min_score: value && String(Math.min(Math.max(Number(value), 0), 100)) }, "replace");
  } else {
    change({ [name]: value });
  }
});
find("select[name=window]").addEventListener("change", (event) => {
  location.assign(address({ ...state, window: event.target.value, open: "" }));
});

find("thead").addEventListener("click", (event) => {
  const head = event.target.closest("[data-sort]");
  if (!head || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  change(nextSort(head));
});

const deeds = {
  theme: () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("theme", theme); } catch { /* private windows keep nothing */ }
    dispatchEvent(new Event("themechange"));
  },
  help: () => help.showModal(),
  close: () => change({ open: "" }),
  clear: () => { change(Object.fromEntries(FILTERS.map((name) => [name, ""]))); controls(); },
  filters: () => {
    const isShown = find("#choices").classList.toggle("shown");
    find("[data-do=filters]").setAttribute("aria-expanded", isShown);
  },
};
document.addEventListener("click", (event) => {
  const deed = event.target.closest("[data-do]")?.dataset.do;
  if (!deed) return;
  event.preventDefault();
  deeds[deed]();
});

const screen = () => Math.max(Math.floor(find("[data-scroller]").clientHeight / table.height) - 2, 1);
const keys = {
  j: () => table.index + 1, ArrowDown: () => table.index + 1,
  k: () => table.index - 1, ArrowUp: () => table.index - 1,
  g: () => 0, Home: () => 0,
  G: () => table.rows.length - 1, End: () => table.rows.length - 1,
  PageDown: () => table.index + screen(), PageUp: () => table.index - screen(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape") {
    if (event.target.name === "q" && state.q) { change({ q: "" }, "replace"); controls(); form.elements.q.value = ""; }
    else if (typing) event.target.blur();
    else if (state.open) deeds.close();
    return;
  }
  if (event.target.name === "q" && ["ArrowDown", "Enter"].includes(event.key)) {
    event.preventDefault();
    table.go(0);
    return;
  }
  if (typing) return;
  const inDetail = detail.node.contains(event.target);
  if (event.key === "/") { event.preventDefault(); form.elements.q.focus(); form.elements.q.select(); }
  else if (event.key === "?") deeds.help();
  else if (event.key === "t") deeds.theme();
  else if (keys[event.key] && !(inDetail && event.key.length > 1)) {
    event.preventDefault();
    // With a row open, the next one takes its place, and the focus stays in the panel.
    const id = table.go(keys[event.key](), !state.open);
    if (state.open && id) change({ open: id }, "replace");
  } else if (event.key === "Enter" && event.target === document.body && table.index >= 0) change({ open: table.selected });
});

addEventListener("popstate", () => {
  const before = state;
  state = read();
  if (state.window !== before.window) return location.reload();
  controls();
  show(before);
});

await load(true);
if (state.open) { table.mark(state.open, true); detail.adopt(opened(), state.window); }
document.documentElement.dataset.ready = "yes";
listen({
  onFeed: ({ etag }) => {
    if (state.window) return;
    if (etag !== known) load(false);
    else trouble("");
  },
  onProblem: ({ message }) => { if (!state.window) trouble(message[0].toUpperCase() + message.slice(1)); },
});
