// What a person takes along: the picture, an animation, the latent, the directions, the command and the Python lines.

import { download } from "./bytes.js";
import { commandOf, isKept, pythonOf } from "./commands.js";
import { encodeGif } from "./gif.js";
import { fileName } from "./latents.js";
import { find, make } from "./marks.js";
import { enlarged, paint, pixelsOf } from "./pixels.js";
import { stateBetween } from "./samples.js";
import { isLinkable } from "./state.js";

// Safari records no WebM.
const RECORDED = [["WebM", "video/webm"], ["MP4", "video/mp4"]];
const FRAMES = 20, MILLISECONDS = 60, FPS = 16, LEAST_SIDE = 256;

export class Keep {
  constructor(store, engine, renders, stage, samples, say) {
    Object.assign(this, { store, engine, renders, stage, samples, say });
    const button = (text, title, act) => {
      const made = make("button", { type: "button", title }, text);
      made.addEventListener("click", async () => {
        made.disabled = true;
        try {
          await act();
        } catch (error) {
          say(error.message);
        }
        made.disabled = false;
      });
      return made;
    };
    this.what = make("select", { "aria-label": "What the animation shows" },
      make("option", { value: "edit" }, "from before to after"),
      make("option", { value: "slider" }, "the last slider, end to end"),
      make("option", { value: "pins" }, "through the pins"));
    this.status = make("span", { class: "soft", role: "status", "aria-live": "polite" });
    const server = store.facts.engine === "server";
    const films = [button("GIF", "An animation that plays anywhere", () => this.film("gif"))];
    if (server && store.facts.can.includes("mp4")) films.push(button("MP4", "A video", () => this.film("mp4")));
    else {
      const [name, type] = RECORDED.find(([, given]) => globalThis.MediaRecorder?.isTypeSupported(given)) ?? [];
      if (name) films.push(button(name, "A video, recorded as it plays", () => this.film(name.toLowerCase(), type)));
    }
    this.command = make("code", {});
    this.python = make("code", {});
    find("keep").append(
      make("div", { class: "row" }, button("Picture", "A PNG of the picture as it is on show", () => this.picture()),
        button("Latent", "The latent of this picture before the edit, for contrafact edit --latents", () => this.latent()),
        engine.canSave("directions") ? button("Directions", "The directions that are moved now, or all where none is, under their new names", () => this.directions()) : null,
        isLinkable() ? button("Link", "The page's address with what is on show", () => this.copy(location.href, "Link copied")) : null),
      make("div", { class: "row" }, make("span", { class: "soft" }, "Animation"), this.what, ...films), this.status,
      ...[["Command", this.command], ["Python", this.python]].map(([name, code]) => make("figure", { class: "lines" },
        make("figcaption", {}, name, make("button", { type: "button", class: "quiet", "aria-label": `Copy ${name}`, on: { click: () => this.copyLines(code) } }, "Copy")),
        make("pre", { tabindex: 0, "aria-label": name }, code))));
    store.listen((what) => what === "state" && this.refresh());
    this.lastMoved = null;
    this.refresh();
  }

  refresh() {
    const { state, facts } = this.store;
    for (const [number, magnitude] of Object.entries(state.magnitudes)) {
      if (this.known?.[number] !== magnitude) this.lastMoved = Number(number);
    }
    this.known = state.magnitudes;
    const file = `${fileName(state.latent)}.safetensors`;
    const note = isKept(state.latent) ? `# keep the latent as ${file} first\n` : "";
    this.command.textContent = note + commandOf(state, facts, file);
    this.python.textContent = note + pythonOf(state, facts, file);
  }

  async copyLines(code) {
    const { state } = this.store;
    if (isKept(state.latent) && this.engine.again) {
      const { edit, python, latents } = await this.engine.again(state);
      [this.command.textContent, this.python.textContent] = [edit, python];
      this.tell(`The latent is in ${latents}`);
    }
    await this.copy(code.textContent, "Copied");
  }

  name() {
    const { latent, magnitudes } = this.store.state;
    return fileName(latent) + (Object.keys(magnitudes).length ? "-edited" : "");
  }

  async copy(text, said) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Some browsers keep the clipboard from pages that were opened as files.
      const area = make("textarea", { "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    this.tell(said);
  }

  tell(text) {
    this.status.textContent = text;
  }

  async picture() {
    const shown = this.store.view === "both" ? this.sideBySide() : this.stage.canvas;
    const blob = await new Promise((resolve) => shown.toBlob(resolve, "image/png"));
    download(blob, `${this.name()}.png`);
  }

  sideBySide() {
    const { width, height } = this.stage.edited;
    const both = make("canvas", { width: 2 * width, height });
    const pen = both.getContext("2d");
    pen.drawImage(this.stage.beforeCanvas, 0, 0);
    pen.drawImage(this.stage.edited, width, 0);
    return both;
  }

  async latent() {
    const { state } = this.store;
    const name = fileName(state.latent);
    this.give(await this.engine.save("latent", { state, name }), `${name}.safetensors`);
  }

  async directions() {
    const { state, facts } = this.store;
    const moved = Object.keys(state.magnitudes).map(Number).sort((a, b) => a - b);
    const numbers = moved.length ? moved : facts.directions.map(({ number }) => number).sort((a, b) => a - b);
    const names = numbers.map((number) => facts.directions.find((direction) => direction.number === number).name);
    const made = await this.engine.save("directions", { state, numbers, names });
    this.give(made, "directions.safetensors", moved.length ? names.join(", ") : `all ${numbers.length}`);
  }

  // An engine gives the bytes, or the name of the file that it has written itself.
  give(made, name, what = "") {
    if (made instanceof Blob) download(made, name);
    this.tell(`Kept${what && ` ${what}`}${made instanceof Blob ? "" : ` in ${made}`}`);
  }

  async film(kind, type = null) {
    const states = this.frames();
    if (kind === "mp4" && !type) {
      this.tell("Making the video…");
      this.give(await this.engine.film(states, kind, FPS), `${this.name()}.mp4`);
      return;
    }
    const frames = [];
    for (const [number, state] of states.entries()) {
      this.tell(`Picture ${number + 1} of ${states.length}`);
      const made = await this.renders.ask("film", state);
      if (!made) return;
      const canvas = make("canvas");
      paint(canvas, made);
      frames.push(enlarged(canvas, LEAST_SIDE));
    }
    const blob = kind === "gif" ? encodeGif(frames.map(pixelsOf), MILLISECONDS) : await record(frames, type);
    download(blob, `${this.name()}.${kind}`);
    this.tell(`${kind.toUpperCase()}, ${Math.max(1, Math.round(blob.size / 1000))} kB`);
  }

  frames() {
    const { state, facts } = this.store;
    const there = Array.from({ length: FRAMES }, (_, i) => i / (FRAMES - 1));
    const andBack = (frames) => [...frames, ...frames.slice(1, -1).reverse()];
    if (this.what.value === "pins") {
      const { pins } = this.samples;
      if (pins.length < 2) throw new Error("Pin two pictures first, then the animation goes from one to the next.");
      const legs = pins.slice(1).flatMap((pin, i) => there.map((t) => stateBetween(pins[i].state, pin.state, t)));
      return andBack(legs);
    }
    if (this.what.value === "slider") {
      const direction = facts.directions.find(({ number }) => number === this.lastMoved) || facts.directions[0];
      if (direction.circle) {
        // A whole turn, which ends where it began: no way back.
        return there.slice(1).map((t) => ({ ...state, magnitudes: { ...state.magnitudes, [direction.number]: Math.PI * (2 * t - 1) } }));
      }
      const at = (t) => ({ ...state.magnitudes, [direction.number]: (2 * t - 1) * direction.limit });
      return andBack(there.map((t) => ({ ...state, magnitudes: at(t) })));
    }
    if (!Object.keys(state.magnitudes).length) throw new Error("Move a slider first, then there is something to animate.");
    return andBack(there.map((t) => stateBetween({ ...state, magnitudes: {} }, state, t)));
  }
}

async function record(frames, type) {
  const canvas = make("canvas", { width: frames[0].width, height: frames[0].height });
  const pen = canvas.getContext("2d");
  pen.drawImage(frames[0], 0, 0);
  const stream = canvas.captureStream(0);
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 4e6 });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const done = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  for (const frame of frames) {
    pen.drawImage(frame, 0, 0);
    stream.getVideoTracks()[0].requestFrame();
    await new Promise((resolve) => setTimeout(resolve, MILLISECONDS));
  }
  recorder.stop();
  await done;
  return new Blob(parts, { type });
}
