"use strict";

const root = document.documentElement;

function isDark() {
  const chosen = root.style.colorScheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

document.getElementById("theme").addEventListener("click", () => {
  root.style.colorScheme = isDark() ? "light" : "dark";
});

// The explorer: every direction is one picture with a row per sample and a column per step. Nothing is computed here,
// only the right cell is drawn.
const explorer = document.getElementById("explorer");
if (explorer) startExplorer(explorer, JSON.parse(document.getElementById("sweep").textContent));

function startExplorer(box, sweep) {
  const slider = box.querySelector("input[type=range]");
  const readout = box.querySelector("output");
  const play = box.querySelector("#play");
  const difference = box.querySelector("#difference");
  const title = box.querySelector("#now");
  const choices = [...box.querySelectorAll(".choices button")];
  const samples = [...box.querySelectorAll(".small button")];
  const large = box.querySelector(".large");
  const middle = Math.floor(sweep.steps / 2);
  const state = { sheet: null, direction: 0, sample: 0, playing: false, forward: true, last: 0 };

  function drawCell(canvas, sample, step) {
    const { width, height } = sweep;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const paint = (column) => pen.drawImage(
      state.sheet, column * width, sample * height, width, height, 0, 0, width, height);
    if (!difference.checked) {
      paint(step);
      return;
    }
    paint(middle);
    const base = pen.getImageData(0, 0, width, height).data;
    paint(step);
    const now = pen.getImageData(0, 0, width, height);
    for (let i = 0; i < base.length; i += 4) {
      for (let c = 0; c < 3; c++) now.data[i + c] = 128 + (now.data[i + c] - base[i + c]);
    }
    pen.putImageData(now, 0, 0);
  }

  function draw() {
    const step = Number(slider.value);
    const label = sweep.directions[state.direction].labels[step];
    readout.textContent = label;
    slider.setAttribute("aria-valuetext", label);
    if (!state.sheet) return;
    drawCell(large, state.sample, step);
    samples.forEach((button, sample) => drawCell(button.firstElementChild, sample, step));
  }

  async function choose(number) {
    choices.forEach((button, i) => button.setAttribute("aria-pressed", i === number));
    title.textContent = sweep.directions[number].name;
    large.setAttribute("aria-label", `${sweep.directions[number].name}, the chosen sample, enlarged`);
    const sheet = new Image();
    sheet.src = sweep.directions[number].sheet;
    await sheet.decode();
    if (title.textContent !== sweep.directions[number].name) return; // another one was chosen meanwhile
    state.sheet = sheet;
    state.direction = number;
    draw();
    explorer.dataset.ready = number;
  }

  function pick(number) {
    state.sample = number;
    samples.forEach((button, i) => button.setAttribute("aria-pressed", i === number));
    draw();
  }

  function tick(time) {
    if (!state.playing) return;
    const last = sweep.steps - 1;
    if (time - state.last > 2200 / last) {
      state.last = time;
      const step = Number(slider.value);
      if (step >= last) state.forward = false;
      if (step <= 0) state.forward = true;
      slider.value = step + (state.forward ? 1 : -1);
      draw();
    }
    requestAnimationFrame(tick);
  }

  function setPlaying(playing) {
    state.playing = playing;
    play.textContent = playing ? "❚❚ Pause" : "▶ Play";
    if (playing) requestAnimationFrame(tick);
  }

  slider.addEventListener("input", () => { setPlaying(false); draw(); });
  difference.addEventListener("change", draw);
  play.addEventListener("click", () => setPlaying(!state.playing));
  choices.forEach((button, i) => button.addEventListener("click", () => choose(i)));
  samples.forEach((button, i) => button.addEventListener("click", () => pick(i)));
  pick(0);
  choose(0);
}
