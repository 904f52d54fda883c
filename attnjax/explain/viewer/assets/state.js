// What is shown now. `update` changes it, and tells those who draw.

const state = {input: 0, group: null, layer: 0, head: 0, row: null, column: null, hover: null, step: null, stretch: "root", rest: false};
const drawers = [];

const input = () => explanations[state.input];
const layers = () => input().maps.filter(map => map.group === state.group);
const currentMap = () => layers()[state.layer];
const currentHead = () => currentMap()?.heads[Math.min(state.head, currentMap().heads.length - 1)];
// The token that rows or columns are coloured for: that under the pointer, or the one that is held.
const focus = () => state.hover ?? {row: state.row, column: state.column};

function update(changes) {
  const changed = new Set(Object.keys(changes).filter(name => state[name] !== changes[name]));
  if (!changed.size) return;
  Object.assign(state, changes);
  drawers.forEach(draw => draw(changed));
}

const some = (changed, ...names) => changed === null || names.some(name => changed.has(name));

// The weight at which colours end.
const peak = (map, head) => Math.max(state.rest ? head.rest : head.peak, 1e-12);

const digits = x => x === 0 ? "0" : Math.abs(x) >= 0.0001 && Math.abs(x) < 10000 ? String(+x.toPrecision(3)) : x.toExponential(1);

// A token with what is not seen in it: spaces, ends of lines, characters without a width.
function visible(token) {
  if (token === "") return "∅";
  const named = token.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ +| +$/g, spaces => "␣".repeat(spaces.length));
  return named.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, c => `\\u{${c.codePointAt(0).toString(16)}}`);
}

function say(text) { find("say").textContent = text; }

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
