// Colours that differ in lightness, for every kind of sight: paper to dark blue, and in the dark night to yellow.

const RAMPS = {
  light: ["#fbfaf7", "#d9e8f0", "#9fc8df", "#4f9cc7", "#1f6aa5", "#0d3f78", "#071d42"],
  dark: ["#161a20", "#1b3350", "#1f5673", "#2f7f86", "#62a97e", "#b4cd73", "#fdf0a6"],
  lightSigned: ["#8a3c02", "#c9701b", "#f0b473", "#fbfaf7", "#9fc8df", "#3a86ba", "#0d3f78"],
  darkSigned: ["#ffd9a0", "#e08f2c", "#7a4a17", "#161a20", "#1f5673", "#4c9fd6", "#cfeaff"],
};

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

const channels = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));

const tables = {};
// 256 colours, as numbers that an image holds and as text.
function table(signed) {
  const name = (isDark() ? "dark" : "light") + (signed ? "Signed" : "");
  return tables[name] ??= colourTable(RAMPS[name].map(channels));
}

function colourTable(stops) {
  const rgb = Array.from({length: 256}, (_, i) => {
    const at = i / 255 * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((from, c) => Math.round(from + (at - low) * (stops[low + 1][c] - from)));
  });
  const packed = Uint32Array.from(rgb, ([r, g, b]) => (255 << 24 | b << 16 | g << 8 | r) >>> 0);
  const css = rgb.map(c => `rgb(${c.join(" ")})`);
  const ink = rgb.map(([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#111" : "#fff");
  return {packed, css, ink};
}

// The place in the table of a weight, when `peak` is the largest.
function shade(weight, peak, {signed = false, root = false} = {}) {
  let part = peak > 0 ? Math.min(1, Math.abs(weight) / peak) : 0;
  if (root) part = Math.sqrt(part);
  return signed ? Math.round(127.5 + Math.sign(weight) * part * 127.5) : Math.round(part * 255);
}
