// Elements of the page. Text is only ever set as text: nothing that a server says becomes HTML.

const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const pen = document.createElement("canvas").getContext("2d");

function textWidth(text, size, weight = 400) {
  pen.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

// `text` as it fits into `width` pixels, cut with an ellipsis.
function fitted(text, width, size, weight) {
  if (textWidth(text, size, weight) <= width) return text;
  let [fits, length] = [0, text.length];
  while (fits < length - 1) {
    const middle = (fits + length) >> 1;
    if (textWidth(`${text.slice(0, middle)}…`, size, weight) <= width) fits = middle;
    else length = middle;
  }
  return `${text.slice(0, fits)}…`;
}
