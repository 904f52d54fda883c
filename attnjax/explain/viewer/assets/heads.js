// The small pictures of all layers and heads, one grid for each kind of attention.

const groupNames = () => [...new Set(input().maps.map(map => map.group))];
const groupTitle = name => name.replace(/[._]/g, " ");

function drawGroups() {
  const tabs = groupNames().map(name => {
    const tab = make("button", {type: "button", role: "tab", "aria-selected": String(name === state.group)}, groupTitle(name));
    tab.onclick = () => update({group: name, layer: 0, head: 0, hover: null, ...start(name)});
    return tab;
  });
  find("groups").replaceChildren(...tabs);
  find("groups").hidden = tabs.length < 2;
  find("heads-panel").hidden = find("map-panel").hidden = find("tokens-panel").hidden = !tabs.length;
}

function drawHeads() {
  const grid = find("heads"), shown = layers();
  const most = Math.max(0, ...shown.map(map => map.heads.length));
  grid.style.setProperty("--heads", most);
  const names = shown.find(map => map.heads.length === most)?.heads.map(head => head.name) ?? [];
  const top = make("div", {role: "row"}, make("span", {role: "columnheader", class: "corner"}),
    ...names.map(name => make("span", {role: "columnheader"}, name)));
  grid.replaceChildren(top, ...shown.map((map, layer) => make("div", {role: "row"},
    make("span", {role: "rowheader", title: map.name}, map.layer),
    ...map.heads.map(head => thumbnail(map, layer, head)))));
  markHead();
}

function thumbnail(map, layer, head) {
  const canvas = make("canvas", {"aria-hidden": "true"});
  const label = `${map.name}, head ${head.name}`;
  const button = make("button", {type: "button", role: "gridcell", "aria-label": label, title: label, tabindex: "-1"}, canvas);
  button.dataset.layer = layer;
  button.dataset.head = head.number;
  button.onclick = () => update({layer, head: head.number});
  map.load().then(() => {
    paint(canvas, head.thumbnail, head);
    canvas.classList.toggle("few", head.thumbnail.width < 32);
  });
  return button;
}

// Colours each pixel of a plane.
function paint(canvas, plane, head) {
  const {width, height, codes, map} = plane, {packed} = table(map.signed);
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const root = state.stretch === "root", top = peak(map, head);
  const lookup = code => packed[shade(map.weightOf(code), top, {signed: map.signed, root})];
  const known = new Uint32Array(2 ** map.bits);  // 0: a code that has not come yet.
  for (let y = 0; y < height; y++) {
    const line = codes.subarray(y * width, (y + 1) * width);
    const most = state.stretch === "row" ? largest(line, map) : 0;
    for (let x = 0; x < width; x++) {
      const code = line[x];
      pixels[y * width + x] = state.stretch === "row"
        ? packed[shade(map.weightOf(code), most, {signed: map.signed})]
        : known[code] ||= lookup(code);
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function largest(codes, map) {
  let most = 0;
  for (let i = state.rest ? 1 : 0; i < codes.length; i++) most = Math.max(most, Math.abs(map.weightOf(codes[i])));
  return most;
}

function markHead() {
  for (const cell of find("heads").querySelectorAll("button")) {
    const chosen = +cell.dataset.layer === state.layer && +cell.dataset.head === currentHead()?.number;
    cell.setAttribute("aria-selected", chosen);
    cell.tabIndex = chosen ? 0 : -1;
    if (chosen && document.activeElement?.getAttribute("role") === "gridcell") cell.focus();
  }
}

function moveHead(down, right) {
  const layer = Math.min(Math.max(state.layer + down, 0), layers().length - 1);
  const heads = layers()[layer].heads.length;
  const head = Math.min(Math.max(currentHead().number + right, 0), heads - 1);
  update({layer, head});
  say(`${currentMap().name}, head ${currentHead().name}`);
}

drawers.push(changed => {
  if (some(changed, "input", "group")) drawGroups();
  if (some(changed, "input", "group", "stretch", "rest", "theme")) drawHeads();
  else if (some(changed, "layer", "head")) markHead();
});
