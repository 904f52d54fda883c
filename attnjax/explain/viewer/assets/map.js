// One map, large: zoomed with the wheel, fingers and keys, moved by dragging, with tokens at its sides.

const canvas = find("map");
const view = {x: 0, y: 0, size: 1, left: 0, top: 0, right: 0, width: 0, height: 0};  // Cells at the corner; pixels per cell.
const MOST_PIXELS = 44, LABEL_PIXELS = 12, BETWEEN_COLUMN_LABELS = 17;
let painted = new WeakMap();

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name);

function margins(map) {
  const narrow = canvas.clientWidth < 480, most = narrow ? 68 : 110;
  const context = canvas.getContext("2d");
  context.font = `600 ${LABEL_PIXELS}px system-ui, sans-serif`;
  const widest = tokens => Math.max(...tokens.slice(0, 200).map(token => context.measureText(visible(token)).width));
  view.left = Math.min(most, widest(map.rowTokens) + 12);
  view.top = Math.min(most, widest(map.columnTokens) * 0.87 + 16);
  view.right = Math.min(context.measureText(visible(map.columnTokens.at(-1))).width, view.top) / 2 + 6;
}

function fit() {
  const map = currentMap();
  if (!map) return;
  margins(map);
  view.width = canvas.clientWidth;
  const high = Math.max(280, Math.min(innerHeight * 0.72, 720)) - view.top;
  view.size = Math.min((view.width - view.left - view.right) / map.width, high / map.height, MOST_PIXELS);
  view.height = Math.round(view.top + Math.max(view.size * map.height, 40) + 6);
  view.fitted = view.size;
  view.x = view.y = 0;
  canvas.style.height = `${view.height}px`;
  drawMap();
}

function zoom(factor, x = (view.left + view.width) / 2, y = (view.top + view.height) / 2) {
  const size = Math.min(Math.max(view.size * factor, view.fitted), Math.max(MOST_PIXELS, view.fitted));
  const [column, row] = [view.x + (x - view.left) / view.size, view.y + (y - view.top) / view.size];
  Object.assign(view, {size, x: column - (x - view.left) / size, y: row - (y - view.top) / size});
  drawMap();
}

function inside() {
  const map = currentMap();
  const across = (view.width - view.left) / view.size, down = (view.height - view.top) / view.size;
  view.x = Math.min(Math.max(view.x, 0), Math.max(0, map.width - across));
  view.y = Math.min(Math.max(view.y, 0), Math.max(0, map.height - down));
  return {left: Math.floor(view.x), top: Math.floor(view.y), right: Math.min(map.width, Math.ceil(view.x + across)),
    bottom: Math.min(map.height, Math.ceil(view.y + down))};
}

// A coarse plane where its pixels are as small as the screen's, and the tiles in view where there are finer ones.
function planesFor(head, area) {
  const map = head.map;
  if (map.factor === 1 || view.size * map.factor < 1.2 || !head.loaded.size) return [head.thumbnail];
  const overview = head.loaded.get("overview"), planes = overview instanceof Plane ? [overview] : [head.thumbnail];
  if (!head.tiles || (overview && view.size * map.coarse < 1.2)) return planes;
  for (let row = area.top; row < area.bottom; row += contents.tile - row % contents.tile) {
    for (let column = area.left; column < area.right; column += contents.tile - column % contents.tile) {
      const tile = head.tile(row, column);
      if (head.planeAt(row, column).factor === 1) planes.push(head.planeAt(row, column));
      else tile.then(() => head === currentHead() && drawMap());
    }
  }
  return planes;
}

function pictureOf(plane, head) {
  if (!painted.has(plane)) {
    const picture = document.createElement("canvas");
    paint(picture, plane, head);
    painted.set(plane, picture);
  }
  return painted.get(plane);
}

function drawMap() {
  const head = currentHead();
  if (!head?.thumbnail || !view.width) return;
  const dense = devicePixelRatio || 1;
  canvas.width = Math.round(view.width * dense);
  canvas.height = Math.round(view.height * dense);
  const context = canvas.getContext("2d");
  context.scale(dense, dense);
  drawCells(context, head, inside());
  drawSides(context, head.map, inside());
  drawFocus(context, head.map);
}

function drawCells(context, head, area) {
  context.save();
  context.beginPath();
  context.rect(view.left, view.top, view.width, view.height);
  context.clip();
  const x = column => view.left + (column - view.x) * view.size, y = row => view.top + (row - view.y) * view.size;
  for (const plane of planesFor(head, area)) {
    const {factor, width, height} = plane;
    context.imageSmoothingEnabled = view.size * factor < 1;
    context.drawImage(pictureOf(plane, head), x(plane.left), y(plane.top), width * factor * view.size, height * factor * view.size);
  }
  if (view.size >= 14) {  // Thin lines tell neighbours apart.
    context.strokeStyle = css("--grid");
    context.lineWidth = 1;
    context.beginPath();
    for (let i = area.left; i <= area.right; i++) { context.moveTo(x(i), y(area.top)); context.lineTo(x(i), y(area.bottom)); }
    for (let i = area.top; i <= area.bottom; i++) { context.moveTo(x(area.left), y(i)); context.lineTo(x(area.right), y(i)); }
    context.stroke();
  }
  context.restore();
}

function drawSides(context, map, area) {
  const {row, column} = focus();
  const label = (token, most, x, y, turn, strong) => {
    context.save();
    context.translate(x, y);
    context.rotate(turn);
    context.font = `${strong ? "600 " : ""}${LABEL_PIXELS}px system-ui, sans-serif`;
    context.fillStyle = css(strong ? "--accent" : "--ink");
    let shown = visible(token);
    while (shown.length > 1 && context.measureText(shown).width > most) shown = shown.slice(0, -2) + "…";
    context.fillText(shown, 0, 0);
    context.restore();
  };
  // Neighbours of the marked token give way to it.
  const shown = (from, to, marked, every) => Array.from({length: to - from}, (_, k) => from + k)
    .filter(i => i === marked || (i % every === 0 && (marked === null || Math.abs(i - marked) >= every)));
  const [y, x] = [i => view.top + (i + 0.5 - view.y) * view.size, j => view.left + (j + 0.5 - view.x) * view.size];
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const i of shown(area.top, area.bottom, row, Math.ceil(LABEL_PIXELS / view.size))) {
    if (y(i) >= view.top) label(map.rowTokens[i], view.left - 8, view.left - 6, y(i), 0, i === row);
  }
  context.textAlign = "left";
  for (const j of shown(area.left, area.right, column, Math.ceil(BETWEEN_COLUMN_LABELS / view.size - 0.3))) {
    if (x(j) >= view.left) label(map.columnTokens[j], (view.top - 12) / 0.87, x(j), view.top - 6, -Math.PI / 3, j === column);
  }
}

function drawFocus(context, map) {
  const {row, column} = focus();
  context.strokeStyle = css("--accent");
  context.lineWidth = 1.5;
  const width = Math.min(map.width * view.size, view.width - view.left - 1), height = Math.min(map.height * view.size, view.height - view.top - 1);
  const band = Math.max(view.size, 2);
  if (row !== null) context.strokeRect(view.left, view.top + (row - view.y) * view.size, width, band);
  if (column !== null) context.strokeRect(view.left + (column - view.x) * view.size, view.top, band, height);
}

function cellAt(event) {
  const box = canvas.getBoundingClientRect(), map = currentMap();
  const column = Math.floor(view.x + (event.clientX - box.left - view.left) / view.size);
  const row = Math.floor(view.y + (event.clientY - box.top - view.top) / view.size);
  const aside = event.clientX - box.left < view.left, above = event.clientY - box.top < view.top;
  if (row >= map.height || column >= map.width || (aside && above)) return null;
  return {row: above ? null : row, column: aside ? null : column};
}

function pairText({row, column}, head) {
  const {map} = head;
  if (row === null || column === null) return row === null ? tokenText("column", column) : tokenText("row", row);
  const tokens = [map.rowTokens[row], map.columnTokens[column]].map(token => `“${visible(token)}”`);
  const {factor} = head.planeAt(row, column), coarse = factor > 1 ? ` (largest of ${factor}×${factor})` : "";
  return `${tokens[0]} → ${tokens[1]}: ${digits(head.weight(row, column))}${coarse}`;
}

let fingers = new Map(), dragged = false;
canvas.addEventListener("pointerdown", event => {
  fingers.set(event.pointerId, event);
  dragged = false;
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", event => {
  const before = fingers.get(event.pointerId);
  if (before) {
    const moved = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (!dragged && Math.hypot(...moved) < 4) return;
    dragged = true;
    if (fingers.size === 2) pinch(event);
    view.x -= moved[0] / view.size / fingers.size;
    view.y -= moved[1] / view.size / fingers.size;
    fingers.set(event.pointerId, event);
    return drawMap();
  }
  update({hover: cellAt(event)});
});
function pinch(event) {
  const other = [...fingers.values()].find(finger => finger.pointerId !== event.pointerId), before = fingers.get(event.pointerId);
  const apart = finger => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
  const box = canvas.getBoundingClientRect();
  zoom(apart(event) / Math.max(apart(before), 1), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
}
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, event => {
  fingers.delete(event.pointerId);
  if (name === "pointerup" && !dragged) {
    const cell = cellAt(event);
    const held = cell && state.row === cell.row && state.column === cell.column;
    update({row: null, column: null, ...(held ? {} : cell), hover: null});
  }
});
canvas.addEventListener("pointerleave", () => fingers.size || update({hover: null}));
canvas.addEventListener("wheel", event => {
  const more = view.size > view.fitted || event.deltaY < 0;
  if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;  // The page scrolls.
  if (!more) return;
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
}, {passive: false});
canvas.addEventListener("keydown", event => {
  const move = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key], map = currentMap();
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  const within = (at, step, size) => Math.min(Math.max((at ?? (step > 0 ? -1 : step < 0 ? size : 0)) + step, 0), size - 1);
  const cell = {row: within(state.row, move[0], map.height), column: within(state.column, move[1], map.width)};
  intoView(cell);
  update({...cell, hover: null});
  currentHead().need(cell.row, cell.column).then(() => say(pairText(cell, currentHead())));
});
function intoView({row, column}) {
  const across = (view.width - view.left) / view.size, down = (view.height - view.top) / view.size;
  if (column !== null) view.x = Math.min(Math.max(view.x, column + 1 - across), column);
  if (row !== null) view.y = Math.min(Math.max(view.y, row + 1 - down), row);
}
find("zoom-in").onclick = () => zoom(1.5);
find("zoom-out").onclick = () => zoom(1 / 1.5);
find("zoom-fit").onclick = fit;
new ResizeObserver(() => canvas.clientWidth !== view.width && fit()).observe(canvas);

function drawFacts(head) {
  const {map} = head, facts = [`${map.height} × ${map.width} tokens`];
  if (head.entropy !== undefined) facts.push(`entropy ${head.entropy.toFixed(2)} bits`, `first column ${(100 * head.sink).toFixed(0)} %`);
  facts.push(`largest weight ${digits(head.peak)}`, ...Object.entries(map.notes).map(([name, text]) => `${name}: ${text}`));
  if (!head.full) facts.push(`overview alone: a pixel is the largest of ${map.coarse} × ${map.coarse} weights`);
  find("facts").textContent = facts.join(" · ");
  find("map-title").textContent = `${map.name} · ${/^\d/.test(head.name) ? "head " : ""}${head.name}`;
  canvas.setAttribute("aria-label", `Attention of ${map.name}, head ${head.name}: ${facts.join(", ")}`);
  const what = map.bits === 8 ? "8 bits" : "16 bits";
  find("precision").textContent = `Weights are stored as square roots in ${what}: none is off by more than ${digits(map.error)}.`;
}

function drawLegend(head) {
  const ramp = find("ramp"), context = ramp.getContext("2d"), {css: colours} = table(head.map.signed);
  for (let i = 0; i < ramp.width; i++) {
    context.fillStyle = colours[Math.round(i / (ramp.width - 1) * 255)];
    context.fillRect(i, 0, 1, ramp.height);
  }
  const top = state.stretch === "row" ? "the row's largest" : digits(peak(head.map, head));
  find("range").textContent = `${head.map.signed ? `−${top}` : "0"} to ${top}`;
}

drawers.push(changed => {
  const head = currentHead();
  if (!head) return;
  const other = some(changed, "input", "group", "layer", "head");
  if (some(changed, "stretch", "rest", "theme")) painted = new WeakMap();
  if (other) drawFacts(head);
  if (other || some(changed, "stretch", "rest", "theme")) drawLegend(head);
  if (other) {
    const resized = some(changed, "input", "group") || view.shape !== head.map.shape.join();
    view.shape = head.map.shape.join();
    const drawn = first => () => head === currentHead() && (resized && first ? fit() : drawMap(), drawTokens(), drawPictures());
    head.map.load().then(drawn(true));  // Coarse at first.
    head.load().then(drawn(false));
  } else drawMap();
});

function drawPair(head) {
  const nothing = focus().row === null && focus().column === null;
  find("hover").textContent = nothing ? "Point at a token or a cell; click to hold it." : pairText(focus(), head);
}
