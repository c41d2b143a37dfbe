// A list of any length of which only the rows in sight are in the document; an ARIA grid with one row chosen.

const ROW = 20;

function element(name, className, content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content; // never markup: names come from untrusted files
  return made;
}

class Grid {
  // fill(row, index): puts the cells of one row into an empty element; chosen(index): a row has been chosen;
  // enter(): the reader goes on to the next pane.
  constructor(place, label, { fill, chosen, enter }) {
    this.fill = fill; this.chosen = chosen; this.enter = enter;
    this.size = 0; this.at = -1; this.rows = new Map();
    this.place = place;
    this.head = element("div", "head");
    this.head.setAttribute("role", "row");
    this.body = element("div", "rows");
    this.body.setAttribute("role", "rowgroup");
    place.setAttribute("role", "grid");
    place.setAttribute("aria-label", label);
    place.tabIndex = 0;
    place.append(this.head, this.body);
    place.addEventListener("scroll", () => this.draw(), { passive: true });
    place.addEventListener("keydown", (event) => this.key(event));
    place.addEventListener("click", (event) => {
      const row = event.target.closest("[data-index]");
      if (row) this.choose(Number(row.dataset.index), true);
    });
    new ResizeObserver(() => this.draw()).observe(place);
  }

  header(cells, columns, least) {
    this.head.replaceChildren(...cells);
    cells.forEach((cell, i) => { cell.setAttribute("role", "columnheader"); cell.setAttribute("aria-colindex", i + 1); });
    this.place.setAttribute("aria-colcount", cells.length);
    this.place.style.setProperty("--columns", columns);
    this.place.style.setProperty("--least", least);
  }

  show(size) {
    this.size = size; this.at = -1;
    this.place.setAttribute("aria-rowcount", size + 1);
    this.body.style.height = `${size * ROW}px`;
    this.redraw();
    this.place.scrollTop = 0;
    this.draw();
  }

  redraw() {
    this.rows.forEach((row) => row.remove());
    this.rows.clear();
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.place.scrollTop / ROW) - 5);
    const last = Math.min(this.size, first + Math.ceil(this.place.clientHeight / ROW) + 12);
    for (const [index, row] of this.rows)
      if (index < first || index >= last) { row.remove(); this.rows.delete(index); }
    for (let index = first; index < last; index++) {
      if (this.rows.has(index)) continue;
      const row = element("div", "row");
      row.id = `${this.place.id}-${index}`;
      row.dataset.index = index;
      row.setAttribute("role", "row");
      row.setAttribute("aria-rowindex", index + 2);
      row.style.top = `${index * ROW}px`;
      this.fill(row, index);
      [...row.children].forEach((cell, i) => {
        cell.setAttribute("role", "gridcell");
        cell.setAttribute("aria-colindex", i + 1);
      });
      this.rows.set(index, row);
      this.body.append(row);
    }
    this.mark();
  }

  mark() {
    this.rows.forEach((row, index) => row.setAttribute("aria-selected", index === this.at ? "true" : "false"));
    if (this.rows.has(this.at)) this.place.setAttribute("aria-activedescendant", `${this.place.id}-${this.at}`);
    else this.place.removeAttribute("aria-activedescendant");
  }

  choose(index, told) {
    if (index < 0 || index >= this.size) return;
    this.at = index;
    const top = index * ROW, room = this.place.clientHeight - this.head.offsetHeight;
    if (top < this.place.scrollTop) this.place.scrollTop = Math.max(0, top - ROW);
    else if (top + ROW > this.place.scrollTop + room) this.place.scrollTop = top - Math.floor(room / 2);
    this.draw();
    if (told) this.chosen(index);
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.place.clientHeight / ROW) - 2);
    const to = { ArrowDown: this.at + 1, ArrowUp: this.at - 1, PageDown: this.at + page, PageUp: this.at - page,
      Home: 0, End: this.size - 1 }[event.key];
    if (to !== undefined) this.choose(Math.min(Math.max(to, 0), this.size - 1), true);
    else if (event.key === "Enter") this.enter();
    else return;
    event.preventDefault();
  }
}
