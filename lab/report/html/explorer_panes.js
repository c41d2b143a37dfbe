// What the panes show: functions, instructions, and the stop.

const pane = (id) => document.getElementById(id);

function chip(verdict) {
  const made = element("b", `v ${verdict}`, verdict ? LETTER[verdict] : "");
  if (verdict) made.title = WORD[verdict];
  if (verdict) made.setAttribute("aria-label", WORD[verdict]);
  return made;
}

function cellWith(className, child) {
  const made = element("span", className);
  made.append(child);
  return made;
}

const FUNCTION_COLUMNS = ["8ch 6ch 9ch minmax(9em, 1.7fr) minmax(7em, 1fr)", "28em"];

function functionHead(verdict) {
  return [element("span", "number", WORD[verdict]), element("span", "number", "PCs"), element("span", "number", "stops"),
    element("span", "", "function"), element("span", "", "image")];
}

function functionRow(row, of) {
  const share = of.stops ? of.hits / of.stops : 0;
  const hits = element("span", of.hits ? "number hit" : "number quiet", count(of.hits));
  hits.title = `${count(of.hits)} of ${count(of.stops)} stops (${(100 * share).toFixed(2)}%)`;
  const name = of.mode.functions[of.fn] || "(no function)";
  const called = element("span", "code", `${name}${of.kept ? " ●" : ""}`);
  called.title = `${name}${of.kept ? "; a stop in it is kept whole" : ""}`;
  row.append(hits, element("span", of.pcs ? "number" : "number quiet", count(of.pcs)),
    element("span", "number", count(of.stops)), called, element("span", "code quiet", of.image.workload));
}

function instructionColumns(image, mode) {
  const longest = mode.at.slice(0, 4000).reduce((most, at) => Math.max(most, image.raw.length ? text(image.raw[at]).length : 0), 0);
  const sourced = image.source.some((number) => text(number));
  return { bytes: image.raw.length > 0, sourced,
    template: ["9ch", `calc(${hex(image, image.pcs.length - 1).length}ch + 1em)`,
      image.raw.length ? `calc(${Math.min(longest, 22)}ch + 1em) minmax(24ch, 1fr)` : "1fr",
      sourced ? "minmax(15ch, 18ch)" : "", "8ch", `repeat(${mode.unwinders.length}, 2em)`].filter(Boolean).join(" "),
    least: `${17 + hex(image, image.pcs.length - 1).length + (image.raw.length ? 27 + Math.min(longest, 22) : 4) +
      (sourced ? 16 : 0) + 3.4 * mode.unwinders.length}ch` };
}

function instructionHead(mode, shown, unwinder) {
  const cells = [element("span", "", "at"), element("span", "", "pc")];
  if (!shown.bytes) cells.push(element("span", "", ""));
  else cells.push(element("span", "", "bytes"), element("span", "", "instruction"));
  if (shown.sourced) cells.push(element("span", "", "source"));
  cells.push(element("span", "number", "stops"));
  mode.unwinders.forEach((name, i) => {
    const cell = pinned(mode, i, cellWith(i === unwinder ? "upright focus" : "upright", element("span", "", name)));
    cell.title = name;
    cell.setAttribute("aria-label", name);
    cells.push(cell);
  });
  return cells;
}

const MOST_PINNED = 8, COLUMN = 24;

// The verdicts stay in sight where the row is wider than its pane, unless they alone would fill it.
function pinned(mode, i, cell) {
  if (mode.unwinders.length <= MOST_PINNED) {
    cell.classList.add("pinned");
    cell.style.right = `${COLUMN * (mode.unwinders.length - 1 - i)}px`;
  }
  return cell;
}

function instructionRow(row, image, mode, shown, entry, unwinder) {
  const at = mode.at[entry];
  const kept = image.keptAt.get(`${mode.mode} ${at}`);
  const where = element("span", "code", `${text(mode.where[entry])}${kept ? " ●" : ""}`);
  where.title = `${text(mode.region[entry])} code${kept ? "; a stop here is kept whole" : ""}`;
  row.append(where, element("span", "code quiet", hex(image, at)));
  if (!shown.bytes) row.append(element("span", ""));
  else {
    row.append(element("span", "code quiet", text(image.raw[at])));
    const insn = element("span", "code", text(image.text[at]));
    insn.title = text(image.text[at]);
    row.append(insn);
  }
  if (shown.sourced) row.append(element("span", "code quiet", text(image.source[at])));
  row.append(element("span", "number", count(mode.stops[entry])));
  if (text(mode.region[entry]) !== "original") row.classList.add("written");
  mode.unwinders.forEach((name, i) => {
    const verdict = worst(mode, i, entry);
    const cell = pinned(mode, i, cellWith(i === unwinder ? "cell focus" : "cell", chip(verdict)));
    cell.dataset.unwinder = i;
    cell.title = verdict ? `${name}: ${told(mode, i, entry)}` : `${name}: not run`;
    cell.setAttribute("aria-label", cell.title);
    row.append(cell);
  });
}

// What a cell says, in words: one phrase where all its stops were judged alike.
function told(mode, unwinder, entry) {
  const parts = outcomes(mode, unwinder, entry).map(([verdict, reason, doubt, covers, stops]) =>
    `${WORD[verdict]}${reason ? ` (${reason}${doubt ? `, ${doubt}` : ""})` : ""}` +
    `${covers ? "" : ", covers no"}: ${count(stops)}`);
  return parts.join("; ") || "not run";
}

function table(className, heads, rows) {
  const made = element("table", className), head = element("tr");
  heads.forEach((name) => { const cell = element("th", "", name); cell.scope = "col"; head.append(cell); });
  const top = element("thead"), body = element("tbody");
  top.append(head);
  body.append(...rows);
  made.append(top, body);
  return made;
}

function line(...cells) {
  const made = element("tr");
  cells.forEach(([className, content, title]) => {
    const cell = element("td", className);
    if (content instanceof Node) cell.append(content);
    else cell.textContent = content;
    if (title) cell.title = title;
    made.append(cell);
  });
  return made;
}

function verdictTable(mode, entry, unwinder, pick) {
  const rows = mode.unwinders.map((name, i) => {
    const button = element("button", "plain", name);
    button.type = "button";
    button.addEventListener("click", () => pick(i));
    const made = line(["cell", chip(worst(mode, i, entry))], ["code", button], ["", told(mode, i, entry)]);
    if (i === unwinder) { made.className = "focus"; button.setAttribute("aria-current", "true"); }
    return made;
  });
  return table("said", ["", "unwinder", "verdict: stops"], rows);
}

const MOST_FRAMES = 400;

function stackTable(own, truth, reported) {
  const pairs = aligned(truth, reported);
  const first = pairs.findIndex(([a, b]) => !a || !b || a[0] !== b[0]);
  const shownFrom = first > MOST_FRAMES / 2 ? first - 20 : 0;
  const rows = [line(["number quiet", "pc"], ["code", own], ["mark", "="], ["code", own])];
  if (shownFrom) rows.push(line(["", ""], ["quiet", `${shownFrom} equal frames`], ["mark", ""], ["", ""]));
  pairs.slice(shownFrom, shownFrom + MOST_FRAMES).forEach(([a, b], i) => {
    const number = shownFrom + i, equal = a && b && a[0] === b[0];
    const mark = number === first ? "◀ first" : equal ? "=" : "≠";
    const said = (frame, other, absent) => (frame ? ["code", frame[1], `0x${frame[0]}`] : ["absent", other ? absent : ""]);
    const made = line(["number quiet", String(number + 1)], said(a, b, "not live"), ["mark", mark], said(b, a, "absent"));
    made.className = number === first ? "first differs" : equal ? "" : "differs";
    rows.push(made);
  });
  const rest = pairs.length - shownFrom - MOST_FRAMES;
  if (rest > 0) rows.push(line(["", ""], ["quiet", `${rest} more frames`], ["mark", ""], ["", ""]));
  return table("stack", ["", "true", "", "reported"], rows);
}

function registerTable(kept) {
  const box = element("div", "registers");
  kept.registers.forEach(([name, value]) => {
    const item = element("span", "register");
    item.append(element("span", "quiet", name.padStart(5)), element("span", "", value.padStart(16, "0")));
    box.append(item);
  });
  return box;
}

function wordTable(kept) {
  const places = new Map(kept.truth.map(([address, place], i) => [address, `frame ${i + 1}: ${place}`]));
  const named = new Map(kept.registers.filter(([name]) => /^(unwound_sp|sp|rsp|x29|fp|rbp)$/.test(name)).map(([name, value]) =>
    [value, name === "unwound_sp" ? "SP" : name]));
  const start = BigInt("0x" + kept.words_at);
  const rows = kept.words.map((word, i) => {
    const address = (start + BigInt(8 * i)).toString(16);
    const made = line(["code quiet", address], ["code", word.padStart(16, "0")],
      ["", [i ? "" : "SP", named.has(address) && i ? `${named.get(address)} points here` : "", places.get(word) || ""].filter(Boolean).join(", ")]);
    if (places.has(word)) made.className = "live";
    return made;
  });
  return table("words", ["address", "word", ""], rows);
}
