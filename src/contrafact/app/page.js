// The page: brings its parts together, reads and writes the link, listens to the keyboard.

import { Codes } from "./codes.js";
import { Keep } from "./keep.js";
import { find, make } from "./marks.js";
import { Plane } from "./plane.js";
import { Renders } from "./renders.js";
import { Samples } from "./samples.js";
import { Sliders } from "./sliders.js";
import { Stage } from "./stage.js";
import { fromHash, isLinkable, Store, toHash, VIEWS } from "./state.js";
import { Tools } from "./tools.js";

const KEYS = [
  ["1 … 9", "go to a slider"], ["← →", "move it by 0.1, with Shift by 1"], ["Home End", "to its limits"], ["Delete", "put it back to 0"],
  ["0", "put all back to 0"], ["[ ]", "sample before, next sample"], ["A", "another sample"], ["P", "pin this picture"],
  ["B", "before, edited"], ["S", "side by side"], ["D", "what changes"], ["M", "smooth, or pixels as squares"], ["Ctrl Z, Ctrl Shift Z", "undo, redo"], ["?", "this list"],
];

export async function start(engine) {
  startTheme();
  let facts;
  try {
    facts = await engine.connect(say);
  } catch (error) {
    say(`The page could not start: ${error.message}`, true);
    return;
  }
  say("");
  new Page(engine, facts);
}

function say(text, serious = false) {
  const message = find("message");
  message.textContent = text;
  message.hidden = !text;
  message.classList.toggle("serious", serious);
}

class Page {
  constructor(engine, facts) {
    const store = new Store(facts);
    const renders = new Renders(engine);
    renders.onBusy = (busy) => find("pictures").setAttribute("aria-busy", busy);
    renders.onError = (message) => say(message, true);
    Object.assign(this, { engine, facts, store, renders });
    find("title").textContent = facts.title;
    const [, height, width] = facts.image_shape;
    find("about").textContent = [
      facts.generator, `${width}×${height}`, `${facts.directions.length} directions`,
      ...(facts.webgpu ? [facts.on === "webgpu" ? "on WebGPU" : "on the processor"] : []),
    ].join(" · ");
    if (facts.notes.length) find("side").append(make("ul", { class: "soft notes" }, ...facts.notes.map((note) => make("li", {}, note))));

    const linked = fromHash(location.hash.slice(1), facts);
    if (linked) [store.state, store.view, store.smooth] = [linked.state, linked.view, linked.smooth];
    this.stage = new Stage(store, renders, VIEWS);
    this.sliders = new Sliders(store, (direction, name) => this.rename(direction, name));
    this.samples = new Samples(store, renders, this.stage);
    this.tools = new Tools(store);
    this.codes = new Codes(store, this.stage, facts.can.includes("search") ? (code, value) => this.search(code, value) : null);
    this.plane = new Plane(store, renders);
    this.keep = new Keep(store, engine, renders, this.stage, this.samples, say);
    this.stage.onDraw = () => this.codes.refresh();
    this.stage.onPicture = (state, made) => {
      this.samples.take(state);
      this.warn(made.warnings);
      say("");
    };
    if (facts.can.includes("invert")) this.photographs();
    this.runs();
    store.listen((what) => this.changed(what));
    this.changed("state");
    find("undo").addEventListener("click", () => store.undo());
    find("redo").addEventListener("click", () => store.redo());
    find("help").addEventListener("click", () => this.help());
    find("keys-list").append(...KEYS.flatMap(([key, does]) => [make("dt", {}, key), make("dd", {}, does)]));
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("hashchange", () => {
      const link = fromHash(location.hash.slice(1), facts);
      if (link && toHash(link.state, link.view, link.smooth) !== this.link()) {
        store.change(link.state);
        store.look(link.view, link.smooth);
        store.settle();
      }
    });
    engine.onRenamed = (changed) => this.renamed(changed);
    engine.onPhotos = (photos) => {
      facts.photos = photos;
      this.samples.listPhotos();
    };
    engine.onConnection = (lost) => {
      say(lost ? "The server is away; the page goes on as soon as it is back. One that is started anew has another address, which it prints." : "", Boolean(lost));
      if (!lost) this.stage.refresh();
    };
    document.documentElement.dataset.ready = "yes";
  }

  changed(what) {
    const { store } = this;
    find("undo").disabled = !store.past.length;
    find("redo").disabled = !store.future.length;
    // Browsers stop pages that write their address at every move of a slider.
    if (what === "state" && store.gesture !== null) return;
    if (isLinkable()) history.replaceState(null, "", `#${this.link()}`);
  }

  link() {
    const { state, view, smooth } = this.store;
    return toHash(state, view, smooth);
  }

  warn(warnings) {
    const beyond = this.sliders.beyond().map(({ direction }) => direction.name);
    find("warning").textContent = beyond.length
      ? `Beyond what the data reach: ${beyond.join(", ")}`
      : warnings.join(" ");
  }

  async rename(direction, name) {
    if (this.store.state.run !== null) {
      say("Open the other run by itself to rename its directions.", true);
      return false;
    }
    if (this.facts.directions.some((other) => other !== direction && other.name === name)) {
      say(`There is a direction called ${name} already.`, true);
      return false;
    }
    try {
      direction.name = (await this.engine.rename?.(direction.number, name)) ?? name;
    } catch (error) {
      say(error.message, true);
      return false;
    }
    say("");
    this.plane.names();
    return true;
  }

  // Another tab has renamed a direction.
  renamed({ number, name }) {
    const direction = this.facts.directions.find((other) => other.number === number);
    if (!direction) return;
    direction.name = name;
    this.sliders.called(direction);
    this.plane.names();
  }

  async search(code, value) {
    say("Searching the nearest latent…");
    try {
      const latent = await this.engine.search(this.store.state, code, value);
      this.store.change({ latent });
      this.store.settle();
    } catch (error) {
      say(error.message, true);
    }
  }

  photographs() {
    find("upload").hidden = false;
    find("upload").addEventListener("click", () => find("file").click());
    find("inversion-stop").addEventListener("click", () => this.engine.stopInverting());
    find("file").addEventListener("change", () => find("file").files[0] && this.invert(find("file").files[0]));
    const drop = find("drop");
    addEventListener("dragenter", (event) => {
      if (event.dataTransfer?.types.includes("Files")) drop.hidden = false;
    });
    addEventListener("dragover", (event) => event.preventDefault());
    drop.addEventListener("dragleave", () => (drop.hidden = true));
    addEventListener("drop", (event) => {
      event.preventDefault();
      drop.hidden = true;
      const [file] = event.dataTransfer.files;
      if (file) this.invert(file);
    });
  }

  async invert(file) {
    const box = find("inversion"), bar = box.querySelector("progress"), text = find("inversion-text");
    box.hidden = false;
    bar.value = 0;
    text.textContent = `Searching the latent of ${file.name}…`;
    try {
      const name = await this.engine.invert(file, (share) => (bar.value = share));
      if (name !== null) {
        if (!this.facts.photos.includes(name)) this.facts.photos.push(name);
        this.samples.listPhotos();
        this.samples.start({ photo: name });
      }
    } catch (error) {
      say(error.message, true);
    }
    box.hidden = true;
    find("file").value = "";
  }

  runs() {
    const { runs, title } = this.facts;
    if (!runs.length) return;
    find("run-choice").hidden = false;
    const select = find("run");
    this.known = new Map([[null, this.facts.directions]]);
    this.shownRun = null;
    select.append(make("option", { value: "" }, title), ...runs.map((run) => make("option", { value: run, dir: "auto" }, run)));
    select.addEventListener("change", () => {
      // The same noise, and no edit: steps of one run's directions mean nothing in another's.
      this.store.change({ run: select.value || null, magnitudes: {} });
      this.store.settle();
    });
    this.store.listen((what) => what === "state" && this.useRun(this.store.state.run));
    this.useRun(this.store.state.run);
  }

  async useRun(run) {
    find("run").value = run ?? "";
    if (run === this.shownRun) return;
    this.shownRun = run;
    if (!this.known.has(run)) this.known.set(run, (await this.engine.factsOf(run)).directions);
    if (run !== this.shownRun) return;
    this.facts.directions = this.known.get(run);
    this.sliders.list();
    this.plane.names();
  }

  help() {
    find("keys").showModal();
  }

  key(event) {
    const { target, key, ctrlKey, metaKey, altKey, shiftKey } = event;
    if (altKey || find("keys").open) return;
    if ((ctrlKey || metaKey) && key.toLowerCase() === "z" && !isText(target)) {
      event.preventDefault();
      if (shiftKey) this.store.redo();
      else this.store.undo();
      return;
    }
    if (ctrlKey || metaKey || isText(target) || target.tagName === "SELECT") return;
    const look = (view) => this.store.look(this.store.view === view ? "edited" : view);
    const act = {
      a: () => this.samples.another(), p: () => this.samples.pin(), b: () => look("before"), s: () => look("both"), d: () => look("change"),
      m: () => this.stage.blend(),
      "[": () => this.samples.step(-1), "]": () => this.samples.step(1), "?": () => this.help(), 0: () => find("reset").click(),
    }[key.toLowerCase()];
    if (act) act();
    else if (/^[1-9]$/.test(key)) this.sliders.focus(Number(key) - 1);
    else return;
    event.preventDefault();
  }
}

function isText(element) {
  return element.tagName === "TEXTAREA" || (element.tagName === "INPUT" && element.type !== "range");
}

function startTheme() {
  const root = document.documentElement;
  find("theme").addEventListener("click", () => {
    const chosen = root.style.colorScheme;
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.style.colorScheme = dark ? "light" : "dark";
  });
}
