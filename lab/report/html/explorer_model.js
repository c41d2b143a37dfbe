// The run's data: decoding, and questions asked of it.  Written by lab/report/html/data.py:
//   strings    every text once; other places name it by its number
//   kinds      [verdict, reason, doubt, covers] of stops that were judged alike
//   mixed      [[kind, stops], ...] where the stops of one cell were not
//   images     one per architecture, compiler, workload, proposal: base + pcs are its addresses; its modes have
//              columns with one entry per pc stopped at, and per unwinder a cell: a kind, or -1 - a number of mixed,
//              or null; stacks are the stops kept whole

const LETTER = { crash: "C", missing: "M", extra: "E", refused: "r", exact: "." };
const WORD = { crash: "crash", missing: "MISSING", extra: "extra", refused: "refused", exact: "exact" };
const WORST = ["crash", "missing", "extra", "refused", "exact"];

let D = null;

async function decoded() {
  const packed = atob(document.getElementById("data").textContent.trim());
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function prepare(data) {
  D = data;
  D.kindRank = D.kinds.map((kind) => WORST.indexOf(kind[0]));
  D.mixedRank = D.mixed.map((parts) => Math.min(...parts.map(([kind]) => D.kindRank[kind])));
  D.images.forEach((image) => {
    image.name = `${image.workload}+${image.proposal}@${image.arch}` +
      (D.images.some((other) => other.compiler !== image.compiler) ? `+${image.compiler}` : "");
    image.bigBase = BigInt("0x" + image.base);
    image.modes.forEach((mode) => { mode.byFunction = null; });
    image.keptAt = new Map();
    image.stacks.forEach((kept) => {
      const key = `${kept.mode} ${kept.at}`;
      if (!image.keptAt.has(key)) image.keptAt.set(key, []);
      image.keptAt.get(key).push(kept);
    });
  });
}

const text = (number) => D.strings[number];
const hex = (image, at) => (image.bigBase + BigInt(image.pcs[at])).toString(16);
const modeOf = (image, name) => image.modes.find((mode) => mode.mode === name) || null;
const count = (number) => number.toLocaleString("en");

// [verdict, reason, doubt, covers, stops] of each kind of stop in one cell, the most frequent first.
function outcomes(mode, unwinder, entry) {
  const code = unwinder < 0 ? null : mode.cells[unwinder][entry];
  if (code === null || code === undefined) return [];
  if (code >= 0) return [[...D.kinds[code], mode.stops[entry]]];
  return D.mixed[-1 - code].map(([kind, stops]) => [...D.kinds[kind], stops]);
}

// The worst verdict of a cell, "" where there is none.
function worst(mode, unwinder, entry) {
  const code = mode.cells[unwinder][entry];
  if (code === null || code === undefined) return "";
  return WORST[code >= 0 ? D.kindRank[code] : D.mixedRank[-1 - code]];
}

// How many stops of a cell got one verdict.
function stopsWith(mode, unwinder, entry, verdict) {
  const code = mode.cells[unwinder][entry];
  if (code === null || code === undefined) return 0;
  if (code >= 0) return D.kinds[code][0] === verdict ? mode.stops[entry] : 0;
  return D.mixed[-1 - code].reduce((sum, [kind, stops]) => sum + (D.kinds[kind][0] === verdict ? stops : 0), 0);
}

// The entries of each function of a mode, in the order of addresses.
function byFunction(mode) {
  if (!mode.byFunction) {
    mode.byFunction = mode.functions.map(() => []);
    mode.fn.forEach((fn, entry) => mode.byFunction[fn].push(entry));
  }
  return mode.byFunction;
}

// Every function of the images a summary cell stands for, those with most such stops first.
function functionsOf(pick) {
  const found = [];
  for (const image of D.images) {
    if (image.arch !== pick.arch || image.compiler !== pick.compiler || image.proposal !== pick.proposal) continue;
    const mode = modeOf(image, pick.mode);
    const unwinder = mode ? mode.unwinders.indexOf(pick.unwinder) : -1;
    if (unwinder < 0) continue;
    byFunction(mode).forEach((entries, fn) => {
      const row = { image, mode, fn, entries, stops: 0, hits: 0, pcs: 0, kept: false };
      for (const entry of entries) {
        const hits = stopsWith(mode, unwinder, entry, pick.verdict);
        row.stops += mode.stops[entry];
        row.hits += hits;
        if (hits) row.pcs += 1;
        if (hits && image.keptAt.has(`${mode.mode} ${mode.at[entry]}`)) row.kept = true;
      }
      found.push(row);
    });
  }
  const name = (row) => row.mode.functions[row.fn];
  const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  return found.sort((a, b) => b.hits - a.hits || b.stops - a.stops || order(name(a), name(b)) ||
    order(a.image.name, b.image.name));
}

// Pairs [true frame, reported frame, differs]: equal frames on one line, a lost or an added one alone.  Common ends
// are paired first; what is left is aligned by its longest common subsequence where that is affordable.
function aligned(truth, reported) {
  const same = (a, b) => a[0] === b[0];
  let head = 0, tail = 0;
  const least = Math.min(truth.length, reported.length);
  while (head < least && same(truth[head], reported[head])) head++;
  while (tail < least - head && same(truth[truth.length - 1 - tail], reported[reported.length - 1 - tail])) tail++;
  const a = truth.slice(head, truth.length - tail), b = reported.slice(head, reported.length - tail);
  const pairs = truth.slice(0, head).map((frame) => [frame, frame]);
  if (a.length * b.length > 1e6) {
    for (let i = 0; i < Math.max(a.length, b.length); i++) pairs.push([a[i] || null, b[i] || null]);
  } else {
    const best = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--)
      for (let j = b.length - 1; j >= 0; j--)
        best[i][j] = same(a[i], b[j]) ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && same(a[i], b[j])) pairs.push([a[i++], b[j++]]);
      else if (j >= b.length || (i < a.length && best[i + 1][j] >= best[i][j + 1])) pairs.push([a[i++], null]);
      else pairs.push([null, b[j++]]);
    }
  }
  return pairs.concat(truth.slice(truth.length - tail).map((frame) => [frame, frame]));
}
