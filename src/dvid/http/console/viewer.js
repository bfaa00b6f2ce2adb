// The slice viewer: one or two versions of an image instance, cut along xy, xz or yz.

import { choice, copyButton, el, number, shortUuid } from "./dom.js";
import { nodePath } from "./api.js";
import { listen } from "./gestures.js";
import { Overlay } from "./overlay.js";
import { drawCross, drawScaleBar } from "./marks.js";
import { AXES, PLANES, TILE, Tiles, countDifferences, differencePicture, extentsOf, picture, usefulRange, valueAt } from "./volume.js";

const MOST_ACROSS = 2048; // voxels in view, along either side
const MOST_ZOOM = 64; // pixels per voxel
const COLOURS = { a: "#5cadff", b: "#ff9a5c" };

/**
 * A viewer as an element.
 *
 * nodes: [{uuid, note, info}], one or two, with the instance's info at each. state: what the address says.
 * overlays: [{name, kind}], segmentations that can be shown over it. changed(state, large): told when it shows something else; `large` for what deserves an entry in the history.
 */
export function sliceViewer({ nodes, name, kind, overlays, state, changed }) {
  const extents = extentsOf(nodes.map((node) => node.info));
  if (!extents) return el("p", { class: "hint" }, "Nothing is stored here yet, at this version.");
  return new Viewer(nodes, name, kind, extents, overlays, state, changed).element;
}

class Viewer {
  constructor(nodes, name, kind, extents, overlays, state, changed) {
    Object.assign(this, { nodes, name, kind, extents, changed });
    const size = nodes[0].info.Extended.VoxelSize.map(Number);
    this.aspect = size.map((edge) => edge / Math.min(...size));
    this.voxelSize = size;
    this.units = nodes[0].info.Extended.VoxelUnits ?? [];
    this.plane = PLANES[state.plane] ? state.plane : "xy";
    this.at = AXES.map((axis, which) => {
      const middle = Math.floor((extents.min[which] + extents.max[which]) / 2);
      return state[axis] === null ? middle : clamp(state[axis], extents.min[which], extents.max[which]);
    });
    this.zoom = state.zoom;
    this.range = state.low !== null && state.high !== null && state.low < state.high ? [state.low, state.high] : kind.range;
    this.mode = nodes.length === 2 && state.show === "difference" ? "difference" : "side";
    this.cursor = null;
    this.pictures = new WeakMap();
    this.last = new Map(); // what was drawn last at a place: it stays until what is wanted there has come
    this.given = AXES.map((axis) => state[axis]);
    this.tiles = new Tiles(name, kind, extents, () => this.draw());
    this.overlay = new Overlay(overlays, extents, state, { redraw: () => this.draw(), report: (large) => this.report(large) });
    this.build();
  }

  get axes() {
    return PLANES[this.plane];
  }

  get slice() {
    return Math.round(this.at[this.axes[2]]);
  }

  /** CSS pixels per voxel, along both axes of the picture. */
  get scale() {
    return [this.zoom * this.aspect[this.axes[0]], this.zoom * this.aspect[this.axes[1]]];
  }

  // ---- controls -----------------------------------------------------------------------------

  build() {
    this.panes = el("div", { class: "panes" });
    this.readout = el("output", { class: "readout" });
    this.status = el("span", { class: "hint status", role: "status" });
    this.slider = el("input", { type: "range", step: 1, oninput: () => this.goTo(Number(this.slider.value)) });
    this.exact = el("input", { type: "number", step: 1, onchange: () => this.goTo(Number(this.exact.value)) });
    this.axisName = el("span", {}, "z");
    this.percent = el("span", { class: "percent" });
    this.png = el("a", {}, "This slice as PNG");
    const contrast = this.kind.colour || this.kind.labels ? null : this.contrastControls();
    this.element = el("div", { class: "viewer", "aria-busy": "true" },
      el("div", { class: "bar" },
        choice("Plane", [["xy", "xy"], ["xz", "xz"], ["yz", "yz"]], this.plane, (plane) => { this.plane = plane; this.fit(); this.report(true); }),
        el("label", { class: "slice" }, this.axisName, this.slider),
        el("label", {}, el("span", { class: "hidden" }, "Slice number"), this.exact),
        el("div", { class: "choice", role: "group", "aria-label": "Zoom" },
          el("button", { type: "button", "aria-label": "Smaller", onclick: () => this.zoomBy(1 / 1.5) }, "−"),
          this.percent,
          el("button", { type: "button", "aria-label": "Larger", onclick: () => this.zoomBy(1.5) }, "+"),
          el("button", { type: "button", onclick: () => { this.fit(); this.report(); } }, "Fit")),
        this.nodes.length === 2
          ? choice("Two versions", [["side", "Side by side"], ["difference", "Difference"]], this.mode,
            (mode) => { this.mode = mode; this.arrange(); this.report(true); })
          : null,
        contrast, this.overlay.element),
      this.panes,
      el("div", { class: "bar below" }, this.readout, this.status,
        el("span", { class: "links" }, this.png, copyButton(() => location.href, "Copy link"))),
      el("p", { class: "hint keys-hint" }, "Drag to move, wheel or pinch to zoom, Shift + wheel for the next slice. Keys: arrows, + and −, Page up and Page down",
        this.overlay.element ? ", L for the labels." : "."));
    new ResizeObserver(() => { this.resized(); this.drawNow(); }).observe(this.panes); // at once: a canvas of a new size is blank
    this.arrange();
  }

  contrastControls() {
    const change = () => {
      const [low, high] = [Number(this.low.value), Number(this.high.value)];
      if (low < high) { this.range = [low, high]; this.pictures = new WeakMap(); this.draw(); this.report(); }
    };
    this.low = el("input", { type: "number", step: "any", onchange: change });
    this.high = el("input", { type: "number", step: "any", onchange: change });
    return el("div", { class: "contrast" },
      el("label", {}, "Black ", this.low), el("label", {}, "White ", this.high),
      el("button", { type: "button", onclick: () => { this.range = null; this.pictures = new WeakMap(); this.draw(); this.report(); } }, "Auto"));
  }

  /** The panes that the mode asks for. */
  arrange() {
    const wanted = this.mode === "difference" ? [this.nodes] : this.nodes.map((node) => [node]);
    this.canvases = wanted.map((of, index) => {
      const letters = ["a", "b"];
      const label = of.length === 2
        ? `Difference of ${shortUuid(of[0].uuid)} and ${shortUuid(of[1].uuid)}`
        : `${this.name} at version ${shortUuid(of[0].uuid)}`;
      const canvas = el("canvas", { tabindex: 0, role: "img", "aria-label": `${label}: arrows move, plus and minus zoom, page keys change the slice` });
      listen(canvas, this);
      const error = el("p", { class: "error", role: "alert", hidden: true });
      const caption = of.length === 2
        ? [el("b", { class: "badge a" }, "A"), el("code", {}, shortUuid(of[0].uuid)), " against ", el("b", { class: "badge b" }, "B"),
          el("code", {}, shortUuid(of[1].uuid)), el("span", { class: "key up" }, "brighter in B"), el("span", { class: "key down" }, "darker in B")]
        : [el("b", { class: `badge ${letters[index]}` }, letters[index].toUpperCase()), el("code", {}, shortUuid(of[0].uuid)),
          el("span", { class: "hint" }, of[0].note ? ` ${of[0].note}` : "")];
      if (of.length === 2 && this.kind.labels) caption.splice(-2, 2, el("span", { class: "hint" }, " changed voxels in colour"));
      return { of, canvas, error, element: el("figure", {}, el("figcaption", {}, caption), el("div", { class: "frame" }, canvas, error)) };
    });
    this.panes.className = `panes count${this.canvases.length}`;
    this.panes.replaceChildren(...this.canvases.map((pane) => pane.element));
    this.resized();
  }

  resized() {
    for (const { canvas } of this.canvases) {
      const ratio = devicePixelRatio || 1;
      const { width, height } = canvas.getBoundingClientRect();
      const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
      if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    }
    if (this.zoom === null && this.viewSize()[0] > 10) {
      this.fit();
      this.at = this.at.map((value, axis) => this.given[axis] ?? value);
      this.limit();
    }
    this.draw();
  }

  viewSize() {
    const { width, height } = this.canvases[0].canvas.getBoundingClientRect();
    return [width, height];
  }

  // ---- moving -------------------------------------------------------------------------------

  fit() {
    const [width, height] = this.viewSize();
    const [u, v] = this.axes;
    const across = (this.extents.max[u] - this.extents.min[u] + 1) * this.aspect[u];
    const down = (this.extents.max[v] - this.extents.min[v] + 1) * this.aspect[v];
    for (const axis of [u, v]) this.at[axis] = (this.extents.min[axis] + this.extents.max[axis] + 1) / 2;
    this.zoom = Math.min(width / across, height / down);
    this.limit();
    this.draw();
  }

  limit() {
    const [width, height] = this.viewSize();
    const [u, v] = this.axes;
    const least = Math.max(width / (MOST_ACROSS * this.aspect[u]), height / (MOST_ACROSS * this.aspect[v]));
    this.zoom = clamp(this.zoom, least, MOST_ZOOM);
    for (const axis of [0, 1, 2]) this.at[axis] = clamp(this.at[axis], this.extents.min[axis], this.extents.max[axis] + (axis === this.axes[2] ? 0 : 1));
  }

  goTo(slice) {
    if (!Number.isFinite(slice)) return;
    this.at[this.axes[2]] = Math.round(slice);
    this.limit();
    this.draw();
    this.report();
  }

  move(right, down) {
    const [u, v] = this.axes;
    const [sx, sy] = this.scale;
    this.at[u] += right / sx;
    this.at[v] += down / sy;
    this.limit();
    this.draw();
    this.report();
  }

  /** Zoom, with the voxel under a point of the canvas staying where it is. */
  zoomBy(factor, [x, y] = this.viewSize().map((size) => size / 2)) {
    const before = this.voxelAt(x, y);
    this.zoom *= factor;
    this.limit();
    const after = this.voxelAt(x, y);
    const [u, v] = this.axes;
    this.at[u] += before[0] - after[0];
    this.at[v] += before[1] - after[1];
    this.limit();
    this.draw();
    this.report();
  }

  /** The place in the slice, in voxels with fractions, under a point of the canvas in CSS pixels. */
  voxelAt(x, y) {
    const [width, height] = this.viewSize();
    const [u, v] = this.axes;
    const [sx, sy] = this.scale;
    return [this.at[u] + (x - width / 2) / sx, this.at[v] + (y - height / 2) / sy];
  }

  point(voxel) {
    this.cursor = voxel;
    this.draw();
  }

  // ---- drawing ------------------------------------------------------------------------------

  draw() {
    if (this.asked || this.zoom === null) return;
    clearTimeout(this.counting);
    this.element.setAttribute("aria-busy", "true"); // until all is drawn, and counted
    this.asked = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    cancelAnimationFrame(this.asked);
    this.asked = 0;
    const gone = !this.element.isConnected; // something else has taken its place
    if (gone) for (const kept of [this.tiles, this.overlay]) kept.close();
    if (gone || this.zoom === null) return;
    const wanted = this.wantedTiles();
    const asked = wanted.flatMap((place) => this.nodes.map((node) => ({ ...place, uuid: node.uuid, key: this.tileKey(node, place) })));
    this.tiles.want(asked);
    this.overlay.want(this.mode === "difference" ? [] : asked);
    this.overlay.begin();
    if (this.range === null) {
      const come = wanted.flatMap((place) => this.nodes.map((node) => this.tiles.get(this.tileKey(node, place)))).filter((tile) => tile?.values);
      if (come.length) this.range = usefulRange(come, this.kind);
    }
    const before = this.last;
    this.last = new Map();
    for (const pane of this.canvases) this.drawPane(pane, wanted, before);
    this.showControls();
    this.showReadout();
    clearTimeout(this.counting);
    if (this.mode === "difference") this.counting = setTimeout(() => this.showCount(wanted), 120);
    else this.tellStatus("");
  }

  tileKey(node, { plane, slice, column, row }) {
    return Tiles.key(node.uuid, plane, slice, column, row);
  }

  /** What is in view: [left, top, right, bottom] in voxels, cut to the extents; right and bottom excluded. */
  visible() {
    const [width, height] = this.viewSize();
    const [u, v] = this.axes;
    const [left, top] = this.voxelAt(0, 0);
    const [right, bottom] = this.voxelAt(width, height);
    return [Math.max(Math.floor(left), this.extents.min[u]), Math.max(Math.floor(top), this.extents.min[v]),
      Math.min(Math.ceil(right), this.extents.max[u] + 1), Math.min(Math.ceil(bottom), this.extents.max[v] + 1)];
  }

  wantedTiles() {
    const [left, top, right, bottom] = this.visible();
    const places = [];
    for (let row = Math.floor(top / TILE); row * TILE < bottom; row++) {
      for (let column = Math.floor(left / TILE); column * TILE < right; column++) {
        places.push({ plane: this.plane, slice: this.slice, column, row });
      }
    }
    const [u, v] = this.axes;
    const far = ({ column, row }) => Math.hypot((column + 0.5) * TILE - this.at[u], (row + 0.5) * TILE - this.at[v]);
    return places.sort((a, b) => far(a) - far(b));
  }

  drawPane({ of, canvas, error }, wanted, before) {
    const ratio = canvas.width / (canvas.getBoundingClientRect().width || 1);
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#0b0e10";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const [sx, sy] = this.scale.map((scale) => scale * ratio);
    const [left, top] = this.voxelAt(0, 0);
    context.imageSmoothingEnabled = this.zoom < 1;
    let message;
    for (const place of wanted) {
      const keys = of.map((node) => this.tileKey(node, place));
      const tiles = keys.map((key) => this.tiles.get(key));
      message ??= keys.map((key, which) => tiles[which]?.error ?? this.overlay.error(key)).find(Boolean);
      const spot = `${of.map((node) => node.uuid)}/${place.plane}/${place.column}/${place.row}`;
      const drawn = tiles.every((tile) => tile?.values) ? tiles : before.get(spot);
      if (drawn) this.last.set(spot, drawn);
      if (!drawn || (this.range === null && !this.kind.colour && !this.kind.labels)) continue;
      const rectangle = (tile) => {
        const [x, y] = [Math.round((tile.left - left) * sx), Math.round((tile.top - top) * sy)];
        return [x, y, Math.round((tile.left + tile.width - left) * sx) - x, Math.round((tile.top + tile.height - top) * sy) - y];
      };
      context.drawImage(this.pictureOf(drawn), ...rectangle(drawn[0]));
      if (of.length === 1) this.overlay.draw(context, keys[0], spot, rectangle);
    }
    if (this.cursor) {
      const middle = [(this.cursor[0] + 0.5 - left) * sx, (this.cursor[1] + 0.5 - top) * sy];
      drawCross(context, middle, Math.max(sx, sy), of[0] === this.nodes[0] ? COLOURS.a : COLOURS.b, ratio);
    }
    const [u] = this.axes;
    drawScaleBar(context, this.voxelSize[u] / this.scale[0], this.units[u] ?? "", ratio);
    error.hidden = !message;
    if (message) error.textContent = message;
  }

  pictureOf(tiles) {
    let image = this.pictures.get(tiles[0])?.get(tiles[1]);
    if (!image) {
      const range = this.range ?? [0, 1];
      image = tiles.length === 2 ? differencePicture(tiles[0], tiles[1], this.kind, range) : picture(tiles[0], this.kind, range);
      if (!this.pictures.has(tiles[0])) this.pictures.set(tiles[0], new Map());
      this.pictures.get(tiles[0]).set(tiles[1], image);
    }
    return image;
  }

  // ---- what is told -------------------------------------------------------------------------

  showControls() {
    const w = this.axes[2];
    for (const input of [this.slider, this.exact]) {
      input.min = this.extents.min[w];
      input.max = this.extents.max[w];
      if (input !== document.activeElement || input === this.slider) input.value = this.slice;
    }
    this.axisName.textContent = AXES[w];
    this.slider.setAttribute("aria-label", `Slice along ${AXES[w]}`);
    this.percent.textContent = `${Math.round(this.zoom * 100)} %`;
    if (this.low && this.range) {
      for (const [input, value] of [[this.low, this.range[0]], [this.high, this.range[1]]]) {
        if (input !== document.activeElement) input.value = Number(value.toPrecision(6));
      }
    }
    const [left, top, right, bottom] = this.visible();
    const start = [0, 0, 0];
    [start[this.axes[0]], start[this.axes[1]], start[w]] = [left, top, this.slice];
    this.png.href = nodePath(this.nodes[0].uuid, this.name, this.kind.bodies ? "pseudocolor" : "raw", this.plane,
      `${Math.max(1, right - left)}_${Math.max(1, bottom - top)}`, start.join("_"), "png");
  }

  showReadout() {
    if (!this.cursor) {
      this.readout.replaceChildren(el("span", { class: "hint" }, "Point at a voxel to read its value"));
      return;
    }
    const [u, v, w] = this.axes;
    const at = [0, 0, 0];
    [at[u], at[v], at[w]] = [...this.cursor, this.slice];
    const inside = at.every((value, axis) => value >= this.extents.min[axis] && value <= this.extents.max[axis]);
    const place = { plane: this.plane, slice: this.slice, column: Math.floor(at[u] / TILE), row: Math.floor(at[v] / TILE) };
    const values = this.nodes.map((node, index) => {
      const tile = inside ? this.tiles.get(this.tileKey(node, place)) : null;
      const value = tile?.values ? valueAt(tile, this.kind, at[u], at[v]) : null;
      const text = value === null ? "–" : Array.isArray(value) ? value.join(", ") : String(value);
      const body = inside ? this.overlay.at(this.tileKey(node, place), at[u], at[v]) : null;
      return [el("b", { class: `badge ${"ab"[index]}` }, "AB"[index]), el("span", { class: "reading" }, text),
        body === null ? null : el("span", { class: "body" }, `body ${body}`)];
    });
    this.readout.replaceChildren(el("span", { class: "place" }, AXES.map((axis, which) => `${axis} ${at[which]}`).join("  ")), ...values.flat().filter(Boolean));
  }

  showCount(wanted) {
    const view = this.visible();
    let [differ, missing] = [0, false];
    for (const place of wanted) {
      const [first, second] = this.nodes.map((node) => this.tiles.get(this.tileKey(node, place)));
      if (first?.values && second?.values) differ += countDifferences(first, second, this.kind, view);
      else missing = true;
    }
    const all = Math.max(0, view[2] - view[0]) * Math.max(0, view[3] - view[1]);
    this.tellStatus(missing ? "" : `${number(differ)} of ${number(all)} voxels in view differ`);
  }

  tellStatus(text) {
    const loading = this.tiles.loading + this.overlay.loading > 0;
    this.status.textContent = loading ? "Loading…" : text;
    this.element.setAttribute("aria-busy", String(loading));
  }

  report(large = false) {
    const [u, v] = this.axes;
    const state = { ...this.overlay.state, plane: this.plane, show: this.mode === "difference" ? "difference" : "", zoom: Number(this.zoom.toPrecision(4)) };
    AXES.forEach((axis, which) => { state[axis] = which === u || which === v ? Math.floor(this.at[which]) : this.slice; });
    const isDefault = this.kind.range && this.range && this.kind.range.every((value, which) => value === this.range[which]);
    [state.low, state.high] = this.range && !isDefault ? this.range.map((value) => Number(value.toPrecision(6))) : [null, null];
    this.changed(state, large);
  }
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
