// Weights over an image's patches, and along the edges of a graph.

const SVG = "http://www.w3.org/2000/svg";
const images = new Map();
const overImage = map => input().image && map.width === input().image.first + input().image.rows * input().image.columns;

function drawPictures() {
  const map = currentMap(), image = map && overImage(map), graph = Boolean(map?.edges);
  find("picture-panel").hidden = !(image || graph);
  find("image").hidden = !image;
  find("graph").toggleAttribute("hidden", !graph);
  find("picture-title").textContent = graph ? "Graph" : "Image";
  if (!map || !currentHead().thumbnail) return;
  if (image) drawImage(map);
  if (graph) drawGraph(map);
}

function drawImage(map) {
  const {png, rows, columns, first} = input().image, canvas = find("image"), {row, column} = focus();
  if (!images.has(png)) {
    const picture = new Image();
    picture.onload = drawPictures;
    picture.src = `data:image/png;base64,${png}`;
    images.set(png, picture);
  }
  const picture = images.get(png);
  if (!picture.complete) return;
  canvas.width = 480;
  canvas.height = Math.round(480 * picture.naturalHeight / picture.naturalWidth);
  const context = canvas.getContext("2d"), wide = canvas.width / columns, high = canvas.height / rows;
  context.imageSmoothingEnabled = picture.naturalWidth > 240;
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const square = row === null && map.square, weight = row !== null ? j => currentHead().weight(row, j)
    : column !== null && square ? i => currentHead().weight(i, column) : null;
  if (weight) {
    const weights = Array.from({length: rows * columns}, (_, i) => weight(first + i)), top = Math.max(...weights.map(Math.abs), 1e-12);
    const {css: colours} = table(map.signed);
    weights.forEach((w, i) => {
      context.globalAlpha = 0.78;
      context.fillStyle = colours[shade(w, top, {signed: map.signed, root: state.stretch === "root"})];
      context.fillRect(i % columns * wide, Math.floor(i / columns) * high, wide + 0.5, high + 0.5);
    });
    context.globalAlpha = 1;
  }
  context.strokeStyle = css("--accent");
  context.lineWidth = 3;
  for (const at of map.square ? [row, column] : [column]) {
    if (at !== null && at >= first) context.strokeRect((at - first) % columns * wide, Math.floor((at - first) / columns) * high, wide, high);
  }
  const what = row !== null ? `where ${visible(map.rowTokens[row])} looks` : column !== null ? `who looks at ${visible(map.columnTokens[column])}` : "point at a patch";
  find("picture-title").textContent = `Image: ${what}`;
  canvas.setAttribute("aria-label", find("picture-title").textContent);
}

// A patch stands for its row where patches look at each other, else for its column.
function patchAt(event) {
  const box = find("image").getBoundingClientRect(), {rows, columns, first} = input().image;
  const x = Math.floor((event.clientX - box.left) / box.width * columns), y = Math.floor((event.clientY - box.top) / box.height * rows);
  const at = first + Math.min(Math.max(y, 0), rows - 1) * columns + Math.min(Math.max(x, 0), columns - 1);
  return currentMap().square ? {row: at, column: null} : {row: null, column: at};
}
find("image").addEventListener("pointermove", event => point(patchAt(event)));
find("image").addEventListener("pointerleave", () => update({hover: null}));
find("image").addEventListener("click", event => update({...patchAt(event), hover: null}));

function drawGraph(map) {
  const element = (tag, attributes, ...children) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const head = currentHead(), {row, column} = focus(), {css: colours, ink} = table(map.signed), small = map.height > 60;
  const radius = small ? 0.009 : 0.028, top = peak(map, head);
  const weightOf = node => row !== null ? head.weight(row, node) : column !== null ? head.weight(node, column) : null;
  const lines = map.edges.map(([i, j]) => {
    const [a, b] = [map.places[i], map.places[j]], weight = head.weight(i, j), off = row !== null ? i !== row : column !== null && j !== column;
    const [x, y] = [b[0] - a[0], b[1] - a[1]], length = Math.hypot(x, y) || 1, bend = 0.035;  // There and back are two lines.
    const middle = [(a[0] + b[0]) / 2 - y / length * bend, (a[1] + b[1]) / 2 + x / length * bend];
    const d = i === j ? `M${a} m0 ${-radius} a${radius} ${radius} 0 1 1 0.001 0` : `M${a} Q${middle} ${b}`;
    const colour = map.signed ? colours[weight < 0 ? 40 : 215] : css("--edge");
    const path = element("path", {d, fill: "none", stroke: colour, "stroke-width": 0.002 + 0.012 * Math.abs(weight) / top, opacity: off ? 0.06 : 0.25 + 0.7 * Math.min(1, Math.abs(weight) / top)});
    path.append(element("title", {}, `${visible(map.rowTokens[i])} → ${visible(map.columnTokens[j])}: ${digits(weight)}`));
    return path;
  });
  const most = Math.max(...map.rowTokens.map((_, node) => Math.abs(weightOf(node) ?? 0)), 1e-12);
  const nodes = map.places.map(([x, y], node) => {
    const weight = weightOf(node), shown = weight === null ? null : shade(weight, most, {signed: map.signed, root: state.stretch === "root"});
    const marked = node === row || node === column;
    const circle = element("circle", {cx: x, cy: y, r: radius, fill: shown === null ? css("--panel") : colours[shown], stroke: css(marked ? "--accent" : "--ink"), "stroke-width": marked ? 0.008 : 0.003});
    const label = element("text", {x, y, "text-anchor": "middle", "dominant-baseline": "central", "font-size": 0.026, fill: shown === null ? css("--ink") : ink[shown]}, small ? "" : visible(map.rowTokens[node]));
    const group = element("g", {"data-number": node}, circle, label);
    group.append(element("title", {}, visible(map.rowTokens[node])));
    return group;
  });
  find("graph").replaceChildren(...lines, ...nodes);
  find("graph").setAttribute("aria-label", `Graph of ${map.height} nodes and ${map.edges.length} edges`);
}
find("graph").addEventListener("pointerover", event => numberOf(event) !== null && state.hover?.row !== numberOf(event) && point({row: numberOf(event), column: null}));
find("graph").addEventListener("pointerleave", () => update({hover: null}));
find("graph").addEventListener("click", event => numberOf(event) !== null && hold("row", numberOf(event)));

drawers.push(drawPictures);
