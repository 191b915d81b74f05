// Questions to who sits before it. One dialog at a time; Escape is no.

import { byId, make } from "./elements.js";

/** Show a form of `fields` (elements); resolves to what `read(form)` gives once `does` accepts it, null for no.
    `does` may raise: its message is shown and the dialog stays. */
export function askInDialog({ title, about = [], fields = [], yes = "OK", harms = false, does = async (data) => data }) {
  const dialog = byId("dialog");
  const wrong = make("p", { class: "wrong", role: "alert" });
  const accept = make("button", { class: harms ? "harms" : "does", type: "submit" }, yes);
  const refuse = make("button", { type: "button", onclick: () => dialog.close("no") }, "Cancel");
  const form = make("form", { method: "dialog" }, ...about.map((it) => make("p", {}, it)), ...fields, wrong, make("div", { class: "row" }, refuse, accept));
  dialog.replaceChildren(make("h2", { id: "dialog-title" }, title), form);
  return new Promise((resolve) => {
    let result = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      accept.disabled = true;
      try {
        result = await does(Object.fromEntries(new FormData(form)));
        dialog.close("yes");
      } catch (error) {
        wrong.textContent = error.message;
        accept.disabled = false;
      }
    });
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? result : null), { once: true });
    dialog.returnValue = "no";
    dialog.showModal();
  });
}

export const field = (label, name, attributes = {}) => make("label", {}, label, make("input", { name, autocomplete: "off", spellcheck: "false", ...attributes }));

export function tell(title, ...content) {
  const dialog = byId("dialog");
  const close = make("button", { class: "does", type: "button", onclick: () => dialog.close() }, "Close");
  dialog.replaceChildren(make("h2", { id: "dialog-title" }, title), ...content, make("div", { class: "row" }, close));
  dialog.showModal();
}
