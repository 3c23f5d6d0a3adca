(() => {
  "use strict";
  const clean = (text) => text.replace(/\s+/g, " ").trim();
  for (const block of document.querySelectorAll("[data-table]")) {
    const form = block.querySelector("form"), body = block.querySelector("tbody"), said = block.querySelector("output");
    const [search, standing] = [form.querySelector("input"), form.querySelector("select")];
    const rows = [...body.rows], heads = [...block.querySelectorAll("thead th")];
    const words = new Map();
    const value = (row, at, numeric) => {
      const cell = row.cells[at], text = cell.dataset.v ?? clean(cell.textContent);
      if (!numeric) return text.toLowerCase();
      const number = parseFloat(text.replace(/,/g, ""));
      return Number.isNaN(number) ? Infinity : number;
    };
    let shown = rows.length, order = "";
    const tell = () => { said.textContent = `${shown} of ${rows.length} methods${order}`; };
    const sort = (at) => {
      const head = heads[at], numeric = head.dataset.kind === "n";
      const up = head.getAttribute("aria-sort") !== "ascending";
      const keyed = rows.map((row, place) => [value(row, at, numeric), place, row]);
      keyed.sort(([a, i], [b, j]) => {
        const way = a < b ? -1 : a > b ? 1 : 0;
        return (up ? way : -way) || i - j;
      });
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      body.append(...keyed.map((each) => each[2]));
      order = `, by ${clean(head.textContent)}, ${up ? "ascending" : "descending"}`;
      tell();
    };
    const filter = () => {
      const asked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      shown = 0;
      for (const row of rows) {
        if (!words.has(row)) words.set(row, clean(row.textContent).toLowerCase());
        const fits = asked.every((word) => words.get(row).includes(word));
        row.hidden = !(fits && (!standing.value || row.dataset.standing === standing.value));
        shown += row.hidden ? 0 : 1;
      }
      tell();
    };
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(at));
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    search.addEventListener("input", filter);
    standing.addEventListener("change", filter);
    heads[0].setAttribute("aria-sort", "ascending");
    form.hidden = false;
    if (search.value || standing.value) filter();
  }
})();
