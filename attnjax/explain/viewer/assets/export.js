// The map as a file: a picture of what is in view, or all its weights.

const SVG_CELLS = 128 * 128;  // Above it, cells of an SVG are one picture.

const fileName = kind => `${currentMap().name}.head-${currentHead().name}.${kind}`.replace(/[^\w.-]+/g, "-");

function save(blob, kind) {
  const link = make("a", {href: URL.createObjectURL(blob), download: fileName(kind)});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`saved ${fileName(kind)}`);
}

function csv(head) {
  const quoted = text => /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text, {map} = head;
  // Where the page has the overview alone, a line stands for several rows, and says so.
  const step = head.full ? 1 : map.coarse, starts = tokens => tokens.map((_, i) => i).filter(i => i % step === 0);
  const name = (tokens, i) => quoted(step === 1 ? tokens[i] : `${tokens[i]}…${tokens[Math.min(i + step, tokens.length) - 1]}`);
  const columns = starts(map.columnTokens);
  const lines = starts(map.rowTokens).map(i => [name(map.rowTokens, i), ...columns.map(j => +head.weight(i, j).toPrecision(6))].join());
  return [["", ...columns.map(j => name(map.columnTokens, j))].join(), ...lines].join("\n") + "\n";
}

const escaped = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

function svg(head) {
  const {map} = head, size = Math.max(4, Math.min(24, 960 / Math.max(map.width, map.height))), side = 120;
  const {css: colours} = table(map.signed), top = peak(map, head), every = Math.ceil(11 / size), parts = [];
  const colourAt = (i, j) => colours[shade(head.weight(i, j), top, {signed: map.signed, root: state.stretch === "root"})];
  if (map.width * map.height <= SVG_CELLS) {
    for (let i = 0; i < map.height; i++) for (let j = 0; j < map.width; j++) {
      parts.push(`<rect x="${side + j * size}" y="${side + i * size}" width="${size}" height="${size}" fill="${colourAt(i, j)}"/>`);
    }
  } else {
    const picture = pictureOf(head.loaded.get("overview") ?? head.planeAt(0, 0), head).toDataURL();
    parts.push(`<image x="${side}" y="${side}" width="${map.width * size}" height="${map.height * size}" preserveAspectRatio="none" style="image-rendering:pixelated" href="${picture}"/>`);
  }
  const text = (token, x, y, turn, anchor) => `<text transform="translate(${x} ${y}) rotate(${turn})" text-anchor="${anchor}">${escaped(visible(token))}</text>`;
  map.rowTokens.forEach((token, i) => i % every || parts.push(text(token, side - 6, side + (i + 0.7) * size, 0, "end")));
  map.columnTokens.forEach((token, j) => j % every || parts.push(text(token, side + (j + 0.7) * size, side - 6, -60, "start")));
  const [width, height] = [side + map.width * size + 60, side + map.height * size + 10], fill = css("--ink").trim();
  const paper = `<rect width="${width}" height="${height}" fill="${css("--panel").trim()}"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="11" fill="${fill}">${paper}${parts.join("")}</svg>\n`;
}

for (const button of document.querySelectorAll(".export")) button.onclick = async () => {
  const head = currentHead(), {kind} = button.dataset;
  if (kind === "png") return canvas.toBlob(blob => save(blob, kind));
  await head.load();
  await head.need();
  if (kind === "csv") save(new Blob([csv(head)], {type: "text/csv"}), kind);
  else save(new Blob([svg(head)], {type: "image/svg+xml"}), kind);
};
