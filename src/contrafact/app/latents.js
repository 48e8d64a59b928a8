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

// As latent_between of the generator: in each row the first numbers may have a length to keep, and turn.
export function latentBetween(a, b, t, { latent_dim: dim, sphere_dim: turning }) {
  const mixed = mix(a, b, t);
  for (let row = 0; turning && row < a.length; row += dim) {
    mixed.set(onGreatCircle(a.subarray(row, row + turning), b.subarray(row, row + turning), t), row);
  }
  return mixed;
}

function onGreatCircle(a, b, t) {
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  const angle = Math.acos(Math.min(1, Math.max(-1, dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1))));
  if (Math.abs(Math.sin(angle)) < 1e-6) return mix(a, b, t);
  const [start, end] = [1 - t, t].map((share) => Math.sin(share * angle) / Math.sin(angle));
  return a.map((value, i) => start * value + end * b[i]);
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
