// The keys and values of a keyvalue instance.

import { getBeginning, getListBeginning, nodePath } from "./api.js";
import { el, number } from "./dom.js";

const LIST_CHARACTERS = 200_000;
const VALUE_BYTES = 256 * 1024;
const HEX_BYTES = 1024;
const LAST = "\u{10ffff}";

export function keyBrowser({ uuid, name, key, onKey }) {
  const list = el("ul", { class: "keys", "aria-label": "Keys" });
  const value = el("div", { class: "value", "aria-live": "polite" }, el("p", { class: "hint" }, "Choose a key to see its value."));
  const count = el("p", { class: "hint", role: "status" });
  let asked = new AbortController();
  let read = new AbortController();

  async function showKeys(prefix) {
    asked.abort();
    asked = new AbortController();
    count.textContent = "Loading…";
    const path = prefix
      ? nodePath(uuid, name, "keyrange", prefix, prefix + LAST)
      : nodePath(uuid, name, "keys");
    try {
      const { items, complete } = await getListBeginning(path, LIST_CHARACTERS, asked.signal);
      list.replaceChildren(...items.map((one) =>
        el("li", {}, el("button", { type: "button", "data-key": one, "aria-pressed": String(one === key),
          onclick: () => showValue(one) }, one))));
      count.textContent = complete
        ? `${number(items.length)} ${items.length === 1 ? "key" : "keys"}`
        : `The first ${number(items.length)} keys; type how yours begins to see others`;
    } catch (error) {
      if (error.name === "AbortError") return;
      list.replaceChildren();
      count.replaceChildren(el("span", { class: "error" }, error.message));
    }
  }

  async function showValue(one) {
    read.abort(); // the value of a key chosen before must not come last
    read = new AbortController();
    const { signal } = read;
    for (const button of list.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.key === one));
    }
    onKey(one);
    const path = nodePath(uuid, name, "key", one);
    if (one === "." || one === "..") {
      value.replaceChildren(el("p", { class: "error" }, "Browsers cannot ask for a key of this name; other programs can."));
      return;
    }
    try {
      const { buffer, total } = await getBeginning(path, VALUE_BYTES, signal);
      value.replaceChildren(
        el("h4", {}, one),
        el("p", { class: "hint" }, `${number(total)} bytes`,
          buffer.byteLength < total ? `, the first ${number(buffer.byteLength)} shown` : "", " · ",
          el("a", { href: path, download: one.replaceAll("/", "_") }, "Download")),
        el("pre", { tabindex: "0", "aria-label": `Value of ${one}` }, readable(new Uint8Array(buffer), total)));
    } catch (error) {
      if (!signal.aborted) value.replaceChildren(el("p", { class: "error" }, error.message));
    }
  }

  const filter = el("input", { type: "search", placeholder: "Keys that begin with…", "aria-label": "Keys that begin with",
    oninput: () => { clearTimeout(filter.waiting); filter.waiting = setTimeout(() => showKeys(filter.value), 200); } });
  showKeys("");
  if (key) showValue(key);
  return el("div", { class: "browser" }, el("div", { class: "side" }, filter, count, list), value);
}

/** JSON set out in lines, other text as it is, anything else in hexadecimal. */
export function readable(bytes, total = bytes.length) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: total === bytes.length }).decode(bytes);
  } catch {
    return hexadecimal(bytes.subarray(0, HEX_BYTES));
  }
  if (/[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text)) return hexadecimal(bytes.subarray(0, HEX_BYTES));
  if (/^\s*[[{]/.test(text) && total === bytes.length && !/\d{16}/.test(text)) { // JSON.parse would round long numbers
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }
  return text;
}

function hexadecimal(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.subarray(at, at + 16);
    const hex = Array.from(part, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = Array.from(part, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}
