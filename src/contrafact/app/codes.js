// What the encoder reads in the picture, as bars; a mark shows what it read before the edit. Of many codes those come
// first that some direction moves.

import { find, make } from "./marks.js";

const MOST_SHOWN = 12;

export class Codes {
  constructor(store, stage, search) {
    this.stage = stage;
    this.codes = store.facts.codes;
    if (!this.codes) return;
    find("codes-box").hidden = false;
    this.bars = this.codes.map((code, number) => {
      const now = make("span", { class: "now" });
      const then = make("span", { class: "then" });
      const bar = make("span", { class: "bar", "aria-hidden": "true" }, now, then);
      const value = make("output", {});
      const name = make("span", { class: "code-name", dir: "auto", title: code.name }, code.name);
      const row = make("div", { class: "code" }, name, bar, value);
      const entry = { code, row, now, then, value };
      if (search) {
        const middle = (code.low + code.high) / 2;
        entry.slider = make("input", {
          type: "range", class: "search", min: code.low, max: code.high, step: "any", value: middle,
          "aria-label": `${code.name}: search the nearest latent with this code`, title: "Drag: the nearest latent with this code is searched",
          on: { change: (event) => search(number, Number(event.target.value)) },
        });
        bar.append(entry.slider);
        bar.removeAttribute("aria-hidden");
      }
      return entry;
    });
    const rest = this.order(store.facts.directions).slice(this.codes.length > MOST_SHOWN ? MOST_SHOWN : this.codes.length);
    rest.forEach((number) => (this.bars[number].row.hidden = true));
    const all = rest.length ? make("button", {
      type: "button", class: "quiet", on: { click: (event) => {
        rest.forEach((number) => (this.bars[number].row.hidden = false));
        event.currentTarget.remove();
      } },
    }, `All ${this.codes.length}`) : null;
    find("codes").append(...this.bars.map(({ row }) => row), ...(all ? [all] : []),
      make("p", { class: "soft" }, "Bars span what samples usually give; the thin mark is the picture before the edit."));
  }

  // Numbers of the codes, those that some direction moves far in their range first.
  order(directions) {
    const far = this.codes.map(({ low, high }, number) => Math.max(0, ...directions.map(({ moves }) => {
      const move = (moves || []).find(([code]) => code === number);
      return move ? Math.abs(move[1]) / (high - low || 1) : 0;
    })));
    return far.map((_, number) => number).sort((a, b) => far[b] - far[a] || a - b);
  }

  refresh() {
    const { codes, codesBefore } = this.stage;
    if (!this.codes || !codes) return;
    this.bars.forEach(({ code, row, now, then, value, slider }, number) => {
      const share = (reading) => Math.min(1, Math.max(0, (reading - code.low) / (code.high - code.low || 1)));
      const [at, was] = [share(codes[number]), codesBefore ? share(codesBefore[number]) : null];
      now.style.setProperty("width", `${100 * at}%`);
      then.hidden = was === null;
      if (was !== null) then.style.setProperty("inset-inline-start", `${100 * was}%`);
      row.classList.toggle("changed", was !== null && Math.abs(at - was) > 0.1);
      value.textContent = String(Number(codes[number].toPrecision(3))).replace("-", "−");
      if (slider && document.activeElement !== slider) slider.value = codes[number];
    });
  }
}
