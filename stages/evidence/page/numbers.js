// What the page computes: no drawing in here, so that Node can test it against Python.

export const ROUNDING = 1e-6; // shares are stored in 32 bits: what differs by less is equal
const KINDS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, f: Float32Array };

// Return the numbers that Python has packed: base64 of numbers of 1, 2 or 4 bytes, or of 32-bit floats (kind "f").
export function unpack(packed, kind) {
  const text = atob(packed);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return new KINDS[kind](bytes.buffer);
}

// Return the row of a flat table.
export function row(table, width, number) {
  return table.subarray(number * width, (number + 1) * width);
}

// Return the numbers 0 to count - 1 in random order (Fisher & Yates), from a source of numbers in [0, 1).
export function shuffle(count, random) {
  const order = Array.from({ length: count }, (_, number) => number);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

// Count what draws say: differences that favour the arm bn, that do not, that are none, and that reach the gap.
export function tally(differences, gap) {
  const count = (holds) => differences.filter(holds).length;
  return {
    better: count((difference) => difference > ROUNDING),
    worse: count((difference) => difference < -ROUNDING),
    gap: count((difference) => difference >= gap - ROUNDING),
  };
}

// Return mean and Student's t interval; quantiles[i] is that of i + 2 values. One value has no interval.
export function meanInterval(values, quantiles) {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n < 2) return { mean, low: NaN, high: NaN };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const reach = quantiles[n - 2] * Math.sqrt(squares / (n - 1) / n);
  return { mean, low: mean - reach, high: mean + reach };
}

// Pile values up as dots: return of each its column and its height in the pile, from 0. Column 0 holds zeros alone,
// column k what lies in ((k - 1) * step, k * step], and so below zero.
export function pile(values, step) {
  const heights = new Map();
  return Array.from(values, (value) => {
    const column = Math.sign(value) * Math.ceil(Math.abs(value) / step - 1e-4); // values are in 32 bits
    const height = heights.get(column) ?? 0;
    heights.set(column, height + 1);
    return { column, height };
  });
}

// Return the largest size of dots, at most `most`, with which the highest pile fits into a column of the room, and how
// many of them lie side by side in it.
export function sizeDots(column, room, highest, most) {
  let best = { size: 0, abreast: 1 };
  for (let abreast = 1; abreast <= highest; abreast++) {
    const size = Math.min(most, column / abreast, room / Math.ceil(highest / abreast));
    if (size > best.size) best = { size, abreast };
  }
  return best;
}

// Return round numbers that cut [low, high] into about so many parts.
export function ticks(low, high, parts) {
  const raw = (high - low) / parts;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, number) => Number(((first + number) * step).toPrecision(6)));
}

// Abramowitz & Stegun 1964, 7.1.26: within 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const factors = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
  const polynomial = factors.reduce((sum, factor) => sum * t + factor, 0) * t;
  return Math.sign(x) * (1 - polynomial * Math.exp(-x * x));
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

const ACTIVATIONS = {
  relu: (x) => (x < 0 ? 0 : x), // NaN stays NaN
  leaky_relu: (x) => (x < 0 ? 0.01 * x : x),
  tanh: Math.tanh,
  sigmoid,
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
};

// Return the logits of a network of dense layers; weights lie as stages/training/folding.py has written them.
export function forward(weights, widths, activation, inputs) {
  let values = inputs;
  let at = 0;
  for (let layer = 1; layer < widths.length; layer++) {
    const [before, units] = [widths[layer - 1], widths[layer]];
    const outputs = [];
    for (let unit = 0; unit < units; unit++) {
      let sum = weights[at + units * before + unit];
      for (let i = 0; i < before; i++) sum += weights[at + unit * before + i] * values[i];
      outputs.push(layer < widths.length - 1 ? ACTIVATIONS[activation](sum) : sum);
    }
    at += units * (before + 1);
    values = outputs;
  }
  return values;
}

// Return the class that logits name and how likely it is to the network; of two classes there is one logit, of class 1.
// A logit that is not a number names no class.
export function predict(logits) {
  if (logits.some(Number.isNaN)) return { label: -1, probability: NaN };
  if (logits.length === 1) {
    const one = sigmoid(logits[0]);
    return logits[0] > 0 ? { label: 1, probability: one } : { label: 0, probability: 1 - one };
  }
  const top = Math.max(...logits);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
  return { label: logits.indexOf(top), probability: 1 / total };
}
