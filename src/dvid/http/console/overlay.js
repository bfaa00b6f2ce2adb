// Bodies of a segmentation in colours, over the slices of an image.

import { el } from "./dom.js";
import { Tiles, coloured, valueAt } from "./volume.js";

const USUAL = 45; // per cent of opacity

/** What lies over the image of a viewer; `choices`: [{name, kind}], the segmentations that can. */
export class Overlay {
  constructor(choices, extents, state, { redraw, report }) {
    Object.assign(this, { choices, extents, redraw, report });
    this.chosen = choices.find((one) => one.name === state.labels) ?? null;
    this.opacity = state.opacity === null ? USUAL : Math.max(0, Math.min(100, state.opacity));
    this.pictures = new WeakMap();
    this.tiles = new Map(); // name -> Tiles
    this.last = new Map();
    this.element = choices.length ? this.controls() : null;
  }

  controls() {
    this.shown = el("input", { type: "checkbox", checked: Boolean(this.chosen), onchange: () => this.toggle(this.shown.checked) });
    this.slider = el("input", { type: "range", min: 0, max: 100, step: 1, value: this.opacity, "aria-label": "Opacity of the labels",
      oninput: () => { this.opacity = Number(this.slider.value); this.redraw(); this.report(); } });
    this.names = this.choices.length === 1 ? null
      : el("select", { "aria-label": "Which labels", onchange: () => this.toggle(true) },
        this.choices.map(({ name }) => el("option", { value: name, selected: this.chosen?.name === name }, name)));
    return el("div", { class: "overlay" }, el("label", {}, this.shown, "Labels"), this.names, this.slider);
  }

  toggle(on = !this.chosen) {
    if (!this.element) return;
    const name = this.names?.value ?? this.choices[0].name;
    this.chosen = on ? this.choices.find((one) => one.name === name) : null;
    this.shown.checked = on;
    this.last = new Map();
    this.redraw();
    this.report(true);
  }

  get loading() {
    return this.chosen ? this.kept.loading : 0;
  }

  get kept() {
    const { name, kind } = this.chosen;
    if (!this.tiles.has(name)) this.tiles.set(name, new Tiles(name, kind, this.extents, this.redraw));
    return this.tiles.get(name);
  }

  want(wanted) {
    if (this.chosen) this.kept.want(wanted);
  }

  close() {
    for (const tiles of this.tiles.values()) tiles.close();
  }

  /** Begin to draw anew: what was drawn last at a place stays until what is wanted there has come. */
  begin() {
    [this.before, this.last] = [this.last, new Map()];
  }

  /** Draw a tile over the rectangle [x, y, width, height] of its image; `spot` is the place where it lies. */
  draw(context, key, spot, place) {
    if (!this.chosen) return;
    const come = this.kept.get(key);
    const tile = come?.values ? come : this.before.get(spot);
    if (!tile) return;
    this.last.set(spot, tile);
    if (!this.pictures.has(tile)) this.pictures.set(tile, coloured(tile));
    context.globalAlpha = this.opacity / 100;
    context.drawImage(this.pictures.get(tile), ...place(tile));
    context.globalAlpha = 1;
  }

  /** The body at a voxel, or null where it is not known yet. */
  at(key, column, row) {
    const tile = this.chosen ? this.kept.get(key) : null;
    return tile?.values ? valueAt(tile, this.chosen.kind, column, row) : null;
  }

  /** Why a tile did not come. */
  error(key) {
    return this.chosen ? this.kept.get(key)?.error : undefined;
  }

  /** What the address says of it. */
  get state() {
    return { labels: this.chosen?.name ?? "", opacity: this.chosen && this.opacity !== USUAL ? this.opacity : null };
  }
}
