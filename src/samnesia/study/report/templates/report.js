"use strict";
// Sort a table by the column whose heading is clicked: numbers from high to low first, words from A to Z.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const words = heading.dataset.kind === "words";
      const [first, other] = words ? ["ascending", "descending"] : ["descending", "ascending"];
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      headings.forEach((cell) => cell.setAttribute("aria-sort", cell === heading ? order : "none"));
      const value = (row) => row.cells[column].dataset.value;
      const compare = (one, two) =>
        words ? value(one).localeCompare(value(two), "en", { numeric: true }) : value(one) - value(two);
      const rows = [...table.tBodies[0].rows];
      const known = rows.filter((row) => value(row) !== "");
      known.sort((one, two) => (order === "ascending" ? compare(one, two) : compare(two, one)));
      table.tBodies[0].append(...known, ...rows.filter((row) => value(row) === ""));
    });
  });
}
