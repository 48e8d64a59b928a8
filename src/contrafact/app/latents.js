// Latents as a state names them: a seed, a photograph, the numbers themselves, or a place between two others.

import { fromBase64, toBase64 } from "./bytes.js";

export function latentOf(numbers) {
  return { values: toBase64(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)) };
}

export function numbersOf(text) {
  const bytes = fromBase64(text);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
}

export function mix(a, b, t) {
  return a.map((value, i) => (1 - t) * value + t * b[i]);
}

// One row for every layer, where the generator takes one for each.
export function onLayers(numbers, layers, dim) {
  if (numbers.length === layers * dim) return numbers;
  const all = new Float32Array(layers * dim);
  for (let layer = 0; layer < layers; layer++) all.set(numbers, layer * dim);
  return all;
}

export function sameLatent(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

export function nameOf(latent) {
  if ("seed" in latent) return `sample ${latent.seed}`;
  if ("photo" in latent) return latent.photo;
  if ("between" in latent) return `${nameOf(latent.between[0])} to ${nameOf(latent.between[1])}`;
  return "a latent";
}

// A name that is safe in a file's name on every system.
export function fileName(latent) {
  return nameOf(latent).replace(/\.[a-z]{3,4}$/i, "").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "latent";
}
