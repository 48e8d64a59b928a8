// safetensors files, as contrafact reads them: a length, a header in JSON, the numbers.

export function readTensors(bytes) {
  const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const { __metadata__: texts, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  return { texts, entries, data: bytes.subarray(8 + size) };
}

export function writeTensors(texts, entries, data) {
  let header = JSON.stringify({ __metadata__: texts, ...entries });
  let encoded = new TextEncoder().encode(header);
  encoded = new TextEncoder().encode(header + " ".repeat((8 - (encoded.length % 8)) % 8));
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(encoded.length), true);
  return new Blob([length.buffer, encoded, data]);
}

// Chosen directions under their new names, around the whole file they come from, whatever kind they are.
export function chosenDirections(bytes, numbers, names) {
  const { texts, entries, data } = readTensors(bytes);
  const { contrafact_sha256: outdated, ...kept } = texts;
  const source = { class: texts.class, arguments: JSON.parse(texts.arguments) };
  const described = {
    ...kept,
    class: "directions/chosen",
    arguments: JSON.stringify({ source, chosen: numbers, names }),
  };
  const inside = Object.fromEntries(Object.entries(entries).map(([name, entry]) => [`inner.${name}`, entry]));
  return writeTensors(described, inside, data);
}

export function latentFile(numbers, name, facts) {
  const { latent_dim: dim, num_layers: layers } = facts;
  const shape = numbers.length === dim ? [1, dim] : [1, layers, dim];
  const texts = {
    format: "contrafact latents", version: "1", names: JSON.stringify([name]), facts: "{}", ...facts.belongs,
  };
  const entry = { dtype: "F32", shape, data_offsets: [0, numbers.byteLength] };
  return writeTensors(texts, { latents: entry }, new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
}
