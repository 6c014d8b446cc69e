// A page to try a model: what was asked for last is shown, and one request is under way at a time.
const LARGEST = 64 * 2 ** 20;
const message = one("#message"), drop = one("#drop"), pair = one("#pair"), samples = one("#samples"), walk = one("#walk");
let photo = null, waiting = null, working = false, frames = [];

const current = () => one(`[data-direction="${CSS.escape((one("#direction") || one("[data-direction]").dataset).value || one("[data-direction]").dataset.direction)}"]`);
const draws = () => current().dataset.draws === "1";

function fields() {
  const inside = current(), found = new URLSearchParams({ direction: inside.dataset.direction });
  for (const control of all("[data-set]", inside)) found.append("set." + control.dataset.set, control.value);
  const seed = one("[data-seed]", inside), count = one("[data-count]", inside), noise = one("[data-noise]", inside);
  if (seed) found.append("seed", seed.value || 0);
  if (count) found.append("count", count.value);
  if (noise && noise.checked) found.append("noise", 1);
  return found;
}

async function ask(kind) {
  waiting = kind;
  if (working) return;
  working = true;
  while (waiting) {
    const next = waiting;
    waiting = null;
    message.textContent = next === "translate" ? "Translating …" : "Drawing …";
    message.className = "hint";
    try {
      const options = next === "translate" ? { method: "POST", body: photo } : {};
      const answer = await fetch(next + "?" + fields(), options);
      if (!answer.ok) throw new Error(await answer.text());
      const found = await answer.json();
      if (found.error) throw new Error(found.error);
      await show[next](found);
    } catch (error) {
      message.textContent = error instanceof TypeError ? "gantk watch does not answer; has it been stopped?" : error.message;
      message.className = "certain";
    }
  }
  working = false;
}

async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

const only = (element) => { for (const each of [pair, samples, walk]) each.hidden = each !== element; };
const took = (found) => { message.textContent = `${found.seconds} s`; };

const show = {
  async translate(found) {
    const [before, after] = await Promise.all([loaded(found.before), loaded(found.after)]);
    const canvas = one("canvas", pair);
    sized(canvas, after.naturalWidth, after.naturalHeight);
    const draw = (context, side) => context.drawImage(side === "before" ? before : after, 0, 0, canvas.width, canvas.height);
    comparison(canvas, one("#share"), draw)();
    one("#save").href = found.after;
    only(pair);
    message.textContent = [found.sizes.map((size) => size.join("x")).join(" → "), `${found.seconds} s`, ...found.notes].join(" · ");
  },
  async sample(found) {
    samples.replaceChildren(...found.pictures.map((address, k) => make("img", { src: address, alt: `Picture ${k + 1}` })));
    only(samples);
    took(found);
  },
  async walk(found) {
    frames = found.pictures;
    const at = one("#walk-at");
    at.max = frames.length - 1;
    at.value = 0;
    at.oninput();
    only(walk);
    took(found);
  },
};

one("#walk-at").oninput = () => {
  const at = Number(one("#walk-at").value);
  one("#step").src = frames[at];
  one("#step").alt = `Picture ${at + 1} of ${frames.length} on the way`;
};

function take(file) {
  if (!file) return;
  if (file.size > LARGEST) {
    message.textContent = `${file.name}: larger than ${LARGEST >> 20} MiB`;
    message.className = "certain";
    return;
  }
  photo = file;
  ask("translate");
}

function written() {
  for (const output of all("output")) output.textContent = output.previousElementSibling.value;
  for (const each of all("[data-direction]")) each.hidden = each !== current();
  drop.hidden = draws();
}

let timer = 0;
function changed() {
  written();
  keep();
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (!draws()) { if (photo) ask("translate"); } else ask(walk.hidden ? "sample" : "walk");
  }, 150);
}

restore();
written();
one(".controls").addEventListener("input", changed);
one(".controls").addEventListener("submit", (event) => event.preventDefault());
for (const button of all("[data-draw]")) button.onclick = () => ask("sample");
for (const button of all("[data-walk]")) button.onclick = () => ask("walk");
for (const button of all("[data-next]")) button.onclick = () => {
  const seed = one("[data-seed]", current());
  seed.value = Number(seed.value) + 1;
  changed();
};
one("#photo").onchange = (event) => take(event.target.files[0]);
addEventListener("paste", (event) => take(event.clipboardData.files[0]));
addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); if (!draws()) take(event.dataTransfer.files[0]); });
if (draws()) ask("sample");
