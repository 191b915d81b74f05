// Who looks: asked of the API with the key, and asked of the person where there is none or it is none that the API knows.

import { ask } from "./asking.js";
import { askInDialog, field } from "./dialogs.js";
import { byId, setText } from "./elements.js";
import * as session from "./session.js";

const RANKS = ["viewer", "risk", "operator"];

export const includes = (role, needed) => RANKS.indexOf(role) >= RANKS.indexOf(needed);

/** The caller's report, once somebody is let in. */
export async function knowCaller() {
  for (;;) {
    try {
      return show((await ask("/caller")).data);
    } catch (error) {
      if (error.status === 401) await askForKey("");
      else await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

export async function askForKey(why) {
  const found = await askInDialog({
    title: "A key, please",
    about: ["The board asks the API with your key. It stays in this tab and is forgotten when the tab is closed.", why].filter(Boolean),
    fields: [field("Key", "key", { type: "password", required: true, autofocus: true })],
    yes: "Open the board",
    does: async ({ key }) => {
      const told = (await ask("/caller", { key: key.trim() })).data;
      session.keep(key.trim());
      return told;
    },
  });
  return found ? show(found) : null;
}

function show(caller) {
  setText(byId("who"), `${caller.name} · ${caller.role}`);
  byId("who").title = "Change the key";
  return caller;
}
