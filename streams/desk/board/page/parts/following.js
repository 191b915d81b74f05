// The stream, for as long as the page is open: it comes back by itself under the last id, says that it is cut, and notices a line that is
// dead without having been closed.

import { addressOf, headersOf, refusalOf } from "./asking.js";
import { SseReader } from "./sse_reader.js";

const PAUSE_MS_FIRST = 250;
const PAUSE_MS_MAX = 3_000;
/** The API sends a comment every 15 s by default; twice that without a byte is a dead line. */
const SILENCE_MS_MAX = 35_000;

export class Follower {
  #lastId = null;
  #stopped = false;
  #aborting = null;

  /** `told` gets (kind, data); `state` gets ("live") or ("cut", why, refusal). */
  constructor(told, state) {
    this.told = told;
    this.state = state;
  }

  async run() {
    let pauseMs = PAUSE_MS_FIRST;
    while (!this.#stopped) {
      try {
        await this.#once(() => (pauseMs = PAUSE_MS_FIRST));
        this.#say("cut", "the API ended the stream");
      } catch (error) {
        if (this.#stopped) return;
        this.#say("cut", error.status ? error.message : "the API does not answer", error);
        if (error.retryAfterS) pauseMs = error.retryAfterS * 1000;
      }
      await new Promise((done) => setTimeout(done, pauseMs * (0.7 + 0.6 * Math.random())));
      pauseMs = Math.min(pauseMs * 1.7, PAUSE_MS_MAX);
    }
  }

  stop() {
    this.#stopped = true;
    this.#aborting?.abort();
  }

  #say(...what) {
    if (!this.#stopped) this.state(...what);
  }

  async #once(connected) {
    this.#aborting = new AbortController();
    let watch = null;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => this.#aborting.abort(), SILENCE_MS_MAX);
    };
    alive();
    try {
      const headers = { ...headersOf(), ...(this.#lastId === null ? {} : { "Last-Event-ID": this.#lastId }) };
      const response = await fetch(addressOf("/stream"), { headers, cache: "no-store", credentials: "omit", signal: this.#aborting.signal });
      if (!response.ok) throw await refusalOf(response);
      const reader = new SseReader((event) => event && this.#take(event));
      const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
      connected();
      this.#say("live");
      for (;;) {
        const { done, value } = await text.read();
        if (done) return;
        alive();
        reader.take(value);
      }
    } finally {
      clearTimeout(watch);
    }
  }

  #take(event) {
    if (event.id) this.#lastId = event.id;
    this.told(event.event, JSON.parse(event.data));
  }
}
