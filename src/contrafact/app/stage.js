// The large picture: edited, before, both, or what changes; and the rule for when to ask for it.

import { find, make } from "./marks.js";
import { paint, paintChange } from "./pixels.js";
import { toHash } from "./state.js";

const NAMES = { edited: "Edited", before: "Before", both: "Side by side", change: "What changes" };
// Fewer pixels than this are drawn as squares: blended they would be a blur in which none of them can be told.
const SMOOTH_FROM = 64;
// Waiting that is shorter needs no word.
const WORDLESS = 150;

export class Stage {
  constructor(store, renders, views) {
    this.store = store;
    this.renders = renders;
    this.canvas = find("main");
    this.beforeCanvas = find("before");
    // The edited picture itself, whatever is on show: what changes is drawn from it, files are made of it.
    this.edited = document.createElement("canvas");
    this.codes = null;
    this.codesBefore = null;
    this.onPicture = () => {};
    this.beforeKey = this.beforeShown = null;
    this.turn = 0;
    const [channels, height, width] = store.facts.image_shape;
    this.shape = { channels, height, width };
    for (const canvas of [this.canvas, this.beforeCanvas]) {
      Object.assign(canvas, { width, height });
    }
    this.smoothByItself = Math.max(width, height) >= SMOOTH_FROM;
    find("pictures").style.setProperty("--ratio", width / height);
    this.buttons = views.map((view) => make("button", {
      type: "button", role: "radio", data: { view }, on: { click: () => store.look(view) },
    }, NAMES[view]));
    find("views").append(...this.buttons);
    find("smooth").addEventListener("click", () => this.blend());
    find("views").addEventListener("keydown", (event) => this.walk(event));
    store.listen((what) => {
      if (what === "state") this.refresh();
      if (what === "view") this.look();
    });
    this.look();
  }

  get before() {
    return { ...this.store.state, magnitudes: {} };
  }

  walk(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const place = this.buttons.findIndex((button) => button.dataset.view === this.store.view);
    const next = this.buttons[(place + step + this.buttons.length) % this.buttons.length];
    this.store.look(next.dataset.view);
    next.focus();
  }

  get smooth() {
    return this.store.smooth ?? this.smoothByItself;
  }

  blend() {
    const smooth = !this.smooth;
    this.store.look(this.store.view, smooth === this.smoothByItself ? null : smooth);
  }

  look() {
    document.body.classList.toggle("smooth", this.smooth);
    find("smooth").setAttribute("aria-pressed", this.smooth);
    for (const button of this.buttons) {
      const chosen = button.dataset.view === this.store.view;
      button.setAttribute("aria-checked", chosen);
      button.tabIndex = chosen ? 0 : -1;
    }
    find("pictures").className = this.store.view;
    this.refresh();
  }

  async refresh() {
    const { state, facts } = this.store;
    const want = facts.codes ? ["codes"] : [];
    const rest = JSON.stringify(this.before), unedited = rest === JSON.stringify(state);
    const turn = ++this.turn;
    this.timer ??= setTimeout(() => this.computing("Computing…"), WORDLESS);
    const onEarly = (early) => {
      this.take(early);
      this.computing("Small at first, computing…");
    };
    const asked = this.renders.ask("main", state, { want, onEarly });
    // Behind the picture itself; where nothing is edited it is the same one.
    if (!unedited && rest !== this.beforeKey) this.askBefore(rest, want);
    const made = await asked;
    if (turn === this.turn) this.computing("");
    if (!made) return;
    if (unedited) this.takeBefore(made, rest);
    this.take(made, state);
  }

  async askBefore(key, want) {
    this.beforeKey = key;
    const made = await this.renders.ask("before", this.before, { want });
    if (key !== this.beforeKey) return;
    if (made) {
      this.takeBefore(made, key);
      this.draw();
    } else this.beforeKey = null;
  }

  takeBefore(made, key) {
    this.beforeKey = this.beforeShown = key;
    paint(this.beforeCanvas, made);
    this.codesBefore = made.codes;
  }

  // What is on the canvas is not yet what the sliders say.
  computing(text) {
    clearTimeout(this.timer);
    if (!text) this.timer = null;
    find("computing").textContent = text;
    find("computing").hidden = !text;
  }

  take(made, state = null) {
    paint(this.edited, made);
    this.codes = made.codes ?? this.codes;
    this.warnings = made.warnings;
    this.draw();
    if (!state) return;
    this.canvas.dataset.shows = toHash(state, "edited");
    this.onPicture(state, made);
  }

  draw() {
    const { view } = this.store;
    if (view === "change") {
      // Between two samples there would be nothing to see in it.
      if (this.beforeShown === JSON.stringify(this.before)) paintChange(this.canvas, this.beforeCanvas, this.edited);
    } else {
      const shown = view === "before" ? this.beforeCanvas : this.edited;
      paint(this.canvas, { width: shown.width, height: shown.height, bitmap: shown });
    }
    this.onDraw?.();
  }
}
