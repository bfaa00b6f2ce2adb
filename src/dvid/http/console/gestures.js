// Mouse, fingers and keys on a canvas of the viewer.

/** Let a canvas move, zoom and turn the pages of a viewer. */
export function listen(canvas, viewer) {
  const touching = new Map();
  const place = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    touching.set(event.pointerId, place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    const before = touching.get(event.pointerId);
    if (before) {
      const other = [...touching].find(([id]) => id !== event.pointerId)?.[1];
      touching.set(event.pointerId, [x, y]);
      if (other) {
        const far = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
        viewer.zoomBy(far([x, y], other) / far(before, other), [(x + other[0]) / 2, (y + other[1]) / 2]);
      } else {
        viewer.move(before[0] - x, before[1] - y);
      }
    }
    viewer.point(viewer.voxelAt(x, y).map(Math.floor));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => touching.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => viewer.point(null));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const turn = event.deltaY || event.deltaX; // with Shift, browsers turn the wheel sideways
    if (event.shiftKey) viewer.goTo(viewer.slice + Math.sign(turn));
    else viewer.zoomBy(Math.exp(-clamp(turn, -200, 200) / 400), place(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: () => viewer.move(-40, 0), ArrowRight: () => viewer.move(40, 0),
      ArrowUp: () => viewer.move(0, -40), ArrowDown: () => viewer.move(0, 40),
      "+": () => viewer.zoomBy(1.5), "=": () => viewer.zoomBy(1.5), "-": () => viewer.zoomBy(1 / 1.5),
      PageUp: () => viewer.goTo(viewer.slice - 1), PageDown: () => viewer.goTo(viewer.slice + 1),
      l: () => viewer.overlay.toggle(),
      0: () => { viewer.fit(); viewer.report(); },
    };
    const act = keys[event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      act();
    }
  });
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
