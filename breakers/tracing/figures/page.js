"use strict";
// Makes the table's columns sortable; without it the page shows the same figures, ranked by effect.
// A link that ends in #sort=KEY or #sort=-KEY opens the page sorted so.
(() => {
  const table = document.getElementById("ranked");
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent;
    const number = Number(text);
    return text !== "" && Number.isFinite(number) ? number : text;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

  const sortBy = (column, descending) => {
    const rows = Array.from(body.rows);
    rows.sort((a, b) => {
      const order = compare(valueOf(a, column), valueOf(b, column));
      // Equal values keep their rank, whichever way the column is sorted.
      return (descending ? -order : order) || valueOf(a, 0) - valueOf(b, 0);
    });
    body.append(...rows);
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(column, head.getAttribute("aria-sort") === "ascending"));
  });

  const wanted = /^#sort=(-?)(\w+)$/.exec(location.hash);
  const column = wanted === null ? -1 : heads.findIndex((head) => head.dataset.key === wanted[2]);
  if (column >= 0) sortBy(column, wanted[1] === "-");
})();
