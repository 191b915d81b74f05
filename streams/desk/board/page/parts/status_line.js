// What the desk must know before it believes a number: is the line up, how old is what it shows, do prices come.

import { byId, setText } from "./elements.js";
import { millisecondsOf, span } from "./times.js";

/** Workers save marks once a second. */
const PRICES_OLD_S = 6;
const READ_OLD_S = 5;
/** A cut shorter than this is shown in the corner and not across the page. */
const CUT_SHOWN_MS = 400;

export class StatusLine {
  #cutSinceMs = null;
  #why = "";
  #envelope = null;
  #gotMs = 0;
  #recorded = false;
  #refusal = "";

  constructor() {
    setInterval(() => this.show(), 500);
  }

  recorded() {
    this.#recorded = true;
    this.show();
  }

  line(state, why = "") {
    if (state === "live") this.#cutSinceMs = null;
    else this.#cutSinceMs ??= Date.now();
    this.#why = why;
    this.show();
    setTimeout(() => this.show(), CUT_SHOWN_MS);
  }

  answered(envelope) {
    this.#envelope = envelope;
    this.#gotMs = Date.now();
    this.#refusal = "";
    if (envelope.policy) setText(byId("policy"), `${envelope.policy} · ${envelope.policy_digest.slice(0, 8)}`);
    byId("policy").title = `policy digest ${envelope.policy_digest}`;
  }

  /** The API said no to a question: shown as long as nothing newer was answered. */
  refused(why) {
    this.#refusal = why;
    this.show();
  }

  show() {
    const state = byId("state");
    if (this.#recorded) {
      state.dataset.state = "recorded";
      setText(state, "recorded day");
      setText(byId("fresh"), "");
      this.#trouble("");
      return;
    }
    const cutS = this.#cutSinceMs === null ? 0 : (Date.now() - this.#cutSinceMs) / 1000;
    state.dataset.state = this.#cutSinceMs === null ? "live" : "cut";
    setText(state, this.#cutSinceMs === null ? "live" : "cut off");
    const [readS, pricesS] = this.#ages();
    setText(byId("fresh"), Number.isNaN(readS) ? "" : `read ${span(readS)} ago${Number.isNaN(pricesS) ? "" : ` · prices ${span(pricesS)}`}`);
    if (cutS * 1000 >= CUT_SHOWN_MS) {
      this.#trouble(`Cut off: ${this.#why}. What you see is from before that; it comes back by itself.`, cutS);
    } else if (this.#refusal) {
      this.#trouble(`The API cannot answer: ${this.#refusal}.`);
    } else if (readS > READ_OLD_S) {
      this.#trouble("What you see is old: the API cannot read Redis, or does not answer.", readS);
    } else if (pricesS > PRICES_OLD_S) {
      this.#trouble("No new price: the feed or the workers stand still. Bands do not move meanwhile.", pricesS);
    } else {
      this.#trouble("");
    }
  }

  /** Seconds since the answer's data was read, and since its newest mark. The clocks of this machine and of the API may differ, so ages are
      taken at the API's and grown here. */
  #ages() {
    if (!this.#envelope) return [NaN, NaN];
    const evaluated = millisecondsOf(this.#envelope.evaluated_at);
    const here = Date.now() - this.#gotMs;
    const age = (then) => Math.max(0, (evaluated - millisecondsOf(then) + here) / 1000);
    return [age(this.#envelope.read_at), this.#envelope.instant ? age(this.#envelope.instant) : NaN];
  }

  /** `seconds` grow beside the text and are not read aloud each time they do. */
  #trouble(text, seconds = 0) {
    const place = byId("trouble");
    place.hidden = text === "";
    setText(byId("trouble-text"), text);
    setText(byId("trouble-time"), seconds ? ` (${span(seconds)})` : "");
  }
}
