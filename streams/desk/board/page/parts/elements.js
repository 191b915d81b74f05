// Making elements. What comes from the API goes in as text or as an attribute, never as markup.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((it) => it !== null && it !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A table with a caption for who cannot see it; a column is [title, "num" | ""]. */
export function table(caption, columns, rows, kind = "") {
  const head = columns.map(([title, look]) => make("th", { scope: "col", class: look || null }, title));
  return make("table", { class: kind || null }, make("caption", { class: "unseen" }, caption),
    make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

export const cell = (content, look = null, title = null) => make("td", { class: look, title }, content ?? "");

export const accountPath = (account) => `#/account/${encodeURIComponent(account)}`;

export const accountLink = (account) => make("a", { href: accountPath(account) }, make("bdi", {}, account));

export function replace(parent, ...children) {
  const place = parent.scrollTop;
  parent.replaceChildren(...children);
  parent.scrollTop = place;
}
