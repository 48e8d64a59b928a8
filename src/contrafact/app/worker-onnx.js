// Runs the graphs beside the page, so that a slow picture never keeps a slider from moving. onnxruntime-web stands
// before these lines and has set self.ort.

let picture, reader;

async function start({ wasm, graph, readerGraph }) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm;
  const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
  picture = await ort.InferenceSession.create(graph, options);
  reader = readerGraph && await ort.InferenceSession.create(readerGraph, options);
}

async function run({ latent, shape, magnitudes, layers, wantCodes }) {
  const given = {
    latent: new ort.Tensor("float32", latent, shape),
    magnitudes: new ort.Tensor("float32", magnitudes, [magnitudes.length]),
    layers: new ort.Tensor("float32", layers, [layers.length]),
  };
  const made = await picture.run(Object.fromEntries(picture.inputNames.map((name) => [name, given[name]])));
  if (!Number.isFinite(made.mean.data[0])) {
    throw new Error("The generator gives no finite numbers here, so there is no picture; move the sliders back.");
  }
  const [height, width] = made.picture.dims;
  const codes = wantCodes && reader ? (await reader.run({ [reader.inputNames[0]]: made.picture })).codes.data : null;
  return { width, height, rgba: new Uint8ClampedArray(made.picture.data), codes, moved: new Float32Array(made.moved.data) };
}

onmessage = async ({ data: { id, start: parts, run: job } }) => {
  try {
    const made = parts ? await start(parts) : await run(job);
    postMessage({ id, made }, made ? [made.rgba.buffer] : []);
  } catch (error) {
    postMessage({ id, error: String(error.message || error) });
  }
};
