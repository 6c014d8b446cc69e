// One chart per figure: a line for each run that is shown, drawn as SVG.
const WIDTH = 360, HEIGHT = 190, LEFT = 48, RIGHT = 10, TOP = 10, BOTTOM = 24;

function smoothed(values, share) {
  let mean = 0, weight = 0;
  return values.map((value) => {
    mean = share * mean + (1 - share) * value;
    weight = share * weight + 1 - share;
    return mean / weight;
  });
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((times) => times * power >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

function decades(low, high) {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9), stride = Math.ceil((last - first + 1) / 5);
  const found = [];
  for (let k = first; k <= last; k += Math.max(1, stride)) found.push(10 ** k);
  return found.length > 1 ? found : [low, high];
}

const short = (value) => {
  const size = Math.abs(value);
  if (size >= 1e6) return +(value / 1e6).toPrecision(3) + "M";
  if (size >= 1e4) return +(value / 1e3).toPrecision(3) + "k";
  if (size > 0 && size < 1e-3) return value.toExponential(0);
  return String(+value.toPrecision(3));
};

function linesOf(chart, data, shown, share, log) {
  const lines = [];
  data.runs.forEach((run, index) => {
    if (!shown[index]) return;
    Object.keys(chart.lines).forEach((name, dash) => {
      if (!run.series[name]) return;
      let [steps, raw] = run.series[name];
      const keep = raw.map((value) => !log || value > 0);
      const errors = dash === 0 && chart.error && run.series[chart.error] ? run.series[chart.error][1].filter((_, k) => keep[k]) : null;
      steps = steps.filter((_, k) => keep[k]);
      raw = raw.filter((_, k) => keep[k]);
      if (steps.length) lines.push({ index, dash, run, label: chart.lines[name], steps, raw, values: share ? smoothed(raw, share) : raw, errors });
    });
  });
  return lines;
}

function drawChart(figure, chart, data, shown, share, log) {
  const svg = one("svg", figure), readout = one(".readout", figure);
  svg.replaceChildren();
  const lines = linesOf(chart, data, shown, share, log);
  if (!lines.length) {
    readout.textContent = log && shown.some(Boolean) ? "No value above 0 to show on a log scale." : "Nothing to show.";
    svg.onpointermove = svg.onkeydown = null;
    return;
  }
  readout.textContent = "";
  const every = lines.flatMap((line) => line.raw.flatMap((value, k) => line.errors ? [value - 1.96 * line.errors[k], value + 1.96 * line.errors[k]] : [value]));
  let low = Math.min(...every), high = Math.max(...every);
  if (log) low = Math.min(...lines.flatMap((line) => line.raw));
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) / 10, high + (Math.abs(high) || 1) / 10];
  const end = Math.max(1, ...lines.map((line) => line.steps[line.steps.length - 1]));
  const scale = log ? Math.log10 : (value) => value;
  const x = (step) => LEFT + (WIDTH - LEFT - RIGHT) * step / end;
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (scale(Math.max(value, log ? low : -Infinity)) - scale(low)) / (scale(high) - scale(low));
  for (const value of log ? decades(low, high) : ticks(low, high, 4)) {
    svg.append(make("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(make("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const step of ticks(0, end, 4)) {
    if (Number.isInteger(step)) svg.append(make("text", { x: x(step), y: HEIGHT - 6, "text-anchor": step > end * 0.93 ? "end" : "middle" }, short(step)));
  }
  data.runs.forEach((run, index) => {
    if (!shown[index]) return;
    for (const note of run.notes) if (note.step <= end) mark(svg, "note", x(note.step), note.text);
    if (run.best !== null && run.best <= end) mark(svg, "best", x(run.best), "best step " + whole(run.best));
  });
  for (const line of lines) {
    const path = (values) => values.map((value, k) => (k ? "L" : "M") + x(line.steps[k]).toFixed(1) + " " + y(value).toFixed(1)).join("");
    const group = make("g", { class: "c" + line.index % 6 });
    if (line.errors) {
      const edge = (sign) => line.raw.map((value, k) => x(line.steps[k]).toFixed(1) + "," + y(value + sign * 1.96 * line.errors[k]).toFixed(1));
      group.append(make("polygon", { class: "band", points: [...edge(1), ...edge(-1).reverse()].join(" ") }));
    }
    if (share) group.append(make("path", { class: "raw", d: path(line.raw) }));
    group.append(make("path", { class: "curve d" + line.dash, d: path(line.values) }));
    if (line.steps.length < 30) line.steps.forEach((step, k) => group.append(make("circle", { class: "dot", cx: x(step), cy: y(line.values[k]), r: 2.2 })));
    svg.append(group);
  }
  const last = lines.map((line) => (data.runs.length > 1 ? line.run.name + " " : "") + (line.label ? line.label + " " : "") + short(line.values[line.values.length - 1])).join(", ");
  svg.setAttribute("aria-label", chart.title + ", " + (log ? "log scale, " : "") + "to step " + whole(end) + ", last: " + last);
  readable(svg, readout, lines, data, x, end);
}

function mark(svg, kind, x, text) {
  const line = make("line", { class: kind, x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = text;
  line.append(title);
  svg.append(line);
}

// A cross-hair that the pointer or the arrow keys move, and the values under it in words.
function readable(svg, readout, lines, data, x, end) {
  const cross = make("line", { class: "cross", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  svg.append(cross);
  const steps = [...new Set(lines.flatMap((line) => line.steps))].sort((a, b) => a - b);
  let at = steps.length;
  const show = (index) => {
    at = Math.max(0, Math.min(steps.length - 1, index));
    const step = steps[at], place = x(step);
    cross.setAttribute("x1", place);
    cross.setAttribute("x2", place);
    cross.setAttribute("visibility", "visible");
    readout.textContent = "Step " + whole(step) + ": " + lines.map((line) => {
      let k = line.steps.findLastIndex((each) => each <= step);
      k = Math.max(0, k);
      const name = [data.runs.length > 1 ? line.run.name : "", line.label].filter(Boolean).join(" ");
      const error = line.errors ? " ± " + short(1.96 * line.errors[k]) : "";
      return (name ? name + " " : "") + +line.values[k].toPrecision(4) + error;
    }).join(" · ");
  };
  svg.onpointermove = (event) => {
    const box = svg.getBoundingClientRect();
    const step = ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * end;
    show(steps.reduce((best, each, k) => Math.abs(each - step) < Math.abs(steps[best] - step) ? k : best, 0));
  };
  svg.onkeydown = (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    show(at + move);
  };
}
