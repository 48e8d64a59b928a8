// The generator on a server: one websocket, the newest picture of every place, and on again by itself when it drops.

import { Stale } from "./renders.js";

const FIRST_WAIT = 250, MOST_WAIT = 5000;

export class ServerEngine {
  constructor(address) {
    this.address = address;
    this.asked = new Map();
    this.lastId = 0;
    this.wait = FIRST_WAIT;
    this.shown = new Map();
    this.onRenamed = () => {};
    this.onPhotos = () => {};
    this.onConnection = () => {};
  }

  connect() {
    return new Promise((resolve, reject) => {
      this.opened = { resolve, reject };
      this.open();
    });
  }

  open() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.told(JSON.parse(data)) : this.given(data));
    socket.onclose = ({ code, reason }) => this.closed(code, reason);
    this.socket = socket;
  }

  // Pictures are asked again when the line is back; jobs are not: a search that was begun has ended with it.
  closed(code, reason) {
    for (const [id, { message, reject }] of this.asked) {
      if (message.type === "render") continue;
      this.asked.delete(id);
      reject(new Error("The connection to the server was lost. Try again when it is back."));
    }
    if (this.opened && !this.facts) {
      this.opened.reject(new Error(reason || "there is no answer from the server; is it still running?"));
      this.opened = null;
      return;
    }
    this.onConnection(true);
    setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(MOST_WAIT, 2 * this.wait);
  }

  told({ id, type, ...said }) {
    if (id === null) {
      if (type === "facts") this.greeted(said.facts);
      if (type === "renamed") this.onRenamed(said);
      if (type === "photos") this.onPhotos(said.photos);
      return;
    }
    const asked = this.asked.get(id);
    if (!asked) return;
    if (type === "progress") {
      asked.onprogress?.(said.total ? said.done / said.total : 0);
      return;
    }
    this.asked.delete(id);
    if (type === "error") asked.reject(new Error(said.message));
    else if (type === "stale" || type === "cancelled") asked.reject(new Stale());
    else asked.resolve(said);
  }

  greeted(facts) {
    this.wait = FIRST_WAIT;
    if (!this.facts) {
      this.facts = facts;
      this.opened.resolve(facts);
      return;
    }
    const newest = new Map([...this.asked].map(([id, { slot }]) => [slot, id]));
    for (const [id, { message, slot, reject }] of this.asked) {
      if (newest.get(slot) === id) {
        this.post(message, null);
        continue;
      }
      this.asked.delete(id);
      reject(new Stale());
    }
    this.onConnection(false);
  }

  async given(data) {
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const asked = this.asked.get(header.id);
    if (!asked) return;
    const body = new Uint8Array(data, 4 + length);
    if (header.type === "film") {
      this.asked.delete(header.id);
      asked.resolve(new Blob([body], { type: header.format === "mp4" ? "video/mp4" : "image/gif" }));
      return;
    }
    if (header.final !== false) this.asked.delete(header.id);
    // Colours as they are: a picture of numbers, not a photograph of a place.
    const bitmap = await createImageBitmap(new Blob([body], { type: `image/${header.format}` }), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    // Two pictures may be unpacked at once, and the older one be ready last.
    if (header.id < (this.shown.get(asked.slot) ?? 0)) {
      this.asked.delete(header.id);
      asked.reject(new Stale());
      return;
    }
    this.shown.set(asked.slot, header.id);
    const { width, height, codes, seconds, warnings } = header;
    const made = { width, height, bitmap, codes: codes && Float32Array.from(codes), seconds, warnings: warnings || [] };
    if (header.final === false) asked.onEarly?.(made);
    else asked.resolve(made);
  }

  ask(message, { body = null, onprogress, onEarly, slot } = {}) {
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      const whole = { id, ...message };
      this.asked.set(id, { message: whole, body, resolve, reject, onprogress, onEarly, slot });
      this.post(whole, body);
    });
  }

  post(message, body) {
    if (this.socket.readyState !== WebSocket.OPEN) {
      if (message.type === "render") return;
      this.asked.get(message.id).reject(new Error("The server is away; try again when it is back."));
      this.asked.delete(message.id);
      return;
    }
    const text = JSON.stringify(message);
    if (!body) {
      this.socket.send(text);
      return;
    }
    const header = new TextEncoder().encode(text);
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, header.length, true);
    this.socket.send(new Blob([length.buffer, header, body]));
  }

  render(state, { slot, side, want, onEarly }) {
    return this.ask({ type: "render", slot, state, side, want }, { slot, onEarly });
  }

  async factsOf(run) {
    return (await this.ask({ type: "facts", run })).facts;
  }

  async rename(number, name) {
    return (await this.ask({ type: "rename", number, name })).name;
  }

  // Null where it was stopped.
  async invert(file, onprogress) {
    const most = this.facts.most_upload;
    if (file.size > most) throw new Error(`${file.name} has ${Math.round(file.size / 2 ** 20)} MiB; a photograph may have at most ${most / 2 ** 20}.`);
    const asked = this.ask({ type: "invert", name: file.name }, { body: file, onprogress });
    this.inverting = this.lastId;
    try {
      return (await asked).photo;
    } catch (error) {
      if (error instanceof Stale) return null;
      throw error;
    }
  }

  stopInverting() {
    this.post({ id: ++this.lastId, type: "cancel", of: this.inverting });
  }

  async search(state, code, value) {
    return (await this.ask({ type: "search", state, code, value })).latent;
  }

  async save(what, { state, name, numbers, names }) {
    const named = numbers && Object.fromEntries(numbers.map((number, i) => [number, names[i]]));
    const { file } = await this.ask({ type: "save", what, state, name, numbers, names: named });
    return file;
  }

  canSave() {
    return true;
  }

  film(states, kind, fps, onprogress) {
    return this.ask({ type: "film", states, kind, fps }, { onprogress });
  }

  // The exact lines, for latents that no seed draws: the server keeps the latent in a file that they name.
  again(state) {
    return this.ask({ type: "again", state });
  }
}
