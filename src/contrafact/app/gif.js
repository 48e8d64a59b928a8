// GIF87a/89a with one palette for all frames: a palette for each would make still areas flicker.
// Format: CompuServe, "Graphics Interchange Format, Version 89a", 1990. Palette: median cut (Heckbert, SIGGRAPH 1982).

const COLOURS = 256;

export function encodeGif(frames, milliseconds) {
  const { width, height } = frames[0];
  const palette = medianCut(frames);
  const lookup = nearest(palette);
  const out = new Out();
  out.text("GIF89a");
  out.short(width);
  out.short(height);
  out.bytes([0xf7, 0, 0]);
  for (let i = 0; i < COLOURS; i++) out.bytes(palette[i] || [0, 0, 0]);
  out.bytes([0x21, 0xff, 11]);
  out.text("NETSCAPE2.0");
  out.bytes([3, 1, 0, 0, 0]);
  for (const frame of frames) {
    out.bytes([0x21, 0xf9, 4, 4]);
    out.short(Math.round(milliseconds / 10));
    out.bytes([0, 0, 0x2c, 0, 0, 0, 0]);
    out.short(width);
    out.short(height);
    out.bytes([0, 8]);
    const codes = compress(lookup(frame.data));
    for (let i = 0; i < codes.length; i += 255) {
      const block = codes.subarray(i, i + 255);
      out.bytes([block.length]);
      out.bytes(block);
    }
    out.bytes([0]);
  }
  out.bytes([0x3b]);
  return new Blob(out.parts, { type: "image/gif" });
}

class Out {
  constructor() {
    this.parts = [];
  }

  bytes(values) {
    this.parts.push(Uint8Array.from(values));
  }

  short(value) {
    this.bytes([value & 255, value >> 8]);
  }

  text(letters) {
    this.bytes([...letters].map((letter) => letter.charCodeAt(0)));
  }
}

// Five bits a channel are enough to tell boxes apart, and make counting quick.
function medianCut(frames) {
  const counts = new Map();
  for (const { data } of frames) {
    for (let i = 0; i < data.length; i += 4) {
      const key = ((data[i] >> 3) << 10) | ((data[i + 1] >> 3) << 5) | (data[i + 2] >> 3);
      let entry = counts.get(key);
      if (!entry) counts.set(key, (entry = { n: 0, sum: [0, 0, 0] }));
      entry.n++;
      for (let c = 0; c < 3; c++) entry.sum[c] += data[i + c];
    }
  }
  const cells = [...counts.values()].map(({ n, sum }) => ({ n, mean: sum.map((s) => s / n) }));
  const boxes = [boxOf(cells)];
  while (boxes.length < COLOURS) {
    const widest = boxes.reduce((a, b) => (b.cells.length > 1 && b.worth > a.worth ? b : a), { worth: 0 });
    if (!widest.worth) break;
    boxes.splice(boxes.indexOf(widest), 1, ...split(widest));
  }
  return boxes.map((box) => box.mean);
}

function boxOf(cells) {
  const n = cells.reduce((sum, cell) => sum + cell.n, 0);
  const spans = [0, 1, 2].map((c) => {
    const values = cells.map((cell) => cell.mean[c]);
    return values.reduce((a, b) => Math.max(a, b), 0) - values.reduce((a, b) => Math.min(a, b), 255);
  });
  const axis = spans.indexOf(Math.max(...spans));
  const mean = [0, 1, 2].map((c) => Math.round(cells.reduce((sum, cell) => sum + cell.n * cell.mean[c], 0) / n));
  return { cells, n, axis, mean, worth: spans[axis] * Math.sqrt(n) };
}

function split({ cells, n, axis }) {
  const sorted = cells.sort((a, b) => a.mean[axis] - b.mean[axis]);
  let seen = 0, at = 0;
  while (at < sorted.length - 1 && (at === 0 || seen + sorted[at].n <= n / 2)) seen += sorted[at++].n;
  return [boxOf(sorted.slice(0, at)), boxOf(sorted.slice(at))];
}

function nearest(palette) {
  const known = new Map();
  return (data) => {
    const indices = new Uint8Array(data.length / 4);
    for (let i = 0; i < data.length; i += 4) {
      const key = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
      let best = known.get(key);
      if (best === undefined) {
        let least = Infinity;
        palette.forEach((colour, number) => {
          const far = (colour[0] - data[i]) ** 2 + (colour[1] - data[i + 1]) ** 2 + (colour[2] - data[i + 2]) ** 2;
          if (far < least) [least, best] = [far, number];
        });
        known.set(key, best);
      }
      indices[i / 4] = best;
    }
    return indices;
  };
}

// LZW with codes of 9 to 12 bits, least bit first.
function compress(indices) {
  const clear = 256, end = 257;
  const bytes = [];
  let held = 0, bits = 0, size = 9, next = 258, table = new Map();
  const write = (code) => {
    held |= code << bits;
    bits += size;
    while (bits >= 8) {
      bytes.push(held & 255);
      held >>>= 8;
      bits -= 8;
    }
  };
  write(clear);
  let prefix = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const key = (prefix << 8) | indices[i];
    const found = table.get(key);
    if (found !== undefined) {
      prefix = found;
      continue;
    }
    write(prefix);
    if (next < 4096) {
      table.set(key, next);
      if (next === 1 << size && size < 12) size++;
      next++;
    } else {
      write(clear);
      table = new Map();
      [size, next] = [9, 258];
    }
    prefix = indices[i];
  }
  write(prefix);
  // The reader has added an entry for this code too, and may read the next one a bit wider.
  if (next === 1 << size && size < 12) size++;
  write(end);
  if (bits) bytes.push(held & 255);
  return Uint8Array.from(bytes);
}
