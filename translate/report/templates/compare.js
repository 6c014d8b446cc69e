// Small pictures are enlarged by whole numbers, so that their pixels can be told apart.
function sized(canvas, wide, high) {
  const zoom = Math.max(1, Math.floor(384 / wide));
  canvas.width = Math.max(1, Math.round(wide * zoom));
  canvas.height = Math.max(1, Math.round(high * zoom));
}

// Two pictures in one canvas with a border between them that can be dragged.
function comparison(canvas, slider, draw) {
  const show = () => {
    const context = canvas.getContext("2d"), share = slider.value / 100;
    context.imageSmoothingEnabled = false;
    context.clearRect(0, 0, canvas.width, canvas.height);
    draw(context, "after");
    context.save();
    context.beginPath();
    context.rect(0, 0, canvas.width * share, canvas.height);
    context.clip();
    draw(context, "before");
    context.restore();
    if (share > 0 && share < 1) {
      const thick = Math.max(1, Math.round(canvas.width / 320));
      context.fillStyle = "#fff";
      context.fillRect(Math.round(canvas.width * share) - thick, 0, 2 * thick, canvas.height);
      context.fillStyle = "#000";
      context.fillRect(Math.round(canvas.width * share) - thick / 2, 0, thick, canvas.height);
    }
  };
  const drag = (event) => {
    const box = canvas.getBoundingClientRect();
    slider.value = Math.round(100 * (event.clientX - box.left) / box.width);
    show();
  };
  canvas.onpointerdown = (event) => { canvas.setPointerCapture(event.pointerId); drag(event); };
  canvas.onpointermove = (event) => { if (event.buttons) drag(event); };
  slider.oninput = show;
  return show;
}
