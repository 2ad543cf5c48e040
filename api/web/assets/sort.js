// Tables that can be sorted by a column: the buttons are in the head already.

export function sorting(root) {
  for (const table of root.querySelectorAll("table[data-sortable]")) {
    if (!table.dataset.ready) {
      table.dataset.ready = "yes";
      table.tHead.addEventListener("click", (event) => {
        const th = event.target.closest("th");
        if (event.target.closest("button.sort")) turn(table, th);
      });
    }
    const chosen = table.chosen && table.tHead.rows[0].cells[table.chosen.index];
    if (chosen) order(table, chosen, table.chosen.down); // after news, as before
  }
}

function turn(table, th) {
  const down = th.getAttribute("aria-sort") !== "descending";
  table.chosen = { index: th.cellIndex, down };
  order(table, th, down);
}

function order(table, th, down) {
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const key = (row) => row.cells[th.cellIndex].dataset.v ?? row.cells[th.cellIndex].textContent;
  const rows = [...body.rows].sort((a, b) => compare(key(a), key(b)));
  if (down) rows.reverse();
  body.append(...rows);
}

function compare(a, b) {
  const x = Number(a);
  const y = Number(b);
  return a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : a.localeCompare(b);
}
