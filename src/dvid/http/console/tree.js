// The version tree of a repo: a row for each node, newest first, beside a drawing with a lane for each branch.

import { copyButton, el, number, shortUuid, svg, time } from "./dom.js";

const ROW = 48;
const LANE = 18;
const MOST_LANES = 10;
const FIRST_ROWS = 200;

/** The versions of a repo, from the DAG that the server describes. */
export class Versions {
  constructor(dag) {
    const all = Object.values(dag.Nodes).sort((a, b) => b.VersionID - a.VersionID);
    this.byVersion = new Map(all.map((node) => [node.VersionID, node]));
    this.tags = new Map(); // version -> names
    this.rows = [];
    for (const node of all) {
      // A tag is a committed child whose UUID is the tag's name.
      if (node.Branch === `tag-${node.UUID}` && node.Children.length === 0 && node.Parents.length === 1) {
        const names = this.tags.get(node.Parents[0]) ?? [];
        this.tags.set(node.Parents[0], [...names, node.UUID]);
      } else {
        this.rows.push(node);
      }
    }
    this.all = all;
  }

  branchOf(node) {
    return node.Branch || "master";
  }

  /** The newest node of a branch. */
  leaf(branch) {
    return this.all.find((node) => this.branchOf(node) === branch);
  }

  /** The node that a UUID, the beginning of one, a tag or UUID:branch names; undefined for none or several. */
  find(selector) {
    const [prefix, branch] = selector.split(":");
    if (branch !== undefined) return this.leaf(branch || "master");
    const exact = this.all.find((node) => node.UUID === prefix);
    if (exact) return exact;
    const found = this.all.filter((node) => node.UUID.startsWith(prefix));
    return found.length === 1 ? found[0] : undefined;
  }

  /** Lane of each branch: 0 for master, others as near to it as there is room. */
  lanes(rowOf) {
    const spans = new Map();
    const stretch = (branch, row) => {
      const span = spans.get(branch) ?? [row, row];
      spans.set(branch, [Math.min(span[0], row), Math.max(span[1], row)]);
    };
    for (const node of this.rows) {
      const row = rowOf.get(node.VersionID);
      stretch(this.branchOf(node), row);
      node.Parents.forEach((version, which) => {
        const parent = this.byVersion.get(version);
        if (!parent || !rowOf.has(version)) return;
        if (which === 0) stretch(this.branchOf(node), rowOf.get(version));
        else stretch(this.branchOf(parent), row);
      });
    }
    const lanes = new Map();
    const taken = []; // for each lane: spans
    const order = [...spans].sort((a, b) => (b[0] === "master") - (a[0] === "master") || b[1][1] - a[1][1]);
    for (const [branch, [low, high]] of order) {
      let lane = taken.findIndex((others) => others.every(([l, h]) => high <= l || low >= h));
      if (lane < 0) lane = Math.min(taken.length, MOST_LANES - 1);
      (taken[lane] ??= []).push([low, high]);
      lanes.set(branch, lane);
    }
    return lanes;
  }
}

/** The tree as an element. `pick(uuid)` shows a node, `compare(uuid)` puts it beside the one shown. */
export function versionTree(versions, [first, second], { pick, compare, comparable }) {
  const box = el("div", { class: "tree" });
  let shown = Math.max(FIRST_ROWS, versions.rows.indexOf(first) + 20, versions.rows.indexOf(second) + 20);
  const draw = () => {
    const rows = versions.rows.slice(0, shown);
    const list = el("ol", { class: "nodes", "aria-label": "Versions, newest first" },
      rows.map((node) => row(versions, node, first, second, { pick, compare, comparable })));
    const { drawing, width } = lines(versions, rows);
    list.style.paddingLeft = `${width}px`;
    box.replaceChildren(drawing, list);
    if (versions.rows.length > shown) {
      box.append(el("button", { type: "button", class: "more", onclick: () => { shown = versions.rows.length; draw(); } },
        `Show all ${number(versions.rows.length)} versions`));
    }
  };
  draw();
  return box;
}

function row(versions, node, first, second, { pick, compare, comparable }) {
  const isLeaf = versions.leaf(versions.branchOf(node)) === node;
  const tags = (versions.tags.get(node.VersionID) ?? []).map((name) => el("span", { class: "chip tag" }, name));
  return el("li", { class: `node${node === first ? " first" : ""}${node === second ? " second" : ""}` },
    el("button", { type: "button", class: "pick", "aria-pressed": String(node === first), "data-uuid": node.UUID,
      title: node.UUID, onclick: () => pick(node.UUID) },
      el("span", { class: "line" },
        el("code", {}, shortUuid(node.UUID)),
        isLeaf ? el("span", { class: "chip branch" }, versions.branchOf(node)) : null,
        tags,
        node.Locked ? null : el("span", { class: "chip open" }, "open")),
      el("span", { class: "line note" }, node.Note || "no note", " · ", time(node.Created))),
    comparable
      ? el("button", { type: "button", class: "compare", "aria-pressed": String(node === second), "data-uuid": node.UUID,
        disabled: node === first, title: "Put this version beside the one shown",
        "aria-label": `Compare with ${shortUuid(node.UUID)}`, onclick: () => compare(node === second ? "" : node.UUID) },
        node === first ? "A" : "B")
      : null);
}

function lines(versions, rows) {
  const rowOf = new Map(versions.rows.map((node, index) => [node.VersionID, index]));
  const lanes = versions.lanes(rowOf);
  const laneOf = (node) => lanes.get(versions.branchOf(node)) ?? 0;
  const width = (Math.max(0, ...lanes.values()) + 1) * LANE + 10;
  const height = rows.length * ROW;
  const x = (node) => laneOf(node) * LANE + 14;
  const y = (node) => rowOf.get(node.VersionID) * ROW + ROW / 2;
  const drawing = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const node of rows) {
    node.Parents.forEach((version, which) => {
      const parent = versions.byVersion.get(version);
      if (!parent || !rowOf.has(version)) return;
      const [x1, y1, x2, y2] = [x(node), y(node), x(parent), y(parent)];
      const half = ROW / 2;
      let path = `M${x1} ${y1}V${y2}`;
      if (x1 !== x2) {
        path = which === 0
          ? `M${x1} ${y1}V${y2 - ROW}C${x1} ${y2 - half} ${x2} ${y2 - half} ${x2} ${y2}`
          : `M${x1} ${y1}C${x1} ${y1 + half} ${x2} ${y1 + half} ${x2} ${y1 + ROW}V${y2}`;
      }
      const lane = which === 0 ? laneOf(node) : laneOf(parent);
      drawing.append(svg("path", { d: path, class: `edge lane${lane % 6}${which ? " merged" : ""}` }));
    });
  }
  for (const node of rows) {
    drawing.append(svg("circle", { cx: x(node), cy: y(node), r: 5.5,
      class: `dot lane${laneOf(node) % 6}${node.Locked ? "" : " open"}` }));
  }
  return { drawing, width };
}

/** What is known of one node. */
export function nodeDetails(versions, node, pick) {
  const link = (version) => {
    const other = versions.byVersion.get(version);
    if (!other) return null;
    return el("button", { type: "button", class: "link", onclick: () => pick(other.UUID) },
      el("code", {}, shortUuid(other.UUID)));
  };
  const line = (term, ...content) => (content.flat(Infinity).length ? [el("dt", {}, term), el("dd", {}, content)] : []);
  const tags = versions.tags.get(node.VersionID) ?? [];
  return el("section", { class: "card details", "aria-label": "The version shown" },
    el("h3", {}, "Version ", el("code", {}, shortUuid(node.UUID))),
    el("dl", {},
      line("UUID", el("code", { class: "long" }, node.UUID), " ", copyButton(() => node.UUID)),
      line("State", node.Locked ? "committed: read only" : "open: takes changes"),
      line("Branch", versions.branchOf(node)),
      line("Tags", tags.map((tag) => el("span", { class: "chip tag" }, tag))),
      line("Note", node.Note ? [node.Note] : []),
      line("Created", time(node.Created)),
      line("Parents", node.Parents.map(link)),
      line("Children", node.Children.map(link))),
    node.Log?.length
      ? el("details", { open: true }, el("summary", {}, `Log, ${number(node.Log.length)} ${node.Log.length === 1 ? "line" : "lines"}`),
        el("ol", { class: "log" }, node.Log.slice(-100).map((text) => el("li", {}, text))))
      : null);
}
