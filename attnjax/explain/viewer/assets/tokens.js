// The tokens of rows and columns: pointing at one colours those that it looks at, or that look at it.

const strips = {row: find("rows"), column: find("columns")};
const spans = {row: [], column: []};
const other = {row: "column", column: "row"};

function makeStrip(axis, tokens) {
  spans[axis] = tokens.map((token, i) => {
    const span = make("span", {role: "option", dir: "auto", tabindex: i ? "-1" : "0", "aria-selected": "false"}, visible(token));
    span.dataset.number = i;
    return span;
  });
  strips[axis].replaceChildren(...spans[axis]);
}

const numberOf = event => {
  const found = event.target.closest?.("[data-number]");
  return found ? +found.dataset.number : null;
};

for (const axis of ["row", "column"]) {
  const strip = strips[axis], alone = i => ({row: null, column: null, [axis]: i});
  strip.addEventListener("pointerover", event => event.pointerType !== "touch" && numberOf(event) !== null && point(alone(numberOf(event))));
  strip.addEventListener("pointerleave", () => update({hover: null}));
  strip.addEventListener("click", event => numberOf(event) !== null && hold(axis, numberOf(event)));
  strip.addEventListener("focusin", event => numberOf(event) !== null && event.target.matches(":focus-visible") && point(alone(numberOf(event))));
  strip.addEventListener("focusout", () => update({hover: null}));
  strip.addEventListener("keydown", event => {
    const i = numberOf(event), step = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
    if (i === null || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") hold(axis, i);
    else if (step && spans[axis][i + step]) {
      event.target.tabIndex = -1;
      spans[axis][i + step].tabIndex = 0;
      spans[axis][i + step].focus();
      sayTokens(axis, i + step);
    } else if (!step) return;
    event.preventDefault();
    event.stopPropagation();
  });
}

function point(cell) {
  update({hover: cell});
}

function hold(axis, i) {
  const held = state[axis] === i && state[other[axis]] === null;
  update({row: null, column: null, [axis]: held ? null : i, hover: null});
  if (!held) sayTokens(axis, i);
}

// A token, and the three that count most for it.
function tokenText(axis, i) {
  const head = currentHead(), {map} = head, tokens = {row: map.rowTokens, column: map.columnTokens}, across = other[axis];
  const weights = tokens[across].map((_, j) => axis === "row" ? head.weight(i, j) : head.weight(j, i));
  const most = weights.map((weight, j) => [weight, j]).sort((a, b) => Math.abs(b[0]) - Math.abs(a[0])).slice(0, 3);
  const listed = most.map(([weight, j]) => `“${visible(tokens[across][j])}” ${digits(weight)}`).join(", ");
  const coarse = head.full ? "" : ` (largest of ${map.coarse}×${map.coarse})`;
  return `“${visible(tokens[axis][i])}” ${axis === "row" ? "looks at" : "is looked at by"} ${listed}${coarse}`;
}

const sayTokens = (axis, i) => say(tokenText(axis, i));

let needed = 0;
function drawTokens() {
  const head = currentHead();
  if (!head?.thumbnail) return;
  const {row, column} = focus(), axis = row !== null ? "row" : column !== null ? "column" : null;
  const request = ++needed;
  if (head.tiles && axis && head.map.factor > 1) {  // The tiles of this row or column may be on their way.
    const missing = axis === "row" ? head.need(row) : head.need(null, column);
    missing.then(() => request === needed && head === currentHead() && colourTokens(head, row, column));
  }
  colourTokens(head, row, column);
}

function colourTokens(head, row, column) {
  colour("column", row === null ? null : j => head.weight(row, j), column);
  colour("row", row !== null || column === null ? null : i => head.weight(i, column), row);
  drawPair(head);
}

function colour(axis, weight, marked) {
  const {signed} = currentMap(), {css: colours, ink} = table(signed), weights = weight && spans[axis].map((_, i) => weight(i));
  const top = weights && Math.max(...weights.slice(axis === "column" && state.rest ? 1 : 0).map(Math.abs), 1e-12);
  // In a long strip, what matters comes into view; the strip that is pointed at stays as it is.
  const at = marked ?? (weights ? weights.reduce((most, w, i) => Math.abs(w) > Math.abs(weights[most]) ? i : most, 0) : null);
  if (at !== null && !strips[axis].matches(":hover, :focus-within")) reveal(strips[axis], spans[axis][at]);
  spans[axis].forEach((span, i) => {
    const shown = weights && shade(weights[i], top, {signed, root: state.stretch === "root"});
    span.style.backgroundColor = weights ? colours[shown] : "";
    span.style.color = weights ? ink[shown] : "";
    if (span.classList.contains("marked") !== (i === marked)) {
      span.classList.toggle("marked", i === marked);
      span.setAttribute("aria-selected", String(i === marked));
    }
    if (weights) span.title = digits(weights[i]);
    else span.removeAttribute("title");
  });
}

function reveal(strip, span) {
  const [outer, inner] = [strip.getBoundingClientRect(), span.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom) strip.scrollTop += inner.top - outer.top - outer.height / 3;
}

drawers.push(changed => {
  const map = currentMap();
  if (!map) return;
  if (some(changed, "input", "group") || strips.row.dataset.shown !== `${map.rows} ${map.columns}`) {
    makeStrip("row", map.rowTokens);
    makeStrip("column", map.columnTokens);
    strips.row.dataset.shown = `${map.rows} ${map.columns}`;
  }
  drawTokens();
});

// What was written, token by token.
const written = () => currentMap()?.firstWritten === null ? [] : input().written;
let playing = null;

function toStep(step) {
  const count = written().length;
  if (!count) return;
  const at = Math.min(Math.max(step, 0), count - 1), map = currentMap();
  update({step: at, row: map.firstWritten + at, column: null, hover: null});
  say(`wrote ${written()[at]}`);
}

function play(on) {
  clearInterval(playing);
  playing = on ? setInterval(() => state.step < written().length - 1 ? toStep(state.step + 1) : play(false), 600) : null;
  find("step-play").textContent = on ? "❚❚ stop" : "▶ play";
  find("step-play").setAttribute("aria-label", on ? "Stop" : "Play");
}

find("step-back").onclick = () => toStep((state.step ?? 0) - 1);
find("step-on").onclick = () => toStep((state.step ?? -1) + 1);
find("step-play").onclick = () => {
  if (!playing && state.step === written().length - 1) toStep(0);
  play(!playing);
};
find("step").oninput = event => toStep(+event.target.value);
find("written").addEventListener("click", event => numberOf(event) !== null && toStep(numberOf(event)));

drawers.push(changed => {
  const tokens = written();
  find("steps").hidden = !tokens.length;
  if (!tokens.length) return;
  if (some(changed, "input", "group")) {
    play(false);
    find("step").max = tokens.length - 1;
    find("written").replaceChildren(...tokens.map((token, i) => {
      const span = make("span", {}, token);
      span.dataset.number = i;
      return span;
    }));
  }
  find("step").value = state.step ?? 0;
  [...find("written").children].forEach((span, i) => {
    span.className = i === state.step ? "now" : i > (state.step ?? -1) ? "later" : "";
  });
});
