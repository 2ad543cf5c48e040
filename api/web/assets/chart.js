// Charts by uPlot. The figures are those of the table below each, so that there is one of each.

const prefixes = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];
const drawn = new Map(); // the element of a chart, and what is in it

export function charts(root) {
  if (!window.uPlot) return;
  for (const el of root.querySelectorAll("[data-chart]")) {
    const table = document.getElementById(el.getAttribute("aria-details")).querySelector("table");
    draw(el, table);
  }
  for (const [el, chart] of drawn) {
    if (!el.isConnected) {
      chart.plot.destroy();
      drawn.delete(el);
    }
  }
}

// read takes columns out of a table: times in seconds, then figures, null where there is none.
function read(table) {
  const rows = [...table.tBodies[0].rows];
  const names = [...table.tHead.rows[0].cells].slice(1).map((th) => th.textContent);
  const data = [rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000)];
  names.forEach((_, i) => {
    data.push(rows.map((row) => (row.cells[i + 1].dataset.v === "" ? null : Number(row.cells[i + 1].dataset.v))));
  });
  return { rows, names, data };
}

function draw(el, table) {
  const { rows, names, data } = read(table);
  const old = drawn.get(el);
  if (old && old.names.join() === names.join()) {
    old.rows = rows;
    old.plot.setData(data);
    return;
  }
  if (old) old.plot.destroy();
  const box = el.querySelector(".plot");
  const chart = { rows, names };
  chart.plot = new window.uPlot(options(el, chart), data, box);
  drawn.set(el, chart);
  el.classList.add("drawn");
  new ResizeObserver(() => chart.plot.setSize(size(el))).observe(el);
}

const size = (el) => ({ width: el.clientWidth, height: el.clientHeight });
const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(el, chart) {
  const lines = ["--accent", "--l1", "--l2", "--l3"];
  const dashes = [undefined, [6, 4], [2, 4], [9, 4, 2, 4]];
  const font = "12px " + getComputedStyle(document.body).fontFamily;
  const axis = { stroke: colour("--muted"), font, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    ...size(el),
    padding: [8, 4, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    tzDate: (ts) => window.uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
    scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 64, size: 36, gap: 4, values: (_, splits) => times(splits) },
      { ...axis, size: (plot, values) => 14 + 7.2 * Math.max(3, ...(values ?? []).map((v) => v.length)), values: (_, splits) => ticks(el.dataset.metric, splits) },
    ],
    series: [
      {},
      ...chart.names.map((label, i) => ({
        label,
        stroke: colour(lines[i % 4]),
        width: 1.75,
        dash: dashes[i % 4],
        points: { show: chart.rows.length < 4 },
        fill: i === 0 && chart.names.length === 1 ? soft : undefined,
      })),
    ],
    hooks: { setCursor: [(plot) => tip(el, chart, plot)] },
  };
}

function soft(plot) {
  const shade = plot.ctx.createLinearGradient(0, plot.bbox.top, 0, plot.bbox.top + plot.bbox.height);
  const accent = colour("--accent")();
  shade.addColorStop(0, accent + "30");
  shade.addColorStop(1, accent + "05");
  return shade;
}

// times writes when: the hour, and the day where it begins or where only days are told apart.
function times(splits) {
  const days = splits.length > 1 && splits[1] - splits[0] >= 86400;
  return splits.map((t, i) => {
    const iso = new Date(t * 1000).toISOString();
    const day = iso.slice(5, 10);
    if (days) return day;
    return i === 0 || t % 86400 === 0 ? `${iso.slice(11, 16)}\n${day}` : iso.slice(11, 16);
  });
}

// ticks writes the figures of an axis with one unit for all.
function ticks(metric, splits) {
  const top = Math.max(...splits);
  if (metric === "fees") return splits.map((v) => (top >= 1e6 ? (v / 1e8).toFixed(top < 1e7 ? 3 : 2) + " BTC" : v.toLocaleString("en")));
  if (metric === "template_delay") return splits.map((v) => (top < 2 ? Math.round(v * 1000) + " ms" : v.toFixed(1) + " s"));
  const unit = metric === "hash_rate" ? "H/s" : "";
  let power = 0;
  while (top >= 1000 ** (power + 1) && power < prefixes.length - 1) power++;
  return splits.map((v) => {
    const n = v / 1000 ** power;
    return v === 0 ? "0" : `${Number(n.toPrecision(4))} ${prefixes[power]}${unit}`.trim();
  });
}

// tip shows the figures under the pointer in the words of the table.
function tip(el, chart, plot) {
  let box = plot.over.querySelector(".tip");
  const i = plot.cursor.idx;
  if (i == null || plot.cursor.left < 0) {
    box?.remove();
    return;
  }
  if (!box) {
    box = document.createElement("div");
    box.className = "tip";
    plot.over.append(box);
  }
  const row = chart.rows[i];
  box.replaceChildren(row.cells[0].textContent + " ");
  chart.names.forEach((name, n) => {
    const line = document.createElement("div");
    const value = document.createElement("b");
    value.textContent = row.cells[n + 1].textContent;
    line.append(value, chart.names.length > 1 ? " " + name : "");
    box.append(line);
  });
  const left = plot.cursor.left + 12 + box.offsetWidth > plot.over.clientWidth ? plot.cursor.left - 12 - box.offsetWidth : plot.cursor.left + 12;
  box.style.left = Math.max(0, left) + "px";
  box.style.top = "4px";
}

// Colours are read when a chart is drawn.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of drawn.values()) chart.plot.redraw();
});
