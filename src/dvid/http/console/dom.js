// Making elements. Texts become text nodes: nothing the server sends is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (keys like "onclick") and children (elements, texts, or null for none). */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A row of buttons of which one is pressed. */
export function choice(label, options, chosen, choose) {
  const buttons = options.map(([value, text]) =>
    el("button", { type: "button", "aria-pressed": String(value === chosen), "data-value": value,
      onclick: () => {
        for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === value));
        choose(value);
      } }, text));
  return el("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

/** A button that copies a text. */
export function copyButton(text, label = "Copy") {
  const button = el("button", { type: "button", class: "quiet", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed"; // browsers give the clipboard to HTTPS and localhost only
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  } }, label);
  return button;
}

export const shortUuid = (uuid) => (/^[0-9a-f]{32}$/.test(uuid) ? uuid.slice(0, 8) : uuid);

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A date as <time>; the whole moment shows as its title. */
export function time(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return el("span", {}, text || "");
  return el("time", { datetime: text, title: MOMENT.format(date) }, DATE.format(date));
}

export const number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");
