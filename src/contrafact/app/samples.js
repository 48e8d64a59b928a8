// Where to start: a sample, a photograph; what was seen before; pictures pinned side by side, and the way between them.

import { find, make } from "./marks.js";
import { nameOf, sameLatent } from "./latents.js";
import { paint } from "./pixels.js";

const MOST_HISTORY = 24, MOST_PINS = 8;

export class Samples {
  constructor(store, renders, stage) {
    this.store = store;
    this.renders = renders;
    this.stage = stage;
    this.pins = [];
    this.seen = [];
    this.waiting = false;
    const { facts } = store;
    const seed = find("seed");
    if (facts.seeds !== null) seed.max = facts.seeds - 1;
    find("sample").addEventListener("submit", (event) => event.preventDefault());
    seed.addEventListener("change", () => this.seed(Math.round(Number(seed.value) || 0)));
    find("seed-less").addEventListener("click", () => this.step(-1));
    find("seed-more").addEventListener("click", () => this.step(1));
    find("another").addEventListener("click", () => this.another());
    find("pin").addEventListener("click", () => this.pin());
    find("photo").addEventListener("change", () => find("photo").value && this.start({ photo: find("photo").value }));
    find("between").addEventListener("input", () => this.between(Number(find("between").value)));
    find("between").addEventListener("change", () => store.settle());
    this.listPhotos();
    store.listen((what) => {
      if (what === "state") this.refresh();
      if (what === "settled") this.note();
    });
    this.refresh();
    find("pins-box").classList.add("empty");
  }

  listPhotos() {
    const { photos } = this.store.facts;
    find("photo-choice").hidden = !photos.length;
    find("photo").replaceChildren(make("option", { value: "" }, "–"), ...photos.map((name) => make("option", { value: name, dir: "auto" }, name)));
    this.refresh();
  }

  start(latent) {
    this.store.change({ latent });
    this.store.settle();
  }

  seed(number) {
    const most = this.store.facts.seeds === null ? Number.MAX_SAFE_INTEGER : this.store.facts.seeds - 1;
    this.start({ seed: Math.min(most, Math.max(0, number)) });
    this.refresh();
  }

  step(by) {
    const { latent } = this.store.state;
    this.seed(("seed" in latent ? latent.seed : 0) + by);
  }

  another() {
    this.seed(Math.floor(Math.random() * (this.store.facts.seeds ?? 100_000)));
  }

  // The next picture that comes is one to remember.
  note() {
    this.waiting = true;
  }

  take(state) {
    this.pins.forEach((pin) => pin.box.classList.toggle("current", JSON.stringify(pin.state) === JSON.stringify(state)));
    if (!this.waiting && this.seen.length) return;
    this.waiting = false;
    const key = JSON.stringify(state);
    this.seen = this.seen.filter((entry) => entry.key !== key || entry.button.remove());
    const canvas = copyOf(this.stage.edited);
    const label = `${nameOf(state.latent)}${Object.keys(state.magnitudes).length ? ", edited" : ""}`;
    const button = make("button", { type: "button", role: "listitem", title: label, "aria-label": `Back to ${label}`, on: { click: () => this.recall(state) } }, canvas);
    this.seen.unshift({ key, button });
    find("history").prepend(button);
    for (const old of this.seen.splice(MOST_HISTORY)) old.button.remove();
    find("history-box").classList.toggle("empty", this.seen.length < 2);
  }

  recall(state) {
    this.store.change(state);
    this.store.settle();
  }

  pin() {
    if (this.pins.length >= MOST_PINS) this.unpin(this.pins[0]);
    const { state } = this.store;
    const canvas = copyOf(this.stage.edited);
    const pin = { state, canvas };
    pin.box = make("div", { class: "pin", role: "listitem" },
      make("button", { type: "button", class: "picture", "aria-label": `Back to pinned ${nameOf(state.latent)}`, on: { click: () => this.recall(state) } }, canvas),
      make("button", { type: "button", class: "quiet remove", "aria-label": `Take ${nameOf(state.latent)} off`, on: { click: () => this.unpin(pin) } }, "×"));
    this.pins.push(pin);
    find("pins").append(pin.box);
    // What is on the stage may still be the small picture that comes first.
    this.renders.ask(`pin${this.pins.length}`, state).then((made) => made && paint(canvas, made));
    this.pinned();
  }

  unpin(pin) {
    pin.box.remove();
    this.pins = this.pins.filter((other) => other !== pin);
    this.pinned();
  }

  pinned() {
    find("between-box").hidden = this.pins.length < 2;
    find("pins-box").classList.toggle("empty", !this.pins.length);
  }

  between(t) {
    const [a, b] = [this.pins[0].state, this.pins.at(-1).state];
    this.store.change(stateBetween(a, b, t), "between");
  }

  refresh() {
    const { latent } = this.store.state;
    find("seed").value = "seed" in latent ? latent.seed : "";
    find("photo").value = "photo" in latent ? latent.photo : "";
  }
}

export function stateBetween(a, b, t) {
  const moved = new Set([...Object.keys(a.magnitudes), ...Object.keys(b.magnitudes)]);
  const magnitudes = {};
  for (const number of moved) {
    const magnitude = (1 - t) * (a.magnitudes[number] || 0) + t * (b.magnitudes[number] || 0);
    if (magnitude) magnitudes[number] = magnitude;
  }
  const same = sameLatent(a.latent, b.latent);
  const latent = same || t === 0 ? a.latent : t === 1 ? b.latent : { between: [a.latent, b.latent, t] };
  const near = t < 0.5 ? a : b;
  return { ...near, latent, magnitudes };
}

function copyOf(canvas) {
  const copy = document.createElement("canvas");
  if (canvas.width) paint(copy, { width: canvas.width, height: canvas.height, bitmap: canvas });
  return copy;
}
