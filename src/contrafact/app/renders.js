// Who asks for pictures, and the rule that only the newest of a place counts.

export class Stale extends Error {}

export class Renders {
  constructor(engine) {
    this.engine = engine;
    this.busy = new Set();
    this.onBusy = () => {};
    this.onError = () => {};
  }

  // Null where a newer picture of the same slot was asked meanwhile, or where there is none (and it was said why).
  async ask(slot, state, options = {}) {
    const token = {};
    this.busy.add(token);
    this.onBusy(true);
    try {
      return await this.engine.render(state, { slot, side: null, want: [], ...options });
    } catch (error) {
      if (!(error instanceof Stale)) this.onError(error.message);
      return null;
    } finally {
      this.busy.delete(token);
      this.onBusy(this.busy.size > 0);
    }
  }
}

// One render at a time, the newest of every slot, the large picture before the small ones.
export class Queue {
  constructor(work) {
    this.work = work;
    this.waiting = new Map();
    this.running = false;
  }

  add(slot, job) {
    this.waiting.get(slot)?.reject(new Stale());
    return new Promise((resolve, reject) => {
      this.waiting.set(slot, { job, resolve, reject });
      this.next();
    });
  }

  async next() {
    if (this.running || !this.waiting.size) return;
    this.running = true;
    const slot = ["main", "before"].find((first) => this.waiting.has(first)) ?? this.waiting.keys().next().value;
    const { job, resolve, reject } = this.waiting.get(slot);
    this.waiting.delete(slot);
    await this.work(job).then(resolve, reject);
    this.running = false;
    this.next();
  }
}
