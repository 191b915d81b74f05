// The board, from its parts: who looks, the stream, and the pages.

import { AccountPage } from "./account_page.js";
import { BookPage } from "./book_page.js";
import { askForAnotherKey, askForKey, knowCaller } from "./caller.js";
import { byId } from "./elements.js";
import { Follower } from "./following.js";
import { onlyWhenAsked } from "./polling.js";
import { onPlace } from "./routes.js";
import { Scrubber } from "./scrubber.js";
import { takeKeyFromAddress } from "./session.js";
import { startShortcuts } from "./shortcuts.js";
import { StatusLine } from "./status_line.js";
import { startTheme } from "./theme_switch.js";

takeKeyFromAddress();
startTheme();
const status = new StatusLine();
const away = (error) => status.line("cut", error.status ? error.message : "the API does not answer");
const caller = await knowCaller(away);

const failed = (error) => {
  if (error.status === 401) askForAnotherKey();
  else if (error.status === undefined) console.info("no answer", error.message); // the stream tells that the line is cut
  else status.refused(error.message);
};
const book = new BookPage(status, failed, () => caller);
const account = new AccountPage(status, failed, () => caller);
startShortcuts(book.accounts.table);
byId("who").addEventListener("click", async () => {
  const other = await askForKey("");
  if (other) location.reload();
});

function again() {
  book.again();
  account.again();
}

function hear(kind, data) {
  if (kind === "reload") again();
  else if (kind !== "ready" && kind !== "dropped") {
    book.hear(kind, data);
    account.hear(kind, data);
  }
}

if (caller.recorded) {
  onlyWhenAsked();
  status.recorded();
  // a course begins where the day does, so it is asked for anew
  await new Scrubber(() => {
    book.course.forget();
    again();
  }).start();
} else new Follower(hear, (state, why, error) => {
  status.line(state, why);
  if (state === "live") again();
  if (error?.status === 401) askForAnotherKey();
}).run();

onPlace((place) => {
  book.visible(place.page === "book");
  if (place.page === "account") account.show(place.account);
  else account.leave();
});
