// The page as a whole: which input, light or dark, and keys that work everywhere.

// Where to begin: at the first token that was written, else at the row in the middle.
function start(group) {
  const map = input().maps.find(each => each.group === group);
  if (!map) return {row: null, column: null, step: null};
  if (map.firstWritten !== null && input().written.length) return {row: map.firstWritten, column: null, step: 0};
  return {row: Math.floor(map.height / 2), column: null, step: null};
}

function show(number) {
  const shown = explanations[number], group = shown.maps[0]?.group ?? null;
  state.input = number;
  Object.assign(state, {group, layer: 0, head: 0, hover: null, ...start(group)});
  find("title").textContent = shown.title;
  find("subtitle").textContent = shown.subtitle;
  drawers.forEach(draw => draw(null));
}

find("inputs").append(...explanations.map((shown, i) => make("option", {value: String(i)}, shown.title)));
find("inputs-label").hidden = explanations.length < 2;
find("inputs").onchange = event => show(+event.target.value);
find("stretch").onchange = event => update({stretch: event.target.value});
find("rest").onchange = event => update({rest: event.target.checked});

const repaint = () => drawers.forEach(draw => draw(new Set(["theme"])));
find("theme").onclick = () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  find("theme").setAttribute("aria-label", `Colours of the page: ${document.documentElement.dataset.theme}`);
  repaint();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || !currentMap()) return;
  const actions = {
    ArrowLeft: () => moveHead(0, -1), ArrowRight: () => moveHead(0, 1), ArrowUp: () => moveHead(-1, 0), ArrowDown: () => moveHead(1, 0),
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": fit,
    "[": () => toStep((state.step ?? 0) - 1), "]": () => toStep((state.step ?? -1) + 1),
    Escape: () => update({row: null, column: null, hover: null}),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
});

show(0);
// For those who measure: when all small pictures and the first map have been drawn.
Promise.all([...layers().map(map => map.load()), currentHead()?.load()])
  .then(() => requestAnimationFrame(() => setTimeout(() => performance.mark("shown"))));
