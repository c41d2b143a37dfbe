// The page: what is chosen, the keys, and the fragment #image/function/pc/mode/unwinder.

const S = { pick: null, rows: [], image: null, mode: null, fn: -1, entries: [], entry: -1, unwinder: -1, shown: null };
let functions, instructions;

const failing = (entry) => S.mode && S.unwinder >= 0 && stopsWith(S.mode, S.unwinder, entry, S.pick.verdict) > 0;

function pickSummary(cell) {
  const row = cell.closest("tr"), group = cell.closest("table");
  setPick({ ...group.dataset, proposal: row.dataset.proposal, unwinder: row.dataset.unwinder, verdict: cell.dataset.verdict });
}

function setPick(pick) {
  S.pick = pick;
  document.querySelectorAll("#summary td[aria-current]").forEach((cell) => cell.removeAttribute("aria-current"));
  summaryCells().find((cell) => sameCell(cell, pick))?.setAttribute("aria-current", "true");
  functions.header(functionHead(pick.verdict), ...FUNCTION_COLUMNS);
  filterFunctions();
}

const summaryCells = () => [...document.querySelectorAll("#summary td[data-verdict]")];

function sameCell(cell, pick) {
  const row = cell.closest("tr").dataset, group = cell.closest("table").dataset;
  return cell.dataset.verdict === pick.verdict && row.unwinder === pick.unwinder && row.proposal === pick.proposal &&
    group.arch === pick.arch && group.compiler === pick.compiler && group.mode === pick.mode;
}

function filterFunctions() {
  const wanted = pane("filter").value.trim().toLowerCase();
  S.rows = functionsOf(S.pick).filter((row) => !wanted ||
    `${row.mode.functions[row.fn]} ${row.image.workload}`.toLowerCase().includes(wanted));
  const hit = S.rows.filter((row) => row.hits).length;
  pane("functions-about").textContent =
    `${S.pick.unwinder}, ${S.pick.proposal}, ${S.pick.arch}, ${S.pick.mode}: ${WORD[S.pick.verdict]} in ${count(hit)} of ${count(S.rows.length)}`;
  functions.show(S.rows.length);
  const same = S.rows.findIndex((row) => row.image === S.image && row.mode === S.mode && row.fn === S.fn);
  if (same >= 0) functions.choose(same, false);
}

// Shows a function; *entry*: the instruction chosen, -1 for its first failure, one kept whole if there is one.
function openFunction(row, entry = -1) {
  S.image = row.image; S.mode = row.mode; S.fn = row.fn; S.entries = row.entries;
  S.unwinder = row.mode.unwinders.indexOf(S.pick.unwinder);
  S.shown = instructionColumns(S.image, S.mode);
  headInstructions();
  instructions.show(S.entries.length);
  if (entry < 0) {
    const failed = S.entries.filter(failing);
    entry = failed.find((at) => keptOf(at, S.unwinder)) ?? failed[0] ?? S.entries[0];
  }
  instructions.choose(S.entries.indexOf(entry), true);
}

function headInstructions() {
  instructions.header(instructionHead(S.mode, S.shown, S.unwinder), S.shown.template, S.shown.least);
  pane("instructions-about").textContent =
    `${S.mode.functions[S.fn] || "(no function)"} in ${S.image.workload}, ${S.image.proposal}, ${S.mode.mode} stops`;
}

const keptHere = (entry) => S.image.keptAt.get(`${S.mode.mode} ${S.mode.at[entry]}`) || [];
const keptOf = (entry, unwinder) =>
  keptHere(entry).find((kept) => kept.said.some((said) => said.unwinder === S.mode.unwinders[unwinder]));

function openStop(entry) {
  S.entry = entry;
  const { image, mode } = S, at = mode.at[entry];
  const place = `${mode.functions[S.fn]}${text(mode.where[entry])}`;
  pane("stop-about").textContent = `${place}, ${count(mode.stops[entry])} ${mode.mode} stops`;
  const body = pane("stop-body");
  body.replaceChildren();
  if (image.raw.length) body.append(element("p", "code insn", `0x${hex(image, at)}  ${text(image.text[at])}`),
    element("p", "quiet code", text(image.source[at])));
  body.append(verdictTable(mode, entry, S.unwinder, chooseUnwinder));
  body.scrollTop = 0;
  const kept = keptOf(entry, S.unwinder) || (worst(mode, S.unwinder, entry) === "exact" ? keptHere(entry)[0] : null);
  if (kept) showKept(body, kept, place);
  else body.append(...unkept(entry));
  setFragment();
}

function showKept(body, kept, place) {
  const name = S.mode.unwinders[S.unwinder];
  const said = kept.said.find((one) => one.unwinder === name);
  const title = said ? `${name} at stop ${count(kept.stop)}: ${WORD[said.verdict]}${said.reason ? ` (${said.reason})` : ""}`
    : `${name} at stop ${count(kept.stop)}: exact (${kept.said.map((one) => one.unwinder).join(", ")} differ there)`;
  body.append(element("h3", "", title), stackTable(place, kept.truth, said ? said.reported : kept.truth));
  body.append(element("h3", "", "Registers"), registerTable(kept));
  if (kept.words.length) body.append(element("h3", "", "Stack words"), wordTable(kept));
  if (!D.run.each) body.append(element("p", "quiet", `unwindlab explain ${D.run.id} 0x${hex(S.image, kept.at)}`));
}

function unkept(entry) {
  const verdict = worst(S.mode, S.unwinder, entry);
  if (verdict === "exact" || !verdict) return [element("p", "quiet", verdict ? "Exact: what is reported is the true stack." : "Not run here.")];
  const name = S.mode.unwinders[S.unwinder];
  const others = S.image.stacks.filter((kept) => kept.mode === S.mode.mode && kept.said.some((said) => said.unwinder === name));
  const which = D.run.each ? `This page has the first ${D.run.each} stacks that differ of each function, mode and unwinder`
    : `A run keeps the first ${D.run.kept} stacks that differ of each image, mode and unwinder`;
  const note = element("p", "quiet", `${which}; none of ${name} is from this instruction ` +
    `(unwindlab explorer ${D.run.id} --stacks K has K of each function).${others.length ? " Kept in this image:" : ""}`);
  const list = element("ul", "kept");
  others.forEach((kept) => {
    const where = S.mode.at.indexOf(kept.at);
    const button = element("button", "plain code", where < 0 ? `0x${hex(S.image, kept.at)}` : `${S.mode.functions[S.mode.fn[where]]}${text(S.mode.where[where])}`);
    button.type = "button";
    button.addEventListener("click", () => goTo(S.image, S.mode, where));
    const item = element("li");
    item.append(button);
    list.append(item);
  });
  return [note, list];
}

function chooseUnwinder(unwinder) {
  S.unwinder = unwinder;
  S.pick = { ...S.pick, unwinder: S.mode.unwinders[unwinder] };
  setPick(S.pick);
  headInstructions();
  instructions.redraw();
  openStop(S.entry);
}

function goTo(image, mode, entry) {
  if (entry < 0) return;
  const row = S.rows.find((one) => one.image === image && one.mode === mode && one.fn === mode.fn[entry]) ||
    { image, mode, fn: mode.fn[entry], entries: byFunction(mode)[mode.fn[entry]] };
  functions.choose(S.rows.indexOf(row), false);
  openFunction(row, entry);
}

// The next failure: in this function, else in the next function of the list that has one, and round again.
function step(by) {
  if (!S.pick) return;
  const here = S.entries.indexOf(S.entry);
  for (let i = here + by; S.image && i >= 0 && i < S.entries.length; i += by)
    if (failing(S.entries[i])) return instructions.choose(i, true);
  const hit = S.rows.filter((row) => row.hits);
  if (!hit.length) return say(`No ${WORD[S.pick.verdict]} stop of ${S.pick.unwinder} in this list.`);
  const now = hit.findIndex((row) => row.image === S.image && row.fn === S.fn && row.mode === S.mode);
  const row = hit[now < 0 ? 0 : (now + by + hit.length) % hit.length];
  const unwinder = row.mode.unwinders.indexOf(S.pick.unwinder);
  const failed = row.entries.filter((entry) => stopsWith(row.mode, unwinder, entry, S.pick.verdict));
  if (now === hit.length - 1 && by > 0) say("From the beginning again.");
  functions.choose(S.rows.indexOf(row), false);
  openFunction(row, by > 0 ? failed[0] : failed[failed.length - 1]);
}

const say = (message) => { pane("status").textContent = message; };

function setFragment() {
  const parts = [S.image.name, S.mode.functions[S.fn] || "-", `0x${hex(S.image, S.mode.at[S.entry])}`, S.mode.mode, S.pick.unwinder];
  const fragment = "#" + parts.map(encodeURIComponent).join("/");
  if (fragment !== location.hash) history.replaceState(null, "", fragment);
}

// Goes where the address says; tells whether there is such a place.
function followFragment() {
  if (location.hash.length < 2) return false;
  let parts;
  try { parts = location.hash.slice(1).split("/").map(decodeURIComponent); } catch { parts = []; }
  const [name, fn, pc, modeName, unwinder] = parts;
  const image = D.images.find((one) => one.name === name);
  const mode = image && (modeOf(image, modeName) || image.modes[0]);
  if (!mode) { say(`This page has no image '${name}'.`); return false; }
  const isAt = (entry) => !pc || `0x${hex(image, mode.at[entry])}` === pc;
  let entry = mode.at.findIndex((_, i) => isAt(i) && (mode.functions[mode.fn[i]] === fn || fn === "-"));
  if (entry < 0) entry = pc ? mode.at.findIndex((_, i) => isAt(i)) : -1;
  if (entry < 0) { say(`No stop at ${pc || fn} in ${name}.`); return false; }
  const wanted = mode.unwinders.includes(unwinder) ? unwinder : mode.unwinders[0];
  const at = worst(mode, mode.unwinders.indexOf(wanted), entry);
  const verdict = at && at !== "exact" ? at : "missing";
  pane("filter").value = "";
  setPick({ arch: image.arch, compiler: image.compiler, mode: mode.mode, proposal: image.proposal, unwinder: wanted, verdict });
  goTo(image, mode, entry);
  return true;
}

function key(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const places = { 1: "summary", 2: "functions-grid", 3: "instructions-grid", 4: "stop" };
  if (event.key === "n") step(1);
  else if (event.key === "p") step(-1);
  else if (event.key === "?") help();
  else if (event.key === "/") pane("filter").focus();
  else if (places[event.key]) pane(places[event.key]).focus();
  else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && S.entry >= 0 && event.target === instructions.place) {
    const to = S.unwinder + (event.key === "ArrowLeft" ? -1 : 1);
    if (to >= 0 && to < S.mode.unwinders.length) chooseUnwinder(to);
  } else return;
  event.preventDefault();
}

function help() {
  const shown = pane("keys").toggleAttribute("hidden");
  pane("help").setAttribute("aria-expanded", String(!shown));
}

function enliven() {
  document.body.classList.add("live");
  ["functions", "instructions", "stop", "tools"].forEach((id) => { pane(id).hidden = false; });
  functions = new Grid(pane("functions-grid"), "Functions", {
    fill: (row, index) => functionRow(row, S.rows[index]),
    chosen: (index) => openFunction(S.rows[index]), enter: () => instructions.place.focus() });
  instructions = new Grid(pane("instructions-grid"), "Instructions", {
    fill: (row, index) => instructionRow(row, S.image, S.mode, S.shown, S.entries[index], S.unwinder),
    chosen: (index) => openStop(S.entries[index]), enter: () => pane("stop").focus() });
  instructions.place.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-unwinder]");
    if (cell && Number(cell.dataset.unwinder) !== S.unwinder) chooseUnwinder(Number(cell.dataset.unwinder));
  });
  summaryCells().filter((cell) => !cell.classList.contains("none")).forEach((cell) => {
    const button = element("button", "plain", cell.textContent);
    button.type = "button";
    button.setAttribute("aria-label", `${cell.closest("tr").dataset.unwinder}: ${WORD[cell.dataset.verdict]} ${cell.textContent}`);
    cell.replaceChildren(button);
    button.addEventListener("click", () => pickSummary(cell));
  });
  pane("filter").addEventListener("input", () => { if (S.pick) filterFunctions(); });
  pane("next").addEventListener("click", () => step(1));
  pane("previous").addEventListener("click", () => step(-1));
  pane("help").addEventListener("click", help);
  document.addEventListener("keydown", key);
  window.addEventListener("hashchange", followFragment);
}

async function main() {
  if (typeof DecompressionStream === "undefined") return say("This browser is too old for more than the table (no DecompressionStream).");
  prepare(await decoded());
  enliven();
  if (!followFragment()) {
    const cells = summaryCells().filter((cell) => !cell.classList.contains("none"));
    const first = cells.find((cell) => cell.dataset.verdict === "missing") || cells[0];
    if (first) { pickSummary(first); }
  }
  document.body.dataset.ready = "yes";
}

main().catch((error) => { say(`The page's data cannot be shown: ${error.message}`); throw error; });
