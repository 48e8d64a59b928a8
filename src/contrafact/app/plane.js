// Two directions as the axes of a plane: a map of small pictures, and a point on it to drag.

import { find, make, signed, unitOf } from "./marks.js";
import { paintReduced } from "./pixels.js";

const CELLS = 5, SIDE = 96;

export class Plane {
  constructor(store, renders) {
    this.store = store;
    this.renders = renders;
    this.selects = [0, 1].map((axis) => make("select", { "aria-label": axis ? "Upwards" : "To the right", on: { change: () => this.choose(axis) } }));
    this.cells = Array.from({ length: CELLS * CELLS }, () => make("canvas", { width: 8, height: 8 }));
    this.point = make("span", { class: "point" });
    this.pad = make("div", {
      class: "pad", tabindex: 0, role: "application", "aria-roledescription": "plane of two directions",
    }, make("div", { class: "cells", "aria-hidden": "true" }, ...this.cells), this.point);
    this.text = make("output", { class: "soft" });
    find("plane").append(
      make("div", { class: "axes" }, make("label", {}, "→ ", this.selects[0]), make("label", {}, "↑ ", this.selects[1])), this.pad, this.text);
    this.chosen = [];
    this.names();
    const drag = (event) => {
      const box = this.pad.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 2 - 1;
      const y = 1 - ((event.clientY - box.top) / box.height) * 2;
      this.go(x * this.reach(0), y * this.reach(1));
    };
    this.pad.addEventListener("pointerdown", (event) => {
      this.pad.setPointerCapture(event.pointerId);
      drag(event);
    });
    this.pad.addEventListener("pointermove", (event) => event.buttons && drag(event));
    this.pad.addEventListener("pointerup", () => store.settle());
    this.pad.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 1 : 0.1;
      const by = { ArrowRight: [step, 0], ArrowLeft: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
      if (!by) return;
      event.preventDefault();
      this.go(this.at(0) + by[0], this.at(1) + by[1]);
    });
    this.pad.addEventListener("keyup", () => store.settle());
    find("plane-box").addEventListener("toggle", () => this.draw());
    store.listen((what) => {
      if (what === "state") this.mark();
      if (what === "settled") this.draw();
    });
  }

  names() {
    const { directions } = this.store.facts;
    find("plane-box").hidden = directions.length < 2;
    if (directions.length < 2) return;
    if (!this.chosen.every((number) => directions.some((direction) => direction.number === number)) || !this.chosen.length) {
      // Of a group only its strongest: a plane of two copies is a line.
      const heads = directions.filter(({ group, number }) => group === number);
      this.chosen = (heads.length > 1 ? heads : directions).slice(0, 2).map(({ number }) => number);
    }
    this.selects.forEach((select, axis) => {
      select.replaceChildren(...directions.map(({ number, name }) => make("option", { value: number, dir: "auto" }, name)));
      select.value = this.chosen[axis];
    });
    this.mark();
  }

  choose(axis) {
    this.chosen[axis] = Number(this.selects[axis].value);
    this.mark();
    this.draw();
  }

  direction(axis) {
    return this.store.facts.directions.find((direction) => direction.number === this.chosen[axis]);
  }

  reach(axis) {
    return this.direction(axis).limit;
  }

  at(axis) {
    return this.store.state.magnitudes[this.chosen[axis]] || 0;
  }

  go(x, y) {
    const clip = (value, axis) => Math.min(this.reach(axis), Math.max(-this.reach(axis), value));
    this.store.moveAll({ [this.chosen[0]]: clip(x, 0), [this.chosen[1]]: clip(y, 1) }, "plane");
  }

  mark() {
    if (this.chosen.length < 2) return;
    const [x, y] = [0, 1].map((axis) => Math.min(1, Math.max(-1, this.at(axis) / this.reach(axis))));
    this.point.style.setProperty("left", `${50 + 50 * x}%`);
    this.point.style.setProperty("top", `${50 - 50 * y}%`);
    const said = [0, 1].map((axis) => `${this.selects[axis].selectedOptions[0]?.textContent} ${signed(this.at(axis))} ${unitOf(this.direction(axis))}`);
    this.text.textContent = said.join(", ");
    this.pad.setAttribute("aria-label", `Plane: ${said.join(", ")}`);
  }

  // The map shows all else as it is now; it is drawn again only where that has changed.
  draw() {
    if (!find("plane-box").open) return;
    const { state } = this.store;
    const others = { ...state.magnitudes };
    for (const number of this.chosen) delete others[number];
    const key = JSON.stringify([{ ...state, magnitudes: others }, this.chosen]);
    if (key === this.key) return;
    this.key = key;
    this.cells.forEach((canvas, place) => {
      const x = ((place % CELLS) / (CELLS - 1)) * 2 - 1;
      const y = 1 - (Math.floor(place / CELLS) / (CELLS - 1)) * 2;
      const magnitudes = { ...others, [this.chosen[0]]: x * this.reach(0), [this.chosen[1]]: y * this.reach(1) };
      this.renders.ask(`plane${place}`, { ...state, magnitudes }, { side: SIDE }).then((made) => made && paintReduced(canvas, made, SIDE));
    });
  }
}
