// Layers and truncation.

import { find, make } from "./marks.js";

export class Tools {
  constructor(store) {
    this.store = store;
    const { num_layers: layers, truncation } = store.facts;
    if (layers === 1 && !truncation.changeable) {
      find("layers-box").hidden = true;
      return;
    }
    if (layers > 1) this.layers(layers);
    if (layers === 1 || !truncation.changeable) find("layers-box").firstChild.textContent = layers > 1 ? "Layers" : "Truncation";
    if (truncation.changeable) this.truncation();
    store.listen((what) => what === "state" && this.refresh());
    this.refresh();
  }

  layers(count) {
    const boxes = Array.from({ length: count }, (_, layer) => make("button", {
      type: "button", class: "layer", "aria-pressed": "true", "aria-label": `Layer ${layer}`, title: `Layer ${layer}`,
      on: { click: (event) => this.pick(layer, event.shiftKey) },
    }));
    this.boxes = boxes;
    this.text = make("span", { class: "soft", "aria-live": "polite" });
    const all = make("button", { type: "button", class: "quiet", on: { click: () => this.set(null) } }, "As found");
    find("layers").append(
      make("div", { class: "row" }, make("span", { id: "layers-label" }, "Steps act on "), this.text, all),
      make("div", { class: "layer-boxes", role: "group", "aria-labelledby": "layers-label" }, ...boxes),
      make("p", { class: "soft" }, "A click chooses one layer, a second click stretches the range to there. Early layers place and shape, late ones colour."));
  }

  pick(layer) {
    const range = this.store.state.layers;
    if (range && range[1] - range[0] === 1 && range[0] !== layer) {
      this.set([Math.min(range[0], layer), Math.max(range[0], layer) + 1]);
    } else {
      this.set([layer, layer + 1]);
    }
  }

  set(layers) {
    this.store.change({ layers });
    this.store.settle();
  }

  truncation() {
    const { store } = this;
    this.slider = make("input", { type: "range", min: 0, max: 1, step: 0.01, id: "truncation", class: "plain" });
    this.number = make("output", { for: "truncation" });
    this.slider.addEventListener("input", () => store.change({ truncation: Number(this.slider.value) }, "truncation"));
    this.slider.addEventListener("change", () => store.settle());
    this.slider.addEventListener("dblclick", () => {
      store.change({ truncation: null });
      store.settle();
    });
    find("layers").append(make("div", { class: "labelled" }, make("label", { for: "truncation" }, "Truncation"), this.slider, this.number));
  }

  refresh() {
    const { state, facts } = this.store;
    if (this.boxes) {
      const [first, last] = state.layers || facts.directions[0]?.layers || [0, facts.num_layers];
      this.boxes.forEach((box, layer) => box.setAttribute("aria-pressed", layer >= first && layer < last));
      const all = first === 0 && last === facts.num_layers;
      this.text.textContent = all ? "all layers" : last - first === 1 ? `layer ${first}` : `layers ${first} to ${last - 1}`;
    }
    if (this.slider) {
      const value = state.truncation ?? facts.truncation.value;
      this.slider.value = value;
      this.number.textContent = value.toFixed(2);
      this.slider.disabled = !("seed" in state.latent || "between" in state.latent);
    }
  }
}
