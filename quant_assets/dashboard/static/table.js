// The table: filtering, sorting, and drawing the visible rows. The server sends the text of each cell; it is inserted
// with textContent and attributes only.

const EXTRA_ROWS = 12; // drawn above and below the visible ones
const SORT_FIELDS = { oi: "oi_age", funding: "funding_size" }; // as in rows.py
const SVG = "http://www.w3.org/2000/svg";

export function filterRows(rows, state) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const actions = new Set(state.action.split(",").filter(Boolean));
  const list = (text) => new Set(text.toLowerCase().split(",").filter(Boolean));
  const strategies = list(state.strategy), exchanges = list(state.exchange), statuses = list(state.status);
  const minScore = state.min_score === "" ? -Infinity : Number(state.min_score);
  return rows.filter((row) =>
    (!actions.size || actions.has(row.action)) &&
    (!strategies.size || strategies.has(row.strategy.toLowerCase())) &&
    (!exchanges.size || exchanges.has(row.exchange.toLowerCase())) &&
    (!statuses.size || statuses.has(row.oi_status)) &&
    row.score >= minScore &&
    words.every((word) => searchText(row).includes(word)));
}

export function sortRows(rows, sort, dir) {
  if (!sort) return rows;
  const key = SORT_FIELDS[sort] ?? sort;
  const sign = dir === "desc" ? -1 : 1;
  // Unknown values come last in either direction.
  return rows.toSorted((a, b) => {
    const left = a[key], right = b[key];
    if (left === null || right === null) return (left === null) - (right === null);
    return left < right ? -sign : left > right ? sign : 0;
  });
}

function searchText(row) {
  row.searchText ??= [row.market, row.symbol, row.exchange, row.tag, row.strategy, row.action, row.reason ?? ""].join(" ").toLowerCase();
  return row.searchText;
}

export class Table {
  constructor(scroller, addressOf, open) {
    this.scroller = scroller;
    this.table = scroller.querySelector("table");
    this.body = this.table.tBodies[0];
    this.template = document.getElementById("row").content.firstElementChild;
    this.addressOf = addressOf;
    this.rows = [];
    this.drawn = new Map();
    this.selected = "";
    this.above = this.spacer();
    this.below = this.spacer();
    this.queued = false;
    scroller.addEventListener("scroll", () => this.queue(), { passive: true });
    new ResizeObserver(() => this.queue()).observe(scroller);
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-id]");
      if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open(row.dataset.id);
    });
    this.body.addEventListener("focusin", (event) => {
      const row = event.target.closest("tr[data-id]");
      if (row && row.dataset.id !== this.selected) this.mark(row.dataset.id);
    });
  }

  get height() { return parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")); }
  get index() { return this.rows.findIndex((row) => row.id === this.selected); }

  // Show these rows. With `keepPosition`, the top row on screen stays in place although rows above it change.
  show(rows, keepPosition = false) {
    const height = this.height, top = this.scroller.scrollTop;
    const index = Math.floor(top / height);
    const anchor = keepPosition && top > 0 ? this.rows[index]?.id : undefined;
    this.rows = rows;
    this.table.setAttribute("aria-rowcount", rows.length + 1);
    if (!keepPosition) this.scroller.scrollTop = 0;
    this.draw();
    const now = anchor === undefined ? -1 : rows.findIndex((row) => row.id === anchor);
    if (now >= 0 && now !== index) {
      this.scroller.scrollTop = now * height + (top - index * height);
      this.draw();
    }
  }

  queue() {
    if (this.queued || !this.above.isConnected) return; // the rows of the server stay until others are shown
    this.queued = true;
    requestAnimationFrame(() => { this.queued = false; this.draw(); });
  }

  draw() {
    const height = this.height;
    const first = Math.max(Math.floor(this.scroller.scrollTop / height) - EXTRA_ROWS, 0);
    const last = Math.min(Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / height) + EXTRA_ROWS, this.rows.length);
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.id : null;
    const before = this.drawn;
    this.drawn = new Map();
    for (let index = first; index < last; index++) {
      const row = this.rows[index];
      const drawn = before.get(row.id) ?? this.body.querySelector(`tr[data-id="${CSS.escape(row.id)}"]`) ?? this.template.cloneNode(true);
      if (drawn.row !== row) fillRow(drawn, row);
      drawn.cellsByName.market.href = this.addressOf(row.id);
      drawn.setAttribute("aria-rowindex", index + 2);
      this.drawn.set(row.id, drawn);
    }
    const nodes = new Set([this.above, ...this.drawn.values(), this.below]);
    for (const node of [...this.body.children]) if (!nodes.has(node)) node.remove();
    // Rows that stay are not removed, so that they keep the focus.
    let place = this.body.firstChild;
    for (const node of nodes) {
      if (node === place) place = place.nextSibling;
      else this.body.insertBefore(node, place);
    }
    setHeight(this.above, first * height);
    setHeight(this.below, (this.rows.length - last) * height);
    this.mark(this.selected, false);
    if (focused && !this.body.contains(document.activeElement)) this.link(focused)?.focus({ preventScroll: true });
  }

  // Select a row by its index, scroll to it, and focus it.
  go(index, focus = true) {
    if (!this.rows.length) return null;
    const row = this.rows[Math.min(Math.max(index, 0), this.rows.length - 1)];
    this.mark(row.id, false);
    this.reveal();
    if (focus) this.link(row.id)?.focus({ preventScroll: true });
    return row.id;
  }

  reveal() {
    const index = this.index, height = this.height, head = this.table.tHead.offsetHeight;
    if (index < 0) return;
    const top = index * height, room = this.scroller.clientHeight - head - height;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top > this.scroller.scrollTop + room) this.scroller.scrollTop = top - room;
    this.draw();
  }

  mark(id, scroll = false) {
    this.selected = id;
    // Tab reaches one row: the selected one if it is drawn, or else the first on screen.
    const reached = this.drawn.has(id) ? id : this.rows[Math.min(Math.ceil(this.scroller.scrollTop / this.height), this.rows.length - 1)]?.id;
    for (const [key, node] of this.drawn) {
      node.classList.toggle("selected", key === id);
      node.querySelector("a").tabIndex = key === reached ? 0 : -1;
    }
    if (scroll) this.reveal();
  }

  link(id) { return this.drawn.get(id)?.querySelector("a"); }

  spacer() {
    const row = document.createElement("tr");
    row.className = "spacer";
    row.setAttribute("aria-hidden", "true");
    row.append(document.createElement("td"));
    return row;
  }
}

function setHeight(row, height) {
  row.hidden = height <= 0;
  row.firstChild.style.height = `${height}px`;
}

function fillRow(node, row) {
  node.row = row;
  node.dataset.id = row.id;
  node.dataset.action = row.action;
  const cells = (node.cellsByName ??= Object.fromEntries([...node.querySelectorAll("[data-c]")].map((cell) => [cell.dataset.c, cell])));
  const put = (name, text) => {
    const cell = cells[name];
    if (text === null) cell.replaceChildren(Object.assign(document.createElement("span"), { className: "unknown", textContent: "unknown" }));
    else cell.textContent = text;
    return cell;
  };
  const attribute = (cell, name, value) => { if (value) cell.setAttribute(name, value); else cell.removeAttribute(name); };
  put("action", row.action);
  cells.conflict.hidden = row.conflict === null;
  for (const name of ["title", "aria-label"]) attribute(cells.conflict, name, row.conflict);
  put("market", row.market).title = row.market;
  put("tag", row.tag).title = row.exchange;
  put("sub", row.strategy);
  put("phone_note", row.phone_note);
  put("strategy", row.strategy).title = row.strategy;
  put("score", row.score_text);
  put("parts", row.parts).closest("td").title = row.parts;
  const bar = node.querySelector(".bar");
  bar.replaceChildren(...row.bar.map(([kind, left, width]) => {
    const segment = document.createElementNS(SVG, "rect");
    segment.setAttribute("class", `k-${kind}`);
    segment.setAttribute("x", left);
    segment.setAttribute("width", width);
    segment.setAttribute("height", 8);
    return segment;
  }));
  put("bias", row.bias).dataset.bias = row.bias;
  put("side", row.action === "WAIT" ? row.bias : "").dataset.bias = row.bias;
  put("reason", row.reason ?? "").closest("td").hidden = row.rr_text !== null;
  for (const name of ["rr", "entry", "stop", "target"]) put(name, row[`${name}_text`] ?? "–").hidden = row.rr_text === null;
  put("ended", row.ended_text);
  put("record_n", row.record_n);
  const record = put("record", row.record_text).closest("td");
  record.classList.toggle("few", row.record_few);
  attribute(record, "title", row.record_title);
  put("oi_status", row.oi_status).closest(".status").dataset.status = row.oi_status;
  for (const name of ["oi_value", "oi_change", "oi_z"]) put(name, row[name]);
  put("oi_age", row.oi_age_text).classList.toggle("stale", row.oi_stale);
  cells.oi_status.closest("td").title = row.oi_title;
  for (const name of ["funding", "ls"]) {
    const cell = put(name, row[`${name}_text`]);
    cell.classList.toggle("stale", row[`${name}_stale`]);
    attribute(cell, "title", row[`${name}_title`]);
  }
  for (const name of ["volume", "change"]) put(name, row[`${name}_text`]);
  const price = put("price", row.price_text);
  price.classList.toggle("stale", row.price_age !== null);
  for (const name of ["entry", "stop", "target", "price"]) {
    for (const label of ["title", "aria-label"]) attribute(cells[name], label, row.full[name]);
  }
  if (row.price_age !== null) price.title = `${row.full.price ?? row.price_text}, ${row.price_age}`;
}
