// The voxels of an image instance: what kind they are, square tiles of slices, and how they become pixels.

import { getBuffer, getUnpacked, nodePath } from "./api.js";

export const TILE = 512; // voxels along the edge of a tile
const MOST_KEPT = 192 << 20; // bytes of tiles
const AT_ONCE = 6; // requests

/** For each plane: the axis that runs right, the one that runs down, the one across which it is cut. */
export const PLANES = { xy: [0, 1, 2], xz: [0, 2, 1], yz: [1, 2, 0] };
export const AXES = ["x", "y", "z"];

const ARRAYS = {
  uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, int32: Int32Array,
  uint64: BigUint64Array, int64: BigInt64Array, float32: Float32Array, float64: Float64Array,
};

/** How an instance's voxels are laid out, from its info; null where it has no voxels to show. */
export function voxelKind(info) {
  const values = info.Extended?.Values;
  const array = ARRAYS[values?.[0]?.DataType];
  const bodies = info.Base.TypeName === "labelmap";
  if (!array || !(bodies || /blk$/.test(info.Base.TypeName)) || !values.every((one) => one.DataType === values[0].DataType)) return null;
  const channels = values.length;
  const name = values[0].DataType;
  return {
    name, array, channels, bodies,
    bytes: array.BYTES_PER_ELEMENT * channels,
    colour: name === "uint8" && (channels === 3 || channels === 4),
    labels: channels === 1 && (name === "uint64" || name === "int64"),
    range: name === "uint8" ? [0, 255] : null,
  };
}

/** The first and last voxel that any of several infos knows of, or null. */
export function extentsOf(infos) {
  const boxes = infos.map((info) => info.Extended).filter((extended) => extended?.MinPoint && extended?.MaxPoint);
  if (!boxes.length) return null;
  return {
    min: [0, 1, 2].map((axis) => Math.min(...boxes.map((box) => box.MinPoint[axis]))),
    max: [0, 1, 2].map((axis) => Math.max(...boxes.map((box) => box.MaxPoint[axis]))),
  };
}

/** Where a tile lies: the rectangle of a slice, cut to the extents. */
export function tileBox(plane, slice, column, row, extents) {
  const [u, v, w] = PLANES[plane];
  const left = Math.max(column * TILE, extents.min[u]);
  const top = Math.max(row * TILE, extents.min[v]);
  const width = Math.min((column + 1) * TILE, extents.max[u] + 1) - left;
  const height = Math.min((row + 1) * TILE, extents.max[v] + 1) - top;
  const start = [0, 0, 0];
  const size = [1, 1, 1];
  [start[u], start[v], start[w], size[u], size[v]] = [left, top, slice, width, height];
  return { left, top, width, height, start, size };
}

/** Tiles as they come from the server; the least recently used go when there are too many. */
export class Tiles {
  constructor(name, kind, extents, changed) {
    Object.assign(this, { name, kind, extents, changed });
    this.kept = new Map();
    this.bytes = 0;
    this.waiting = [];
    this.running = new Map();
  }

  static key(uuid, plane, slice, column, row) {
    return `${uuid}/${plane}/${slice}/${column}/${row}`;
  }

  get(key) {
    const tile = this.kept.get(key);
    if (tile) { // the youngest stand last
      this.kept.delete(key);
      this.kept.set(key, tile);
    }
    return tile;
  }

  /** Say which tiles are wanted, the most wanted first; requests for others are given up. */
  want(wanted) {
    const keys = new Set(wanted.map((one) => one.key));
    for (const [key, abort] of this.running) {
      if (!keys.has(key)) abort.abort();
    }
    this.waiting = wanted.filter((one) => !this.kept.has(one.key) && !this.running.has(one.key));
    this.start();
  }

  get loading() {
    return this.waiting.length + this.running.size;
  }

  start() {
    while (this.waiting.length && this.running.size < AT_ONCE) this.load(this.waiting.shift());
  }

  async load({ key, uuid, plane, slice, column, row }) {
    const abort = new AbortController();
    this.running.set(key, abort);
    const box = tileBox(plane, slice, column, row, this.extents);
    try {
      const path = nodePath(uuid, this.name, "raw", "0_1_2", box.size.join("_"), box.start.join("_"));
      const answer = this.kind.bodies ? getUnpacked(`${path}?compression=gzip`, abort.signal) : getBuffer(path, abort.signal);
      const values = new this.kind.array(await answer);
      this.keep(key, { ...box, values });
    } catch (error) {
      if (!abort.signal.aborted) { // not by the name of the error: one that comes through an unpacking has another
        this.keep(key, { ...box, values: null, error: error.message }); // not asked for again and again
      }
    }
    this.running.delete(key);
    this.start();
    this.changed();
  }

  keep(key, tile) {
    this.kept.set(key, tile);
    this.bytes += tile.values?.byteLength ?? 0;
    for (const [oldest, old] of this.kept) {
      if (this.bytes <= MOST_KEPT) break;
      this.kept.delete(oldest);
      this.bytes -= old.values?.byteLength ?? 0;
    }
  }

  /** Nothing is wanted any more. */
  close() {
    this.want([]);
  }
}

/** The value of one voxel of a tile: a number, a BigInt, or a list of channels. */
export function valueAt(tile, kind, column, row) {
  const at = ((row - tile.top) * tile.width + (column - tile.left)) * kind.channels;
  const values = tile.values.subarray(at, at + kind.channels);
  return kind.channels === 1 ? values[0] : Array.from(values);
}

/** A picture (canvas) of a tile. */
export function picture(tile, kind, [low, high]) {
  const image = new ImageData(tile.width, tile.height);
  const pixels = new Uint32Array(image.data.buffer); // little-endian: alpha, blue, green, red
  if (kind.colour) paintColours(image.data, tile.values, kind.channels);
  else if (kind.labels) paintLabels(pixels, tile.values);
  else paintGray(pixels, tile.values, kind.channels, low, high);
  return onCanvas(image);
}

/** A picture of a tile of labels, clear where there is none. */
export function coloured(tile) {
  const image = new ImageData(tile.width, tile.height);
  paintLabels(new Uint32Array(image.data.buffer), tile.values, 0);
  return onCanvas(image);
}

/** Where two tiles differ, on a dim picture of the first. Brighter voxels are orange, darker ones blue. */
export function differencePicture(first, second, kind, [low, high]) {
  const image = new ImageData(first.width, first.height);
  const pixels = new Uint32Array(image.data.buffer);
  const count = first.width * first.height;
  const channels = kind.channels;
  const [a, b] = [first.values, second.values];
  const span = Number(high - low) || 1;
  for (let at = 0; at < count; at++) {
    let sign = 0;
    for (let channel = 0, from = at * channels; channel < channels && !sign; channel++, from++) {
      if (a[from] !== b[from]) sign = b[from] > a[from] ? 1 : -1;
    }
    const gray = kind.labels ? 60 : 30 + 0.4 * shade(a[at * channels], low, span);
    if (!sign) {
      pixels[at] = 0xff000000 | (gray << 16) | (gray << 8) | gray;
      continue;
    }
    const strength = kind.labels ? 1 : 0.45 + 0.55 * Math.min(1, Math.abs(Number(b[at * channels]) - Number(a[at * channels])) / (span / 4));
    const [red, green, blue] = sign > 0 ? [255, 140, 66] : [70, 160, 255];
    const mix = (colour) => (colour * strength + gray * (1 - strength)) & 255;
    pixels[at] = 0xff000000 | (mix(blue) << 16) | (mix(green) << 8) | mix(red);
  }
  return onCanvas(image);
}

/** How many voxels of a rectangle (left, top, right, bottom; the last two excluded) differ between two tiles. */
export function countDifferences(first, second, kind, [left, top, right, bottom]) {
  let differ = 0;
  const channels = kind.channels;
  const columns = [Math.max(left, first.left), Math.min(right, first.left + first.width)];
  for (let row = Math.max(top, first.top); row < Math.min(bottom, first.top + first.height); row++) {
    const line = (row - first.top) * first.width - first.left;
    for (let at = (line + columns[0]) * channels; at < (line + columns[1]) * channels; at += channels) {
      for (let channel = 0; channel < channels; channel++) {
        if (first.values[at + channel] !== second.values[at + channel]) {
          differ++;
          break;
        }
      }
    }
  }
  return differ;
}

/** A range that shows what tiles hold: from their 0.5th percentile to their 99.5th. */
export function usefulRange(tiles, kind) {
  const sample = [];
  for (const tile of tiles) {
    const step = Math.max(1, Math.floor(tile.values.length / kind.channels / 4000)) * kind.channels;
    for (let at = 0; at < tile.values.length; at += step) sample.push(Number(tile.values[at]));
  }
  const finite = sample.filter(Number.isFinite).sort((a, b) => a - b);
  if (!finite.length) return [0, 1];
  const [low, high] = [finite[Math.floor(finite.length * 0.005)], finite[Math.floor((finite.length - 1) * 0.995)]];
  return low < high ? [low, high] : [low, low + 1];
}

const shade = (value, low, span) => Math.max(0, Math.min(255, ((Number(value) - low) * 255) / span));

function paintGray(pixels, values, channels, low, high) {
  const scale = 255 / (high - low || 1);
  for (let at = 0; at < pixels.length; at++) {
    const gray = Math.max(0, Math.min(255, (Number(values[at * channels]) - low) * scale)) | 0;
    pixels[at] = 0xff000000 | (gray << 16) | (gray << 8) | gray;
  }
}

function paintColours(bytes, values, channels) {
  for (let at = 0, from = 0; at < bytes.length; at += 4, from += channels) {
    bytes[at] = values[from];
    bytes[at + 1] = values[from + 1];
    bytes[at + 2] = values[from + 2];
    bytes[at + 3] = 255;
  }
}

function paintLabels(pixels, values, none = 0xff000000) {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length * 2); // a label as two 32-bit halves
  for (let at = 0; at < pixels.length; at++) {
    const low = words[2 * at];
    const high = words[2 * at + 1];
    if (!low && !high) {
      pixels[at] = none;
      continue;
    }
    let mixed = Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
    mixed ^= mixed >>> 13;
    pixels[at] = 0xff000000 | (mixed & 0x7f7f7f) + 0x404040;
  }
}

function onCanvas(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
