"use strict";

// Rows are sorted by what their cells say in data-value; an empty one comes last whichever way.
const board = document.querySelector("table.board");
const body = board.tBodies[0];

function sortBy(head, isDescending) {
  const column = head.cellIndex;
  const key = (row) => row.cells[column].dataset.value;
  const isText = head.dataset.kind === "text";
  const compare = (a, b) => {
    if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
    const order = isText ? key(a).localeCompare(key(b)) : Number(key(a)) - Number(key(b));
    return isDescending ? -order : order;
  };
  for (const other of board.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
  body.append(...[...body.rows].sort(compare));
}

for (const head of board.tHead.rows[0].cells) {
  head.querySelector("button").addEventListener("click", () => {
    const now = head.getAttribute("aria-sort");
    const first = head.dataset.better === "high";
    sortBy(head, now === "none" ? first : now === "ascending");
  });
}

const filters = [...document.querySelectorAll(".filters button")];
for (const button of filters) {
  button.addEventListener("click", () => {
    for (const other of filters) other.setAttribute("aria-pressed", String(other === button));
    for (const row of body.rows) {
      row.hidden = button.dataset.keep !== "all" && !row.dataset.kinds.split(" ").includes(button.dataset.keep);
    }
  });
}
document.documentElement.dataset.ready = "board";
