// What the tests ask of the page, as functions; put into it before they are called.

/** Texts whose contrast with what lies behind is below WCAG AA's 4.5. */
function poorContrast() {
  const numbers = (text) => text.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest(".hidden, noscript, .skip")) continue;
    const one = luminance(numbers(getComputedStyle(node).color).slice(0, 3));
    const other = luminance(behind(node));
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${node.tagName}.${node.className} ${node.textContent.slice(0, 40)}`);
  }
  return poor;
}

/** Controls, regions and pictures that a screen reader could not name. */
function nameless() {
  const named = (node) => node.getAttribute("aria-label") || node.getAttribute("aria-labelledby") || node.labels?.length;
  return [...document.querySelectorAll("button, input, select, canvas[role], [role=region], table")]
    .filter((node) => node.checkVisibility() && !node.textContent.trim() && !named(node))
    .map((node) => node.outerHTML);
}

/** How many colours the heat map has. */
function shades() {
  const canvas = document.querySelector("#heat");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let i = 0; i < data.length; i += 404) if (data[i + 3] === 255) found.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
  return found.size;
}

/** The number that a tile shows. */
function tile(name) {
  const found = [...document.querySelectorAll("#tiles div")].find((div) => div.firstChild.textContent === name);
  return parseInt(found.lastChild.firstChild.textContent.replaceAll(",", ""));
}

const uids = () => [...document.querySelectorAll("#neurons tbody th")].map((cell) => Number(cell.textContent));

function search(text) {
  const box = document.querySelector("#search");
  box.value = text;
  box.dispatchEvent(new Event("input"));
}

function openMiner(uid) {
  [...document.querySelectorAll("#neurons tbody tr")].find((row) => row.firstChild.textContent === String(uid)).querySelector("button").click();
}

const ready = () => document.querySelectorAll("#neurons tbody button").length === 9 && document.querySelectorAll(".uplot").length === 2;
