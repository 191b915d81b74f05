// Asking again and again, one question at a time: slower while nobody looks, sooner when an event says that there is news, never faster than
// its pace, and back off when the API asks for it.

const HIDDEN_MS_MIN = 10_000;
const SOONER_MS_MIN = 300;

let paced = true;

export class Poller {
  #timer = null;
  #running = false;
  #again = false;
  #askedMs = 0;
  #on = false;

  /** `work` asks and shows; `failed` hears of what it raises. */
  constructor(everyMs, work, failed) {
    this.everyMs = everyMs;
    this.work = work;
    this.failed = failed;
  }

  start() {
    if (!this.#on) {
      this.#on = true;
      this.#run();
    }
    return this;
  }

  stop() {
    this.#on = false;
    clearTimeout(this.#timer);
  }

  /** There is news. */
  sooner() {
    if (!this.#on) return;
    if (this.#running) this.#again = true;
    else this.#plan(Math.max(0, SOONER_MS_MIN - (Date.now() - this.#askedMs)));
  }

  #plan(ms) {
    clearTimeout(this.#timer);
    if (this.#on) this.#timer = setTimeout(() => this.#run(), ms);
  }

  async #run() {
    this.#running = true;
    this.#again = false;
    this.#askedMs = Date.now();
    let waitMs = document.hidden ? Math.max(this.everyMs, HIDDEN_MS_MIN) : this.everyMs;
    try {
      await this.work();
    } catch (error) {
      if (error.retryAfterS) waitMs = Math.max(waitMs, error.retryAfterS * 1000);
      if (this.#on) this.failed(error);
    }
    this.#running = false;
    if (paced || this.#again) this.#plan(this.#again ? SOONER_MS_MIN : Math.max(0, waitMs - (Date.now() - this.#askedMs)));
  }
}

/** From now on only when there is news: what is asked of a moment that is over stays as it is. */
export function onlyWhenAsked() {
  paced = false;
}

/** Several that begin and end together. */
export class Pollers {
  constructor(...pollers) {
    this.all = pollers;
  }

  start() {
    this.all.forEach((it) => it.start());
  }

  stop() {
    this.all.forEach((it) => it.stop());
  }

  sooner() {
    this.all.forEach((it) => it.sooner());
  }
}
