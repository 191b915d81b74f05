// The accounts: what is asked for, what is shown of it, and what a list that is empty means.

import { ask } from "./asking.js";
import { accountsTable } from "./accounts_table.js";
import { BANDS, word } from "./band_words.js";
import { byId, make, setText } from "./elements.js";
import { Poller } from "./polling.js";

const CALLS = ["standard", "urgent", "aged"];
const CONTROLS = ["trade_only", "reduce_only", "locked"];
const ROWS = ["100", "200", "500"];
const asked = new URLSearchParams(location.search);

export class AccountsPanel {
  constructor(answered, failed) {
    this.table = accountsTable();
    this.answered = answered;
    this.filter = { band: "", call: "", controls: "", symbol: "", limit: ROWS.includes(asked.get("rows")) ? asked.get("rows") : "200" };
    this.poller = new Poller(Number(asked.get("every_ms")) || 1000, () => this.#load(), failed);
    this.onFilter = () => {};
    this.#controls();
  }

  choose(changes) {
    Object.assign(this.filter, changes);
    for (const [name, value] of Object.entries(changes)) if (this.inputs[name]) this.inputs[name].value = value;
    this.onFilter(this.filter);
    this.poller.sooner();
  }

  hear(event) {
    const { band, call, controls, symbol } = this.filter;
    // who holds a symbol is the API's to say
    this.table.hear(event, (row) => !symbol && (!band || row.band === band) && (!call || row.call === call) && (!controls || row.controls === controls));
    this.#empty();
    this.poller.sooner();
  }

  async #load() {
    const filter = { ...this.filter };
    const answer = await ask("/accounts", { query: filter }).catch((error) => this.#mistaken(filter, error));
    if (!answer) return;
    this.answered(answer);
    const { items, total, complete } = answer.data;
    if (JSON.stringify(filter) !== JSON.stringify(this.filter)) return;
    this.table.show(items);
    setText(byId("accounts-count"), `${items.length.toLocaleString("en")} of ${total.toLocaleString("en")}${complete ? "" : ", still ranking"}`);
    this.#empty(total, complete);
  }

  /** A symbol that is being typed is none yet: what the API says of it stands where the rows would. */
  #mistaken(filter, error) {
    if (error.status !== 400) throw error;
    if (JSON.stringify(filter) !== JSON.stringify(this.filter)) return;
    this.table.show([]);
    setText(byId("accounts-count"), "");
    byId("accounts-empty").hidden = false;
    setText(byId("accounts-empty"), error.message);
  }

  #empty(total = this.table.size, complete = true) {
    const place = byId("accounts-empty");
    place.hidden = this.table.size > 0;
    if (!place.hidden) setText(place, this.#why(total, complete));
  }

  #why(total, complete) {
    if (!complete) return "The accounts are being ranked; the unwell come first. It takes seconds after a start.";
    if (Object.entries(this.filter).some(([name, value]) => name !== "limit" && value)) return "Nobody is like that now. Rows appear here when somebody is; take the filter back to see all.";
    return "There is no account yet. One appears here with its first deposit or fill: `unimargin quickstart` sends some.";
  }

  #controls() {
    const choice = (name, label, values, all) => make("select", { "aria-label": label, onchange: (event) => this.choose({ [name]: event.target.value }) },
      ...(all ? [make("option", { value: "" }, all)] : []), ...values.map((it) => make("option", { value: it, selected: it === this.filter[name] }, all ? word(it) : `${it} rows`)));
    const typed = (name, label, hint, told) => make("input", { type: "search", "aria-label": label, placeholder: hint, spellcheck: "false", maxlength: 128, oninput: (event) => told(event.target.value.trim()) });
    let waiting = null;
    const later = (work) => { clearTimeout(waiting); waiting = setTimeout(work, 250); };
    this.inputs = {
      band: choice("band", "Only accounts in this band", BANDS, "every band"),
      call: choice("call", "Only accounts with such a call", CALLS, "every call"),
      controls: choice("controls", "Only accounts that may do no more than", CONTROLS, "every control"),
      symbol: typed("symbol", "Only who holds this symbol", "holds symbol", (text) => later(() => this.choose({ symbol: text }))),
      name: typed("name", "Among the rows shown, only accounts with this in their name", "name has", (text) => this.table.search(text)),
      limit: choice("limit", "Rows", ROWS, ""),
    };
    byId("accounts-filter").append(...Object.values(this.inputs));
  }
}
