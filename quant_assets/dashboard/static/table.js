// The table: filters, order, and as many rows as the screen shows. The rows themselves come from the server with the
// text of their cells; nothing is put in but by textContent and attributes.

const EXTRA = 12; // rows drawn above and below the screen
const SORT_FIELDS = { oi: "oi_age", funding: "funding_size" }; // as in rows.py
const SVG = "http://www.w3.org/2000/svg";

export function chosenRows(rows, state) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const actions = new Set(state.action.split(",").filter(Boolean));
  const list = (text) => new Set(text.toLowerCase().split(",").filter(Boolean));
  const strategies = list(state.strategy), exchanges = list(state.exchange), statuses = list(state.status);
  const least = state.min_score === "" ? -Infinity : Number(state.min_score);
  return rows.filter((row) =>
    (!actions.size || actions.has(row.action)) &&
    (!strategies.size || strategies.has(row.strategy.toLowerCase())) &&
    (!exchanges.size || exchanges.has(row.exchange.toLowerCase())) &&
    (!statuses.size || statuses.has(row.oi)) &&
    row.score >= least &&
    words.every((word) => textOf(row).includes(word)));
}

export function orderedRows(rows, sort, dir) {
  if (!sort) return rows;
  const key = SORT_FIELDS[sort] ?? sort;
  const sign = dir === "desc" ? -1 : 1;
  // Unknown is neither much nor little: last in either direction.
  return rows.toSorted((a, b) => {
    const left = a[key], right = b[key];
    if (left === null || right === null) return (left === null) - (right === null);
    return left < right ? -sign : left > right ? sign : 0;
  });
}

function textOf(row) {
  row.text ??= [row.market, row.symbol, row.exchange, row.tag, row.strategy, row.action, row.reason ?? ""].join(" ").toLowerCase();
  return row.text;
}

export class Table {
  constructor(scroller, address, open) {
    this.scroller = scroller;
    this.table = scroller.querySelector("table");
    this.body = this.table.tBodies[0];
    this.model = document.getElementById("row").content.firstElementChild;
    this.address = address;
    this.rows = [];
    this.drawn = new Map();
    this.selected = "";
    this.above = this.space();
    this.below = this.space();
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

  // Show these rows. With `hold`, what is on screen stays where it is, though rows come and go above it.
  show(rows, hold = false) {
    const height = this.height, top = this.scroller.scrollTop;
    const index = Math.floor(top / height);
    const held = hold && top > 0 ? this.rows[index]?.id : undefined;
    this.rows = rows;
    this.table.setAttribute("aria-rowcount", rows.length + 1);
    if (!hold) this.scroller.scrollTop = 0;
    this.draw();
    const now = held === undefined ? -1 : rows.findIndex((row) => row.id === held);
    if (now >= 0 && now !== index) {
      this.scroller.scrollTop = now * height + (top - index * height);
      this.draw();
    }
  }

  queue() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => { this.queued = false; this.draw(); });
  }

  draw() {
    const height = this.height;
    const first = Math.max(Math.floor(this.scroller.scrollTop / height) - EXTRA, 0);
    const last = Math.min(Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / height) + EXTRA, this.rows.length);
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.id : null;
    const before = this.drawn;
    this.drawn = new Map();
    for (let index = first; index < last; index++) {
      const row = this.rows[index];
      const drawn = before.get(row.id) ?? this.body.querySelector(`tr[data-id="${CSS.escape(row.id)}"]`) ?? this.model.cloneNode(true);
      if (drawn.row !== row) fill(drawn, row, this.address(row.id));
      drawn.setAttribute("aria-rowindex", index + 2);
      this.drawn.set(row.id, drawn);
    }
    const wanted = new Set([this.above, ...this.drawn.values(), this.below]);
    for (const node of [...this.body.children]) if (!wanted.has(node)) node.remove();
    // Rows that stay are not taken out, so that the focus stays in them.
    let place = this.body.firstChild;
    for (const node of wanted) {
      if (node === place) place = place.nextSibling;
      else this.body.insertBefore(node, place);
    }
    stretch(this.above, first * height);
    stretch(this.below, (this.rows.length - last) * height);
    this.mark(this.selected, false);
    if (focused && !this.body.contains(document.activeElement)) this.link(focused)?.focus({ preventScroll: true });
  }

  // Select a row by its place, bring it on screen, and put the focus into it.
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
    const first = this.rows.some((row) => row.id === id) ? id : this.rows[0]?.id;
    for (const [key, node] of this.drawn) {
      node.classList.toggle("selected", key === id);
      node.querySelector("a").tabIndex = key === first ? 0 : -1;
    }
    if (scroll) this.reveal();
  }

  link(id) { return this.drawn.get(id)?.querySelector("a"); }

  space() {
    const row = document.createElement("tr");
    row.className = "space";
    row.setAttribute("aria-hidden", "true");
    row.append(document.createElement("td"));
    return row;
  }
}

function stretch(row, height) {
  row.hidden = height <= 0;
  row.firstChild.style.height = `${height}px`;
}

function fill(node, row, address) {
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
  Object.assign(put("market", row.market), { href: address, title: row.market });
  put("tag", row.tag).title = row.exchange;
  put("sub", row.strategy);
  put("say", row.say);
  put("strategy", row.strategy).title = row.strategy;
  put("score", row.score_text);
  put("parts", row.parts).closest("td").title = row.parts;
  const bar = node.querySelector(".bar");
  bar.replaceChildren(...row.bar.map(([kind, left, width]) => {
    const piece = document.createElementNS(SVG, "rect");
    piece.setAttribute("class", `k-${kind}`);
    piece.setAttribute("x", left);
    piece.setAttribute("width", width);
    piece.setAttribute("height", 8);
    return piece;
  }));
  put("bias", row.bias).dataset.bias = row.bias;
  put("side", row.action === "WAIT" ? row.bias : "").dataset.bias = row.bias;
  put("reason", row.reason ?? "").closest("td").hidden = row.rr_text !== null;
  for (const name of ["rr", "entry", "stop", "target"]) put(name, row[`${name}_text`] ?? "–").hidden = row.rr_text === null;
  put("oi", row.oi).closest(".status").dataset.status = row.oi;
  for (const name of ["oi_value", "oi_change", "oi_z"]) put(name, row[name]);
  put("oi_age", row.oi_text).classList.toggle("stale", row.oi_stale);
  cells.oi.closest("td").title = row.oi_title;
  for (const name of ["funding", "ls"]) {
    const cell = put(name, row[`${name}_text`]);
    cell.classList.toggle("stale", row[`${name}_stale`]);
    attribute(cell, "title", row[`${name}_title`]);
  }
  for (const name of ["volume", "change"]) put(name, row[`${name}_text`]);
  const price = put("price", row.price_text);
  price.classList.toggle("stale", row.price_old !== null);
  for (const name of ["entry", "stop", "target", "price"]) {
    for (const one of ["title", "aria-label"]) attribute(cells[name], one, row.full[name]);
  }
  if (row.price_old !== null) price.title = `${row.full.price ?? row.price_text}, ${row.price_old} old at the window's end`;
}
