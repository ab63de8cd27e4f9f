// The teacher's page: asks for the numbers every three seconds and writes them into the page as text.
"use strict";

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function element(name, text, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

function mark(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function cell(value) {
  if (!Array.isArray(value)) return element("td", value);
  return element("td", undefined, value.map((piece) => {
    const made = element("span", piece.text);
    if (piece.name) made.className = "hidden-character";
    return made;
  }));
}

function draw(curve) {
  const most = Math.max(1, ...curve.map(([labels]) => labels));
  const x = (labels) => 50 + (570 * labels) / most;
  const y = (share) => 210 - 195 * share;
  const marks = [0, 0.5, 1].flatMap((share) => [
    mark("line", { x1: 50, x2: 620, y1: y(share), y2: y(share), stroke: "currentColor", "stroke-opacity": 0.25 }),
    mark("text", { x: 44, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`),
  ]);
  marks.push(mark("text", { x: 620, y: 230, "text-anchor": "end" }, `${most} labels`));
  for (const [column, dashes] of [[1, "none"], [2, "6 5"]]) {
    const points = curve.map((row) => `${x(row[0])},${y(row[column])}`).join(" ");
    marks.push(mark("polyline", { points, fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": dashes }));
    marks.push(...curve.map((row) => mark("circle", { cx: x(row[0]), cy: y(row[column]), r: 4, fill: "currentColor" })));
  }
  byId("curve").replaceChildren(...(curve.length ? marks : []));
}

function show(report) {
  const pairs = report.numbers.map(([name, value]) => element("div", undefined, [element("dt", name), element("dd", value)]));
  byId("numbers").replaceChildren(...pairs);
  byId("model-note").textContent = report.note;
  byId("people").replaceChildren(...report.people.map((row) => element("tr", undefined, row.map(cell))));
  const rows = report.curve.map(([labels, ...shares]) => [labels, ...shares.map((share) => `${(100 * share).toFixed(1)} %`)]);
  byId("accuracies").replaceChildren(...rows.map((row) => element("tr", undefined, row.map(cell))));
  draw(report.curve);
}

async function look() {
  try {
    const answer = await fetch("/live/numbers", { cache: "no-store" });
    if (answer.ok) show(await answer.json());
  } catch {
    byId("model-note").textContent = "The server cannot be reached.";
  }
}

look();
setInterval(look, 3000);
