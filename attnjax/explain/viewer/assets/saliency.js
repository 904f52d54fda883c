// Methods of attribution side by side, each with its faithfulness between a random and the best order.

function saliencyCard(record) {
  const step = record.stepped ? state.step ?? 0 : 0, scores = record.scores[step];
  const tokens = contents.tokens[record.tokens], signed = scores.some(score => score < 0);
  const top = Math.max(...scores.map(Math.abs), 1e-12), {css: colours, ink} = table(signed);
  const strip = make("div", {class: "tokens", role: "list", "aria-label": `Scores by ${record.method}`}, ...tokens.map((token, i) => {
    const shown = shade(scores[i], top, {signed}), span = make("span", {role: "listitem", dir: "auto", title: digits(scores[i])}, visible(token));
    span.append(make("span", {class: "unseen"}, ` ${digits(scores[i])}`));
    span.style.backgroundColor = colours[shown];
    span.style.color = ink[shown];
    return span;
  }));
  const target = record.stepped ? `for “${visible(input().written[step])}”` : record.target && `for ${record.target}`;
  const title = make("h3", {}, record.method, " ", make("small", {}, target));
  const rows = Object.entries(record.faithfulness);
  return make("article", {}, title, strip, ...(rows.length ? [faithfulness(rows)] : []));
}

function faithfulness(rows) {
  const head = ["", "", "this", "random", "best"].map(name => make("th", {scope: "col"}, name));
  const body = rows.map(([name, row]) => make("tr", {}, make("th", {scope: "row"}, name), make("td", {class: "track"}, track(row)),
    make("td", {}, digits(row.value), ...(row.spread === null ? [] : [make("small", {}, ` ± ${digits(row.spread)}`)])),
    make("td", {}, digits(row.random)), make("td", {}, digits(row.oracle))));
  return make("div", {class: "wide"}, make("table", {class: "faithfulness"}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
}

// The three values on one line, the best order to the right.
function track({value, random, oracle}) {
  const values = [value, random, oracle], low = Math.min(...values), extent = Math.max(...values) - low || 1;
  const line = make("span", {class: "line", "aria-hidden": "true"});
  for (const [name, mark, at] of [["random", "○", random], ["oracle", "◆", oracle], ["value", "●", value]]) {
    const part = (at - low) / extent, place = make("b", {class: `mark ${name}`}, mark);
    place.style.left = `${100 * (oracle >= random ? part : 1 - part)}%`;
    line.append(place);
  }
  return line;
}

drawers.push(changed => {
  if (!some(changed, "input", "step", "theme")) return;
  const records = input().saliencies;
  find("saliency-panel").hidden = !records.length;
  find("saliencies").replaceChildren(...records.map(saliencyCard));
  find("saliency-panel").querySelector(".hint").hidden = !records.some(record => Object.keys(record.faithfulness).length);
});
