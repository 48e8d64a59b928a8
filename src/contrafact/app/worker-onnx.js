// Runs the graphs beside the page, so that a slow picture never keeps a slider from moving. onnxruntime-web stands
// before these lines and has set self.ort.

const ROUNDS = 3;
let picture, reader, graph, on;

async function start({ wasm, graph: given, readerGraph, processors, trial }) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = wasm;
  graph = given;
  picture = await load(graph, "wasm");
  on = "wasm";
  if (processors.includes("webgpu")) await tryGraphics(feeds(trial), !processors.includes("wasm"));
  reader = readerGraph && await load(readerGraph, "wasm");
  return { on };
}

function load(bytes, processor) {
  // Silent on nodes that stay with the processor: WebGPU has no bytes, so the last one of every graph does.
  const quiet = { logSeverityLevel: 3 };
  return ort.InferenceSession.create(bytes, { executionProviders: [processor], graphOptimizationLevel: "all", ...quiet });
}

// The graphics processor takes over where it makes the same picture, and sooner: drivers differ in both. One that the
// browser only pretends to have is never sooner, and compiling for it takes seconds.
async function tryGraphics(trial, whateverItTakes) {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter || (adapter.info.isFallbackAdapter && !whateverItTakes)) return;
  const rival = await load(graph, "webgpu").catch(() => null);
  if (!rival) return;
  const [mine, its] = [await timed(picture, trial), await timed(rival, trial).catch(() => null)];
  const same = its && its.rgba.every((value, i) => Math.abs(value - mine.rgba[i]) <= 1);
  const taken = same && (whateverItTakes || its.seconds < mine.seconds);
  await (taken ? picture : rival).release();
  if (taken) [picture, on] = [rival, "webgpu"];
}

async function timed(session, trial) {
  let made = await session.run(trial), seconds = Infinity;  // the first run compiles
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    made = await session.run(trial);
    seconds = Math.min(seconds, performance.now() - started);
  }
  return { rgba: made.picture.data, seconds };
}

function feeds({ latent, shape, magnitudes, layers }) {
  const given = {
    latent: new ort.Tensor("float32", latent, shape),
    magnitudes: new ort.Tensor("float32", magnitudes, [magnitudes.length]),
    layers: new ort.Tensor("float32", layers, [layers.length]),
  };
  return Object.fromEntries(picture.inputNames.map((name) => [name, given[name]]));
}

// A graphics processor may be taken away at any time, by sleep or by another program.
async function drawn(given) {
  try {
    return await picture.run(given);
  } catch (error) {
    if (on === "wasm") throw error;
    [picture, on] = [await load(graph, "wasm"), "wasm"];
    return picture.run(given);
  }
}

async function run(job) {
  const made = await drawn(feeds(job));
  if (!Number.isFinite(made.mean.data[0])) {
    throw new Error("The generator gives no finite numbers here, so there is no picture; move the sliders back.");
  }
  const [height, width] = made.picture.dims;
  const codes = job.wantCodes && reader ? (await reader.run({ [reader.inputNames[0]]: made.picture })).codes.data : null;
  return { width, height, rgba: new Uint8ClampedArray(made.picture.data), codes, moved: new Float32Array(made.moved.data), on };
}

onmessage = async ({ data: { id, start: parts, run: job } }) => {
  try {
    const made = parts ? await start(parts) : await run(job);
    postMessage({ id, made }, made.rgba ? [made.rgba.buffer] : []);
  } catch (error) {
    postMessage({ id, error: String(error.message || error) });
  }
};
