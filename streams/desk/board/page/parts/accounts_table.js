// The table of accounts. Rows are changed in place, so that focus, hover and scrolling stay where they are; and a few at a time, so that no
// frame is late: what is left waits for the next frame.

import { TabulatorFull as Tabulator } from "../vendor/tabulator_esm.min.js";
import { accountColumns, concernsRow, riskiestFirst, rowOfEvent } from "./account_columns.js";
import { byId } from "./elements.js";

const FRAME_MS = 5;
/** Field of a row: where it stands in the list. */
const PLACE = "place";
const NARROW = matchMedia("(max-width: 640px)");

export class AccountsTable {
  #rows = new Map(); // by account: what is shown, or is about to be
  #components = new Map();
  #dirty = new Set();
  #gone = [];
  #appeared = new Set(); // by an event, and not shown yet
  #order = [];
  #unordered = false;
  #pressing = false;
  #planned = false;
  #built = false;
  #search = "";

  constructor(place) {
    this.place = place;
    this.table = new Tabulator(place, {
      index: "account", data: [], columns: this.#columns(), layout: "fitColumns", height: "100%", rowHeight: 25,
      placeholder: "", columnHeaderSortMulti: false, renderVerticalBuffer: 120,
      rowFormatter: (row) => this.#mark(row),
    });
    this.table.on("tableBuilt", () => {
      this.#built = true;
      this.#headers();
      this.#plan();
    });
    let refocus = () => {};
    this.table.on("renderStarted", () => (refocus = this.#focused()));
    this.table.on("renderComplete", () => refocus());
    NARROW.addEventListener("change", () => {
      this.table.setColumns(this.#columns());
      this.#headers();
    });
    place.addEventListener("keydown", (event) => this.#keys(event));
  }

  /** The rows as the API lists them now. */
  show(rows) {
    const kept = new Set(rows.map((it) => it.account));
    for (const account of this.#rows.keys()) if (!kept.has(account)) this.#remove(account);
    rows.forEach((row) => this.#put(row));
    this.#changed();
  }

  /** An event of an account, at once: the list follows in a moment. */
  hear(event, wanted) {
    const known = this.#rows.get(event.account);
    if (!concernsRow(event, known)) return;
    const row = rowOfEvent(event, known);
    if (!known && (row.band === "healthy" || !wanted(row))) return;
    if (!known) this.#appeared.add(event.account);
    this.#put(row);
    // before what a list has brought, and into its place at once
    this.#dirty = new Set([event.account, ...this.#dirty]);
    this.#pressing = true;
    this.#changed();
  }

  /** The API lists by ranks that are a moment old: the rows' own figures are newer, and say the order. */
  #changed() {
    this.#order = [...this.#rows.values()].sort(riskiestFirst).map((it) => it.account);
    this.#unordered = true;
    this.#plan();
  }

  search(text) {
    this.#search = text.toLowerCase();
    if (this.#search) this.table.setFilter((row) => row.account.toLowerCase().includes(this.#search));
    else this.table.clearFilter();
  }

  get size() {
    return this.#rows.size;
  }

  focusFirst() {
    this.place.querySelector(".tabulator-row a")?.focus();
  }

  #put(row) {
    const known = this.#rows.get(row.account);
    if (known && Object.keys(row).every((it) => row[it] === known[it])) return;
    this.#rows.set(row.account, row);
    this.#dirty.add(row.account);
  }

  #remove(account) {
    this.#rows.delete(account);
    this.#dirty.delete(account);
    const component = this.#components.get(account);
    this.#components.delete(account);
    if (component) this.#gone.push(component);
  }

  #plan() {
    if (this.#planned || !this.#built) return;
    this.#planned = true;
    // a tab that nobody sees gets no frames, and has to keep up all the same
    if (document.hidden) setTimeout(() => this.#work(), 200);
    else requestAnimationFrame(() => this.#work());
  }

  #work() {
    this.#planned = false;
    const end = performance.now() + FRAME_MS;
    const fresh = [];
    for (const account of this.#dirty) {
      this.#dirty.delete(account);
      const row = this.#rows.get(account);
      const component = this.#components.get(account);
      if (component) component.update({ ...row });
      else fresh.push(row);
      if (performance.now() > end || fresh.length >= 60) break;
    }
    if (fresh.length) this.#add(fresh);
    while (this.#gone.length && performance.now() < end) this.#gone.pop().delete();
    const waits = this.#dirty.size > 0 || this.#gone.length > 0;
    if (this.#unordered && (!waits || this.#pressing)) this.#sort();
    if (waits) this.#plan();
  }

  #add(rows) {
    this.table.addData(rows).then((components) => {
      for (const it of components) {
        const { account } = it.getData();
        // it may have left the list meanwhile
        if (this.#rows.has(account)) this.#components.set(account, it);
        else this.#gone.push(it);
      }
      this.#unordered = true;
      this.#plan();
    });
  }

  /** What brings focus back to its account after rows were drawn anew; to its neighbour where the account has left the list. */
  #focused() {
    const row = document.activeElement?.closest?.(".tabulator-row");
    if (!row) return () => {};
    const near = [row, row.nextElementSibling, row.previousElementSibling].map((it) => it?.dataset.account);
    return () => {
      const account = near.find((it) => this.#rows.has(it));
      // a row that moved far away is not drawn before it is scrolled to
      if (account && !this.#link(account)) this.#components.get(account)?.scrollTo("nearest", false).catch(() => {});
      this.#link(account)?.focus();
    };
  }

  #link(account) {
    return [...this.place.querySelectorAll(".tabulator-row")].find((it) => it.dataset.account === account)?.querySelector("a");
  }

  /** Into the order of the list, or into the one that somebody chose. */
  #sort() {
    this.#unordered = this.#pressing = false;
    const sorters = this.table.getSorters();
    const chosen = sorters.filter(({ field }) => field !== PLACE);
    const moved = this.#order.filter((account, place) => this.#moveTo(account, place)).length > 0;
    if (!moved && sorters.length && !chosen.length) return;
    this.table.setSort(chosen.length ? chosen.map(({ field, dir }) => ({ column: field, dir })) : [{ column: PLACE, dir: "asc" }]);
  }

  /** Whether that is another place than before. It is shown nowhere, so nothing is drawn for it. */
  #moveTo(account, place) {
    const row = this.#components.get(account)?.getData();
    if (!row || row[PLACE] === place) return false;
    row[PLACE] = place;
    return true;
  }

  #mark(row) {
    const element = row.getElement();
    const { account, band } = row.getData();
    element.dataset.band = band;
    element.dataset.account = account;
    if (this.#appeared.delete(account)) {
      element.classList.add("appears");
      element.addEventListener("animationend", () => element.classList.remove("appears"), { once: true });
    }
  }

  #columns() {
    return [...accountColumns(NARROW.matches), { field: PLACE, visible: false, sorter: "number" }];
  }

  #headers() {
    for (const it of this.place.querySelectorAll(".tabulator-col.tabulator-sortable")) it.tabIndex = 0;
  }

  #keys(event) {
    const header = event.target.closest(".tabulator-col");
    if (header && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      header.click();
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest(".tabulator-row");
    if (!step || !row) return;
    event.preventDefault();
    const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
    next?.querySelector("a")?.focus();
    next?.scrollIntoView({ block: "nearest" });
  }
}

export const accountsTable = () => new AccountsTable(byId("accounts-table"));
