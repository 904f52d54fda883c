// The contents of the page, and weights that are unpacked when they are looked at.

const find = id => document.getElementById(id);
const contents = JSON.parse(find("contents").textContent);
const small = find("thumbnails").textContent;
// The large pieces stand at the end of the page, and come while the small pictures are drawn.
const large = new Promise(done => document.addEventListener("DOMContentLoaded", () => done(find("pieces").textContent)));

async function unpacked(pieces, [start, length]) {
  const text = atob(pieces.slice(start, start + length)), packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new DecompressionStream("deflate"), writer = stream.writable.getWriter();
  writer.write(packed);  // Without a blob, which another process would keep.
  writer.close();
  return new Uint8Array(await new Response(stream.readable).arrayBuffer());
}

async function codesOf(pieces, place, bits) {
  const bytes = await unpacked(pieces, place);
  if (bits === 8) return bytes;
  const half = bytes.length / 2;  // The upper bytes of all codes, then the lower ones.
  return Uint16Array.from({length: half}, (_, i) => bytes[i] << 8 | bytes[half + i]);
}

// A rectangle of weights from (top, left), in which a code stands for the largest of factor × factor of them.
class Plane {
  constructor(map, codes, top, left, rows, columns, factor) {
    Object.assign(this, {map, codes, top, left, factor});
    this.height = Math.ceil(rows / factor);
    this.width = Math.ceil(columns / factor);
  }

  at(row, column) {
    const y = Math.floor((row - this.top) / this.factor), x = Math.floor((column - this.left) / this.factor);
    return this.map.weightOf(this.codes[y * this.width + x]);
  }
}

class AttentionMap {
  constructor(record) {
    Object.assign(this, record);
    [this.height, this.width] = record.shape;
    this.rowTokens = contents.tokens[record.rows];
    this.columnTokens = contents.tokens[record.columns];
    this.levels = record.signed ? 2 ** (record.bits - 1) - 1 : 2 ** record.bits - 1;
    this.heads = record.heads.map((head, number) => new Head(this, head, number));
  }

  weightOf(code) {
    const root = (this.signed ? code - this.levels : code) / this.levels;
    return root * Math.abs(root) * this.scale;
  }

  get square() { return this.rows === this.columns; }

  // The small pictures of all heads come in one piece.
  load() {
    return this.loading ??= codesOf(small, this.thumbnails, this.bits).then(codes => {
      const size = codes.length / this.heads.length;
      this.heads.forEach((head, i) => {
        const own = codes.subarray(i * size, (i + 1) * size);
        head.thumbnail = new Plane(this, own, 0, 0, this.height, this.width, this.factor);
      });
    });
  }
}

class Head {
  constructor(map, record, number) {
    Object.assign(this, {map, number, ...record});
    this.across = Math.ceil(map.width / contents.tile);
    this.loaded = new Map();
  }

  get full() { return this.map.factor === 1 || Boolean(this.tiles); }

  async load() {
    await this.map.load();
    if (this.map.factor === 1) return;
    if (this.overview) await this.plane("overview", this.overview, 0, 0, this.map.coarse);
    else await this.tile(0, 0);
  }

  // The tile that holds a row and a column.
  tile(row, column) {
    const size = contents.tile, top = row - row % size, left = column - column % size;
    const number = top / size * this.across + left / size;
    return this.plane(number, this.tiles[number], top, left, 1);
  }

  async plane(name, place, top, left, factor) {
    if (this.loaded.has(name)) return this.loaded.get(name);
    const {map} = this, size = factor > 1 ? Infinity : contents.tile;
    const rows = Math.min(size, map.height - top), columns = Math.min(size, map.width - left);
    const found = large.then(pieces => codesOf(pieces, place, map.bits)).then(codes => {
      const plane = new Plane(map, codes, top, left, rows, columns, factor);
      this.loaded.set(name, plane);
      return plane;
    });
    this.loaded.set(name, found);
    return found;
  }

  // The finest plane that is unpacked and holds this pair.
  planeAt(row, column) {
    if (this.map.factor === 1) return this.thumbnail;
    const size = contents.tile, number = Math.floor(row / size) * this.across + Math.floor(column / size);
    const known = [this.loaded.get(number), this.loaded.get("overview")].find(plane => plane instanceof Plane);
    return known ?? this.thumbnail;
  }

  weight(row, column) { return this.planeAt(row, column)?.at(row, column) ?? 0; }

  // All tiles of a row, of a column, or of both where they are given; all at once where none is.
  async need(row = null, column = null) {
    if (!this.tiles) return;
    const starts = end => Array.from({length: Math.ceil(end / contents.tile)}, (_, i) => i * contents.tile);
    const rows = row === null ? starts(this.map.height) : [row];
    const columns = column === null ? starts(this.map.width) : [column];
    await Promise.all(rows.flatMap(i => columns.map(j => this.tile(i, j))));
  }
}

const explanations = contents.explanations.map(record => ({...record, maps: record.maps.map(map => new AttentionMap(map))}));
