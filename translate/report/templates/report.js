// The report of runs: pictures over time, curves, and what is new while a run trains.
let player = 0, busy = 0;

function start() {
  const data = JSON.parse(one("#data").textContent);
  clearInterval(player);
  const shown = () => data.runs.map((_, index) => { const box = one("#show-" + index); return !box || box.checked; });
  const pictures = one("#when") ? picturesOf(data, shown) : null;
  restore();
  const curves = () => {
    const log = one("#log");
    if (!log) return;
    const share = Number(one("#smooth").value);
    one("#smooth-value").textContent = share;
    for (const figure of all("[data-chart]")) drawChart(figure, data.charts[figure.dataset.chart], data, shown(), share, log.checked);
  };
  const update = () => { if (pictures) pictures(); curves(); keep(); };
  for (const control of all("#log, #smooth, [data-run-toggle]")) control.addEventListener("input", update);
  for (const group of all("details[data-keep]")) group.addEventListener("toggle", keep);
  for (const control of all("#when, [name=view]")) control.addEventListener("input", () => { pictures(); keep(); });
  if (pictures) pictures();
  curves();
  return data;
}

function picturesOf(data, shown) {
  const when = one("#when"), panels = all("[data-panel]").map(panelOf);
  const steps = [...new Set(panels.flatMap((panel) => panel.images.map((image) => Number(image.dataset.step))))].sort((a, b) => a - b);
  when.max = Math.max(0, steps.length - 1);
  when.value = when.max;
  marksOf(data, steps);
  one(".choice").hidden = !panels.some((panel) => panel.pairs);
  const play = one("#play"), best = one("#to-best");
  play.hidden = steps.length < 2;
  play.onclick = () => {
    const on = play.getAttribute("aria-pressed") !== "true";
    play.setAttribute("aria-pressed", on);
    clearInterval(player);
    if (!on) return;
    if (when.value === when.max) when.value = 0;
    player = setInterval(() => {
      when.value = Number(when.value) + 1;
      when.dispatchEvent(new Event("input"));
      if (when.value === when.max) { clearInterval(player); play.setAttribute("aria-pressed", "false"); }
    }, 350);
  };
  const bests = data.runs.map((run) => run.best).filter((step) => step !== null);
  best.hidden = !bests.length || !steps.length;
  best.onclick = () => {
    const at = steps.findIndex((step) => step >= bests[0]);
    when.value = at < 0 ? when.max : at;
    when.dispatchEvent(new Event("input"));
  };
  return () => {
    const step = steps[when.value], pair = one("#view-pair").checked, visible = shown();
    one("#when-step").textContent = step === undefined ? "" : whole(step);
    when.setAttribute("aria-valuetext", step === undefined ? "none" : "step " + whole(step));
    panels.forEach((panel, index) => {
      panel.figure.hidden = !visible[index];
      panel.show(step, pair, data.runs[index].best);
    });
  };
}

// Best steps and health notes beside the thumb's track, which is inset by half a thumb.
function marksOf(data, steps) {
  const marks = one("#when-marks"), place = (step) => {
    const after = steps.findIndex((each) => each >= step);
    const k = after < 0 ? steps.length - 1 : after;
    const before = k ? steps[k - 1] : steps[k];
    const part = steps[k] > before ? Math.min(1, (step - before) / (steps[k] - before)) : 1;
    return steps.length > 1 ? 100 * Math.max(0, k - 1 + part) / (steps.length - 1) : 100;
  };
  marks.replaceChildren();
  for (const run of data.runs) {
    for (const note of run.notes) marks.append(dot("note", place(note.step), note.text));
    if (run.best !== null) marks.append(dot("best", place(run.best), "best step of " + run.name));
  }
}

function dot(kind, percent, text) {
  const mark = make("i", { class: kind, title: text });
  mark.style.left = percent + "%";
  return mark;
}

function panelOf(figure) {
  const images = all("img", figure), canvas = one("canvas", figure), slider = one("[data-share]", figure);
  const [before, after, row] = ["before", "after", "row"].map((name) => one(`[data-${name}]`, figure));
  const newest = images[images.length - 1];
  const columns = newest ? JSON.parse(newest.dataset.columns) : [], rows = newest ? Number(newest.dataset.rows) : 0;
  const pairs = columns.length > 1 && rows > 0;
  if (pairs) {
    for (const select of [before, after]) columns.forEach((name, k) => select.append(make("option", { value: k }, name)));
    for (let k = 0; k < rows; k++) row.append(make("option", { value: k }, k + 1));
    after.value = 1;
    [before, after, row].forEach((select, k) => { select.id = `${["before", "after", "row"][k]}-${figure.dataset.panel}`; select.dataset.keep = ""; });
  }
  let image = null;
  const draw = (context, side) => {
    if (!image || !image.naturalWidth) return;
    const about = image.dataset, share = image.naturalWidth / about.width;
    const wide = (about.width - 2) / columns.length, high = (about.height - about.header - 2) / rows;
    const column = Number((side === "before" ? before : after).value);
    context.drawImage(image, (2 + column * wide) * share, (Number(about.header) + 2 + row.value * high) * share, (wide - 2) * share, (high - 2) * share, 0, 0, canvas.width, canvas.height);
  };
  const redraw = comparison(canvas, slider, draw);
  const compare = () => {
    if (!image) return;
    const about = image.dataset, share = image.naturalWidth / about.width || 1;
    const wide = ((about.width - 2) / columns.length - 2) * share, high = ((about.height - about.header - 2) / rows - 2) * share;
    sized(canvas, wide, high);
    canvas.setAttribute("aria-label", `Picture ${Number(row.value) + 1} after step ${whole(about.step)}: left ${columns[before.value]}, right ${columns[after.value]}`);
    redraw();
  };
  for (const select of [before, after, row]) select.oninput = () => { compare(); keep(); };
  const show = (step, pair, best) => {
    image = images.findLast((each) => Number(each.dataset.step) <= step) || images[0] || null;
    for (const each of images) each.hidden = each !== image || (pair && pairs);
    one(".pair", figure).hidden = !(pair && pairs);
    figure.classList.toggle("small", Boolean(image) && image.dataset.width < 480);
    const next = image && images[images.indexOf(image) + 1];
    const isBest = image && best !== null && Number(image.dataset.step) >= best && !images.some((each) => Number(each.dataset.step) >= best && Number(each.dataset.step) < Number(image.dataset.step));
    one(".at", figure).textContent = image ? "step " + whole(image.dataset.step) + (isBest ? " · best step " + whole(best) : "") : "";
    if (pair && pairs && image) { if (image.complete && image.naturalWidth) compare(); else image.decode().then(compare, () => {}); }
    return next;
  };
  return { figure, images, pairs, show };
}

// A page on the disk loads itself anew while its run trains; a served one asks for what is new and takes it in.
function follow(data) {
  if (data.live === "file") {
    const age = Date.now() / 1000 - data.written;
    if (age > Math.max(1800, 20 * data.every)) {
      one("#stale").textContent = "Nothing new was written for a while: the run may have been killed. Reload the page to look again.";
      return;
    }
    const reload = () => { if (Date.now() - busy < 2000) setTimeout(reload, 1000); else { keep(); location.reload(); } };
    setTimeout(reload, 1000 * data.every);
  } else if (data.live === "served") setTimeout(ask, 500, data.version);
}

async function ask(version) {
  let state;
  try {
    state = await (await fetch("state", { cache: "no-store" })).json();
    const plays = one("#play")?.getAttribute("aria-pressed") === "true";
    if (state.version !== version && Date.now() - busy > 500 && !plays) {
      const text = await (await fetch(location.pathname, { cache: "no-store" })).text();
      keep();
      const focused = document.activeElement?.id;
      one("#report").replaceWith(new DOMParser().parseFromString(text, "text/html").querySelector("#report"));
      start();
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
      version = state.version;
    }
    if (state.ended) { one("#stale").textContent = "The run has ended; this page is not updated any more."; return; }
  } catch {
    one("#stale").textContent = "gantk watch has ended; this page is not updated any more.";
    return;
  }
  setTimeout(ask, 500, version);
}

for (const kind of ["pointerdown", "pointermove", "keydown"]) addEventListener(kind, (event) => { if (kind !== "pointermove" || event.buttons) busy = Date.now(); }, true);
follow(start());
