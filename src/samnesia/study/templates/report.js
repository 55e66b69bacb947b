"use strict";
// Sort the table by the column whose heading is clicked; numbers first from high to low, names from A to Z.
const table = document.getElementById("results");
const headings = [...table.tHead.rows[0].cells];
headings.forEach((heading, column) => {
  heading.querySelector("button").addEventListener("click", () => {
    const first = column === 0 ? "ascending" : "descending";
    const other = column === 0 ? "descending" : "ascending";
    const order = heading.getAttribute("aria-sort") === first ? other : first;
    headings.forEach((cell) => cell.setAttribute("aria-sort", cell === heading ? order : "none"));
    const value = (row) => row.cells[column].dataset.value;
    const compare = (one, two) => column === 0 ? value(one).localeCompare(value(two)) : value(one) - value(two);
    const rows = [...table.tBodies[0].rows];
    const known = rows.filter((row) => value(row) !== "");
    known.sort((one, two) => order === "ascending" ? compare(one, two) : compare(two, one));
    table.tBodies[0].append(...known, ...rows.filter((row) => value(row) === ""));
  });
});
