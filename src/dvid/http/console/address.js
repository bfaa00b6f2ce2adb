// What the page shows, as its address has it: /?repo=UUID&name=NAME&nodes=U1,U2&plane=xy&z=64

const TEXTS = ["repo", "name", "plane", "show", "key", "labels"];
const NUMBERS = ["x", "y", "z", "zoom", "low", "high", "opacity"];

export function readAddress() {
  const given = new URLSearchParams(location.search);
  const state = { nodes: (given.get("nodes") ?? "").split(",").filter(Boolean).slice(0, 2) };
  for (const name of TEXTS) state[name] = given.get(name) ?? "";
  for (const name of NUMBERS) {
    const value = given.get(name);
    state[name] = value !== null && value !== "" && Number.isFinite(Number(value)) ? Number(value) : null;
  }
  return state;
}

export function writeAddress(state) {
  const parts = [];
  const add = (name, value) => {
    if (value !== "" && value !== null && value !== undefined) {
      parts.push(`${name}=${encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%3A", ":")}`);
    }
  };
  add("repo", state.repo);
  add("name", state.name);
  add("nodes", state.nodes.join(","));
  for (const name of ["plane", "x", "y", "z", "zoom", "low", "high", "show", "labels", "opacity", "key"]) add(name, state[name]);
  return `${location.pathname}${parts.length ? `?${parts.join("&")}` : ""}`;
}
