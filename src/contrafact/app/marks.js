// Elements made in one line. Texts are texts: nothing here reads HTML.

export function make(tag, given = {}, ...children) {
  const { data = {}, on = {}, css = {}, ...attributes } = given;
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(css)) element.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function find(id) {
  return document.getElementById(id);
}

// What a direction's magnitudes are in: standard deviations, or radians where it turns around a circle.
export function unitOf({ circle }) {
  return circle ? "rad" : "σ";
}

export function signed(value, digits = 2) {
  const rounded = Number(value.toFixed(digits));
  return `${rounded > 0 ? "+" : rounded < 0 ? "−" : ""}${Math.abs(rounded)}`;
}
