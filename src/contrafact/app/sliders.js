// A slider for every direction, the strongest first; directions that do nearly the same lie folded under the strongest.

import { find, make, signed, unitOf } from "./marks.js";

const STEP = 0.1, STRIDE = 1;

export class Sliders {
  constructor(store, rename) {
    this.store = store;
    this.rename = rename;
    this.list();
    find("reset").addEventListener("click", () => {
      store.change({ magnitudes: {} });
      store.settle();
    });
    store.listen((what) => what === "state" && this.refresh());
  }

  list() {
    const { store } = this;
    this.rows = new Map();
    const box = find("sliders");
    box.replaceChildren();
    const strongest = Math.max(...store.facts.directions.map((direction) => direction.strength), 1e-9);
    for (const [head, copies] of groups(store.facts.directions)) {
      const list = copies.length ? make("div", { class: "copies", id: `copies-${head.number}`, hidden: true }) : null;
      const row = this.row(head, strongest, list, copies.length);
      box.append(row);
      if (list) {
        list.append(...copies.map((copy) => this.row(copy, strongest, null, 0)));
        box.append(list);
      }
    }
    this.refresh();
  }

  row(direction, strongest, list, count) {
    const { number, limit, circle } = direction;
    // Half a turn either way is all of a circle.
    const hard = circle ? Math.PI : Math.max(6, 2 * limit);
    const name = make("button", { type: "button", class: "name", dir: "auto", title: "Rename" }, direction.name);
    const value = make("input", { type: "text", inputmode: "decimal", class: "value", autocomplete: "off", spellcheck: "false" });
    const slider = make("input", { type: "range", min: -hard, max: hard, step: "any", title: "Double-click puts it back to 0" });
    slider.style.setProperty("--within", `${(100 * limit) / hard / 2}%`);
    const strength = make("span", { class: "strength", title: "How much it changes the picture, beside the strongest" }, make("span"));
    strength.firstChild.style.setProperty("width", `${(100 * direction.strength) / strongest}%`);
    const unfold = list && make("button", {
      type: "button", class: "quiet unfold", "aria-expanded": "false", "aria-controls": list.id,
      title: "Directions that do nearly the same",
      on: { click: (event) => {
        list.hidden = !list.hidden;
        event.currentTarget.setAttribute("aria-expanded", String(!list.hidden));
      } },
    }, `+ ${count} alike`);
    const moves = make("span", { class: "moves" });
    const row = make("div", { class: "slider", data: { number } }, make("div", { class: "top" }, name, circle ? make("span", { class: "circle", title: "A circle: half a turn either way, in radians, meets on the other side" }, "↻") : null, strength, value), slider,
      make("div", { class: "foot" }, moves, unfold));
    const gesture = `direction ${number}`;
    const within = (magnitude) => (circle ? turned(magnitude) : Math.min(hard, Math.max(-hard, magnitude)));
    const set = (magnitude) => this.store.move(number, within(magnitude), gesture);
    slider.addEventListener("input", () => set(Math.abs(slider.value) < hard / 120 ? 0 : Number(Number(slider.value).toFixed(2))));
    slider.addEventListener("change", () => this.store.settle());
    slider.addEventListener("keydown", (event) => {
      const now = this.store.state.magnitudes[number] || 0;
      const step = event.shiftKey ? STRIDE : STEP;
      const to = {
        ArrowRight: now + step, ArrowUp: now + step, ArrowLeft: now - step, ArrowDown: now - step,
        PageUp: now + STRIDE, PageDown: now - STRIDE, Home: -limit, End: limit, Backspace: 0, Delete: 0,
      }[event.key];
      if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      set(to);
    });
    slider.addEventListener("keyup", () => this.store.settle());
    const reset = () => {
      this.store.move(number, 0);
      this.store.settle();
    };
    slider.addEventListener("dblclick", reset);
    value.addEventListener("dblclick", reset);
    value.addEventListener("focus", () => value.select());
    value.addEventListener("change", () => {
      const typed = Number(value.value.replace("−", "-").replace(",", "."));
      if (value.value.trim() && Number.isFinite(typed)) set(typed);
      this.store.settle();
      this.refresh();
    });
    name.addEventListener("click", () => this.edit(direction));
    this.rows.set(number, { direction, row, name, value, slider, moves });
    this.called(direction);
    return row;
  }

  called(direction) {
    const { number, name, moves } = direction;
    const row = this.rows.get(number);
    row.name.textContent = name;
    row.slider.setAttribute("aria-label", name);
    row.value.setAttribute("aria-label", `${name}, in ${direction.circle ? "radians" : "standard deviations"}`);
    const { codes } = this.store.facts;
    if (!moves || !codes) return;
    // Only what is worth naming: the code it moves most, and others that move at least half as far.
    const spans = moves.map(([code, change]) => [code, change / (codes[code].high - codes[code].low || 1)])
      .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const told = spans.filter(([, share], i) => i < 3 && Math.abs(share) >= Math.max(0.02, Math.abs(spans[0][1]) / 2));
    row.moves.textContent = told.map(([code, share]) => `${codes[code].name} ${share > 0 ? "↑" : "↓"}`).join("  ");
    row.moves.title = "The codes it moves most";
  }

  edit(direction) {
    const { row, name } = this.rows.get(direction.number);
    const input = make("input", { class: "rename", dir: "auto", maxlength: 80, "aria-label": `New name of ${direction.name}` });
    input.value = direction.name;
    let over = false;
    const close = async (keep) => {
      if (over) return;
      over = true;
      const wanted = input.value.trim();
      if (keep && wanted && wanted !== direction.name && await this.rename(direction, wanted)) this.called(direction);
      const hadFocus = document.activeElement === input || document.activeElement === document.body;
      input.replaceWith(name);
      if (hadFocus) name.focus();
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key !== "Enter" && event.key !== "Escape") return;
      // Else the key would also press the button that comes back under it.
      event.preventDefault();
      close(event.key === "Enter");
    });
    input.addEventListener("blur", () => close(true));
    name.replaceWith(input);
    input.focus();
    input.select();
    row.scrollIntoView({ block: "nearest" });
  }

  // Sliders on show, in their order: digits choose among these.
  focus(place) {
    const shown = [...find("sliders").querySelectorAll("input[type=range]")].filter((slider) => slider.offsetParent);
    shown[place]?.focus();
  }

  beyond() {
    return [...this.rows.values()].filter(({ direction }) =>
      Math.abs(this.store.state.magnitudes[direction.number] || 0) > direction.limit);
  }

  refresh() {
    for (const [number, { row, slider, value, direction }] of this.rows) {
      const magnitude = this.store.state.magnitudes[number] || 0;
      if (Number(slider.value) !== magnitude) slider.value = magnitude;
      slider.style.setProperty("--at", `${50 + (50 * magnitude) / slider.max}%`);
      slider.setAttribute("aria-valuetext", `${signed(magnitude)} ${unitOf(direction)}`);
      if (document.activeElement !== value) value.value = magnitude ? signed(magnitude) : "0";
      row.classList.toggle("moved", magnitude !== 0);
      row.classList.toggle("beyond", Math.abs(magnitude) > direction.limit);
    }
    find("reset").disabled = !Object.keys(this.store.state.magnitudes).length;
  }
}

// The same place on a circle, by at most half a turn.
function turned(angle) {
  return Math.abs(angle) <= Math.PI ? angle : angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}

function groups(directions) {
  const found = new Map();
  for (const direction of directions) {
    const head = directions.find((other) => other.number === direction.group) || direction;
    if (!found.has(head)) found.set(head, []);
    if (head !== direction) found.get(head).push(direction);
  }
  return found;
}
