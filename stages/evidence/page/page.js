// What the page draws and listens to. The template puts numbers.js before it into the same module: there are no globals.

const data = JSON.parse(document.getElementById("data").textContent);
const { pairs, rates, plane } = data;
const ARMS = ["baseline", "bn"];
const GRID = 160; // points along each side of a plane
const PLAY_EVERY = 1200; // ms
const LEAST_COLUMN = 0.7; // of dots, in em
const MOST_DOT = 1.1;
const MOST_CLASSES = 12; // with names
const SHAPES = [circle, square, triangle, diamond];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const state = { deck: [], drawn: [], pair: 0, rate: 0, playing: 0 };
const find = (id) => document.getElementById(id);

// --- numbers and words

const epochs = data.epochs;
const lastEpoch = epochs[epochs.length - 1];
const quantiles = unpack(pairs.quantiles, "f");
const finals = byArm((arm) => unpack(pairs[arm].final, "f"));
const changes = byArm((arm) => unpack(pairs[arm].change, "f"));
const reached = pairs.target === null ? null : byArm((arm) => unpack(pairs[arm].reached, "f"));
const counts = byArm((arm) => unpack(pairs[arm].curves, pairs.bytes));
const differences = Array.from(finals.bn, (final, pair) => final - finals.baseline[pair]);
const ranked = shuffle(pairs.count, Math.random).sort((one, other) => differences[one] - differences[other]);

function byArm(make) {
  return Object.fromEntries(ARMS.map((arm) => [arm, make(arm)]));
}

function accuracies(arm, pair) {
  return Array.from(row(counts[arm], epochs.length, pair), (count) => count / pairs.rows);
}

function compare(baseline, bn) {
  return `${baseline} ${data.apart.baseline}, ${bn} ${data.apart.bn}`;
}

function points(share) {
  const rounded = (100 * share).toFixed(1).replace(/\.0$/, "").replace(/^-0$/, "0");
  return (share > 0 && rounded !== "0" ? "+" : "") + rounded.replace("-", "−");
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

// --- drawing

function make(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children); // text becomes text, whatever it looks like
  return element;
}

// A chart is as wide as its place, in pixels: its text keeps its size on every screen.
function newChart(place, { label, x, y, height, left = 2.6 }) {
  const size = em(place);
  const [wide, high] = [place.clientWidth, height * size];
  const root = make("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": label });
  const box = { left: left * size, right: wide - 1.2 * size, top: 1.6 * size, bottom: high - 2.4 * size };
  const scale = ([low, top], from, to) => (value) => from + ((value - low) / (top - low)) * (to - from);
  place.querySelector("svg")?.remove();
  place.prepend(root);
  return { root, wide, em: size, box, x: scale(x, box.left, box.right), y: scale(y, box.bottom, box.top), ranges: { x, y } };
}

function em(place) {
  return parseFloat(getComputedStyle(place).fontSize);
}

function write(chart, x, y, text, attributes = {}) {
  const words = make("text", { x, y, ...attributes }, text);
  chart.root.append(words);
  return words;
}

// Write what can be left out: only within the chart, and where no other words stand.
function writeIfFree(chart, x, y, text, attributes) {
  const words = write(chart, x, y, text, attributes);
  if (!isFree(chart, words)) words.remove();
}

function isFree(chart, words) {
  const own = words.getBBox();
  if (own.x < 0 || own.x + own.width > chart.wide) return false;
  const others = [...chart.root.querySelectorAll("text")].filter((other) => other !== words);
  return !others.some((other) => overlap(own, other.getBBox()));
}

function overlap(one, other) {
  const beside = one.x + one.width < other.x || other.x + other.width < one.x;
  return !(beside || one.y + one.height < other.y || other.y + other.height < one.y);
}

function drawAxes(chart, { xTitle, yTitle, xTicks, yTicks, xText = String, yText = String }) {
  const { box, em } = chart;
  for (const tick of yTicks) {
    chart.root.append(make("line", { class: "grid", x1: box.left, x2: box.right, y1: chart.y(tick), y2: chart.y(tick) }));
    write(chart, box.left - 0.4 * em, chart.y(tick) + 0.3 * em, yText(tick), { "text-anchor": "end" });
  }
  for (const tick of xTicks) writeIfFree(chart, chart.x(tick), box.bottom + 1.1 * em, xText(tick), { "text-anchor": "middle" });
  write(chart, box.right, box.bottom + 2.1 * em, xTitle, { "text-anchor": "end" });
  write(chart, 0, 0.9 * em, yTitle);
}

function drawMark(chart, value) {
  const at = chart.x(value);
  chart.root.append(make("line", { class: "mark", x1: at, x2: at, y1: chart.box.top, y2: chart.box.bottom }));
}

// Name what lies at a value of x: on the side that `anchor` says, or on the other one, or not at all.
function nameMark(chart, value, text, anchor) {
  const y = chart.box.top - 0.3 * chart.em;
  const words = write(chart, chart.x(value), y, text, { class: "quiet", "text-anchor": anchor });
  if (!isFree(chart, words)) words.setAttribute("text-anchor", anchor === "start" ? "end" : "start");
  if (!isFree(chart, words)) words.remove();
}

// Draw the share of the majority class behind the curves, its words clear of their names: draw it last.
function drawMajority(chart) {
  const { box, em } = chart;
  const at = chart.y(data.majority);
  const line = make("line", { class: "mark", x1: box.left, x2: box.right, y1: at, y2: at });
  const words = make("text", { class: "quiet", x: box.left + 0.3 * em }, "always the majority class");
  chart.root.querySelector(".band, .curve").before(line, words);
  for (const below of [0.9, -0.4, 2.2, -1.7, 3.5, -3]) {
    words.setAttribute("y", at + below * em);
    if (isFree(chart, words)) return;
  }
  words.remove();
}

function drawCurve(chart, xs, ys, arm) {
  const steps = ys.map((y, i) => `${chart.x(xs[i]).toFixed(1)} ${chart.y(y).toFixed(1)}`);
  chart.root.append(make("path", { class: `curve ${arm}`, d: `M${steps.join("L")}` }));
}

function drawBand(chart, xs, lows, highs, arm) {
  const there = highs.map((y, i) => `${chart.x(xs[i]).toFixed(1)} ${chart.y(y).toFixed(1)}`);
  const back = lows.map((y, i) => `${chart.x(xs[i]).toFixed(1)} ${chart.y(y).toFixed(1)}`).reverse();
  chart.root.append(make("path", { class: `band ${arm}`, d: `M${[...there, ...back].join("L")}Z` }));
}

// Write each arm's name at the end of its curve: the higher one above what is drawn there, the lower one below.
function nameCurves(chart, curves) {
  const { box, em } = chart;
  const end = (arm) => curves[arm].slice(-Math.ceil(curves[arm].length / 3));
  const average = byArm((arm) => end(arm).reduce((sum, value) => sum + value, 0) / end(arm).length);
  const upper = average.bn >= average.baseline ? "bn" : "baseline";
  for (const arm of ARMS) {
    const above = chart.y(Math.max(...end("bn"), ...end("baseline"))) - 0.6 * em;
    const below = chart.y(Math.min(...end("bn"), ...end("baseline"))) + 1.2 * em;
    const y = arm === upper ? Math.max(above, box.top + 0.4 * em) : Math.min(below, box.bottom - 0.4 * em);
    write(chart, box.right, y, data.labels[arm], { class: `name ${arm}`, "text-anchor": "end" });
  }
}

function extent(values, room) {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
  return [Math.max(0, low - room), Math.min(1, high + room)];
}

// Return a range with room on top for the name of a curve that ends there.
function withRoom([low, high]) {
  return [low, high + 0.1 * (high - low)];
}

// --- one pair

const pairRange = extent([data.majority, ...ARMS.flatMap((arm) => [...counts[arm]].map((count) => count / pairs.rows))], 0.04);
const epochTicks = ticks(0, lastEpoch, 5).filter(Number.isInteger);

function drawPairCurves() {
  const both = byArm((arm) => accuracies(arm, state.pair));
  const ends = compare(...ARMS.map((arm) => finals[arm][state.pair].toFixed(2)));
  const label = `Validation accuracy of one pair over ${lastEpoch} epochs; at the end ${ends}`;
  const chart = newChart(find("curves"), { label, x: [0, lastEpoch], y: withRoom(pairRange), height: 19 });
  drawAxes(chart, { xTitle: "epoch", yTitle: "validation accuracy", xTicks: epochTicks, yTicks: ticks(...pairRange, 5) });
  for (const arm of ARMS) drawCurve(chart, epochs, both[arm], arm);
  nameCurves(chart, both);
  drawMajority(chart);
}

// Say what the tutorial would have read off this pair's curves: a word and the numbers behind it, a row per claim.
function conclude(pair) {
  const words = { accuracy: ["Less accurate", "As accurate", "More accurate"], speed: ["Slower", "As fast", "Faster"] };
  const final = (...two) => `${compare(...two.map((value) => value.toFixed(2)))}, after ${lastEpoch} epochs`;
  const said = [judge(words.accuracy, finals, pair, 1, final)];
  if (reached) said.push(judge(words.speed, reached, pair, -1, sayReached));
  const change = (value) => (Number.isNaN(value) ? "not finite" : `${(100 * value).toFixed(1)} points`);
  const steady = ["Less steady", "As steady", "Steadier"];
  const changed = (...two) => `${compare(...two.map(change))}, from epoch to epoch over the last half`;
  said.push(judge(steady, changes, pair, -1, changed));
  return said;
}

function sayReached(...two) {
  const target = `an accuracy of ${pairs.target.toFixed(3)}`;
  if (two.every((value) => value >= lastEpoch)) return `neither network reaches ${target}`;
  const epoch = (value) => (value >= lastEpoch ? "never" : `at epoch ${value}`);
  return `reaches ${target} ${compare(...two.map(epoch))}`;
}

function judge(words, values, pair, better, say) {
  const [baseline, bn] = ARMS.map((arm) => values[arm][pair]);
  const gain = (bn - baseline) * better;
  const word = gain > ROUNDING ? words[2] : gain < -ROUNDING ? words[0] : words[1];
  return { word, detail: say(baseline, bn) };
}

function showConclusions() {
  const items = conclude(state.pair).map(({ word, detail }) => {
    const [item, strong] = [document.createElement("li"), document.createElement("strong")];
    strong.textContent = `${word}: `;
    item.append(strong, detail);
    return item;
  });
  find("conclusions").replaceChildren(...items);
  find("pair-name").textContent = `Pair ${state.pair + 1} of ${pairs.total}`;
}

// --- the planes of a pair

const networks = plane && byArm((arm) => unpack(plane.networks[arm], "f"));
const places = plane && unpack(plane.rows, "f");
const placeClasses = plane && unpack(plane.labels, plane.bytes);

function says(arm, pair, x, y) {
  const weights = row(networks[arm], networks[arm].length / pairs.count, pair);
  return predict(forward(weights, plane.widths[arm], plane.activation, [x, y]));
}

function classColor(label) {
  if (plane.classes.length === 2) return label === 0 ? [65, 105, 225] : [255, 99, 71];
  const hue = (360 * label) / plane.classes.length;
  const channel = (shift) => Math.round(150 + 90 * Math.cos(((hue - shift) * Math.PI) / 180));
  return [channel(0), channel(120), channel(240)];
}

// Return the plane as a picture: hue is the class that a place is given, strength how sure the network is of it.
function paintPlane(arm, pair, ink) {
  const [[left, right], [bottom, top]] = plane.ranges;
  const image = new ImageData(GRID, GRID);
  const labels = new Int16Array(GRID * GRID);
  for (let i = 0; i < GRID * GRID; i++) {
    const x = left + (((i % GRID) + 0.5) / GRID) * (right - left);
    const y = top - ((Math.floor(i / GRID) + 0.5) / GRID) * (top - bottom);
    const { label, probability } = says(arm, pair, x, y);
    labels[i] = label;
    if (label < 0) continue;
    const sure = (probability - 1 / plane.classes.length) / (1 - 1 / plane.classes.length);
    image.data.set([...classColor(label), 50 + 150 * sure], 4 * i);
  }
  drawBoundary(image, labels, ink);
  return image;
}

function drawBoundary(image, labels, ink) {
  for (let i = 0; i < GRID * GRID; i++) {
    const beside = i % GRID < GRID - 1 ? labels[i + 1] : labels[i];
    const under = i + GRID < GRID * GRID ? labels[i + GRID] : labels[i];
    if (labels[i] !== beside || labels[i] !== under) image.data.set([...ink, 255], 4 * i);
  }
}

function drawPlane(arm) {
  const canvas = find(`plane-${arm}`);
  const style = getComputedStyle(canvas);
  const size = Math.round(canvas.clientWidth * devicePixelRatio) || GRID;
  const ink = style.color.match(/\d+/g).slice(0, 3).map(Number);
  const picture = new OffscreenCanvas(GRID, GRID);
  picture.getContext("2d").putImageData(paintPlane(arm, state.pair, ink), 0, 0);
  canvas.width = canvas.height = size;
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, size, size);
  drawRows(pen, size, style.color);
  const right = Math.round(finals[arm][state.pair] * pairs.rows);
  const label = `Decision regions of the network ${data.apart[arm]}: right on ${right} of ${pairs.rows} validation rows`;
  canvas.setAttribute("aria-label", label);
}

function drawRows(pen, size, ink) {
  const [[left, right], [bottom, top]] = plane.ranges;
  const table = plane.tables === 1 ? 0 : state.pair;
  const count = placeClasses.length / plane.tables;
  const [xs, ys] = [0, 1].map((feature) => row(places, count, 2 * table + feature));
  const radius = size / 70;
  row(placeClasses, count, table).forEach((label, i) => {
    const x = ((xs[i] - left) / (right - left)) * size;
    const y = ((top - ys[i]) / (top - bottom)) * size;
    pen.beginPath();
    SHAPES[label % SHAPES.length](pen, x, y, radius);
    pen.fillStyle = `rgb(${classColor(label)})`;
    pen.strokeStyle = ink;
    pen.lineWidth = radius / 4;
    pen.fill();
    pen.stroke();
  });
}

// Say which colour is which class, where there are few enough to tell apart.
function nameClasses() {
  if (plane.classes.length > MOST_CLASSES) return;
  plane.classes.forEach((name, label) => {
    const key = document.createElement("span");
    key.className = "key";
    key.style.setProperty("--class", `rgb(${classColor(label)})`);
    key.textContent = `class ${name}`;
    find("keys").append(key);
  });
}

function circle(pen, x, y, r) {
  pen.arc(x, y, r, 0, 2 * Math.PI);
}

function square(pen, x, y, r) {
  pen.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
}

function triangle(pen, x, y, r) {
  polygon(pen, [[x, y - 1.2 * r], [x + 1.1 * r, y + 0.9 * r], [x - 1.1 * r, y + 0.9 * r]]);
}

function diamond(pen, x, y, r) {
  polygon(pen, [[x, y - 1.3 * r], [x + 1.3 * r, y], [x, y + 1.3 * r], [x - 1.3 * r, y]]);
}

function polygon(pen, corners) {
  for (const [x, y] of corners) pen.lineTo(x, y);
  pen.closePath();
}

// --- all pairs

// Return how wide a column of dots is, as a difference: some validation rows, so that a column has room on the screen.
function dotStep(place) {
  const columns = place.clientWidth / (LEAST_COLUMN * em(place));
  const span = Math.max(data.gap, ...differences) - Math.min(0, ...differences);
  return Math.max(1, Math.ceil((span * pairs.rows) / columns)) / pairs.rows;
}

function drawDots() {
  const place = find("dots");
  const step = dotStep(place);
  const ordered = pile(ranked.map((pair) => differences[pair]), step);
  const columns = ordered.map(({ column }) => column * step);
  const highest = Math.max(...ordered.map(({ height }) => height)) + 1;
  const x = [Math.min(-0.02, ...columns) - step, Math.max(data.gap + 0.02, ...columns) + step];
  const label = `The difference in final accuracy of all ${pairs.count} pairs, a dot each; ${countDraws()}`;
  const wide = Math.min(MOST_DOT, (place.clientWidth * step) / (x[1] - x[0]) / em(place));
  const chart = newChart(place, { label, x, y: [0, 1], height: Math.min(18, 4.8 + highest * wide), left: 0.8 });
  const room = chart.box.bottom - chart.box.top - 0.6 * chart.em; // the mean of the draws lies under the dots
  const { size, abreast } = sizeDots(chart.x(step) - chart.x(0), room, highest, MOST_DOT * chart.em);
  drawAxes(chart, { xTitle: "difference in final accuracy, points", yTitle: "", xTicks: ticks(...x, 6), yTicks: [], xText: points });
  for (const gap of [0, data.gap]) drawMark(chart, gap);
  nameMark(chart, data.gap, "the tutorial's gap", "start");
  nameMark(chart, 0, "no gap", "end");
  ordered.forEach(({ column, height }, rank) => {
    const aside = (height % abreast) - (abreast - 1) / 2;
    const [cx, up] = [chart.x(column * step) + aside * size, Math.floor(height / abreast) + 0.5];
    drawDot(chart, ranked[rank], cx, chart.box.bottom - 0.6 * chart.em - up * size, 0.45 * size);
  });
  drawMeanOfDraws(chart);
}

function drawDot(chart, pair, cx, cy, r) {
  const winner = differences[pair] > ROUNDING ? "bn" : differences[pair] < -ROUNDING ? "baseline" : "neither";
  const classes = ["dot", winner];
  if (state.drawn.includes(pair)) classes.push("drawn");
  if (pair === state.pair) classes.push("shown");
  const dot = make("circle", { class: classes.join(" "), cx, cy, r });
  dot.addEventListener("click", () => showPair(pair));
  chart.root.append(dot);
}

function drawMeanOfDraws(chart) {
  const { mean, low, high } = meanInterval(state.drawn.map((pair) => differences[pair]), quantiles);
  if (Number.isNaN(low)) return;
  const inside = (value) => Math.min(chart.box.right, Math.max(chart.box.left, chart.x(value)));
  const y = chart.box.bottom + 0.1 * chart.em;
  chart.root.append(make("line", { class: "interval", x1: inside(low), x2: inside(high), y1: y, y2: y }));
  chart.root.append(make("circle", { class: "interval", cx: inside(mean), cy: y, r: 0.3 * chart.em }));
}

function countDraws() {
  const drawn = state.drawn.map((pair) => differences[pair]);
  const { better, worse, gap } = tally(drawn, data.gap);
  return (
    `${data.apart.bn} better in ${better} of ${drawn.length} draws, worse in ${worse};` +
    ` the tutorial's gap of ${points(data.gap).slice(1)} points or more in ${gap}`
  );
}

function describeMean() {
  const drawn = state.drawn.map((pair) => differences[pair]);
  const { mean, low, high } = meanInterval(drawn, quantiles);
  if (Number.isNaN(low)) return "";
  const percent = `${Math.round(100 * data.confidence)}%`;
  return ` Mean of the draws: ${points(mean)} points, ${percent} interval ${points(low)} to ${points(high)}.`;
}

// --- drawing pairs at random

function drawPair() {
  if (state.deck.length === 0) {
    state.deck = shuffle(pairs.count, Math.random);
    state.drawn = [];
  }
  state.drawn.push(state.deck.pop());
  showPair(state.drawn.at(-1));
}

function showPair(pair) {
  state.pair = pair;
  showConclusions();
  find("tally").textContent = `${capital(countDraws())}.${describeMean()}${describeEnd()}`;
  const browse = find("browse");
  browse.value = ranked.indexOf(pair);
  browse.setAttribute("aria-valuetext", `pair ${pair + 1}: ${points(differences[pair])} points`);
  if (!isLaidOut()) return;
  drawPairCurves();
  if (plane) ARMS.forEach(drawPlane);
  drawDots();
}

function describeEnd() {
  if (state.deck.length > 0) return "";
  return ` That is all ${pairs.count} pairs; the next draw begins again.`;
}

function play() {
  if (calm.matches) for (let i = 0; i < 10; i++) drawPair();
  else if (state.playing) stop();
  else {
    state.playing = setInterval(drawPair, PLAY_EVERY);
    drawPair();
    find("play").textContent = "Pause";
  }
}

function stop() {
  clearInterval(state.playing);
  state.playing = 0;
  namePlay();
}

function namePlay() {
  find("play").textContent = calm.matches ? "Draw ten" : "Play";
}

function restart() {
  stop();
  Object.assign(state, { deck: [], drawn: [] });
  drawPair();
}

// --- learning rates

const bands = rates.map((rate) => byArm((arm) => unpackBand(rate[arm].curves)));
const bandEnds = bands.flatMap((band) => ARMS.flatMap((arm) => [...band[arm].lows, ...band[arm].highs]));
const rateRange = extent([data.majority, ...bandEnds], 0.04);

function unpackBand(packed) {
  const shares = Array.from(unpack(packed, 2), (value) => value / 65535);
  const part = (number) => shares.slice(number * epochs.length, (number + 1) * epochs.length);
  return { means: part(0), lows: part(1), highs: part(2) };
}

function drawRateCurves() {
  const band = bands[state.rate];
  const label = `Mean validation accuracy over epochs at learning rate ${rates[state.rate].lr}`;
  const chart = newChart(find("rate-curves"), { label, x: [0, lastEpoch], y: withRoom(rateRange), height: 19 });
  const yTicks = ticks(...rateRange, 5);
  drawAxes(chart, { xTitle: "epoch", yTitle: "mean validation accuracy", xTicks: epochTicks, yTicks });
  for (const arm of ARMS) drawBand(chart, epochs, band[arm].lows, band[arm].highs, arm);
  for (const arm of ARMS) drawCurve(chart, epochs, band[arm].means, arm);
  nameCurves(chart, byArm((arm) => band[arm].means));
  drawMajority(chart);
}

function drawRates() {
  const last = rates.length - 1;
  const label = `Final validation accuracy at each of ${rates.length} learning rates`;
  const chart = newChart(find("rate-finals"), { label, x: [-0.3, last + 0.3], y: rateRange, height: 13 });
  const xTicks = rates.map((_, i) => i);
  drawAxes(chart, { xTitle: "learning rate", yTitle: "accuracy, last epochs", xTicks, yTicks: ticks(...rateRange, 3), xText: (i) => String(rates[i].lr) });
  drawMark(chart, state.rate);
  for (const arm of ARMS) drawRatesOf(chart, arm);
}

function drawRatesOf(chart, arm) {
  drawCurve(chart, rates.map((_, i) => i), rates.map((rate) => rate[arm].final[0]), arm);
  rates.forEach((rate, i) => {
    const [mean, low, high] = rate[arm].final;
    const x = chart.x(i);
    chart.root.append(make("line", { class: `curve ${arm}`, x1: x, x2: x, y1: chart.y(low), y2: chart.y(high) }));
    if (rate[arm].best) chart.root.append(make("circle", { class: `best ${arm}`, cx: x, cy: chart.y(mean), r: 0.4 * chart.em }));
  });
}

function showRate(number) {
  state.rate = number;
  const rate = rates[number];
  const best = ARMS.filter((arm) => rate[arm].best).map((arm) => `best rate ${data.apart[arm]}`);
  const here = rate.lr === data.lr ? ["the rate of the verdicts"] : [];
  const notes = [...best, ...here];
  find("rate-name").textContent = `${rate.lr}${notes.length ? `: ${notes.join(", ")}` : ""}`;
  find("rate").setAttribute("aria-valuetext", find("rate-name").textContent);
  find("rate-findings").replaceChildren(...rate.findings.map((finding) => {
    const item = document.createElement("li");
    item.textContent = finding;
    return item;
  }));
  if (!isLaidOut()) return;
  drawRateCurves();
  drawRates();
}

// --- start

// Return whether there is room to draw in; a frame that is not shown yet has none, and is resized when it is. Nor has a
// page for a moment, when it is printed.
function isLaidOut() {
  return find("dots").clientWidth > 0;
}

function drawAll() {
  showPair(state.pair);
  if (rates.length > 1) showRate(state.rate);
}

function onKey(event) {
  if (event.key !== " " || event.target.closest("button, summary, a")) return;
  event.preventDefault(); // else it scrolls
  drawPair();
}

function listen() {
  find("draw").addEventListener("click", drawPair);
  find("play").addEventListener("click", play);
  find("restart").addEventListener("click", restart);
  find("browse").addEventListener("input", (event) => showPair(ranked[event.target.value]));
  find("rate").addEventListener("input", (event) => showRate(Number(event.target.value)));
  document.addEventListener("keydown", onKey);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", drawAll);
  calm.addEventListener("change", stop);
  addEventListener("resize", drawAll);
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
}

function start() {
  document.documentElement.classList.add("scripted");
  find("browse").max = pairs.count - 1;
  find("rate").max = rates.length - 1;
  state.rate = rates.findIndex((rate) => rate.lr === data.lr);
  find("rate").value = state.rate;
  find("rates").hidden = rates.length < 2;
  find("planes").hidden = !plane;
  if (plane) nameClasses();
  namePlay();
  listen();
  drawPair();
  if (rates.length > 1) showRate(state.rate);
}

start();
