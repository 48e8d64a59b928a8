// Pictures on canvases.

export function paint(canvas, picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  if (picture.rgba) pen.putImageData(new ImageData(picture.rgba, picture.width, picture.height), 0, 0);
  else pen.drawImage(picture.bitmap, 0, 0);
}

// No side longer than so many pixels: a map of whole pictures would fill a phone's memory.
export function paintReduced(canvas, picture, side) {
  const factor = side / Math.max(picture.width, picture.height);
  if (factor >= 1) {
    paint(canvas, picture);
    return;
  }
  const whole = document.createElement("canvas");
  paint(whole, picture);
  canvas.width = Math.max(1, Math.round(picture.width * factor));
  canvas.height = Math.max(1, Math.round(picture.height * factor));
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(whole, 0, 0, canvas.width, canvas.height);
}

export function pixelsOf(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, canvas.width, canvas.height);
}

// Middle grey where nothing changed.
export function paintChange(canvas, before, after) {
  const [base, now] = [pixelsOf(before), pixelsOf(after)];
  if (base.width !== now.width || base.height !== now.height) return;
  for (let i = 0; i < now.data.length; i += 4) {
    for (let c = 0; c < 3; c++) now.data[i + c] = 128 + (now.data[i + c] - base.data[i + c]);
  }
  paint(canvas, { width: now.width, height: now.height, rgba: now.data });
}

// Pictures of few pixels are enlarged whole: nothing is invented between two pixels.
export function enlarged(canvas, least) {
  const factor = Math.max(1, Math.ceil(least / Math.max(canvas.width, canvas.height)));
  const large = document.createElement("canvas");
  large.width = canvas.width * factor;
  large.height = canvas.height * factor;
  const pen = large.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingEnabled = false;
  pen.drawImage(canvas, 0, 0, large.width, large.height);
  return large;
}
