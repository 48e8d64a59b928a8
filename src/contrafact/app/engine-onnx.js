// The generator inside the page: its graph, and onnxruntime-web to run it, unpacked from the page itself.

import { fromBase64, inflate } from "./bytes.js";
import { latentBetween, mix, numbersOf, onLayers } from "./latents.js";
import { Queue } from "./renders.js";
import { chosenDirections, latentFile } from "./tensors.js";

// A browser that is short of memory may end a worker without a word. A picture that takes longer than this, and than so
// many times the slowest so far, is one that does not come.
const PATIENCE = 20_000, TIMES = 20;

export class OnnxEngine {
  async connect(said = () => {}) {
    this.facts = JSON.parse(document.getElementById("facts").textContent);
    this.asked = new Map();
    this.lastId = 0;
    said("Unpacking the generator…");
    const [graph, readerGraph, wasm, worker, latents, photos] = await Promise.all(
      ["graph", "reader", "wasm", "worker", "latents", "photos"].map(unpack));
    this.latents = new Float32Array(latents.buffer, latents.byteOffset, latents.byteLength / 4);
    this.photos = photos && new Float32Array(photos.buffer, photos.byteOffset, photos.byteLength / 4);
    this.script = URL.createObjectURL(new Blob([worker], { type: "text/javascript" }));
    this.parts = { wasm: wasm.buffer, graph, readerGraph };
    this.slowest = 0;
    said("Starting the generator…");
    await this.start(this.processors());
    this.queue = new Queue((job) => this.run(job));
    return this.facts;
  }

  async start(processors) {
    this.worker?.terminate();
    this.worker = new Worker(this.script);
    this.worker.onmessage = ({ data }) => this.answered(data);
    this.worker.onerror = (event) => this.failed(event.message || "the browser refused to start a worker");
    const trial = this.job({ latent: { seed: 0 }, magnitudes: {}, layers: null, truncation: null });
    const { on } = await this.send({ start: { ...this.parts, processors, trial } });
    this.facts.on = on;
  }

  // The address may choose: ?on=webgpu, ?on=wasm.
  processors() {
    const wish = new URLSearchParams(location.search).get("on");
    const known = this.facts.webgpu ? ["wasm", "webgpu"] : ["wasm"];
    return known.includes(wish) ? [wish] : known;
  }

  send(message) {
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      this.asked.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...message });
    });
  }

  answered({ id, made, error }) {
    const { resolve, reject } = this.asked.get(id);
    this.asked.delete(id);
    if (error) reject(new Error(error));
    else resolve(made);
  }

  failed(reason) {
    for (const { reject } of this.asked.values()) reject(new Error(reason));
    this.asked.clear();
  }

  render(state, { slot, want }) {
    return this.queue.add(slot, { state, want });
  }

  async run({ state, want }) {
    const started = performance.now();
    const made = await this.made({ run: { ...this.job(state), wantCodes: want.includes("codes") } });
    this.slowest = Math.max(this.slowest, performance.now() - started);
    this.facts.on = made.on;
    return { ...made, seconds: (performance.now() - started) / 1000, warnings: [] };
  }

  // What a worker makes; where it has gone, what a new one does.
  async made(message) {
    const late = Symbol("late");
    const wait = () => new Promise((resolve) => (this.clock = setTimeout(resolve, Math.max(PATIENCE, TIMES * this.slowest), late)));
    for (const last of [false, true]) {
      const made = await Promise.race([this.send(message), wait()]).finally(() => clearTimeout(this.clock));
      if (made !== late) return made;
      this.failed("the generator does not answer");  // which nobody waits for any more
      await this.start(["wasm"]);
      if (last) throw new Error("The generator did not answer twice, so there is no picture; it was started again.");
    }
  }

  job(state) {
    const { num_layers: layers, latent_dim: dim, directions } = this.facts;
    const start = this.numbers(state.latent, state.truncation);
    const magnitudes = new Float32Array(this.facts.num_directions);
    for (const [number, magnitude] of Object.entries(state.magnitudes)) magnitudes[number] = magnitude;
    const [first, last] = state.layers || directions[0]?.layers || [0, layers];
    return {
      latent: layers > 1 ? onLayers(start, layers, dim) : start,
      shape: layers > 1 ? [1, layers, dim] : [1, dim],
      magnitudes,
      layers: Float32Array.from({ length: layers }, (_, layer) => (layer >= first && layer < last ? 1 : 0)),
    };
  }

  numbers(latent, truncation) {
    const { latent_dim: dim, num_layers: layers, seeds, photos } = this.facts;
    if ("values" in latent) return numbersOf(latent.values);
    if ("photo" in latent) {
      const size = this.photos.length / photos.length;
      const place = photos.indexOf(latent.photo);
      return this.photos.slice(place * size, (place + 1) * size);
    }
    if ("between" in latent) {
      const [a, b, t] = latent.between;
      let ends = [a, b].map((end) => this.numbers(end, truncation));
      if (ends[0].length !== ends[1].length) ends = ends.map((end) => onLayers(end, layers, dim));
      return latentBetween(ends[0], ends[1], t, this.facts);
    }
    const [drawn, mean] = [0, seeds * dim].map((from) =>
      this.latents.slice(from + latent.seed * dim, from + (latent.seed + 1) * dim));
    const { value, changeable } = this.facts.truncation;
    return changeable ? mix(mean, drawn, truncation ?? value) : drawn;
  }

  async save(what, { state, name, numbers, names }) {
    if (what === "directions") {
      return chosenDirections(await unpack("directions"), numbers, names);
    }
    const { latent, truncation } = state;
    return latentFile(Float32Array.from(this.numbers(latent, truncation)), name, this.facts);
  }

  canSave(what) {
    return what === "latent" || document.getElementById(`data-${what}`) !== null;
  }
}

async function unpack(name) {
  const element = document.getElementById(`data-${name}`);
  return element && inflate(fromBase64(element.textContent));
}
