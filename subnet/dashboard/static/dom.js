// Elements and text. Everything that came from the chain, a peer or a file goes through textContent: it is never markup.

export const $ = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "onclick") made.addEventListener("click", value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) made.append(child);
  return made;
}

export const short = (address) => (address.length > 14 ? `${address.slice(0, 6)}…${address.slice(-5)}` : address);
export const alpha = (rao, digits = 2) =>
  (rao / 1e9).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const share = (value, digits = 3) => (value === null || value === undefined ? "" : value.toFixed(digits));
export const percent = (value) => `${(100 * value).toFixed(value > 0 && value < 0.1 ? 2 : 1)}%`;
export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
export const moment = (seconds) => new Date(seconds * 1000).toLocaleString("en-GB");
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
export const count = (number) => number.toLocaleString("en");

export function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

export const tag = (text, kind = "") => el("span", { class: `tag ${kind}` }, text);

/** Rows of a plain table: columns are [heading, cell of a row, class]. */
export function fill(table, columns, rows, empty) {
  const heads = columns.map(([name, , kind]) => el("th", { scope: "col", class: kind }, name));
  table.tHead.replaceChildren(el("tr", {}, heads));
  const body = rows.map((row) =>
    el("tr", {}, columns.map(([, cell, kind], place) => el(place ? "td" : "th", { class: kind, scope: place ? null : "row" }, cell(row)))));
  if (!body.length) body.push(el("tr", {}, el("td", { class: "empty", colspan: columns.length }, empty)));
  table.tBodies[0].replaceChildren(...body);
}

export function table(columns, rows, empty, label) {
  const made = el("table", {}, el("caption", { class: "hidden" }, label), el("thead"), el("tbody"));
  fill(made, columns, rows, empty);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, made);
}

export const dark = () => document.documentElement.dataset.theme === "dark";
