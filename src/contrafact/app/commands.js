// The command and the Python lines that make this picture again.

export function isKept(latent) {
  return !("seed" in latent);
}

function steps(state) {
  return Object.entries(state.magnitudes).map(([number, by]) => [Number(number), by]).sort((a, b) => a[0] - b[0]);
}

export function commandOf(state, facts, file) {
  const moved = steps(state);
  const truncated = state.truncation !== null && !isKept(state.latent);
  const prefix = truncated ? facts.command.edit.replace(/ --truncation \S+/, "") : facts.command.edit;
  const parts = [prefix, isKept(state.latent) ? `--latents ${file}` : `--latent ${state.latent.seed}`];
  // The command wants a direction; a step of nothing leaves the picture as it is.
  const [numbers, by] = moved.length ? [moved.map(([n]) => n), moved.map(([, m]) => m)] : [[0], [0]];
  parts.push(`--direction ${numbers.join(" ")}`, `--by ${by.join(" ")}`);
  if (state.layers) parts.push(`--layers ${state.layers.join(" ")}`);
  if (truncated) parts.push(`--truncation ${state.truncation}`);
  return parts.join(" ");
}

export function pythonOf(state, facts, file) {
  const moved = steps(state);
  const kept = isKept(state.latent);
  const lines = [...facts.command.python];
  if (kept) lines.push("from contrafact.editing.latents import edit, load_latents", "");
  else lines.push("import torch", "from contrafact.core.generator import sample_latents", "from contrafact.editing.latents import edit", "");
  if (state.truncation !== null && !kept) lines.push(`generator = generator.truncated(${state.truncation})`);
  lines.push(kept ? `latent = load_latents("${file}").latents` : `latent = sample_latents(generator, 1, torch.Generator().manual_seed(${state.latent.seed}))`);
  if (moved.length) {
    const list = moved.map(([number, by]) => `(${number}, ${by})`).join(", ");
    const layers = state.layers ? `, layers=(${state.layers.join(", ")})` : "";
    lines.push(`latent = edit(generator, directions, latent, [${list}]${layers})`);
  }
  lines.push("image = generator(latent)");
  return lines.join("\n");
}
