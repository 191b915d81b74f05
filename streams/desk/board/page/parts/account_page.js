// One account: what it has against what it needs and why, what it holds, how far the market may move, and what was said of it.

import { AccountHistory } from "./account_history.js";
import { AccountCourse } from "./account_course.js";
import { figuresOf } from "./account_figures.js";
import { balancesOf, distancesOf, ordersOf, positionsOf } from "./account_holdings.js";
import { ask } from "./asking.js";
import { bandMark, word } from "./band_words.js";
import { includes } from "./caller.js";
import { byId, make, replace, setText } from "./elements.js";
import { Poller, Pollers } from "./polling.js";
import { loadStress } from "./stress_grid.js";
import { WhatIfForm } from "./what_if_form.js";

const pathOf = (account) => `/accounts/${encodeURIComponent(account)}`;

export class AccountPage {
  #account = null;
  #pollers = null;
  #open = new Set(); // figures whose lines are shown

  constructor(status, failed, caller) {
    Object.assign(this, { status, failed, caller });
  }

  show(account) {
    if (account === this.#account) return;
    this.leave();
    this.#account = account;
    this.#build(account);
    const failed = (error) => (error.status === 404 ? this.#unknown(error) : this.failed(error));
    this.history = new AccountHistory(byId("account-history"), account);
    this.course = new AccountCourse(byId("account-course"), byId("account-course-said"));
    const pollers = [new Poller(1000, () => this.#load(account), failed), new Poller(5000, () => this.history.load(), failed)];
    if (includes(this.caller().role, "risk")) pollers.push(new Poller(8000, () => loadStress(byId("account-stress"), pathOf(account)), failed));
    this.#pollers = new Pollers(...pollers);
    this.#pollers.start();
    document.title = `${account} – unimargin board`;
    byId("main").focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  leave() {
    this.#pollers?.stop();
    this.course?.close();
    this.#account = this.#pollers = this.course = this.history = null;
    byId("account").hidden = true;
    byId("account").replaceChildren();
    document.title = "unimargin board";
  }

  again() {
    this.#pollers?.sooner();
  }

  hear(kind, { topic, partition, offset, event }) {
    if (!this.#account || event.account !== this.#account) return;
    this.history.hear({ topic, partition, offset, event });
    this.#pollers.all[0].sooner();
  }

  async #load(account) {
    const answer = await ask(pathOf(account), { query: { explain: true } });
    if (account !== this.#account) return;
    this.status.answered(answer);
    this.#fill(answer.data);
    this.course.add(answer);
  }

  #fill(report) {
    this.#known(true);
    replace(byId("account-bands"), ...report.pools.flatMap((pool) => [bandMark(pool.band), make("span", { class: "dim" }, `${pool.position ?? "shared pool"} · ${word(pool.controls)}${pool.call === "none" ? "" : ` · ${word(pool.call)} call`}${pool.held_by === null ? "" : " · held by the breaker"} `)]));
    setText(byId("account-about"), `shard ${report.shard} · ${word(report.margin_model)} margin · ${report.currency} · policy ${report.policy} ${report.policy_digest.slice(0, 8)} · inputs: fills to ${report.inputs.fills}, ledger to ${report.inputs.ledger}`);
    const stops = Object.entries(report.stops).map(([topic, stop]) => `${topic} is stopped at offset ${stop.offset}: ${word(stop.code)}`);
    const missing = report.missing_marks.length ? [`no price of ${report.missing_marks.join(", ")}`] : [];
    const wrong = [...stops, ...missing, ...report.pools.flatMap((it) => it.degraded_reasons)];
    byId("account-wrong").hidden = !wrong.length;
    setText(byId("account-wrong"), wrong.join(" · "));
    figuresOf(byId("account-figures"), report, this.#open);
    positionsOf(byId("account-positions"), report);
    ordersOf(byId("account-orders"), report);
    balancesOf(byId("account-balances"), report);
    distancesOf(byId("account-distances"), report);
  }

  #known(yes) {
    byId("account-none").hidden = yes;
    byId("account").classList.toggle("unknown", !yes);
  }

  #unknown(error) {
    this.#known(false);
    setText(byId("account-none"), error.message);
  }

  #build(account) {
    const panel = (kind, title, id, ...more) => make("section", { class: `panel ${kind}`, "aria-labelledby": `${id}-title` }, make("header", {}, make("h2", { id: `${id}-title` }, title), ...more), make("div", { id, class: kind.includes("chart-panel") ? "chart" : "scroller", tabindex: kind.includes("chart-panel") ? null : "0" }));
    const form = make("section", { class: "panel whatif", "aria-labelledby": "whatif-title" }, make("header", {}, make("h2", { id: "whatif-title" }, "What if")));
    new WhatIfForm(form, account, this.caller());
    const stress = panel("stress", "Stress", "account-stress", make("span", { class: "dim" }, "every price of the market moved at once"));
    byId("account").replaceChildren(
      make("div", { class: "title" }, make("a", { href: "#/" }, "← all accounts"), make("h1", {}, make("bdi", {}, account)), make("span", { id: "account-bands" }), make("span", { id: "account-about", class: "dim num" }), make("span", { id: "account-wrong", class: "wait", hidden: true })),
      make("p", { id: "account-none", class: "empty", hidden: true }),
      panel("figures", "Figures and the lines they are the sum of", "account-figures"),
      panel("distances", "How far the whole market may move to each line", "account-distances"),
      panel("chart-panel equity-own", "Equity and maintenance margin", "account-course", make("span", { id: "account-course-said", class: "dim num" })),
      panel("positions", "Positions", "account-positions"), panel("orders", "Open orders", "account-orders"), panel("balances", "Balances", "account-balances"),
      stress, form, panel("history", "What was said of it", "account-history"));
    if (!includes(this.caller().role, "risk")) replace(byId("account-stress"), make("p", { class: "empty" }, "Stress takes a key of the role risk."));
    byId("account").hidden = false;
  }
}
