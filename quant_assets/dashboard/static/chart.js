// The charts of one market: price with entry, stop and target; RSI with its trendlines; open interest and liquidations.
// Where data are missing, a text says so.

let plotly;

export function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.body.dataset.plotly;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { plotly = undefined; reject(new Error("plotly did not load")); };
    document.head.append(script);
  });
  return plotly;
}

export function purgeCharts(root) {
  if (!window.Plotly) return;
  for (const node of root.querySelectorAll(".js-plotly-plot")) window.Plotly.purge(node);
}

const HOUR = 3_600_000;
const BAR_MS = { "4h": 4 * HOUR, "15m": HOUR / 4 };
const HOUR_TICKS = { tickformat: "%H:%M\n%b %-d" };
const MARGIN = { l: 8, r: 72, t: 6, b: 22 };
const TWO_LINE_MARGIN = { l: 8, r: 72, t: 6, b: 36 }; // for two lines of tick labels
const LEGEND_MARGIN = { ...MARGIN, t: 24 };
const MIN_LEVEL_SHARE = 0.08; // of the visible range; closer levels cannot be told apart
const LABEL_HEIGHT = 18; // pixels
const LEGEND = { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", itemclick: false, itemdoubleclick: false, font: { size: 11 } };
const CONFIG = { displayModeBar: false, responsive: true, showTips: false };

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "grid", "long", "short", "accent", "k2", "k3", "k4", "k6", "surface", "strong-line"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function baseLayout(c, more) {
  const axis = { gridcolor: c.grid, linecolor: c["strong-line"], zeroline: false, tickfont: { color: c.soft, size: 11 }, fixedrange: true };
  const { yaxis, yaxis2, xaxis, ...rest } = more;
  return {
    margin: MARGIN, paper_bgcolor: c.surface, plot_bgcolor: c.surface, showlegend: false, hovermode: "x unified",
    font: { color: c.ink, size: 11, family: getComputedStyle(document.body).fontFamily },
    hoverlabel: { bgcolor: c.surface, bordercolor: c["strong-line"], font: { color: c.ink } },
    dragmode: false,
    xaxis: { ...axis, type: "date", showgrid: false, tickformat: "%b %-d", nticks: 8, rangeslider: { visible: false }, ...xaxis },
    yaxis: { ...axis, side: "right", ...yaxis },
    ...(yaxis2 && { yaxis2: { ...axis, side: "right", ...yaxis2 } }),
    ...rest,
  };
}

const date = (milliseconds) => new Date(milliseconds).toISOString();
const dates = (list) => list.map(date);

function showText(node, text) {
  if (window.Plotly && node.classList.contains("js-plotly-plot")) window.Plotly.purge(node);
  node.classList.add("empty");
  node.textContent = text;
}

async function plot(Plotly, node, label, traces, layout) {
  node.classList.remove("empty");
  if (!node.classList.contains("js-plotly-plot")) node.replaceChildren();
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", label);
  await Plotly.react(node, traces, layout, CONFIG);
}

// The timeframe that a row opens with: 15m if entry, stop and target are too close together on 4h.
export function defaultTimeframe(series, row) {
  const signal = signalOf(series, row);
  const { high, low } = series.candles["4h"];
  if (signal.entry === null || !high.length || !series.candles["15m"].time.length) return "4h";
  const span = Math.max(...high, signal.take_profit, signal.stop_loss) - Math.min(...low, signal.take_profit, signal.stop_loss);
  return Math.abs(signal.take_profit - signal.stop_loss) < MIN_LEVEL_SHARE * span ? "15m" : "4h";
}

function signalOf(series, row) {
  return series.signals.find((signal) => signal.strategy_name === row.strategy) ?? series.signals[0];
}

export async function drawCharts(root, series, row, timeframe) {
  const body = root.querySelector("[data-series]");
  const Plotly = await loadPlotly();
  if (!body?.isConnected) return; // the panel has another row by now
  const signal = signalOf(series, row);
  const place = (name) => body.querySelector(`[data-plot="${name}"]`);
  const c = colours();
  const htf = series.candles["4h"].time;
  const range = htf.length ? [date(htf[0]), date(htf.at(-1) + 2 * BAR_MS["4h"])] : undefined;
  await drawPrice(Plotly, place("price"), series, signal, timeframe, range, c);
  await drawRsi(Plotly, place("rsi"), series, signal, range, c);
  await drawDerivatives(Plotly, place("derivatives"), series, c);
  for (const node of body.querySelectorAll('[data-plot="own"]')) await drawOwn(Plotly, node, ownCharts(series, signal, node.dataset.chart), range, c);
  for (const node of body.querySelectorAll('[data-plot="dataset"]')) await drawDataset(Plotly, node, series[node.dataset.dataset], c);
  if (body.isConnected) root.dataset.drawn = row.id;
}

async function drawPrice(Plotly, node, series, signal, timeframe, range, c) {
  const candles = series.candles[timeframe];
  if (!candles.time.length) return showText(node, `No ${timeframe} candles of this market are stored for this window.`);
  const levels = [["entry", signal.entry, c.accent], ["stop", signal.stop_loss, c.short], ["target", signal.take_profit, c.long]];
  const known = levels.filter(([, price]) => price !== null);
  const shown = timeframe === "4h" ? range : [date(candles.time[0]), date(candles.time.at(-1) + 4 * BAR_MS["15m"])];
  const paint = (colour) => ({ line: { color: colour, width: 1 }, fillcolor: colour });
  const trace = {
    type: "candlestick", name: timeframe, x: dates(candles.time), open: candles.open, high: candles.high, low: candles.low,
    close: candles.close, increasing: paint(c.long), decreasing: paint(c.short), hoverinfo: "x+y",
  };
  const traces = [{ ...trace, showlegend: false }];
  const forming = timeframe === "4h" ? series.forming : null;
  if (timeframe === "4h") {
    if (forming) traces.push(...formingBar(forming, c));
    const averages = series.averages;
    for (const [name, values, colour] of [["EMA 50", averages.ema50, c.k3], ["EMA 200", averages.ema200, c.k6]]) {
      if (values.some((value) => value !== null)) traces.push({ type: "scatter", mode: "lines", name, x: dates(averages.time), y: values, line: { color: colour, width: 1 }, hovertemplate: "%{y:.6~g}" });
    }
  }
  const own = ownCharts(series, signal, "price").filter((chart) => chart.timeframe === timeframe).flatMap((chart) => ownTraces(chart, 1, c));
  traces.push(...own);
  const past = pastTrades(series, signal, dates(candles.time)[0], c);
  traces.push(...past);
  const prices = [...candles.low, ...candles.high, ...(forming ? [forming.low, forming.high] : []), ...known.map(([, price]) => price)];
  const min = Math.min(...prices), max = Math.max(...prices), edge = (max - min) * 0.05 || max * 0.01;
  const margin = timeframe === "15m" ? { ...TWO_LINE_MARGIN, ...(own.length + past.length > 0 && { t: LEGEND_MARGIN.t }) } : LEGEND_MARGIN;
  const shifts = spread(known.map(([, price]) => price), [min - edge, max + edge], node.clientHeight - margin.t - margin.b);
  const formatted = (price) => price.toLocaleString("en", { maximumSignificantDigits: 6 });
  const layout = baseLayout(c, {
    margin,
    showlegend: timeframe === "4h" || own.length + past.length > 0, legend: LEGEND,
    xaxis: { range: shown, ...(timeframe === "15m" && HOUR_TICKS) },
    yaxis: { range: [min - edge, max + edge], tickformat: tickFormat(max - min), hoverformat: ".6~g" },
    shapes: known.map(([name, price, colour]) => ({ type: "line", name, xref: "paper", x0: 0, x1: 1, y0: price, y1: price, line: { color: colour, width: 1.5, dash: name === "entry" ? "solid" : "dash" } })),
    annotations: known.map(([name, price, colour], index) => ({ text: `${name} ${formatted(price)}`, xref: "paper", x: 0.004, xanchor: "left", y: price, yshift: shifts[index], yanchor: "middle", showarrow: false, font: { color: colour, size: 11 }, bgcolor: c.surface })),
  });
  const levelTexts = known.map(([name, price]) => `${name} ${formatted(price)}`).join(", ");
  await plot(Plotly, node, `Price, ${timeframe} candles${forming ? ", the last one forming" : ""}${levelTexts ? `: ${levelTexts}` : ""}`, traces, layout);
}

// The past trades of the signal's strategy on this market: a line from entry to exit, with the result beside it.
function pastTrades(series, signal, first, c) {
  const shown = series.trades.filter((trade) => trade.strategy === signal.strategy_name && trade.exit_ms !== null && trade.exit !== null && date(trade.exit_ms) >= first);
  if (!shown.length) return [];
  const result = (trade) => `${trade.net_r < 0 ? "−" : "+"}${Math.abs(trade.net_r).toFixed(2)} R`;
  const symbol = (trade) => (trade.side === "LONG" ? "triangle-up" : "triangle-down");
  const hover = (trade) => `${trade.side} entered ${date(trade.entry_ms).slice(0, 16).replace("T", " ")}, ${trade.outcome} ${date(trade.exit_ms).slice(0, 16).replace("T", " ")}, ${result(trade)}`;
  const gap = (pick) => shown.flatMap((trade) => [...pick(trade), null]);
  return [
    { type: "scatter", mode: "lines", name: "past trades", legendgroup: "past", x: gap((trade) => [date(trade.entry_ms), date(trade.exit_ms)]), y: gap((trade) => [trade.entry, trade.exit]), line: { color: c.ink, width: 1.5, dash: "dot" }, hoverinfo: "skip" },
    { type: "scatter", mode: "markers", name: "entries", legendgroup: "past", showlegend: false, x: shown.map((trade) => date(trade.entry_ms)), y: shown.map((trade) => trade.entry), text: shown.map(hover), marker: { symbol: shown.map(symbol), size: 9, color: c.accent, line: { color: c.surface, width: 1 } }, hovertemplate: "%{text}<extra></extra>" },
    { type: "scatter", mode: "markers+text", name: "exits", legendgroup: "past", showlegend: false, x: shown.map((trade) => date(trade.exit_ms)), y: shown.map((trade) => trade.exit), text: shown.map(result), textposition: "top center", textfont: { color: c.ink, size: 10 }, customdata: shown.map(hover), marker: { symbol: "x", size: 7, color: c.ink }, hovertemplate: "%{customdata}<extra></extra>", cliponaxis: false },
  ];
}

// The forming 4h bar: hollow, with an invisible point for its hover text, since plotly has none for candles.
function formingBar(forming, c) {
  const paint = (colour) => ({ line: { color: colour, width: 1 }, fillcolor: "rgba(0, 0, 0, 0)" });
  const x = [date(forming.time)];
  const hover = `forming: ${forming.bars} of 16 15m bars, until ${date(forming.through).slice(11, 16)} UTC`;
  return [
    { type: "candlestick", name: "forming", x, open: [forming.open], high: [forming.high], low: [forming.low], close: [forming.close], increasing: paint(c.long), decreasing: paint(c.short), hoverinfo: "x+y" },
    { type: "scatter", mode: "markers", name: "forming, named", x, y: [forming.close], marker: { opacity: 0 }, showlegend: false, hovertemplate: `${hover}<extra></extra>` },
  ];
}

// Return by how many pixels to move each label up so that none overlap; the middle label stays if there is room.
function spread(prices, [min, max], height) {
  const labels = prices.map((price, index) => ({ index, own: ((price - min) / (max - min)) * height })).sort((a, b) => a.own - b.own);
  for (const label of labels) label.at = label.own;
  const middle = Math.floor(labels.length / 2);
  const up = (from) => { for (let i = from; i < labels.length; i++) labels[i].at = Math.max(labels[i].at, i ? labels[i - 1].at + LABEL_HEIGHT : LABEL_HEIGHT / 2); };
  const down = (from) => { for (let i = from; i >= 0; i--) labels[i].at = Math.min(labels[i].at, labels[i + 1] ? labels[i + 1].at - LABEL_HEIGHT : height - LABEL_HEIGHT / 2); };
  up(middle + 1);
  down(middle - 1);
  down(labels.length - 1);
  up(0);
  const shifts = [];
  for (const { index, own, at } of labels) shifts[index] = at - own;
  return shifts;
}

function tickFormat(span) {
  return `,.${Math.min(Math.max(Math.ceil(1 - Math.log10(span || 1)), 0), 12)}f`;
}

async function drawRsi(Plotly, node, series, signal, range, c) {
  const { time, value } = series.rsi;
  if (!value.some((point) => point !== null)) return showText(node, "RSI is unknown: too few 4h candles.");
  const colour = { resistance: c.short, support: c.long, broken: c.k2 };
  const traces = [{ type: "scatter", mode: "lines", name: "RSI", x: dates(time), y: value, line: { color: c.ink, width: 1.4 }, hovertemplate: "%{y:.1f}" }];
  const lines = series.lines.filter((line) => line.kind !== "broken" || line.strategies.includes(signal.strategy_name));
  for (const line of lines) {
    const pen = { color: colour[line.kind], width: 1.8 };
    const points = { type: "scatter", hovertemplate: "%{y:.1f}", legendgroup: line.kind };
    traces.push({ ...points, mode: "lines", name: line.kind, x: dates(line.solid.time), y: line.solid.value, line: pen });
    traces.push({ ...points, mode: "lines", name: `${line.kind}, projected`, x: dates(line.projected.time), y: line.projected.value, line: { ...pen, dash: "dash" } });
    traces.push({ ...points, mode: "markers", name: `${line.kind}, pivots`, x: dates(line.pivots.map((p) => p.time)), y: line.pivots.map((p) => p.value), marker: { color: c.surface, size: 8, line: { color: colour[line.kind], width: 2 } }, hoverinfo: "skip", hovertemplate: null });
  }
  const level = (y) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: c["strong-line"], width: 1, dash: "dot" } });
  const now = time.at(-1) + BAR_MS["4h"];
  const present = { type: "line", yref: "paper", y0: 0, y1: 1, x0: date(now), x1: date(now), line: { color: c["strong-line"], width: 1 } };
  const values = [...value.filter((point) => point !== null), ...lines.flatMap((line) => [...line.solid.value, ...line.projected.value])];
  const layout = baseLayout(c, {
    xaxis: { range },
    yaxis: { range: [Math.max(Math.min(25, ...values) - 4, -20), Math.min(Math.max(75, ...values) + 4, 120)], tickvals: [30, 50, 70] },
    shapes: [level(30), level(70), present],
  });
  const lineTexts = lines.map((line) => `${line.kind} from ${line.pivots[0].value.toFixed(1)} on ${date(line.pivots[0].time).slice(0, 16)} over ${line.pivots[1].value.toFixed(1)} on ${date(line.pivots[1].time).slice(0, 16)} to ${line.projected.value.at(-1).toFixed(1)} now`);
  await plot(Plotly, node, `RSI on 4h, last ${value.at(-1)?.toFixed(1) ?? "unknown"}; ${lineTexts.join("; ") || "no trendline"}`, traces, layout);
}

async function drawDerivatives(Plotly, node, series, c) {
  const interest = series.open_interest, liquidations = series.liquidations;
  if (!interest.time.length && !liquidations.time.length) {
    return showText(node, "Unknown: neither open interest nor liquidations of this market are stored.");
  }
  const step = BAR_MS["15m"];
  const bars = (name, values, colour) => ({
    type: "bar", name, x: dates(liquidations.time), y: values, marker: { color: colour }, yaxis: "y2", width: step * 0.8, hovertemplate: "%{y:.3s}",
  });
  const traces = [];
  if (interest.time.length) traces.push({ type: "scatter", mode: "lines", name: "open interest", x: dates(interest.time), y: interest.value, line: { color: c.k4, width: 1.6 }, hovertemplate: "%{y:.4s}" });
  if (liquidations.time.length) traces.push(bars("longs liquidated", liquidations.longs, c.short), bars("shorts liquidated", liquidations.shorts, c.long));
  const ends = [...interest.time, ...liquidations.time];
  const note = (text, y) => ({ text, xref: "paper", yref: "paper", x: 0.004, xanchor: "left", y, yanchor: "bottom", showarrow: false, font: { color: c.soft, size: 11 } });
  const unit = (source) => ({ BASE_ASSET: ", base", QUOTE_ASSET: ", quote", USD: ", USD" })[source.unit] ?? "";
  const notes = [
    interest.time.length ? `open interest${unit(interest)}` : "open interest: unknown",
    liquidations.time.length ? `liquidations${unit(liquidations)}: longs red, shorts green` : liquidations.known_through === null ? "liquidations: unknown" : "liquidations: none in these hours",
  ];
  // If only one of the two is known, it takes the whole height, and one line has both notes.
  const both = interest.time.length > 0 && liquidations.time.length > 0;
  const layout = baseLayout(c, {
    barmode: "stack", margin: { ...TWO_LINE_MARGIN, t: 20 },
    xaxis: { range: [date(Math.min(...ends)), date(Math.max(...ends) + step)], anchor: liquidations.time.length ? "y2" : "y", ...HOUR_TICKS },
    yaxis: { domain: both ? [0.48, 1] : [0, 1], exponentformat: "B", nticks: 4 },
    yaxis2: { domain: both ? [0, 0.33] : [0, 1], exponentformat: "B", nticks: 3, rangemode: "tozero" },
    annotations: both ? [note(notes[0], 1), note(notes[1], 0.34)] : [note(notes.join(" · "), 1)],
  });
  await plot(Plotly, node, "Open interest and liquidations, 15-minute bars", traces, layout);
}

// The charts of the own indicators of a signal's strategy that have this title.
function ownCharts(series, signal, title) {
  return series.indicators.filter((chart) => chart.strategy === signal.strategy_name && chart.chart === title);
}

function ownTraces(chart, width, c) {
  const colours = [c.k2, c.k4, c.k3, c.k6, c.accent, c.soft];
  return Object.entries(chart.series).map(([name, values], index) => ({
    type: "scatter", mode: "lines", name: name.replaceAll("_", " "), x: dates(chart.time), y: values, line: { color: colours[index % colours.length], width }, hovertemplate: "%{y:.6~g}",
  }));
}

async function drawOwn(Plotly, node, charts, range, c) {
  const problem = charts.find((chart) => chart.problem)?.problem;
  if (problem) return showText(node, `Cannot be drawn: ${problem}`);
  const traces = charts.flatMap((chart) => ownTraces(chart, 1.6, c));
  if (!traces.some((trace) => trace.y.some((value) => value !== null))) return showText(node, "Unknown: too few candles of this market are stored.");
  const has4h = charts.some((chart) => chart.timeframe === "4h");
  const times = charts.flatMap((chart) => chart.time);
  const layout = baseLayout(c, {
    margin: has4h ? LEGEND_MARGIN : { ...TWO_LINE_MARGIN, t: LEGEND_MARGIN.t }, showlegend: true, legend: LEGEND,
    xaxis: has4h ? { range } : { range: [date(Math.min(...times)), date(Math.max(...times) + 4 * BAR_MS["15m"])], ...HOUR_TICKS },
    yaxis: { nticks: 4 },
  });
  const frames = [...new Set(charts.map((chart) => chart.timeframe))].join(" and ");
  await plot(Plotly, node, `${node.dataset.chart}, ${frames} bars`, traces, layout);
}

// The chart of a dataset that an installed package adds: a line for each of its series.
async function drawDataset(Plotly, node, series, c) {
  const { label, keys } = node.dataset;
  if (!series?.time.length) return showText(node, `Unknown: no ${label} of this market is stored.`);
  const colours = [c.k4, c.k2, c.k3, c.k6];
  const traces = keys.split(" ").map((key, index) => ({
    type: "scatter", mode: "lines", name: key === "value" ? label : key, x: dates(series.time), y: series[key], line: { color: colours[index % colours.length], width: 1.6 }, hovertemplate: "%{y:.4~g}",
  }));
  const layout = baseLayout(c, {
    margin: traces.length > 1 ? LEGEND_MARGIN : TWO_LINE_MARGIN, showlegend: traces.length > 1, legend: LEGEND,
    xaxis: { range: [date(series.time[0]), date(series.time.at(-1) + BAR_MS["15m"])], ...HOUR_TICKS }, yaxis: { nticks: 4 },
  });
  await plot(Plotly, node, `${label}, 15-minute bars`, traces, layout);
}
