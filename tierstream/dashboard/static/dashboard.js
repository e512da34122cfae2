// Draws charts from the data beside them, brings the first page up to date, and tries again while ClickHouse is away.
// Everything is readable without it.

const LIVE_MS = 10_000;
const drawn = new Map();

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const still = matchMedia("(prefers-reduced-motion: reduce)");
const contrast = matchMedia("(prefers-contrast: more), (forced-colors: active)");

const money = (value) => {
  const size = Math.abs(value);
  const sign = value < 0 ? "−$" : "$";
  if (size === 0) return "$0";
  if (size >= 10_000) return `${sign}${Math.round(size / 1000).toLocaleString("en")}k`;
  const digits = Number.isInteger(size) ? 0 : 2;
  if (size >= 1) return sign + size.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return sign + Number(size.toPrecision(3)).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 12 });
};
const span = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toPrecision(3))} s`);
const count = (value) => (value >= 1e6 ? `${value / 1e6} M` : value.toLocaleString("en"));
const share = (value) => `${Number((value * 100).toPrecision(3))} %`;
const WRITTEN = { usd: money, ms: span, count, share };

// Patterns beside colours, for those who ask for contrast.
const DECALS = [
  null,
  { dashArrayX: [1, 0], dashArrayY: [3, 4], rotation: 0.7 },
  { symbol: "circle", dashArrayX: [[6, 6], [0, 6, 6, 0]], dashArrayY: [6, 0], symbolSize: 0.7 },
  { dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -0.7 },
  { dashArrayX: [4, 3], dashArrayY: [4, 3] },
];

function row(colour, name, value) {
  const line = document.createElement("div");
  const dot = document.createElement("span");
  dot.className = "dot";
  dot.style.background = colour;
  const label = document.createElement("span");
  label.textContent = name;
  const figure = document.createElement("strong");
  figure.style.display = "inline";
  figure.textContent = value;
  line.append(dot, label, figure);
  return line;
}

function tooltip(data, write) {
  return (points) => {
    const box = document.createElement("div");
    box.className = "tip";
    const head = document.createElement("strong");
    head.textContent = points[0].axisValueLabel ?? points[0].name;
    box.append(head);
    for (const point of [...points].reverse()) {
      if (point.seriesName === "" || point.value == null) continue;
      if (data.kind === "bars" && data.series.length > 1 && !point.value) continue;
      box.append(row(point.color, point.seriesName, write(point.data?.size ?? point.value)));
    }
    return box;
  };
}

function stepFloor(data) {
  // Effects that are small beside the whole would be lines on an axis from 0.
  const values = data.series[0].values;
  const levels = values.slice(0, -1).reduce((all, value) => [...all, (all.at(-1) ?? 0) + value], []);
  const low = Math.min(...levels);
  const spread = Math.max(...levels) - low;
  return low > 2 * spread ? low - spread : 0;
}

function stepSeries(data, { write, text, isRotated }) {
  // A bar from the lower to the upper end of each step; what is below it is not drawn.
  const values = data.series[0].values;
  const last = values.length - 1;
  let level = 0;
  const under = [];
  const steps = values.map((value, n) => {
    const whole = n === 0 || n === last;
    const from = whole ? 0 : level;
    const to = whole ? value : level + value;
    level = to;
    under.push(Math.min(from, to));
    const colour = whole ? css("ink") : value > 0 ? css("bad") : css("saved");
    return { value: Math.abs(to - from), size: value, itemStyle: { color: colour } };
  });
  return [
    { type: "bar", name: "", stack: "all", silent: true, itemStyle: { color: "transparent" }, data: under },
    {
      type: "bar",
      name: data.series[0].name,
      stack: "all",
      barMaxWidth: 56,
      data: steps,
      // Where labels of the axis are aslant, there is no room for figures beside each other.
      label: { ...text, show: !isRotated, position: "top", formatter: (point) => write(point.data.size) },
    },
  ];
}

function barSeries(data) {
  return data.series.map((one, n) => ({
    type: "bar",
    name: one.name,
    stack: "all",
    barMaxWidth: 36,
    barCategoryGap: "28%",
    itemStyle: {
      color: css(one.colour),
      borderColor: css("card"),
      borderWidth: data.series.length > 1 ? 0.5 : 0,
      decal: contrast.matches ? DECALS[n % DECALS.length] : null,
    },
    data: one.values,
  }));
}

function lineSeries(data) {
  const alone = data.labels.length < 2;
  return data.series.map((one, n) => ({
    type: "line",
    name: one.name,
    showSymbol: alone || contrast.matches,
    symbol: ["circle", "rect", "triangle", "diamond"][n % 4],
    symbolSize: 6,
    itemStyle: { color: css(one.colour) },
    lineStyle: { width: 2, color: css(one.colour), type: ["solid", "dashed", "dotted", [8, 3, 2, 3]][n % 4] },
    data: one.values,
  }));
}

function option(data, width) {
  // The last label of the axis may reach beyond its end by half of itself; a character is six pixels wide.
  const halfLabel = Math.max(...data.labels.map((label) => label.length)) * 3;
  const isRotated = data.kind === "steps" && width < 500;
  const write = WRITTEN[data.unit];
  const text = { color: css("soft"), fontSize: 12, fontFamily: getComputedStyle(document.body).fontFamily };
  const make = { bars: barSeries, lines: lineSeries, steps: stepSeries }[data.kind];
  return {
    animation: !still.matches,
    animationDuration: 300,
    aria: { enabled: false },
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
    grid: { left: 4, right: data.kind === "steps" ? 8 : halfLabel, top: 14, bottom: 4, containLabel: true },
    tooltip: {
      trigger: "axis",
      confine: true,
      axisPointer: { type: data.kind === "lines" ? "line" : "shadow", shadowStyle: { color: css("ink"), opacity: 0.05 }, lineStyle: { color: css("none") } },
      backgroundColor: css("card"),
      borderColor: css("rule"),
      textStyle: { color: css("ink"), fontSize: 12.5 },
      formatter: tooltip(data, write),
    },
    xAxis: {
      type: "category",
      data: data.labels,
      axisLine: { lineStyle: { color: css("none") } },
      axisTick: { show: false },
      axisLabel: { ...text, hideOverlap: true, interval: data.kind === "steps" ? 0 : "auto", width: data.kind === "steps" && !isRotated ? width / data.labels.length - 6 : undefined, overflow: "break", rotate: isRotated ? 40 : 0 },
      boundaryGap: data.kind !== "lines" || data.labels.length < 2,
    },
    yAxis: {
      type: "value",
      splitNumber: 4,
      min: data.kind === "steps" ? (range) => Math.min(stepFloor(data), range.max) : undefined,
      axisLabel: { ...text, formatter: write, showMinLabel: data.kind === "steps" ? false : undefined },
      splitLine: { lineStyle: { color: css("rule") } },
    },
    series: make(data, { write, text, isRotated }),
  };
}

function draw(box, { again = false } = {}) {
  const data = JSON.parse(box.nextElementSibling.textContent);
  const chart = drawn.get(box) ?? window.echarts.init(box, null, { renderer: "canvas" });
  drawn.set(box, chart);
  chart.setOption({ ...option(data, box.clientWidth), ...(again ? { animation: false } : {}) }, true);
  box.dataset.drawn = "";
}

function drawAll(settings) {
  if (!window.echarts) return;
  for (const [box, chart] of drawn) {
    if (!box.isConnected) {
      chart.dispose();
      drawn.delete(box);
    }
  }
  document.querySelectorAll("[data-chart]").forEach((box) => draw(box, settings));
}

let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => {
    for (const chart of drawn.values()) chart.resize();
  }, 100);
});
for (const query of [matchMedia("(prefers-color-scheme: dark)"), contrast]) {
  query.addEventListener("change", () => drawAll({ again: true }));
}

// --- the first page, brought up to date ---

function replacePart(part, fresh) {
  // What somebody is at, or has opened, stays as it is until they leave it.
  if (part.contains(document.activeElement) || part.querySelector("details.data[open]")) return false;
  if (part.textContent === fresh.textContent) return false;
  part.replaceWith(document.adoptNode(fresh));
  return true;
}

async function refresh(said) {
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(30_000) });
  if (answer.redirected) {
    location.reload();
    return;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  let changed = false;
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.querySelector(`[data-live="${part.dataset.live}"]`);
    if (fresh) changed = replacePart(part, fresh) || changed;
  }
  if (changed) drawAll({ again: true });
  said.textContent = "Live, every 10 s";
}

function keepLive(control) {
  const button = control.querySelector("button");
  const said = control.querySelector("[data-live-said]");
  let paused = false;
  control.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    said.textContent = paused ? "Paused" : "Live, every 10 s";
  });
  setInterval(async () => {
    if (paused || document.hidden) return;
    try {
      await refresh(said);
    } catch {
      said.textContent = "No answer, trying again";
    }
  }, LIVE_MS);
}

function retry(box) {
  const every = Number(box.dataset.retry) * 1000;
  const timer = setInterval(async () => {
    try {
      const answer = await fetch(location.href, { signal: AbortSignal.timeout(30_000) });
      if (answer.ok) {
        clearInterval(timer);
        location.reload();
      }
    } catch {
      // The dashboard itself is away: the next time, perhaps.
    }
  }, every);
}

// Where the navigation is a row that scrolls, the page that is shown is in sight.
const here = document.querySelector(".top nav [aria-current]");
if (here) here.closest("nav").scrollLeft = here.offsetLeft - here.closest("nav").clientWidth / 2 + here.offsetWidth / 2;

drawAll();
document.querySelectorAll("[data-live-control]").forEach(keepLive);
document.querySelectorAll("[data-retry]").forEach(retry);
