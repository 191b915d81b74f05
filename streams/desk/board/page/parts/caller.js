// Who looks: asked of the API with the key, and asked of the person where there is none or it is none that the API knows.

import { ask } from "./asking.js";
import { askInDialog, field } from "./dialogs.js";
import { byId, setText } from "./elements.js";
import * as session from "./session.js";

const RANKS = ["viewer", "risk", "operator"];

export const includes = (role, needed) => RANKS.indexOf(role) >= RANKS.indexOf(needed);

/** The caller's report, once somebody is let in; `away` is called as long as nobody answers. */
export async function knowCaller(away) {
  for (;;) {
    try {
      return show((await ask("/caller")).data);
    } catch (error) {
      if (error.status === 401) await askForKey("");
      else {
        away(error);
        await new Promise((done) => setTimeout(done, 1000));
      }
    }
  }
}

let asked = null;
let declined = false;

/** The key stopped being one: asked for once, and after a no only where somebody wants to. */
export function askForAnotherKey() {
  if (!declined) askForKey("The API knows the key no more.");
}

/** The report of who has the key that is typed in; null for no. */
export function askForKey(why) {
  asked ??= typedKey(why).finally(() => (asked = null));
  return asked;
}

async function typedKey(why) {
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
  declined = found === null;
  return found ? show(found) : null;
}

function show(caller) {
  setText(byId("who"), `${caller.name} · ${caller.role}`);
  byId("who").title = "Change the key";
  return caller;
}
