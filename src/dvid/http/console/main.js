// The page: the repos of the server, one repo with its versions and data, and the data chosen.

import { readAddress, writeAddress } from "./address.js";
import { getJson, nodePath } from "./api.js";
import { copyButton, el, number, shortUuid, time } from "./dom.js";
import { keyBrowser } from "./keys.js";
import { nodeDetails, Versions, versionTree } from "./tree.js";
import { sliceViewer } from "./viewer.js";
import { voxelKind } from "./volume.js";

const main = document.getElementById("main");
const message = document.getElementById("message");

let repos = null;
let state = readAddress();
let shownRepo = null; // {repo, versions} whose frame is on the page

// ---- going from one thing to another --------------------------------------------------------

/** Show something else; it becomes an entry of the browser's history. */
function go(changes) {
  state = { ...state, ...changes };
  history.pushState(null, "", writeAddress(state));
  show();
}

const NO_VIEW = { plane: "", x: null, y: null, z: null, zoom: null, low: null, high: null, show: "", labels: "", opacity: null, key: "" };

function openRepo(uuid) {
  go({ repo: uuid, name: "", nodes: [], ...NO_VIEW });
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

let writing = 0;
/** Note in the address what the viewer shows. */
function note(changes, large) {
  Object.assign(state, changes);
  clearTimeout(writing);
  if (large) history.pushState(null, "", writeAddress(state));
  else writing = setTimeout(() => history.replaceState(null, "", writeAddress(state)), 250); // browsers limit how often
}

function say(text) {
  message.replaceChildren(...(text ? [el("p", { class: "error" }, text)] : []));
}

async function start() {
  document.getElementById("where").textContent = location.host;
  themeButton();
  try {
    repos = Object.values(await getJson("api/repos/info"));
  } catch (error) {
    main.replaceChildren();
    say(`The list of repos could not be read. ${error.message}`);
    return;
  }
  repos.sort((a, b) => (b.Updated ?? "").localeCompare(a.Updated ?? ""));
  show();
}

function show() {
  say("");
  const repo = findRepo(state.repo);
  if (state.repo && !repo) say(`There is no repo with a version ${state.repo}.`);
  if (repo) showRepo(repo);
  else showRepos();
}

function findRepo(selector) {
  if (!selector) return null;
  const has = (repo, test) => Object.keys(repo.DAG.Nodes).some(test);
  return repos.find((repo) => has(repo, (uuid) => uuid === selector)) ?? repos.find((repo) => has(repo, (uuid) => uuid.startsWith(selector)));
}

// ---- all repos ------------------------------------------------------------------------------

function showRepos() {
  document.title = "dvid";
  shownRepo = null;
  if (!repos.length) {
    main.replaceChildren(el("h1", {}, "No repos yet"),
      el("p", {}, "Make one from Python:"),
      snippet(["from urllib.request import urlopen", `request = ${quote(`${base()}api/repos`)}`, 'urlopen(request, data=b\'{"alias": "my volume"}\').read()']));
    return;
  }
  main.replaceChildren(
    el("h1", {}, `${number(repos.length)} ${repos.length === 1 ? "repo" : "repos"}`),
    el("ul", { class: "repos" }, repos.map((repo) => {
      const [nodes, instances] = [new Versions(repo.DAG).rows.length, Object.keys(repo.DataInstances).length];
      return el("li", {}, el("a", { class: "card repo", href: writeAddress({ repo: repo.Root, nodes: [] }),
        onclick: (event) => { if (plain(event)) { event.preventDefault(); openRepo(repo.Root); } } },
        el("h2", {}, repo.Alias || "Without a name"),
        repo.Description ? el("p", {}, repo.Description) : null,
        el("p", { class: "hint" }, el("code", {}, shortUuid(repo.Root)), " · ",
          `${number(nodes)} ${nodes === 1 ? "version" : "versions"} · ${number(instances)} data ${instances === 1 ? "instance" : "instances"} · changed `,
          time(repo.Updated))));
    })));
}

const plain = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);

// ---- one repo -------------------------------------------------------------------------------

function showRepo(repo) {
  document.title = `${repo.Alias || shortUuid(repo.Root)} · dvid`;
  const versions = shownRepo?.repo === repo ? shownRepo.versions : new Versions(repo.DAG);
  shownRepo = { repo, versions };
  const problems = [];
  const nodes = state.nodes.map((selector) => {
    const node = versions.find(selector);
    if (!node) problems.push(`The repo has no single version named ${selector}.`);
    return node;
  }).filter(Boolean);
  if (!nodes.length) nodes.push(versions.leaf("master") ?? versions.all[0]);
  if (nodes[1] === nodes[0]) nodes.length = 1;
  const instance = repo.DataInstances[state.name];
  if (state.name && !instance) problems.push(`The repo has no data instance named ${state.name}.`);
  if (problems.length) say(problems.join(" "));

  const kind = instance ? voxelKind(instance) : null;
  const pick = (uuid) => go({ nodes: [uuid, nodes[1]?.UUID].filter((one, index) => one && (index === 0 || one !== uuid)) });
  const compare = (uuid) => go({ nodes: [nodes[0].UUID, uuid].filter(Boolean) });
  const scrolled = main.querySelector(".tree")?.scrollTop ?? 0;
  const open = main.contains(document.activeElement) ? focusMark(document.activeElement) : null;

  const data = el("section", { class: "data", "aria-label": "The data chosen" });
  main.replaceChildren(
    el("div", { class: "repo-head" },
      el("p", { class: "crumbs" }, el("a", { href: location.pathname, onclick: (event) => { if (plain(event)) { event.preventDefault(); openRepo(""); } } }, "All repos")),
      el("h1", {}, repo.Alias || "Without a name"),
      repo.Description ? el("p", { class: "lead" }, repo.Description) : null,
      el("p", { class: "hint" }, "made ", time(repo.Created), ", changed ", time(repo.Updated), " · root ",
        el("code", { title: repo.Root }, shortUuid(repo.Root)), repo.Log?.length ? ` · log of ${number(repo.Log.length)} lines` : "")),
    el("div", { class: "columns" },
      el("div", { class: "side" },
        el("section", { class: "card versions", "aria-label": "Versions" },
          el("h2", {}, "Versions ", el("span", { class: "hint" }, number(versions.rows.length))),
          kind ? el("p", { class: "hint legend" }, el("b", { class: "badge a" }, "A"), "shown", el("b", { class: "badge b" }, "B"), "compared with it") : null,
          versionTree(versions, nodes, { pick, compare, comparable: Boolean(kind) })),
        nodeDetails(versions, nodes[0], pick)),
      el("div", { class: "content" }, instanceTable(repo), data)));
  const tree = main.querySelector(".tree");
  tree.scrollTop = scrolled;
  const chosen = tree.querySelector(".node.first");
  if (chosen && (chosen.offsetTop < tree.scrollTop || chosen.offsetTop + chosen.offsetHeight > tree.scrollTop + tree.clientHeight)) {
    tree.scrollTop = chosen.offsetTop - tree.clientHeight / 3;
  }
  open?.focus();
  showData(data, instance, nodes, kind);
}

/** What had the focus, to be found again after the page was drawn anew. */
function focusMark(element) {
  const { uuid, name } = element.dataset;
  if (!uuid && !name) return null;
  const selector = uuid ? `.${element.className.split(" ")[0]}[data-uuid="${CSS.escape(uuid)}"]` : `[data-name="${CSS.escape(name)}"]`;
  return { focus: () => main.querySelector(selector)?.focus({ preventScroll: true }) };
}

// ---- its data instances ---------------------------------------------------------------------

function instanceTable(repo) {
  const all = Object.entries(repo.DataInstances).sort(([a], [b]) => a.localeCompare(b));
  if (!all.length) return el("section", { class: "card" }, el("h2", {}, "Data"), el("p", { class: "hint" }, "This repo has no data instances yet."));
  const rows = all.map(([name, info]) => instanceRow(name, info));
  const body = el("tbody", {}, rows);
  const filter = all.length < 10 ? null
    : el("input", { type: "search", placeholder: "Name or type…", "aria-label": "Show instances whose name or type has", oninput: (event) => {
      const text = event.target.value.toLowerCase();
      rows.forEach((row, index) => { row.hidden = !`${all[index][0]} ${all[index][1].Base.TypeName}`.toLowerCase().includes(text); });
    } });
  return el("section", { class: "card instances", "aria-label": "Data instances" },
    el("h2", {}, "Data ", el("span", { class: "hint" }, number(all.length)), filter),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of data instances" },
      el("table", {},
        el("thead", {}, el("tr", {}, ["Name", "Type", "Extents on master", "Voxel", "Blocks", "Stored", "Tags"].map((text) => el("th", { scope: "col" }, text)))),
        body)));
}

function instanceRow(name, { Base: base, Extended: extended }) {
  const list = (values, between = " × ") => (Array.isArray(values) ? values.join(between) : "");
  const units = extended?.VoxelUnits?.[0] ?? "";
  const size = extended?.MinPoint && extended?.MaxPoint ? extended.MaxPoint.map((value, axis) => value - extended.MinPoint[axis] + 1) : null;
  const from = size && extended.MinPoint.some(Boolean) ? el("span", { class: "hint" }, ` from ${list(extended.MinPoint, ", ")}`) : null;
  const cell = (label, ...content) => el("td", { "data-label": label }, content);
  return el("tr", { class: name === state.name ? "chosen" : null },
    el("th", { scope: "row" }, el("button", { type: "button", class: "link", "data-name": name,
      "aria-current": name === state.name ? "true" : null, onclick: () => go({ name, ...NO_VIEW }) }, name)),
    cell("Type", el("code", {}, base.TypeName), base.Versioned === false ? el("span", { class: "chip" }, "unversioned") : null),
    cell("Extents on master", size ? list(size.map(number)) : extended?.BlockSize ? "empty" : "", from),
    cell("Voxel", extended?.VoxelSize ? `${list(extended.VoxelSize)} ${/^nano/i.test(units) ? "nm" : units}` : ""),
    cell("Blocks", list(extended?.BlockSize)),
    cell("Stored", (base.Compression ?? "").replace(/ compression, level -1$/, "").replace(/ compression/, "")),
    cell("Tags", Object.entries(base.Tags ?? {}).map(([key, value]) => el("span", { class: "chip" }, value ? `${key}=${value}` : key))));
}

// ---- the data chosen ------------------------------------------------------------------------

let asked = new AbortController();

async function showData(section, instance, nodes, kind) {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  if (!instance) {
    section.replaceChildren(code("This repo in Python", [
      "import json, urllib.request",
      `repo = json.load(urllib.request.urlopen(${quote(`${base()}api/repo/${nodes[0].UUID}/info`)}))`,
      'print(repo["Alias"], sorted(repo["DataInstances"]))']));
    return;
  }
  const name = instance.Base.Name;
  const uuid = nodes[0].UUID;
  const head = el("div", { class: "data-head" },
    el("h2", {}, name, " ", el("code", { class: "hint" }, instance.Base.TypeName)),
    el("span", { class: "links" }, el("a", { href: nodePath(uuid, name, "info") }, "info"), el("a", { href: nodePath(uuid, name, "help") }, "requests it takes"),
      el("a", { href: nodePath(uuid, name, "mutations") }, "changes at this version")));
  const place = el("div", {}, el("p", { class: "wait" }, "Loading…"));
  const card = el("section", { class: "card" }, head, place);
  section.replaceChildren(card);
  try {
    if (kind) {
      const infos = await Promise.all(nodes.map((node) => getJson(nodePath(node.UUID, name, "info"), signal)));
      const viewer = sliceViewer({ nodes: nodes.map((node, index) => ({ uuid: node.UUID, note: node.Note, info: infos[index] })), name, kind, overlays: kind.labels ? [] : overlays(), state, changed: note });
      place.replaceChildren(viewer);
      section.append(code("This volume in Python", volumeSnippet(uuid, name, infos[0], kind)));
    } else if (instance.Base.TypeName === "keyvalue") {
      place.replaceChildren(keyBrowser({ uuid, name, key: state.key, onKey: (key) => note({ key }) }));
      section.append(code("These values in Python", [
        "from urllib.request import urlopen",
        `keys = urlopen(${quote(`${base()}${nodePath(uuid, name, "keys")}`)}).read()`,
        `value = urlopen(${quote(`${base()}${nodePath(uuid, name, "key", state.key || "KEY")}`)}).read()`]));
    } else {
      place.replaceChildren(el("p", { class: "hint" }, "This page has no picture of this type of data; programs get at it by the requests it takes."));
    }
  } catch (error) {
    if (error.name !== "AbortError") place.replaceChildren(el("p", { class: "error", role: "alert" }, error.message));
  }
}

/** The segmentations of the repo, which can be shown over its images. */
function overlays() {
  const all = Object.values(shownRepo.repo.DataInstances).map((info) => ({ name: info.Base.Name, kind: voxelKind(info) }));
  return all.filter(({ kind }) => kind?.bodies).sort((a, b) => a.name.localeCompare(b.name));
}

function volumeSnippet(uuid, name, info, kind) {
  const low = info.Extended.MinPoint ?? [0, 0, 0];
  const high = info.Extended.MaxPoint ?? [63, 63, 63];
  const stop = low.map((value, axis) => Math.min(value + 64, high[axis] + 1));
  if (kind.bodies) {
    const size = stop.map((value, axis) => value - low[axis]);
    return [
      "import numpy as np",
      "from urllib.request import urlopen",
      `data = urlopen(${quote(`${base()}${nodePath(uuid, name, "raw", "0_1_2", size.join("_"), low.join("_"))}`)}).read()`,
      `bodies = np.frombuffer(data, "<u8").reshape(${[...size].reverse().join(", ")})  # z, y, x`,
    ];
  }
  return [
    "from dvidclient.volume_client import VolumeClient",
    `volume = VolumeClient(${quote(location.host)}, ${quote(uuid)}, ${quote(name)})`,
    `box = volume.retrieve_subvolume((${[0, ...low].join(", ")}), (${[kind.channels, ...stop].join(", ")}))  # c, x, y, z`,
  ];
}

function code(title, lines) {
  return el("section", { class: "card code", "aria-label": title },
    el("h3", {}, title, " ", copyButton(() => lines.join("\n"))), snippet(lines));
}

const snippet = (lines) => el("pre", { class: "python", tabindex: 0 }, lines.join("\n"));
const quote = (text) => JSON.stringify(text);
const base = () => new URL(".", location.href).href;

// ---- light and dark -------------------------------------------------------------------------

function themeButton() {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
  document.getElementById("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  });
}

addEventListener("popstate", () => { state = readAddress(); show(); });
document.getElementById("home").addEventListener("click", (event) => {
  if (plain(event) && repos) { event.preventDefault(); openRepo(""); }
});
start();
