// The contact sheet: one border for all pictures, and one for each.
function startSheet() {
  const shots = all(".shot"), everywhere = one("#all-shares"), failed = one("#only-failed");
  const cut = (shot, share) => {
    const before = one(".before", shot);
    if (before) before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  };
  restore();
  for (const shot of shots) {
    const border = one(".border", shot), lap = one(".lap", shot);
    if (!border) continue;
    border.addEventListener("input", () => cut(shot, border.value));
    const drag = (event) => {
      const box = lap.getBoundingClientRect();
      border.value = Math.round(100 * (event.clientX - box.left) / box.width);
      cut(shot, border.value);
    };
    lap.onpointerdown = (event) => { lap.setPointerCapture(event.pointerId); event.preventDefault(); drag(event); };
    lap.onpointermove = (event) => { if (event.buttons) drag(event); };
  }
  const same = () => {
    for (const shot of shots) {
      const border = one(".border", shot);
      if (border) { border.value = everywhere.value; cut(shot, everywhere.value); }
    }
  };
  const filter = () => { for (const shot of shots) shot.hidden = failed.checked && shot.dataset.status !== "failed"; };
  everywhere.addEventListener("input", () => { same(); keep(); });
  failed.addEventListener("input", () => { filter(); keep(); });
  same();
  filter();
}

startSheet();
