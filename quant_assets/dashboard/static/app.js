// The page: its state, which is kept in the address, and the handlers of its controls.
import { bindLetterKeys, isShortcut, toggleTheme } from "./controls.js";
import { Detail } from "./detail.js";
import { RETRY_MS, countAges, listen, windowQuery } from "./live.js";
import { Table, filterRows, sortRows } from "./table.js";

const FILTERS = ["q", "action", "strategy", "exchange", "status", "min_score"];
const NAMES = [...FILTERS, "sort", "dir", "window", "open"];
const LISTS = new Set(["action", "strategy", "exchange", "status"]);
const form = document.getElementById("filters");
const help = document.getElementById("help");
const find = (selector) => document.querySelector(selector);

let state = readAddress();
let rows = [];
let etag = ""; // of the shown rows, "" until they are loaded
let request = null;
let retry = 0;
let total = find("[data-figure=signals]")?.textContent ?? "";

const table = new Table(find("[data-scroller]"), (id) => addressOf({ ...state, open: id }), (id) => change({ open: id }));
const detail = new Detail(find("[data-detail]"), (id) => change({ open: id }, id === "" ? "push" : "replace"));
const recount = countAges();

// Read the address as the server does: items are trimmed, and the case of an action does not matter.
function readAddress() {
  const parameters = new URLSearchParams(location.search);
  const list = (name) => parameters.getAll(name).join(",").split(",").map((item) => item.trim()).filter(Boolean).join(",");
  const state = Object.fromEntries(NAMES.map((name) => [name, LISTS.has(name) ? list(name) : parameters.get(name) ?? ""]));
  return { ...state, action: state.action.toUpperCase() };
}

function addressOf(state) {
  const parameters = new URLSearchParams();
  for (const name of NAMES) if (state[name] !== "" && (name !== "dir" || state.sort)) parameters.set(name, state[name]);
  const text = parameters.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
  return text ? `/?${text}` : "/";
}

// Change the state and the address; `push` adds an entry to the browser's history, `replace` does not.
function change(changes, how = "push") {
  const before = state;
  state = { ...state, ...changes };
  const target = addressOf(state);
  if (target !== addressOf(before)) history[`${how}State`](null, "", target);
  show(before);
}

function show(before) {
  if (!etag && state.open) return; // until the rows are loaded, the page is that of the server
  const changed = (name) => state[name] !== before[name];
  if (etag && [...FILTERS, "sort", "dir"].some(changed)) list();
  if (changed("open")) openOrClose(before.open);
}

function list(keepPosition = false) {
  const found = sortRows(filterRows(rows, state), state.sort, state.dir);
  table.show(found, keepPosition);
  find("[data-count]").textContent = `${found.length.toLocaleString("en")} of ${total}`;
  find("[data-nothing]").hidden = found.length > 0;
  form.classList.toggle("narrowed", FILTERS.some((name) => state[name] !== ""));
  for (const head of document.querySelectorAll("[data-sort]")) {
    const isSorted = head.dataset.sort === state.sort;
    if (isSorted) head.setAttribute("aria-sort", state.dir === "desc" ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
    head.firstElementChild.href = addressOf({ ...state, ...nextSort(head) });
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
    if (table.index >= 0) table.go(table.index);
    else find("[data-scroller]").focus({ preventScroll: true });
  } else {
    table.mark(state.open, true);
    detail.open(openRow(), state.window, before === "");
  }
}

// Show the state in the controls, e.g. after going back. With `keepTyping`, a text that is being typed stays.
function updateControls(keepTyping = false) {
  for (const name of ["q", "strategy", "exchange", "status", "min_score"]) {
    const control = form.elements[name];
    if (keepTyping && control === document.activeElement && control.matches("input")) continue;
    const option = [...(control.options ?? [])].find((choice) => choice.value.toLowerCase() === state[name].toLowerCase());
    control.value = option ? option.value : state[name];
  }
  const checked = state.action.split(",");
  for (const box of form.querySelectorAll("[name=action]")) box.checked = checked.includes(box.value);
}

async function load() {
  request?.abort();
  clearTimeout(retry);
  request = new AbortController();
  const { signal } = request;
  let feed;
  try {
    const response = await fetch(`/rows${windowQuery(state.window)}`, { signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    feed = await response.json();
  } catch {
    if (signal.aborted) return;
    showError(`The rows cannot be loaded, the page tries again every ${RETRY_MS / 1000} seconds`);
    retry = setTimeout(load, RETRY_MS);
    return;
  }
  if (signal.aborted) return;
  showError("");
  const before = etag;
  etag = feed.etag;
  rows = feed.rows;
  total = feed.summary.texts.signals;
  summarize(feed.summary);
  list(before !== "");
  if (before === "") {
    if (state.open) { table.mark(state.open, true); detail.adopt(openRow(), state.window); }
  } else if (before !== etag) {
    addWindow(feed.summary.window);
    announce(`New feed: ${feed.summary.texts.signals} signals, window until ${feed.summary.as_of.slice(11, 16)} UTC`);
    if (state.open) detail.open(openRow(), state.window, false, true);
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
    const segment = find(`.s-${kind}`);
    segment?.setAttribute("x", left);
    segment?.setAttribute("width", width);
  });
  for (const [name, values] of [["strategy", summary.strategies], ["exchange", summary.exchanges]]) {
    const select = form.elements[name];
    if (values.join("\n") === [...select.options].slice(1).map((option) => option.value).join("\n")) continue;
    select.replaceChildren(select.options[0], ...values.map((value) => new Option(value, value)));
  }
  updateControls(true);
  recount();
}

function addWindow(key) {
  const { options } = form.elements.window;
  if (![...options].some((option) => option.value === key)) options[0].after(new Option(key));
}

function openRow() { return rows.find((row) => row.id === state.open); }

function announce(text) { find("[data-announcement]").textContent = text; }

function showError(message) {
  const banner = find("[data-error]");
  banner.hidden = !message;
  banner.textContent = message ? `${message[0].toUpperCase()}${message.slice(1)}. The page shows the last valid feed.` : "";
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
  location.assign(addressOf({ ...state, window: event.target.value, open: "" }));
});

find("thead").addEventListener("click", (event) => {
  const head = event.target.closest("[data-sort]");
  if (!head || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  change(nextSort(head));
});

const actions = {
  theme: toggleTheme,
  help: () => help.showModal(),
  close: () => change({ open: "" }),
  clear: () => { change(Object.fromEntries(FILTERS.map((name) => [name, ""]))); updateControls(); },
  filters: () => {
    const isShown = find("#choices").classList.toggle("shown");
    find("[data-do=filters]").setAttribute("aria-expanded", isShown);
  },
};
document.addEventListener("click", (event) => {
  const action = event.target.closest("[data-do]")?.dataset.do;
  if (!action) return;
  event.preventDefault();
  actions[action]();
});

const pageRows = () => Math.max(Math.floor(find("[data-scroller]").clientHeight / table.height) - 2, 1);
const keys = {
  j: () => table.index + 1, ArrowDown: () => table.index + 1,
  k: () => table.index - 1, ArrowUp: () => table.index - 1,
  g: () => 0, Home: () => 0,
  G: () => table.rows.length - 1, End: () => table.rows.length - 1,
  PageDown: () => table.index + pageRows(), PageUp: () => table.index - pageRows(),
};
document.addEventListener("keydown", (event) => {
  if (!isShortcut(event) || help.open) return;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape") {
    if (event.target.name === "q" && state.q) { change({ q: "" }, "replace"); updateControls(); }
    else if (typing) event.target.blur();
    else if (state.open) actions.close();
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
  else if (event.key === "?") actions.help();
  else if (event.key === "t") actions.theme();
  else if (keys[event.key] && !(inDetail && event.key.length > 1)) {
    event.preventDefault();
    // With the panel open, show the next row in it and keep the focus there.
    const id = table.go(keys[event.key](), !state.open);
    if (state.open && id) change({ open: id }, "replace");
  } else if (event.key === "Enter" && event.target === document.body && table.index >= 0) change({ open: table.selected });
});

bindLetterKeys(find("[data-letter-keys]"));
addEventListener("popstate", () => {
  const before = state;
  state = readAddress();
  if (state.window !== before.window) return location.reload();
  updateControls();
  show(before);
});

await load();
document.documentElement.dataset.ready = "yes";
if (!state.window) listen({
  onFeed: (event) => {
    if (event.etag !== etag) load();
    else showError("");
  },
  whileHidden: load, // so that the title of the tab stays fresh
  onProblem: ({ message }) => {
    clearTimeout(retry); // the next valid feed has an event
    showError(message);
  },
});
