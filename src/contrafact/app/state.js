// What is seen, how it became so, and the same as a link.

import { numbersOf } from "./latents.js";

const MOST_UNDO = 200;
export const VIEWS = ["edited", "before", "both", "change"];

export function firstState() {
  return { latent: { seed: 0 }, magnitudes: {}, layers: null, truncation: null, run: null };
}

export class Store {
  constructor(facts) {
    this.facts = facts;
    this.state = firstState();
    this.view = "edited";
    // Whether pixels are blended on the screen; null leaves it to their number.
    this.smooth = null;
    this.past = [];
    this.future = [];
    this.gesture = null;
    this.listeners = [];
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  // All changes of one gesture (a slider that is dragged) are one step to undo.
  change(patch, gesture = null) {
    const next = { ...this.state, ...patch };
    if (JSON.stringify(next) === JSON.stringify(this.state)) return;
    if (gesture === null || gesture !== this.gesture) {
      this.past.push(this.state);
      if (this.past.length > MOST_UNDO) this.past.shift();
      this.future = [];
    }
    this.gesture = gesture;
    this.show(next);
  }

  move(number, magnitude, gesture = null) {
    this.moveAll({ [number]: magnitude }, gesture);
  }

  moveAll(moves, gesture = null) {
    const magnitudes = { ...this.state.magnitudes };
    for (const [number, magnitude] of Object.entries(moves)) {
      const rounded = Math.round(magnitude * 1000) / 1000;
      if (rounded) magnitudes[number] = rounded;
      else delete magnitudes[number];
    }
    this.change({ magnitudes }, gesture);
  }

  settle() {
    this.gesture = null;
    this.tell("settled");
  }

  undo() {
    if (!this.past.length) return;
    this.future.push(this.state);
    this.gesture = null;
    this.show(this.past.pop());
    this.tell("settled");
  }

  redo() {
    if (!this.future.length) return;
    this.past.push(this.state);
    this.gesture = null;
    this.show(this.future.pop());
    this.tell("settled");
  }

  look(view, smooth = this.smooth) {
    this.view = view;
    this.smooth = smooth;
    this.tell("view");
  }

  show(state) {
    this.state = state;
    this.tell("state");
  }

  tell(what) {
    for (const listener of this.listeners) listener(what);
  }
}

// A frame that a notebook filled without a server has no address of its own, and browsers refuse to write one.
export function isLinkable() {
  return location.protocol !== "about:";
}

export function toHash(state, view, smooth = null) {
  const parts = new URLSearchParams();
  const { latent } = state;
  if ("seed" in latent) parts.set("seed", latent.seed);
  else if ("photo" in latent) parts.set("photo", latent.photo);
  else parts.set("latent", JSON.stringify(latent));
  const moved = Object.entries(state.magnitudes).map(([number, magnitude]) => `${number}:${magnitude}`);
  if (moved.length) parts.set("move", moved.join(","));
  if (state.layers) parts.set("layers", state.layers.join("-"));
  if (state.truncation !== null) parts.set("truncation", state.truncation);
  if (state.run !== null) parts.set("run", state.run);
  if (view !== "edited") parts.set("view", view);
  if (smooth !== null) parts.set("smooth", smooth ? "yes" : "no");
  return parts.toString();
}

// Null where the text is no state of this page: a link may come from anywhere.
export function fromHash(text, facts) {
  const parts = new URLSearchParams(text);
  const state = firstState();
  try {
    if (parts.has("seed")) state.latent = { seed: Number(parts.get("seed")) };
    else if (parts.has("photo")) state.latent = { photo: parts.get("photo") };
    else if (parts.has("latent")) state.latent = JSON.parse(parts.get("latent"));
    else return null;
    if (!isLatent(state.latent, facts)) return null;
    const known = new Set(facts.directions.map((direction) => direction.number));
    for (const part of (parts.get("move") || "").split(",").filter(Boolean)) {
      const [number, magnitude] = part.split(":").map(Number);
      if (!known.has(number) || !Number.isFinite(magnitude)) return null;
      state.magnitudes[number] = magnitude;
    }
    if (parts.has("layers")) state.layers = parts.get("layers").split("-").map(Number);
    if (parts.has("truncation")) state.truncation = Number(parts.get("truncation"));
    if (parts.has("run")) state.run = parts.get("run");
  } catch {
    return null;
  }
  const [first, last] = state.layers || [0, 1];
  if (!(Number.isInteger(first) && Number.isInteger(last) && first >= 0 && first < last && last <= facts.num_layers)) return null;
  if (state.truncation !== null && !(state.truncation >= 0 && state.truncation <= 1)) return null;
  if (state.run !== null && !facts.runs.includes(state.run)) return null;
  const view = VIEWS.includes(parts.get("view")) ? parts.get("view") : "edited";
  const smooth = { yes: true, no: false }[parts.get("smooth")] ?? null;
  return { state, view, smooth };
}

function isLatent(latent, facts) {
  if ("seed" in latent) return Number.isSafeInteger(latent.seed) && latent.seed >= 0 && (facts.seeds === null || latent.seed < facts.seeds);
  if ("photo" in latent) return facts.photos.includes(latent.photo);
  if ("values" in latent) {
    const numbers = numbersOf(latent.values);
    const fits = [facts.latent_dim, facts.latent_dim * facts.num_layers].includes(numbers.length);
    return fits && numbers.every(Number.isFinite);
  }
  const [a, b, t] = latent.between;
  return isLatent(a, facts) && isLatent(b, facts) && t >= 0 && t <= 1;
}
