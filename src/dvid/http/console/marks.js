// What is drawn over a slice: the cross at the pointer, the scale bar. `ratio` is device pixels per CSS pixel.

/** A cross around the voxel whose middle is at x, y and whose width is `size`, all in device pixels. */
export function drawCross(context, [x, y], size, colour, ratio) {
  context.beginPath();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    context.moveTo(x + dx * (size / 2 + 4 * ratio), y + dy * (size / 2 + 4 * ratio));
    context.lineTo(x + dx * (size / 2 + 13 * ratio), y + dy * (size / 2 + 13 * ratio));
  }
  for (const [stroke, width] of [["#000c", 4], [colour, 2]]) {
    context.strokeStyle = stroke;
    context.lineWidth = width * ratio;
    context.stroke();
  }
}

/** A bar of a round length at the bottom left; `perPixel` is world units in a CSS pixel. */
export function drawScaleBar(context, perPixel, units, ratio) {
  const most = perPixel * 140;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((step) => step * power).find((one) => one <= most) ?? power;
  const width = (length / perPixel) * ratio;
  const [x, y] = [12 * ratio, context.canvas.height - 14 * ratio];
  context.fillStyle = "#000a";
  context.fillRect(x - 6 * ratio, y - 20 * ratio, Math.max(width, 48 * ratio) + 12 * ratio, 28 * ratio);
  context.fillStyle = "#fff";
  context.fillRect(x, y, width, 3 * ratio);
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.fillText(inUnits(length, units), x, y - 6 * ratio);
}

function inUnits(length, units) {
  const nano = /^(nano|nm)/i.test(units);
  if (nano && length >= 1e6) return `${length / 1e6} mm`;
  if (nano && length >= 1000) return `${length / 1000} µm`;
  return `${Number(length.toPrecision(3))} ${nano ? "nm" : units}`;
}
